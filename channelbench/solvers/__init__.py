"""Numerical algorithms that baselines, models and tasks share."""
