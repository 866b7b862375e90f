"""Datasets side by side: spreads, K-factor and how much their two bands agree, as a table and a picture.

``python docs/compare_channels.py data/uma.zarr data/munich.zarr data/rma.zarr --picture docs/compared.png``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import channelbench as cb
from channelbench.spec import SPLITS
from channelbench.store.dataset import ChannelDataset

QUANTITIES = {
    "delay_spread_s": ("delay spread (ns)", 1e9),
    "asd_deg": ("azimuth spread of departure (°)", 1.0),
    "asa_deg": ("azimuth spread of arrival (°)", 1.0),
    "k_factor_db": ("Rician K in line of sight (dB)", 1.0),
}
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b7791f")
SAME_DEG = 1.0
"""Strongest paths of both bands that leave within this leave the same way."""


def values(dataset: ChannelDataset, name: str) -> NDArray[np.float64]:
    """A variable of all samples; nothing where the dataset has none."""
    if name not in dataset.variables:
        return np.zeros(0)
    return np.concatenate([dataset.array(name, split) for split in SPLITS]).astype(np.float64)


def spread_agreement(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Correlation of the logarithms of the links that have a spread in both bands."""
    known = (first > 0) & (second > 0)
    return float(np.corrcoef(np.log(first[known]), np.log(second[known]))[0, 1]) if known.sum() > 2 else np.nan


def angle_agreement(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Share of links whose strongest paths leave the same way in both bands, angles in degrees."""
    apart = np.abs((first - second + 180) % 360 - 180)
    return float(np.mean(apart <= SAME_DEG)) if len(apart) else np.nan


def row(path: str) -> list[str]:
    """One dataset's medians in both bands, and the agreement of the bands."""
    dataset = cb.open_dataset(path)
    cells = [
        f"{dataset.spec.scenario} {dataset.spec.state}, {dataset.spec.source.label}",
        f"{dataset.spec.sizes.total}",
    ]
    for name, (_, scale) in QUANTITIES.items():
        found = [values(dataset, f"{name}_{band}") * scale for band in dataset.spec.bands]
        cells.append(" / ".join(f"{np.nanmedian(each):.1f}" if np.isfinite(each).any() else "–" for each in found))
    if len(dataset.spec.bands) < 2:
        return [*cells, "–", "–"]
    delay, angle = (
        [values(dataset, f"{name}_{band}") for band in dataset.spec.bands]
        for name in ("delay_spread_s", "strongest_aod_deg")
    )
    return [*cells, f"{spread_agreement(*delay):.2f}", f"{angle_agreement(*angle):.0%}"]


def table(paths: list[str]) -> str:
    """Markdown."""
    titles = ["", "links", *(title for title, _ in QUANTITIES.values()), "log delay spread, r", "same strongest path"]
    lines = [titles, ["---"] * len(titles), *map(row, paths)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw(paths: list[str], picture: Path) -> None:
    """Distributions of each quantity, both bands of each dataset: the first drawn through, the second dashed."""
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for colour, path in zip(COLOURS, paths, strict=False):
        dataset = cb.open_dataset(path)
        for line, (band, spec) in zip(("-", "--"), dataset.spec.bands.items(), strict=False):
            label = f"{dataset.spec.scenario} {dataset.spec.source.label.split(',')[0]}, {spec.carrier_hz / 1e9:g} GHz"
            for ax, (name, (_, scale)) in zip(axes, QUANTITIES.items(), strict=True):
                found = values(dataset, f"{name}_{band}") * scale
                found = np.sort(found[np.isfinite(found)])
                if len(found):
                    ax.plot(found, np.arange(1, len(found) + 1) / len(found), line, color=colour, label=label, lw=1.6)
    for ax, (title, _) in zip(axes, QUANTITIES.values(), strict=True):
        ax.set(xlabel=title, ylabel="share of links below", ylim=(0, 1))
        ax.grid(alpha=0.3)
    axes[0].set_xscale("symlog", linthresh=1)
    axes[0].set_xlim(left=0)
    axes[3].set_xlim(-20, 40)
    axes[1].legend(fontsize=8, loc="lower right")
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    print(table(arguments.data))
    if arguments.picture:
        draw(arguments.data, arguments.picture)
