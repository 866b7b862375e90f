"""The array's squint as a short series: when that is used, and how many terms it has.

Both follow from the band alone. What is left out, and what float32 loses beside it, is bounded for any paths, by this
argument. With ``u`` and ``v`` a path's direction along columns and rows, and ``β = 2π·(f − middle)/carrier·x`` at
subcarrier f and antenna x, each axis is a series of Jacobi and Anger, ``e^{jβu} = Σ_a ε_a·j^a·J_a(β)·T_a(u)``, where
``|T_a(u)| ≤ 1``. A term of the product over both axes is therefore at most ``|c_ab(f, n)|``, its coefficient. Those
with even ``a + b`` are real and the others imaginary, so that what the left-out terms make of a path of amplitude 1 is
at most ``e(f, n) = √((Σ_even |c_ab|)² + (Σ_odd |c_ab|)²)``, plus the closed bound of orders that are never looked at
(``_tail``). Paths with phases of their own add in power: in the mean over the phases the error's square is at most
``Σ_p P_p · e(f, n)²``, and its mean over subcarriers and antennas, relative to the channel's power, ``error²``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import jv

from channelbench.spec import ArraySpec, BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

__all__ = ["LARGEST_ERROR", "WORKSPACE", "SquintSeries", "squint_series"]

LARGEST_ERROR = 5e-4
"""The series is used where the bound is at most this, relative to the channel's norm. The bound adds up what cannot
meet in one path: errors are a third of it and less."""

TOLERANCE = 8e-5
"""Of the series in the mean over directions: what remains is less than float32 loses over a large array."""

MAX_TERMS = 128
"""A series that is about as long as this is not begun: the exact sum takes a fraction of the time."""

WORKSPACE = 2**27
"""Numbers in a table: what would need more is not begun either."""

STEP_ERROR = 3.8e-7
"""Of a path's phasor from one antenna to the next, in float32: 2⁻²³ of an angle of up to π, 1.5 units in the last
place of its cosine and sine, √5·2⁻²⁴ of each product of two such numbers."""


@dataclass(frozen=True)
class SquintSeries:
    """``e^{j2π·(f − middle)/carrier·(x·u)} ≈ Σ_m j^odd(m) · coefficients[m, f, n] · T_a(m)(u_y) · T_b(m)(u_z)``.

    Attributes:
        middle: Centre of the band from the carrier, in units of the carrier.
        orders: ``(a, b)`` of each term.
        coefficients: ``[terms, upper half of the subcarriers, 2·antennas]``, with the sign of ``j^(a + b)``; each for a
            real and an imaginary part.
        odd: Whether ``a + b`` is, ``[terms]``.
        error: Proven bound of the terms left out and of float32's phasors, relative to the channel's norm.
    """

    middle: float
    orders: NDArray[np.int64]
    coefficients: NDArray[np.float32] = field(repr=False)
    odd: NDArray[np.bool_]
    error: float


@lru_cache(maxsize=16)
def squint_series(band: BandSpec, squint: bool) -> SquintSeries | None:
    """The series of a band; ``None`` where the exact sum is to be used.

    Args:
        band: Its grid and array.
        squint: Whether the array's phases follow the subcarrier's frequency; else one term is all.
    """
    offset = (subcarrier_hz(band) - band.carrier_hz) / band.carrier_hz
    middle = (offset[0] + offset[-1]) / 2
    above = (offset - middle)[band.num_subcarriers // 2 :] if squint else np.zeros((band.num_subcarriers + 1) // 2)
    if not _is_short(band, float(above[-1])):
        return None
    # [axes, half of the subcarriers, antennas]
    beta = 2 * np.pi * above[:, None] * antenna_positions(band)[:, 1:].T[:, None, :]
    bessel = _Bessel(beta, band.array)
    orders = _orders_needed(bessel)
    error = _left_out(bessel, orders, band.num_subcarriers) + _rounding(band.array)
    if error > LARGEST_ERROR:
        return None
    coefficients = np.stack([bessel.term(a, b) * (-1) ** ((a + b) // 2) for a, b in orders])
    odd = np.array([(a + b) % 2 == 1 for a, b in orders])
    coefficients = np.repeat(coefficients, 2, axis=-1).astype(np.float32)
    return SquintSeries(middle if squint else 0.0, np.array(orders), coefficients, odd, error)


def _is_short(band: BandSpec, furthest: float) -> bool:
    """Whether terms and tables stay small, before anything is computed: orders that matter end a little above β."""
    array, terms = band.array, 1.0
    for antennas in (array.columns, array.rows):
        if antennas > 1 and furthest > 0:
            terms *= np.pi * furthest * (antennas - 1) * array.spacing_wavelengths + 6
    return terms <= MAX_TERMS and terms * (band.num_subcarriers + 1) * array.num_antennas <= WORKSPACE


class _Bessel:
    """``ε_a·J_a(β)`` of both axes: all that terms are made of.

    Attributes:
        limits: Orders below these are looked at.
        axes: ``[orders, half of the subcarriers, columns]``, and rows.
        reach: The largest β of each axis.
    """

    def __init__(self, beta: NDArray[np.float64], array: ArraySpec) -> None:
        self.reach = [float(axis.max()) for axis in beta]
        self.limits = [int(2 * axis.max()) + 6 if axis.any() else 1 for axis in beta]
        self.array = array
        lines = (beta[0][:, : array.columns], beta[1][:, :: array.columns])
        self.axes = [
            np.stack([(1 if order == 0 else 2) * jv(order, line) for order in range(limit)])
            for line, limit in zip(lines, self.limits, strict=True)
        ]

    def term(self, a: int, b: int) -> NDArray[np.float64]:
        """Coefficient of ``T_a(u_y)·T_b(u_z)`` without its power of j, ``[half of the subcarriers, antennas]``."""
        columns, rows = self.axes[0][a], self.axes[1][b]
        return (columns[:, None, :] * rows[:, :, None]).reshape(len(columns), -1)


def _orders_needed(bessel: _Bessel) -> tuple[tuple[int, int], ...]:
    """The largest terms, so many that those left out stay within ``TOLERANCE`` in the mean over directions."""
    energy = {}
    for a in range(bessel.limits[0]):
        for b in range(bessel.limits[1]):
            # The square of a Chebyshev polynomial is one half on average.
            energy[a, b] = float(np.mean(bessel.term(a, b) ** 2)) / 2 ** ((a > 0) + (b > 0))
    orders = sorted(energy, key=lambda pair: -energy[pair])
    left_out = np.cumsum([energy[pair] for pair in reversed(orders)])[::-1]
    return tuple(pair for pair, rest in zip(orders, left_out, strict=True) if rest > TOLERANCE**2)


def _left_out(bessel: _Bessel, orders: tuple[tuple[int, int], ...], num_subcarriers: int) -> float:
    """The bound of the module's text: the root of ``e(f, n)²`` in the mean over subcarriers and antennas."""
    columns, rows = (np.abs(axis) for axis in bessel.axes)
    left = np.ones(bessel.limits)
    left[tuple(np.array(orders).T)] = 0
    even = np.add.outer(*(np.arange(limit) for limit in bessel.limits)) % 2 == 0
    squares = np.zeros(columns.shape[1])
    for f in range(len(squares)):
        for part in (left * even, left * ~even):
            squares[f] += np.mean((columns[:, f].T @ part @ rows[:, f]) ** 2)
    # Those below the middle have the same; the middle itself, where one is there, is one subcarrier.
    weights = np.where(2 * np.arange(len(squares)) < num_subcarriers % 2, 1, 2)
    tails = [_tail(reach, limit) for reach, limit in zip(bessel.reach, bessel.limits, strict=True)]
    # All orders of one axis together have size 1, those looked at no more than 1 and their tail.
    return float(np.sqrt(np.average(squares, weights=weights))) + tails[0] + tails[1] * (1 + tails[0])


def _tail(reach: float, limit: int) -> float:
    """Bound of ``Σ_{a ≥ limit} 2·|J_a(β)|`` for β up to ``reach``, below ``limit/2``: ``|J_a(β)| ≤ (β/2)^a / a!``, each
    less than a quarter of the one before."""
    return 0.0 if reach == 0 else 8 / 3 * math.exp(limit * math.log(reach / 2) - math.lgamma(limit + 1))


def _rounding(array: ArraySpec) -> float:
    """Bound of what phasors lose on the way from the first antenna, in the mean over antennas."""
    steps = np.add.outer(np.arange(array.rows), np.arange(array.columns))
    return STEP_ERROR * float(np.sqrt(np.mean(steps.astype(np.float64) ** 2)))
