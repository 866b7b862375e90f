"""FIFS: features, kernel and bandwidth by their formulas."""

from typing import Any

import numpy as np
import pytest

from channelbench import registry
from channelbench.baselines.fifs import FIFS, band_powers_db, coherence_bandwidth, kernel_average
from channelbench.contracts import FitContext


def test_kernel_average_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    queries, features, values = rng.normal(size=(4, 5)), rng.normal(size=(9, 5)), rng.normal(size=9)
    result = kernel_average(queries, features, values, np.array([0.3, 2.0]))
    for row, width in enumerate((0.3, 2.0)):
        for query in range(4):
            distance = np.mean((queries[query] - features) ** 2, axis=1)
            weights = np.exp(-distance / (2 * width**2))
            assert result[row, query] == pytest.approx(weights @ values / weights.sum(), rel=1e-9)


def test_kernel_limits() -> None:
    rng = np.random.default_rng(1)
    features, values = rng.normal(size=(50, 6)), rng.normal(size=50)
    narrow, wide = kernel_average(features, features, values, np.array([1e-3, 1e6]))
    np.testing.assert_allclose(narrow, values, atol=1e-12)  # its own fingerprints
    np.testing.assert_allclose(wide, values.mean(), atol=1e-6)
    far = kernel_average(features + 1e3, features, values, np.array([1e-3]))
    assert np.isfinite(far).all()


def test_band_powers(make_observation: Any) -> None:
    rng = np.random.default_rng(2)
    h = rng.normal(size=(3, 2, 7, 4)) + 1j * rng.normal(size=(3, 2, 7, 4))
    features = band_powers_db(make_observation(h), 3).reshape(3, 3, 4)
    for band, columns in enumerate((slice(0, 3), slice(3, 6), slice(6, 7))):
        expected = 10 * np.log10((np.abs(h[:, :, columns]) ** 2).mean(axis=(1, 2)))
        np.testing.assert_allclose(features[:, band], expected, atol=1e-4)


@pytest.mark.parametrize("width", [1, 4, 64])
def test_coherence_bandwidth_of_blocks(make_observation: Any, make_split: Any, width: int) -> None:
    # Channels constant over blocks of ``width`` subcarriers at a random offset: the correlation is 1 − lag/width.
    rng = np.random.default_rng(3)
    blocks = rng.normal(size=(300, 1, 64 // width + 1, 4)) + 1j * rng.normal(size=(300, 1, 64 // width + 1, 4))
    offsets = rng.integers(0, width, 300)
    h = np.stack(
        [np.repeat(one, width, axis=1)[:, start : start + 64] for one, start in zip(blocks, offsets, strict=True)]
    )
    noise = rng.normal(size=(2, *h.shape))
    split = make_split(make_observation(h + noise[0] + 1j * noise[1], 2.0), np.zeros(300))
    expected = {1: {1}, 4: {2, 3}, 64: set(range(28, 38))}[width]
    assert coherence_bandwidth(split) in expected


def test_flat_channels_are_one_band(make_observation: Any, make_split: Any) -> None:
    split = make_split(make_observation(np.ones((5, 1, 12, 2))), np.zeros(5))
    assert coherence_bandwidth(split) == 12


def test_reads_a_value_off_similar_fingerprints(make_observation: Any, make_split: Any) -> None:
    rng = np.random.default_rng(4)

    def samples(count: int) -> Any:
        position = rng.uniform(0, 1, count)
        tilt = 10 ** (np.outer(position, np.linspace(-1, 1, 8)))  # power per antenna tells the position
        phases = np.exp(2j * np.pi * rng.uniform(size=(count, 1, 16, 1)))
        return make_observation(np.sqrt(tilt)[:, None, None, :] * phases), (100 * position).astype(np.float32)

    whole, rest = samples(400), samples(100)
    for task in ("de", "pe"):
        loss = registry.find("tasks", task).loss
        train, validation = make_split(*whole, loss), make_split(*rest, loss)
        method = FIFS()
        method.fit({task: (train, validation)}, FitContext())
        observation, value = samples(100)
        assert np.abs(method.predict(task, observation) - value).mean() < 2
