"""Clusters and rays by loops of ours: TR 38.901 clause 7.5, steps 5 to 8, after ``large_scale``.

The parameters are those of Sionna's scenario; what is left out is its general machinery for many stations, indoor links
and polarisation. The random numbers are others than Sionna's, their distribution is the same.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.compiled import compiled
from channelbench.generators.tr38901.clusters import MIN_CLUSTER_POWER, AnchorRays, delay_scaling
from channelbench.generators.tr38901.drops import Streams
from channelbench.generators.tr38901.large_scale import CORRELATED, SIONNA_ORDER, LargeScale, draw_large_scale
from channelbench.generators.tr38901.scenarios import links
from channelbench.spec import BLOCK_SIZE

__all__ = ["draw"]

MAX_CLUSTERS = 20
"""Random numbers are drawn for as many clusters as any state has, so that a link's do not depend on the others'."""

_POSITIVE = np.array([0.0447, 0.1413, 0.2492, 0.3715, 0.5129, 0.6797, 0.8844, 1.1481, 1.5195, 2.1551])
RAY_OFFSETS = np.stack([_POSITIVE, -_POSITIVE], axis=1).ravel()
"""Table 7.5-3, in degrees for a spread of one degree."""
BY_SUBCLUSTER = np.array([0, 1, 2, 3, 4, 5, 6, 7, 18, 19, 8, 9, 10, 11, 16, 17, 12, 13, 14, 15])
"""Table 7.5-5: ten rays, six and four. In this order rays of one delay follow each other."""
SUBCLUSTER_BOUNDS = np.array([0, 10, 16, 20])
SUBCLUSTER_OFFSETS = np.repeat([0.0, 1.28, 2.56], np.diff(SUBCLUSTER_BOUNDS))


def draw(
    los: NDArray[np.bool_], scenarios: dict[str, Any], streams: Streams, generator: Any
) -> tuple[dict[str, LargeScale], AnchorRays]:
    """What ``rays_sionna.draw`` returns, drawn here; ``generator`` is not used."""
    gaussians = np.random.default_rng(streams.large_scale).standard_normal((BLOCK_SIZE, len(CORRELATED)))
    large_scale = {band: draw_large_scale(scenario, los, gaussians) for band, scenario in scenarios.items()}
    first, anchor = next(iter(scenarios.items()))
    lsp = large_scale[first]
    rng = np.random.default_rng(streams.rays)
    delay, power = _clusters(anchor, los, lsp, rng)
    angles = _angles(anchor, los, lsp, power, rng)
    return large_scale, AnchorRays(
        delay_s=delay / delay_scaling(los, lsp.k_factor)[:, None],
        power=power,
        subcluster_offsets=SUBCLUSTER_OFFSETS,
        **angles,
    )


def _clusters(
    scenario: Any, los: NDArray[np.bool_], lsp: LargeScale, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps 5 and 6: delays before the scaling of Eq. 7.5-3, sorted, and powers, both ``[links, clusters]``."""
    counts = np.where(los, scenario.num_clusters_los, scenario.num_clusters_nlos)
    absent = np.arange(counts.max()) >= counts[:, None]
    scaling, zeta, ds = _column(scenario, los, "rTau"), _column(scenario, los, "zeta"), lsp.ds[:, None]
    uniform = rng.uniform(1e-6, 1.0, (BLOCK_SIZE, MAX_CLUSTERS))[:, : counts.max()]
    shadowing = zeta * rng.standard_normal((BLOCK_SIZE, MAX_CLUSTERS))[:, : counts.max()]
    delay = np.where(absent, np.inf, -scaling * ds * np.log(uniform))  # Eq. 7.5-1
    delay = np.sort(delay - delay.min(axis=1, keepdims=True), axis=1)  # Eq. 7.5-2
    delay[absent] = 0.0
    power = np.where(absent, 0.0, np.exp(-delay * (scaling - 1) / (scaling * ds)) * 10 ** (-shadowing / 10))
    power /= power.sum(axis=1, keepdims=True)  # Eq. 7.5-5 and 7.5-6
    power[power < MIN_CLUSTER_POWER * power.max(axis=1, keepdims=True)] = 0.0
    return np.where(power > 0, delay, 0.0), power


