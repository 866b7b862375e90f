"""Dictionaries of what single paths look like along one axis: over slots, over subcarriers, across antennas.

A path looks like ``e^{j2πνt}`` over slots, ``e^{−j2πτf}`` over subcarriers and ``e^{j2πu·n}`` over the elements of a
regular array. Where positions lie symmetrically about their centre, as equally spaced ones do, such a vector becomes
real in a suitable basis: estimates then need real arithmetic alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "antenna_axis", "antenna_groups", "lattice", "rotating_modes", "slot_axis", "subcarrier_axis"]

DOPPLERS = 9
DELAYS_PER_SUBCARRIER = 3
ANGLES_PER_ANTENNA = 4

NEGLIGIBLE = 1e-6
"""Modes of slots are kept until less than this share of the energy is missing: beyond, they are rounding errors."""

SPARSEST = 4
"""Delays are sought within the inverse of the finest spacing of subcarriers, but not in more detail than for this many
times as many subcarriers as there are."""


@dataclass(frozen=True)
class Axis:
    """What paths look like along one axis.

    Attributes:
        analysis: Basis in which observations are looked at, ``[kept, observed]``; its rows are orthonormal.
        observed: Atoms there, ``[kept, atoms]``; real where they can be.
        wanted: Atoms at the targets, ``[targets, atoms]``.
        missing: Share of the energy that is missing with the first row alone, with two, …, ``[kept]``, where rows are
            sorted by it; empty where they are not.
        points: Doppler in Hz or delay in s of each atom, ``[atoms]``, or its cycles per element in each dimension of
            the array, ``[atoms, dimensions]``.
    """

    analysis: NDArray[np.complex128]
    observed: NDArray[Any]
    wanted: NDArray[np.complex128]
    points: NDArray[np.float64]
    missing: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def rows(self, kept: NDArray[np.int64]) -> Axis:
        """With some of the basis alone."""
        return replace(self, analysis=self.analysis[kept], observed=self.observed[kept])

    def number(self, missing: float) -> int:
        """How many of the first rows it takes until at most this share is missing; at least two where there are two,
        since with one no point is told from another."""
        return min(len(self.missing), max(2, 1 + int(np.sum(self.missing > missing))))


def slot_axis(slot_s: NDArray[np.float64], target_s: NDArray[np.float64], doppler_hz: float) -> Axis:
    """Slots, in the modes that Dopplers within ``±doppler_hz`` fill, the fullest first.

    The modes are discrete prolate spheroidal sequences (Slepian 1978, Eq. 18) where slots are equally spaced.

    Args:
        slot_s: Observed slots in s, ``[observed]``.
        target_s: Wanted ones.
        doppler_hz: Largest Doppler; one slot, or no Doppler, has the constant mode alone.
    """
    centre = (slot_s[0] + slot_s[-1]) / 2
    modes, missing = rotating_modes(slot_s, doppler_hz)
    dopplers = np.linspace(-doppler_hz, doppler_hz, DOPPLERS) if modes.shape[1] > 1 else np.zeros(1)

    def atoms(times: NDArray[np.float64]) -> NDArray[np.complex128]:
        return np.exp(2j * np.pi * np.outer(times - centre, dopplers))

    return replace(_axis(modes.T.astype(complex), atoms(slot_s), atoms(target_s), dopplers), missing=missing)


def rotating_modes(slot_s: NDArray[np.float64], doppler_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvectors of ``∫e(ν)e(ν)ᴴdν`` over ``|ν| ≤ doppler_hz``, ``[slots, modes]``, and what share of the energy is
    missing with the first so many, ``[modes]``: as many as are not negligible, and two where anything rotates."""
    lag = slot_s[:, None] - slot_s
    values, vectors = np.linalg.eigh(np.sinc(2 * doppler_hz * lag))
    missing = 1 - np.cumsum(values[::-1]) / values.sum()
    number = 1 + int(np.sum(missing > NEGLIGIBLE))
    if doppler_hz > 0:
        number = max(number, 2)
    number = min(number, len(slot_s))
    return vectors[:, ::-1][:, :number], missing[:number]


