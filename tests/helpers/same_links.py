"""Whether two datasets hold the same links."""

from __future__ import annotations

import numpy as np

from channelbench.spec import SPLITS
from channelbench.store.dataset import ChannelDataset

SAME = 2e-4
"""Relative error of each link with its path gain: a dataset's channels are those of a fast sum, and exports are in
single precision."""

SHARE = 2e-3
"""Of channels and path gains apart: an import divides by the paths' own power, which weak clusters that TR 38.901 drops
are missing from."""


def all_rows(dataset: ChannelDataset, name: str) -> np.ndarray:
    return np.concatenate([dataset.array(name, split) for split in SPLITS])


def with_gain(dataset: ChannelDataset, band: str) -> np.ndarray:
    """The channel with its path gain in it."""
    gain_db = all_rows(dataset, f"path_gain_db_{band}").astype(np.float64)
    return all_rows(dataset, f"h_{band}") * 10 ** (gain_db[:, None, None, None] / 20)


def errors(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Relative root mean square error of each link."""
    size = np.linalg.norm(expected.reshape(len(expected), -1), axis=1)
    return np.linalg.norm((found - expected).reshape(len(found), -1), axis=1) / size


def compare(before: ChannelDataset, after: ChannelDataset, angles: tuple[str, ...]) -> None:
    """The same links in the same splits and order."""
    for name, band in before.spec.bands.items():
        assert after.spec.bands[name] == band.model_copy(update={"num_beams": after.spec.bands[name].num_beams})
    assert after.spec.sizes == before.spec.sizes
    for name in ("split", "los"):
        np.testing.assert_array_equal(all_rows(after, name), all_rows(before, name))
    for name in ("ue_position", "distance_m"):
        np.testing.assert_allclose(all_rows(after, name), all_rows(before, name), rtol=1e-5)
    for name in before.spec.bands:
        assert errors(all_rows(before, f"h_{name}"), all_rows(after, f"h_{name}")).max() < SHARE
        assert errors(with_gain(before, name), with_gain(after, name)).max() < SAME
        for number in ("path_gain_db", "main_path_gain_db", "delay_spread_s", *angles):
            here, there = all_rows(before, f"{number}_{name}"), all_rows(after, f"{number}_{name}")
            np.testing.assert_allclose(there, here, rtol=SHARE, atol=1e-12 if number == "delay_spread_s" else 1e-2)
