"""Large-scale parameters, clusters and rays from Sionna's own classes: the reference engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.tr38901.clusters import AnchorRays
from channelbench.generators.tr38901.drops import Streams
from channelbench.generators.tr38901.large_scale import LargeScale
from channelbench.generators.tr38901.scenarios import links, torch_seed

__all__ = ["draw"]

SUBCLUSTER_OFFSETS = np.zeros(20)
SUBCLUSTER_OFFSETS[[8, 9, 10, 11, 16, 17]] = 1.28
SUBCLUSTER_OFFSETS[[12, 13, 14, 15]] = 2.56
"""Table 7.5-5 and Eq. 7.5-26, by the numbers of the rays."""


def draw(
    los: NDArray[np.bool_], scenarios: dict[str, Any], streams: Streams, generator: Any
) -> tuple[dict[str, LargeScale], AnchorRays]:
    """The large-scale parameters of every band and the anchor's rays, for scenarios with their topologies set."""
    from sionna.phy.channel.tr38901 import LSPGenerator, RaysGenerator

    # The same Gaussians in every band: they are the first thing that an LSPGenerator draws.
    large_scale = {}
    for band, scenario in scenarios.items():
        sampler = LSPGenerator(scenario)
        sampler.topology_updated_callback()
        generator.manual_seed(torch_seed(streams.large_scale))
        large_scale[band] = sampler()
    first, anchor = next(iter(scenarios.items()))
    rays_sampler = RaysGenerator(anchor)
    rays_sampler.topology_updated_callback()
    generator.manual_seed(torch_seed(streams.rays))
    rays = rays_sampler(large_scale[first])
    # Masked clusters stand at enormous delays; they carry no power and nothing may depend on where they stand.
    power = links(rays.powers)
    return {band: _large_scale(lsp) for band, lsp in large_scale.items()}, AnchorRays(
        delay_s=np.where(power > 0, links(rays.delays), 0.0),
        power=power,
        aod=links(rays.aod),
        zod=links(rays.zod),
        aoa=links(rays.aoa),
        zoa=links(rays.zoa),
        subcluster_offsets=SUBCLUSTER_OFFSETS,
    )


def _large_scale(lsp: Any) -> LargeScale:
    return LargeScale(
        path_gain_db=10 * np.log10(links(lsp.sf)) - links(lsp.pathloss),
        k_factor=links(lsp.k_factor),
        ds=links(lsp.ds),
        asd=links(lsp.asd),
        asa=links(lsp.asa),
        zsd=links(lsp.zsd),
        zsa=links(lsp.zsa),
        sf=links(lsp.sf),
    )