def _angles(
    scenario: Any, los: NDArray[np.bool_], lsp: LargeScale, power: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Steps 7 and 8: the angles of all rays in radians, coupled at random within sub-clusters."""
    centres = _cluster_angles(scenario, los, lsp, power, rng)
    # Eq. 7.5-20: the zenith of departure spreads by 3/8 of its mean spread.
    zod_spread = 3 / 8 * 10 ** links(scenario.lsp_log_mean)[:, SIONNA_ORDER.index("ZSD"), None]
    spreads = {
        "aod": _column(scenario, los, "cASD"),
        "aoa": _column(scenario, los, "cASA"),
        "zoa": _column(scenario, los, "cZSA"),
        "zod": zod_spread,
    }
    shape = (len(centres), *power.shape, len(RAY_OFFSETS))
    # An angle in float32 is off by 2e-7 at most, which a phase over half an array of 64 antennas feels as 2e-5.
    angles = np.zeros(shape, np.float32)
    _couple(
        np.stack(list(centres.values())),
        np.stack([np.broadcast_to(spreads[name], power.shape) for name in centres]),
        _random_bits(rng, (shape[0] - 1, BLOCK_SIZE, MAX_CLUSTERS, shape[-1])),
        np.argsort(-power, axis=1, kind="stable")[:, :2],
        power > 0,
        np.array([name in ("zoa", "zod") for name in centres]),
        RAY_OFFSETS[BY_SUBCLUSTER],
        SUBCLUSTER_BOUNDS,
        angles,
    )
    return dict(zip(centres, angles, strict=True))


def _random_bits(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Uniform over all values, two from each word of the generator. The size must be even."""
    raw: NDArray[np.uint64] = rng.bit_generator.random_raw(math.prod(shape) // 2)
    return raw.view(np.uint32).reshape(shape)


def _cluster_angles(
    scenario: Any, los: NDArray[np.bool_], lsp: LargeScale, power: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Step 7: the clusters' mean angles in degrees, ``[links, clusters]`` each, the azimuth of departure first."""
    k = np.where(los, lsp.k_factor, 1.0)[:, None]
    k_db, with_los = 10 * np.log10(k), los[:, None]
    share = np.where(with_los, power / (k + 1), power)
    share[:, 0] += np.where(los, (k / (k + 1))[:, 0], 0.0)  # Eq. 7.5-8
    # Removed clusters stand where a ratio of 1e-6 puts them, as in Sionna; nothing depends on it.
    nepers = -np.log(np.clip(share / share.max(axis=1, keepdims=True), 1e-6, 1))
    c_phi = _column(scenario, los, "CPhiNLoS") * np.where(
        with_los, 1.1035 - 0.028 * k_db - 0.002 * k_db**2 + 0.0001 * k_db**3, 1.0
    )  # Eq. 7.5-10
    c_theta = _column(scenario, los, "CThetaNLoS") * np.where(
        with_los, 1.3086 + 0.0339 * k_db - 0.0077 * k_db**2 + 0.0002 * k_db**3, 1.0
    )  # Eq. 7.5-15
    found = {}
    for name, spread in (("aod", lsp.asd), ("aoa", lsp.asa), ("zoa", lsp.zsa), ("zod", lsp.zsd)):
        degrees = spread[:, None]
        # Eq. 7.5-9 and 7.5-14
        azimuth = name in ("aod", "aoa")
        away = 2 * (degrees / 1.4) * np.sqrt(nepers) / c_phi if azimuth else degrees * nepers / c_theta
        sign = 2.0 * rng.integers(0, 2, (BLOCK_SIZE, MAX_CLUSTERS))[:, : power.shape[1]] - 1
        jitter = rng.standard_normal((BLOCK_SIZE, MAX_CLUSTERS))[:, : power.shape[1]] * degrees / 7
        angle = sign * away + jitter
        direct = links(getattr(scenario, f"los_{name}"))[:, None]
        if name == "zod":
            direct = direct + np.where(with_los, 0.0, links(scenario.zod_offset)[:, None])  # Eq. 7.5-19
        # With a line of sight the first cluster points along it: Eq. 7.5-12 and 7.5-17.
        found[name] = angle - np.where(with_los, angle[:, :1], 0.0) + direct
    return found


@compiled
def _couple(
    centre: NDArray[np.float64],
    spread: NDArray[np.float64],
    random: NDArray[np.uint32],
    strongest: NDArray[np.int64],
    alive: NDArray[np.bool_],
    zenith: NDArray[np.bool_],
    offsets: NDArray[np.float64],
    bounds: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Rays around their clusters' means, and which azimuth goes with which zenith (step 8).

    Coupling is random within a cluster, or within each sub-cluster of the two strongest. The first kind of angle keeps
    its order; the others' are permuted (Fisher and Yates), which is the same as permuting all.

    Args:
        centre, spread: ``[kinds, links, clusters]``, degrees.
        random: ``[kinds - 1, links, clusters, rays]``.
        strongest: ``[links, 2]``.
        alive: Clusters that carry power, ``[links, clusters]``.
        zenith: The kinds that run from 0° to 180°, where the others run from −180° to 180°, ``[kinds]``.
        offsets: Of the rays, ``[rays]``.
        bounds: Of the sub-clusters among them.
        out: Radians, ``[kinds, links, clusters, rays]``; removed clusters are left as they are.
    """
    num_rays = offsets.size
    order = np.empty(num_rays, np.int64)
    for link in range(alive.shape[0]):
        for c in range(alive.shape[1]):
            if not alive[link, c]:
                continue
            split = c == strongest[link, 0] or c == strongest[link, 1]
            for kind in range(out.shape[0]):
                for i in range(num_rays):
                    order[i] = i
                if kind > 0:
                    for part in range(bounds.size - 1 if split else 1):
                        low, high = bounds[part], bounds[part + 1] if split else num_rays
                        for i in range(high - 1, low, -1):
                            among = np.uint64(random[kind - 1, link, c, i]) * np.uint64(i - low + 1)
                            j = low + np.int64(among >> np.uint64(32))
                            order[i], order[j] = order[j], order[i]
                for i in range(num_rays):
                    degrees = centre[kind, link, c] + spread[kind, link, c] * offsets[order[i]]
                    degrees -= 360 * math.floor(degrees / 360 + 0.5)
                    out[kind, link, c, i] = math.radians(abs(degrees) if zenith[kind] else degrees)


def _column(scenario: Any, los: NDArray[np.bool_], name: str) -> NDArray[np.float64]:
    """A parameter of the tables, ``[links, 1]``."""
    values = np.empty(2)
    for state in np.unique(los):
        values[int(state)] = _parameter(scenario, name, bool(state))
    return values[los.astype(int)][:, None]


@lru_cache(maxsize=256)
def _parameter(scenario: Any, name: str, state: bool) -> float:
    """Sionna gives a parameter to each link anew; it is the same for all of a state, whatever the topology."""
    link = int(np.flatnonzero(links(scenario.los) == state)[0])
    return float(links(scenario.get_param(name))[link])
