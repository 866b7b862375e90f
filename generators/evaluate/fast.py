"""The fast sum over paths: groups of equal delay, and the array's squint as a short series."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import jv

from channelbench.generators.evaluate.paths import DrawnPaths
from channelbench.spec import BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

__all__ = ["evaluate_fast"]

TOLERANCE = 8e-5
"""Of the series, relative to the channel's norm: what remains is less than float32 loses over a large array."""

MIN_SPAN = 32
"""Loops over fewer antennas than this are slow: coefficients are then repeated over terms, which makes them longer."""

MAX_SPAN = 512
"""Slot terms times antennas that are summed at once: with a few terms and all subcarriers that stays in the cache."""

SLOT_TOLERANCE = 1e-5
"""Of the series over slots, relative to a path's amplitude."""


@dataclass(frozen=True)
class _Series:
    """``e^{j2π·(f − middle)/carrier·(x·u)} ≈ Σ_m j^odd(m) · coefficients[m, f, n] · T_a(m)(u_y) · T_b(m)(u_z)``.

    Jacobi and Anger: ``e^{jβu} = Σ_a ε_a·j^a·J_a(β)·T_a(u)`` with Chebyshev polynomials T and Bessel functions J, once
    for each axis of the array.

    Attributes:
        middle: Centre of the band from the carrier, in units of the carrier.
        orders: ``(a, b)`` of each term.
        coefficients: ``[terms, upper half of the subcarriers, 2·antennas]``, with the sign of ``j^(a + b)``; each for a
            real and an imaginary part.
        odd: Whether ``a + b`` is, ``[terms]``.
    """

    middle: float
    orders: NDArray[np.int64]
    coefficients: NDArray[np.float32]
    odd: NDArray[np.bool_]


@dataclass(frozen=True)
class _Slots:
    """``e^{j2π·turns·(t − middle)} = Σ_k j^odd(k) · matrix[t, k] · term_k(turns)`` over the slots t.

    With a bound on the turns the terms are Chebyshev polynomials of ``turns / most_turns`` and the matrix holds Bessel
    functions, as in ``_Series``. Without one, or where slots are fewer than that, they are cosines and sines at the
    slots after the middle, which those before it share: as many terms as slots, and exact.

    Attributes:
        most_turns: The bound, in cycles from slot to slot; 0 for cosines and sines.
        matrix: ``[slots, terms]``.
        odd: ``[terms]``.
    """

    most_turns: float
    matrix: NDArray[np.float32]
    odd: NDArray[np.bool_]


def evaluate_fast(
    paths: DrawnPaths,
    band: BandSpec,
    *,
    squint: bool = True,
    max_doppler_hz: float | None = None,
    out: NDArray[np.complex64] | None = None,
) -> NDArray[np.complex64]:
    """What ``evaluate`` computes, within 1e-4 of its norm and many times as fast.

    Paths of a cluster that share a delay are summed before they are spread over the subcarriers. That needs steering
    vectors that do not depend on the subcarrier: they are those of the middle of the band, and the difference to each
    subcarrier's own is a series with factors that depend on the path or on subcarrier and antenna, not on both. In the
    same way the phases over the slots become a few terms, which are spread over the slots last.

    Args:
        paths: ``[batch, paths]``; those of equal delay should follow each other.
        band: Its grid and array.
        squint: Whether the array's phases follow the subcarrier's frequency.
        max_doppler_hz: No path's is larger; with it fewer terms do.
        out: Where to write, contiguous; a new array by default.

    Returns:
        ``[batch, slots, subcarriers, antennas]``, complex64.
    """
    from channelbench.generators.evaluate.fast_loops import phase_angles, sum_groups

    series, slots = _series(band, squint), _slots(band, max_doppler_hz)
    array, spacing_hz = band.array, band.bandwidth_hz / band.num_subcarriers
    middle_hz = (subcarrier_hz(band)[[0, -1]].mean()) - band.carrier_hz
    spacing = (1 + series.middle) * array.spacing_wavelengths
    from_centre = ((array.columns - 1) / 2, (array.rows - 1) / 2, (band.num_slots - 1) / 2)
    turns = paths.doppler_hz * band.slot_s
    angles = np.empty((2 if array.rows == 1 else 3, *paths.power.shape), np.float32)
    phase_angles(paths.phase, paths.delay_s, paths.direction, turns, middle_hz, spacing, from_centre, angles)
    phasors = np.empty(angles.shape, np.complex64)
    np.cos(angles, out=phasors.real)
    np.sin(angles, out=phasors.imag)
    phasors[0] *= np.sqrt(paths.power).astype(np.float32)
    shape = (len(paths.power), band.num_slots, band.num_subcarriers, array.num_antennas)
    h = np.empty(shape, np.complex64) if out is None else out
    sum_groups(
        paths.power,
        paths.delay_s,
        phasors[0],
        phasors[1],
        phasors[-1],
        paths.direction,
        turns.astype(np.float64),
        series.orders,
        _repeated(series.coefficients, band, len(slots.odd)),
        series.odd,
        slots.most_turns,
        slots.matrix,
        slots.odd,
        0.0 if band.num_subcarriers % 2 else spacing_hz / 2,
        spacing_hz,
        array.columns,
        _at_once(band, len(slots.odd)),
        h,
    )
    return h


