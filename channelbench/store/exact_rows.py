"""Some stored channels against the exact sum over their paths, drawn again: what no digest says."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generator import Block, Generator
from channelbench.sources import makers
from channelbench.spec import BLOCK_SIZE, SPLITS
from channelbench.store import layout
from channelbench.store.dataset import ChannelDataset

__all__ = ["LARGEST_DEVIATION", "ROWS", "compare", "has_passed", "note_pass", "why_not"]

ROWS = 8
"""Samples of each split that are compared."""

LARGEST_DEVIATION = 6e-4
"""Root mean square over a sample's channel, whose power is 1 in the mean: what the fast engine's bounds allow. It and
the last bits of other processors leave a fifth of that."""

PASSED = Path(".channelbench") / "exact"
"""A file for each content that has passed in this folder."""


def why_not(dataset: ChannelDataset) -> str:
    """Why the paths cannot be drawn again here; empty if they can."""
    if _generator(dataset) is None:
        return f"its source, {dataset.spec.source.name} of {dataset.spec.scenario}, is not installed"
    try:
        machine = dataset.spec.source.machine()
    except RequestError as error:
        return str(error)
    # Zarr writes the bytes and does not make them.
    recorded = {package: found for package, found in dataset.versions.items() if package != "zarr"}
    here = {package: machine.get(package) or _installed(package) for package in recorded}
    if other := [package for package in recorded if here[package] != recorded[package]]:
        words = ", ".join(f"{package} {recorded[package]} ({here[package]} here)" for package in other)
        return f"made elsewhere, with {words}" if machine.keys() & set(other) else f"made with {words}"
    return ""


def compare(dataset: ChannelDataset) -> Iterator[str]:
    """What deviates in ``ROWS`` samples of each split, half of them spread over it and half of the fastest users.

    Raises:
        NotImplementedError: the source keeps no paths.
    """
    generator = _generator(dataset)
    assert generator is not None  # `why_not` has been asked
    maker, starts = generator(), layout.split_rows(dataset.spec)
    for split in SPLITS:
        for row in _chosen(_speeds(dataset, starts[split])):
            index, start = divmod(int(row), BLOCK_SIZE)
            block = Block(split=split, index=index, start=start, stop=start + 1)
            for band, want in maker.channels(dataset.spec, block, dataset.seed).items():
                sample = starts[split].start + int(row)
                stored = np.asarray(dataset.group[f"h_{band}"][sample], np.complex128)
                off = float(np.sqrt(np.mean(np.abs(stored - want[0]) ** 2)))
                if not off <= LARGEST_DEVIATION:
                    at_most = f"at most {LARGEST_DEVIATION:g} expected"
                    yield f"h_{band}: sample {sample} ({split}) is {off:.2g} off the exact sum, {at_most}"


def has_passed(digest: str) -> bool:
    """Whether a dataset of this content has passed in this folder before."""
    return (PASSED / digest).exists()


def note_pass(digest: str) -> None:
    """Remember it; a folder that cannot be written goes without."""
    try:
        PASSED.mkdir(parents=True, exist_ok=True)
        (PASSED / digest).touch()
    except OSError:
        return


def _generator(dataset: ChannelDataset) -> type[Generator] | None:
    return makers(dataset.spec.scenario).get(dataset.spec.source.name)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _speeds(dataset: ChannelDataset, rows: slice) -> NDArray[np.float64]:
    """Of the users of some rows; 0 where the dataset does not know."""
    if "ue_velocity" not in dataset.variables:
        return np.zeros(rows.stop - rows.start)
    return np.linalg.norm(np.asarray(dataset.group["ue_velocity"][rows], np.float64), axis=1)


def _chosen(speed: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of a split, given its users' speeds: what is wrong with fast ones need not show in others."""
    if len(speed) <= ROWS:
        return np.arange(len(speed))
    spread = np.linspace(0, len(speed) - 1, ROWS // 2).astype(np.int64)
    fastest = np.argsort(-speed, kind="stable")
    return np.union1d(spread, fastest[~np.isin(fastest, spread)][: ROWS - len(spread)])
