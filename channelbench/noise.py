"""Unit noise from counters: a sample's draws depend on its key alone, never on its neighbours or the batch size."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["noise_key", "unit_noise"]


def noise_key(*parts: object) -> NDArray[np.uint64]:
    """A 128-bit Philox key from the parts' text."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype=np.uint64)


def unit_noise(
    key: NDArray[np.uint64], indices: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
    """Circular complex Gaussian noise of variance 1 and one uniform number per sample.

    Sample ``i`` is drawn from Philox at counter ``(0, 0, 0, i)``: streams of different samples cannot meet before
    2^192 draws.

    Args:
        key: From ``noise_key``.
        indices: Which samples, ``[batch]``.
        shape: Shape of one sample's noise.

    Returns:
        ``[batch, *shape]`` complex64 and ``[batch]`` float64 in [0, 1).
    """
    noise = np.empty((len(indices), *shape), dtype=np.complex64)
    uniform = np.empty(len(indices))
    pairs = noise.view(np.float32).reshape(len(indices), -1)
    for row, index in enumerate(indices):
        stream = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, int(index)]))
        uniform[row] = stream.random()
        stream.standard_normal(out=pairs[row], dtype=np.float32)
    noise *= np.float32(np.sqrt(0.5))
    return noise, uniform
