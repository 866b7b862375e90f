"""Experiments: one module per kind of plan, found by the names that suites state."""
