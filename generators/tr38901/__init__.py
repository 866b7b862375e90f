"""Stochastic channels of 3GPP TR 38.901, clause 7.5: everything but the scenarios, which are modules of their own.

``StochasticGenerator`` is what a scenario subclasses: it draws large-scale parameters (``large_scale``), clusters and
rays (``rays``, by ``rays_fast`` or ``rays_sionna``) for users (``drops``) in a Sionna scenario (``scenarios``), and
turns them into paths (``paths``), which ``channelbench.generators.evaluate`` sums.
"""

from channelbench.generators.tr38901.source import StochasticSource
from channelbench.generators.tr38901.stochastic import DrawnBlock, StochasticGenerator

__all__ = ["DrawnBlock", "StochasticGenerator", "StochasticSource"]

HAS_ENTRIES = False