def subcarrier_axis(subcarrier_hz: NDArray[np.float64], target_hz: NDArray[np.float64]) -> Axis:
    """Subcarriers, in delay taps where they are equally spaced.

    Delays fill the whole inverse of the finest spacing of observed and wanted subcarriers together, in thirds of the
    inverse of the band that these span: with fewer, what is far away is told by what is near.
    """
    together = np.union1d(subcarrier_hz, target_hz)
    span = together[-1] - together[0]
    centre = (subcarrier_hz[0] + subcarrier_hz[-1]) / 2
    delays = np.zeros(1)
    if span > 0:
        spacing = max(float(np.diff(together).min()), span / (SPARSEST * len(together)))
        number = DELAYS_PER_SUBCARRIER * round(span / spacing + 1)
        delays = np.arange(number) / (number * spacing)

    def atoms(frequencies: NDArray[np.float64]) -> NDArray[np.complex128]:
        return np.exp(-2j * np.pi * np.outer(frequencies - centre, delays))

    observed = atoms(subcarrier_hz)
    if is_regular(subcarrier_hz):
        basis = _centred_dft(len(subcarrier_hz))
    else:
        basis = np.linalg.svd(observed, full_matrices=False)[0].conj().T
    return _axis(basis, observed, atoms(target_hz), delays)


def antenna_axis(position: NDArray[np.float64]) -> Axis:
    """Antennas, in beams where the array is regular; as if unrelated where it is not.

    Args:
        position: Elements in wavelengths, ``[antennas, 3]``.
    """
    axes = lattice(position)
    if axes is None:
        alone = np.eye(len(position), dtype=complex)
        return Axis(analysis=alone, observed=alone.real, wanted=alone, points=np.zeros((len(position), 0)))
    basis, atoms = np.ones((1, len(position)), complex), np.ones((len(position), 1), complex)
    points = np.zeros((1, 0))
    for index in axes:
        count = int(index.max()) + 1
        cycles = np.arange(ANGLES_PER_ANTENNA * count) / (ANGLES_PER_ANTENNA * count)
        along = np.exp(2j * np.pi * np.outer(index - (count - 1) / 2, cycles))
        atoms = (atoms[:, :, None] * along[:, None, :]).reshape(len(position), -1)
        beams = _centred_dft(count).conj()[:, index]
        basis = (basis[:, None, :] * beams).reshape(-1, len(position))
        points = np.hstack([np.repeat(points, len(cycles), axis=0), np.tile(cycles, len(points))[:, None]])
    return _axis(basis, atoms, atoms, points)


def lattice(position: NDArray[np.float64]) -> list[NDArray[np.int64]] | None:
    """Indices of the elements of a regular array along each of its dimensions, the longest first.

    Returns:
        An index ``[antennas]`` per dimension in which elements differ; ``None`` where they are no regular grid that is
        parallel to the axes.
    """
    axes = []
    for coordinate in np.round(position, 9).T:
        values, index = np.unique(coordinate, return_inverse=True)
        if len(values) > 1:
            if not is_regular(values):
                return None
            axes.append(index)
    if np.prod([index.max() + 1 for index in axes]) != len(position):
        return None
    return sorted(axes, key=lambda index: -int(index.max()))


def antenna_groups(position: NDArray[np.float64], largest: int) -> list[NDArray[np.int64]]:
    """Neighbours that are estimated together, at most ``largest``: all antennas where they are no more, else pieces of
    the lines along the longest dimension of a regular array."""
    everyone = np.arange(len(position))
    if len(position) <= largest:
        return [everyone]
    axes = lattice(position)
    if axes is None:
        return np.array_split(everyone, -(-len(position) // largest))
    along, others = axes[0], np.stack([*axes[1:], np.zeros_like(everyone)], axis=1)
    groups = []
    for line in np.unique(others, axis=0):
        members = everyone[(others == line).all(axis=1)]
        members = members[np.argsort(along[members])]
        groups += np.array_split(members, -(-len(members) // largest))
    return groups


def is_regular(values: NDArray[np.float64]) -> bool:
    """Whether increasing values are equally spaced, to a millionth of their spacing."""
    steps = np.diff(values)
    return len(steps) == 0 or bool(np.ptp(steps) <= 1e-6 * abs(steps).max())


def _centred_dft(size: int) -> NDArray[np.complex128]:
    """DFT with phases counted from the middle: what is conjugate symmetric about it becomes real."""
    index = np.arange(size)
    return np.exp(2j * np.pi * np.outer(index, index - (size - 1) / 2) / size) / np.sqrt(size)


def _axis(
    basis: NDArray[np.complex128],
    observed: NDArray[np.complex128],
    wanted: NDArray[np.complex128],
    points: NDArray[np.float64],
) -> Axis:
    """The axis, its rows turned by quarter circles that make atoms real where that is possible."""
    kept = basis @ observed
    turn = np.where(np.abs(kept.imag).sum(1) > np.abs(kept.real).sum(1), -1j, 1)[:, None]
    kept = kept * turn
    is_real = np.abs(kept.imag).max() <= 1e-6 * np.abs(kept).max()
    return Axis(analysis=basis * turn, observed=kept.real if is_real else kept, wanted=wanted, points=points)
