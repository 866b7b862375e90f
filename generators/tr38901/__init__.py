"""Stochastic channels of 3GPP TR 38.901, clause 7.5."""
