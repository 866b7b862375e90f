"""Symbols that bits are sent as: square QAM with Gray labels, hard decisions, and max-log likelihood ratios.

Labels are those of TS 38.211, section 5.1, which sionna has, too: bits 0, 2, 4, … of a symbol say its real part, bits
1, 3, 5, … its imaginary part, and neighbours on an axis differ in one bit. So each axis is decided alone, on √M levels
in place of M points. BPSK lies on the real axis, as sionna has it; TS 38.211 turns it by 45°.

Log-likelihood ratios are ``L = log p(b = 1) − log p(b = 0)``, positive where a 1 is likely, as sionna has them. The
bitwise mutual information of bits b and ratios of this sign is ``1 − mean log2(1 + e^((1 − 2b) L))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError

__all__ = ["CONSTELLATIONS", "Constellation", "bits_to_symbols", "constellation_named", "hard_decision"]
__all__ += ["max_log_llrs", "symbol_bits"]

CONSTELLATIONS = {"bpsk": (1, 0), "qpsk": (1, 1), "4qam": (1, 1), "16qam": (2, 2), "64qam": (3, 3), "256qam": (4, 4)}
"""Bits of the real and of the imaginary part of a symbol, by name."""

LEAST_VARIANCE = 1e-12
"""Errors of less than this, against symbols of power 1, count as this: ratios stay finite."""


@dataclass(frozen=True, eq=False)
class Constellation:
    """Points of unit mean power. Point i has the bits of the number i as its label, the most significant one first.

    Attributes:
        name: As in ``CONSTELLATIONS``.
        points: ``[M]``, complex128.
        bits: Of each point, ``[M, log2 M]``, uint8.
        real_levels, imag_levels: The levels of each axis, ordered by their own label: the number that the axis's bits
            are, ``[√M]``, float64. BPSK has the one imaginary level 0.
    """

    name: str
    points: NDArray[np.complex128]
    bits: NDArray[np.uint8]
    real_levels: NDArray[np.float64]
    imag_levels: NDArray[np.float64]

    @property
    def num_bits(self) -> int:
        """Bits of a symbol."""
        return self.bits.shape[1]

    @property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Levels of the real and of the imaginary axis."""
        return self.real_levels, self.imag_levels

    def index(self, real: NDArray[np.integer], imag: NDArray[np.integer]) -> NDArray[np.int64]:
        """The points that have these labels on the two axes, of their shape."""
        return self._index[real, imag]

    @property
    def _index(self) -> NDArray[np.int64]:
        return _point_of(len(self.real_levels).bit_length() - 1, len(self.imag_levels).bit_length() - 1)


@cache
def constellation_named(name: str) -> Constellation:
    """The constellation of that name, whatever its case; ``qpsk`` and ``4qam`` are the same points.

    Raises:
        RequestError: there is none of that name.
    """
    key = name.lower()
    if key not in CONSTELLATIONS:
        raise RequestError("constellation", expected="one of the choices", got=name, choices=CONSTELLATIONS)
    real, imag = CONSTELLATIONS[key]
    power = np.mean(_gray_levels(real) ** 2) + np.mean(_gray_levels(imag) ** 2)
    levels = [_gray_levels(bits) / np.sqrt(power) for bits in (real, imag)]
    points = np.empty(2 ** (real + imag), np.complex128)
    points[_point_of(real, imag)] = levels[0][:, None] + 1j * levels[1]
    for shared in (points, *levels):
        shared.flags.writeable = False
    return Constellation(
        name=key, points=points, bits=_bits_of(real + imag), real_levels=levels[0], imag_levels=levels[1]
    )


def bits_to_symbols(bits: NDArray[np.integer], constellation: Constellation) -> NDArray[np.complex128]:
    """Symbols that stand for bits, ``[…, log2 M]`` of 0 and 1; ``[…]``."""
    weights = 2 ** np.arange(constellation.num_bits)[::-1]
    return constellation.points[np.asarray(bits, np.int64) @ weights]


