"""Large-scale parameters: TR 38.901 clause 7.5, step 4."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.tr38901.scenarios import links

__all__ = ["CORRELATED", "SIONNA_ORDER", "LargeScale", "draw_large_scale"]

CORRELATED = ("SF", "K", "DS", "ASD", "ASA", "ZSD", "ZSA")
"""The order of step 4, in which correlated Gaussians are made from independent ones."""
SIONNA_ORDER = ("DS", "ASD", "ASA", "SF", "K", "ZSA", "ZSD")
"""The order of ``lsp_log_mean`` and ``lsp_log_std``."""
CAPS = np.array([np.inf, 104.0, 104.0, np.inf, np.inf, 52.0, 52.0])
"""Step 4 limits azimuth spreads to 104° and zenith spreads to 52°."""


@dataclass(frozen=True, kw_only=True)
class LargeScale:
    """One band's large-scale parameters as drawn, ``[links]`` each.

    Attributes:
        path_gain_db: −(path loss + shadowing).
        k_factor: Rician K, linear; without meaning where there is no line of sight.
        ds: Delay spread, s.
        asd, asa, zsd, zsa: Angular spreads, degrees.
        sf: Shadow fading, linear.
    """

    path_gain_db: NDArray[np.float64]
    k_factor: NDArray[np.float64]
    ds: NDArray[np.float64]
    asd: NDArray[np.float64]
    asa: NDArray[np.float64]
    zsd: NDArray[np.float64]
    zsa: NDArray[np.float64]
    sf: NDArray[np.float64]


def draw_large_scale(scenario: Any, los: NDArray[np.bool_], gaussians: NDArray[np.float64]) -> LargeScale:
    """Step 4: log-normal parameters from ``gaussians``, ``[links, 7]``."""
    roots = np.zeros((2, len(CORRELATED), len(CORRELATED)))
    for state in np.unique(los):
        roots[int(state)] = _correlation_root(scenario, bool(state))
    correlated = np.einsum("lij,lj->li", roots[los.astype(int)], gaussians)
    correlated = correlated[:, [CORRELATED.index(name) for name in SIONNA_ORDER]]
    drawn = 10 ** (links(scenario.lsp_log_mean) + links(scenario.lsp_log_std) * correlated)
    ds, asd, asa, sf, k, zsa, zsd = np.minimum(drawn, CAPS).T
    return LargeScale(
        path_gain_db=10 * np.log10(sf) - links(scenario.basic_pathloss),
        k_factor=k,
        ds=ds,
        asd=asd,
        asa=asa,
        zsd=zsd,
        zsa=zsa,
        sf=sf,
    )


@lru_cache(maxsize=16)
def _correlation_root(scenario: Any, state: bool) -> NDArray[np.float64]:
    """Cholesky root of the parameters' correlations with (``state``) or without line of sight, ``[7, 7]``.

    They are the same for all links of a state, whatever the topology: any such link's will do.
    """
    link = int(np.flatnonzero(links(scenario.los) == state)[0])
    matrix = np.eye(len(CORRELATED))
    for i, first in enumerate(CORRELATED):
        for j, second in enumerate(CORRELATED[:i]):
            matrix[i, j] = matrix[j, i] = links(_correlation(scenario, first, second))[link]
    return np.asarray(np.linalg.cholesky(matrix), np.float64)


def _correlation(scenario: Any, first: str, second: str) -> Any:
    try:
        return scenario.get_param(f"corr{first}vs{second}")
    except KeyError:
        return scenario.get_param(f"corr{second}vs{first}")
