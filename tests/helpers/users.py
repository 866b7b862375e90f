"""Groups of users for the tests of multi-user solvers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]

CASES = [
    (1, 1, 10.0),
    (1, 6, 0.0),
    (2, 2, 20.0),
    (3, 7, -10.0),
    (4, 16, 10.0),
    (5, 5, 15.0),
    (6, 3, 20.0),
    (8, 128, 30.0),
]
"""Users, antennas, ``P/σ²`` in dB."""


def rayleigh(groups: int, users: int, antennas: int, seed: int = 0) -> Complex:
    """Independent CN(0, 1), ``[groups, users, antennas]``."""
    rng = np.random.default_rng([seed, users, antennas])
    parts = rng.standard_normal((2, groups, users, antennas))
    return (parts[0] + 1j * parts[1]) / np.sqrt(2)


def problem(users: int, antennas: int, snr_db: float, groups: int = 12, seed: int = 0) -> tuple[Complex, float, float]:
    """Channels, power and noise variance; the power is not 1."""
    return rayleigh(groups, users, antennas, seed), 3.0, 3.0 / 10 ** (snr_db / 10)


def awkward() -> Iterator[tuple[str, Complex]]:
    """Channels of which some inverse does not exist, or hardly."""
    for users, antennas in ((2, 1), (4, 8), (4, 4), (6, 3)):
        plain = rayleigh(3, users, antennas)
        changes = {"single precision": plain.astype(np.complex64), "all zero": np.zeros_like(plain)}
        for name, row in {
            "same": plain[:, 0],
            "parallel": 3j * plain[:, 0],
            "nearly the same": plain[:, 0] + 1e-7 * plain[:, 1],
            "zero": 0 * plain[:, 0],
            "weak": 1e-6 * plain[:, 1],
            "next to zero": 1e-160 * plain[:, 1],
        }.items():
            changes[name] = plain.copy()
            changes[name][:, 1] = row
        for name, h in changes.items():
            yield f"{users} users, {antennas} antennas, {name}", h


AWKWARD = dict(awkward())
LEVELS = [(0.0, 1.0), (1.0, 1e-30), (1.0, 1e-10), (1e10, 0.1), (1e-30, 1.0), (1.0, 1e20)]
"""Power and noise variance: none, and far apart."""


def power_of(w: Complex) -> NDArray[np.float64]:
    return np.sum(np.abs(w) ** 2, axis=(1, 2))


def random_precoders(w: Complex, power: float, number: int, seed: int = 0) -> Complex:
    """Random ones of full power, and w after random changes of all sizes, ``[number, K, N]`` for one w ``[K, N]``."""
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((number, *w.shape)) + 1j * rng.standard_normal((number, *w.shape))
    sizes = 10 ** rng.uniform(-6, 0, (number, 1, 1)) * np.linalg.norm(w) / np.sqrt(w.size)
    found = np.where(np.arange(number)[:, None, None] % 4 == 0, draws, w + sizes * draws)
    return found * np.sqrt(power / power_of(found))[:, None, None]