def symbol_bits(indices: NDArray[np.integer], constellation: Constellation) -> NDArray[np.uint8]:
    """Bits of points by their number, ``[…]``; ``[…, log2 M]``."""
    return constellation.bits[indices]


def hard_decision(estimate: NDArray[np.complexfloating], constellation: Constellation) -> NDArray[np.int64]:
    """Numbers of the points that are nearest to finite estimates, of their shape. Infinite parts are decided, too."""
    labels = []
    for part, levels in zip((estimate.real, estimate.imag), constellation.axes, strict=True):
        order = np.argsort(levels)
        halfway = (levels[order][1:] + levels[order][:-1]) / 2
        labels.append(order[np.searchsorted(halfway, part)])
    return constellation.index(*labels)


def max_log_llrs(
    estimate: NDArray[np.complexfloating], error_variance: NDArray[np.floating], constellation: Constellation
) -> NDArray[np.float64]:
    """``L = (min_{s: b = 0} |x − s|² − min_{s: b = 1} |x − s|²)/σ²``, log p(b = 1)/p(b = 0) but for the sums over
    points, of which the largest term is left.

    Args:
        estimate: Symbols plus circular Gaussian errors (not shrunk towards 0, as an MMSE estimate is), ``[…]``.
        error_variance: σ², of real and imaginary part together, of a shape that broadcasts to the estimate's. From 0 to
            infinity: below ``LEAST_VARIANCE`` it counts as that, and of an infinite one L is 0.
        constellation: What was sent.

    Returns:
        ``[…, log2 M]``, finite.
    """
    variance = np.maximum(np.asarray(error_variance, np.float64), LEAST_VARIANCE)
    llrs = np.empty((*estimate.shape, constellation.num_bits))
    interleaved = min(len(levels) for levels in constellation.axes) > 1
    for axis, part in enumerate((estimate.real, estimate.imag)):
        levels = constellation.axes[axis]
        if len(levels) > 1:
            llrs[..., axis :: 2 if interleaved else 1] = _axis_llrs(part, variance, levels)
    return llrs


def _axis_llrs(
    part: NDArray[np.floating], variance: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of the bits of one axis, ``[…, bits]``."""
    # (x − l)² without x², which all levels share and which would cancel badly where x is far outside.
    distance = levels * (levels - 2 * np.asarray(part, np.float64)[..., None])
    bits = _bits_of(len(levels).bit_length() - 1).astype(bool)
    least = [np.stack([distance[..., chosen].min(axis=-1) for chosen in rows], axis=-1) for rows in (~bits.T, bits.T)]
    return (least[0] - least[1]) / variance[..., None]


def _gray_levels(num_bits: int) -> NDArray[np.float64]:
    """Odd integers by their Gray label b, ``(1 − 2b₀)(2^(n−1) − (1 − 2b₁)(2^(n−2) − …))``; 0 where no bits are."""
    bits = _bits_of(num_bits).astype(np.float64)
    levels = np.zeros(len(bits)) if num_bits == 0 else 1 - 2 * bits[:, -1]
    for place in range(num_bits - 2, -1, -1):
        levels = (1 - 2 * bits[:, place]) * (2 ** (num_bits - 1 - place) - levels)
    return levels


@cache
def _bits_of(num_bits: int) -> NDArray[np.uint8]:
    """Of the numbers from 0, the most significant first, ``[2^bits, bits]``."""
    return (np.arange(2**num_bits)[:, None] >> np.arange(num_bits)[::-1] & 1).astype(np.uint8)


@cache
def _point_of(real: int, imag: int) -> NDArray[np.int64]:
    """Numbers of the points by the labels of their axes, which take turns in the bits, ``[2^real, 2^imag]``."""
    numbers = np.zeros((2**real, 2**imag), np.int64)
    bits = [_bits_of(real).astype(np.int64)[:, None], _bits_of(imag).astype(np.int64)[None]]
    for place in range(max(real, imag)):
        for axis in bits:
            if place < axis.shape[-1]:
                numbers = 2 * numbers + axis[..., place]
    return numbers
