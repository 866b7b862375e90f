"""Metrics: a pure accumulate to per-sample terms, a pure finalize of their mean."""
