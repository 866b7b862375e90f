"""Experiments: one module per kind of plan, found by the names that suites state."""

HAS_ENTRIES = False  # the registry looks for suites beside this package
