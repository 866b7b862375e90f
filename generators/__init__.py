"""Generators of 3GPP TR 38.901 channels."""
