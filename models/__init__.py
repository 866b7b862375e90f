"""Learned methods, and what trains them."""
