"""Suites and the runner."""
