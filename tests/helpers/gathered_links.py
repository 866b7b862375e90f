"""Numbers of many links, from several blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.statistics import link_statistics

Draw = Callable[..., Any]
BLOCKS = 10  # of 200 links


def gather(draw: Draw, scenario: str, blocks: int = BLOCKS, **changes: Any) -> dict[tuple[str, str], NDArray[Any]]:
    """Per-link numbers of several blocks, by (band, name)."""
    columns: dict[tuple[str, str], list[NDArray[Any]]] = {}
    for index in range(blocks):
        block = draw(scenario, index=index, **changes)
        for band, rays in block.rays.items():
            lsp = rays.large_scale
            found = link_statistics(block.paths[band], lsp.path_gain_db) | vars(lsp) | {"k": lsp.k_factor}
            found["total_power"] = block.paths[band].power.sum(axis=1)
            offset = block.drops.position[:, :2]
            # With a line of sight, cluster 0 points along it in any two draws: agreement is that of the others.
            diffuse = np.where(rays.los[:, None] & (np.arange(rays.power.shape[1]) == 0), 0, rays.power)
            strongest = rays.anchor.aod[np.arange(200), diffuse.argmax(axis=1)]
            centre = np.angle(np.exp(1j * strongest).mean(axis=1))
            found["cluster_aod"] = centre - np.arctan2(offset[:, 1], offset[:, 0])
            for name, values in found.items():
                columns.setdefault((band, name), []).append(values)
    return {key: np.concatenate(values) for key, values in columns.items()}