@lru_cache(maxsize=16)
def _series(band: BandSpec, squint: bool) -> _Series:
    offset = (subcarrier_hz(band) - band.carrier_hz) / band.carrier_hz
    middle = (offset[0] + offset[-1]) / 2
    above = (offset - middle)[band.num_subcarriers // 2 :] if squint else np.zeros((band.num_subcarriers + 1) // 2)
    # [axes, half of the subcarriers, antennas]
    beta = 2 * np.pi * above[:, None] * antenna_positions(band)[:, 1:].T[:, None, :]
    orders = _orders_needed(beta)
    coefficients = np.stack([_term(a, b, beta) * (-1) ** ((a + b) // 2) for a, b in orders])
    odd = np.array([(a + b) % 2 == 1 for a, b in orders])
    coefficients = np.repeat(coefficients, 2, axis=-1).astype(np.float32)
    return _Series(middle if squint else 0.0, np.array(orders), coefficients, odd)


@lru_cache(maxsize=16)
def _slots(band: BandSpec, max_doppler_hz: float | None) -> _Slots:
    from_middle: NDArray[np.float64] = np.arange(band.num_slots, dtype=np.float64) - (band.num_slots - 1) / 2
    if max_doppler_hz:
        series = _slot_series(max_doppler_hz * band.slot_s, from_middle)
        if len(series.odd) < band.num_slots:
            return series
    distances = from_middle[from_middle >= 0]
    cosines = np.abs(from_middle)[:, None] == distances
    sines = np.sign(from_middle)[:, None] * cosines[:, distances > 0]
    matrix = np.concatenate([cosines, sines], axis=1)
    return _Slots(0.0, _matrix(matrix), np.arange(band.num_slots) >= cosines.shape[1])


def _slot_series(most_turns: float, from_middle: NDArray[np.float64]) -> _Slots:
    beta = 2 * np.pi * most_turns * from_middle
    order = np.arange(int(1.2 * beta.max()) + 30)
    sizes = np.where(order > 0, 2, 1) * jv(order, beta[:, None])
    # A polynomial of a path that the user runs straight along is 1 in size: all that is left out may add up.
    rest = np.cumsum(np.abs(sizes[:, ::-1]), axis=1)[:, ::-1]
    num_terms = int(np.argmax(np.sqrt(np.mean(rest**2, axis=0)) < SLOT_TOLERANCE))
    signs = (-1) ** (order[:num_terms] // 2)
    return _Slots(most_turns, _matrix(sizes[:, :num_terms] * signs), order[:num_terms] % 2 == 1)


def _matrix(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


def _at_once(band: BandSpec, num_slot_terms: int) -> int:
    return min(num_slot_terms, max(1, MAX_SPAN // band.array.num_antennas))


def _repeated(coefficients: NDArray[np.float32], band: BandSpec, num_slot_terms: int) -> NDArray[np.float32]:
    """Over the slot terms that are summed at once, if the array is small."""
    small = band.array.num_antennas < MIN_SPAN
    return np.tile(coefficients, _at_once(band, num_slot_terms)) if small else coefficients


def _orders_needed(beta: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """The largest terms, so many that those left out stay within ``TOLERANCE``; the first is always ``(0, 0)``."""
    limits = [int(2 * axis.max()) + 6 if axis.any() else 1 for axis in beta]
    energy = {}
    for a in range(limits[0]):
        for b in range(limits[1]):
            # The square of a Chebyshev polynomial is one half on average.
            energy[a, b] = float(np.mean(_term(a, b, beta) ** 2)) / 2 ** ((a > 0) + (b > 0))
    orders = sorted(energy, key=lambda pair: -energy[pair])
    left_out = np.cumsum([energy[pair] for pair in reversed(orders)])[::-1]
    return tuple(pair for pair, rest in zip(orders, left_out, strict=True) if rest > TOLERANCE**2)


def _term(a: int, b: int, beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficient of ``T_a(u_y)·T_b(u_z)`` without its power of j."""
    return (1 if a == 0 else 2) * jv(a, beta[0]) * (1 if b == 0 else 2) * jv(b, beta[1])
