"""Compiled loops of the fast evaluation. Imported where they are used: numba takes a second to load."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators._march import compiled

__all__ = ["sum_groups"]

Reals = NDArray[np.float32]
Phasors = NDArray[np.complex64]


@compiled
def _grow(re: Reals, im: Reals, length: int, total: int, factor: np.complex64) -> None:
    """Continue a block of ``length`` values to ``total``, each block ``factor`` times the one before, by doubling."""
    step_re, step_im = np.float32(factor.real), np.float32(factor.imag)
    while length < total:
        for i in range(min(length, total - length)):
            re[length + i] = re[i] * step_re - im[i] * step_im
            im[length + i] = re[i] * step_im + im[i] * step_re
        length *= 2
        step_re, step_im = step_re * step_re - step_im * step_im, np.float32(2) * step_re * step_im


@compiled
def _steering(start: Phasors, column: Phasors, row: Phasors, num_columns: int, out: Reals) -> None:
    """What each ray is at each antenna, ``[2·rays, 2·antennas]``, as [[re, im], [−im, re]]."""
    rays, num_antennas = start.size, out.shape[1] // 2
    for r in range(rays):
        re, im = out[r, :num_antennas], out[r, num_antennas:]
        minus_im, re_again = out[rays + r, :num_antennas], out[rays + r, num_antennas:]
        re[0], im[0] = start[r].real, start[r].imag
        _grow(re, im, 1, num_columns, column[r])
        _grow(re, im, num_columns, num_antennas, row[r])
        for n in range(num_antennas):
            minus_im[n] = -im[n]
        for n in range(num_antennas):
            re_again[n] = re[n]


@compiled
def _moving(turned: Phasors, doppler: Phasors, weights: Reals, num_slots: int, out: Reals) -> None:
    """Doppler factors times weights, ``[2·rays, terms·slots]``: the rays' real parts, then their imaginary ones.

    ``turned`` is where the rays stand at the first of these slots, and is taken to the slot after the last.
    """
    num_terms, rays = weights.shape
    re, im = np.empty(num_slots + 1, np.float32), np.empty(num_slots + 1, np.float32)
    for r in range(rays):
        re[0], im[0] = turned[r].real, turned[r].imag
        _grow(re, im, 1, num_slots + 1, doppler[r])
        turned[r] = complex(re[num_slots], im[num_slots])
        for m in range(num_terms):
            weight = weights[m, r]
            real = out[r, m * num_slots : (m + 1) * num_slots]
            imag = out[rays + r, m * num_slots : (m + 1) * num_slots]
            for t in range(num_slots):
                real[t] = weight * re[t]
            for t in range(num_slots):
                imag[t] = weight * im[t]


@compiled
def _delay_waves(delay_s: float, first_hz: float, step_hz: float, out: Reals) -> None:
    """``cos`` and then ``sin`` of 2π·f·delay over the upper half of the subcarriers, from the middle of the band."""
    half = out.size // 2
    angle = 2 * math.pi * ((first_hz * delay_s) % 1.0)
    re, im = math.cos(angle), math.sin(angle)
    angle = 2 * math.pi * ((step_hz * delay_s) % 1.0)
    step_re, step_im = math.cos(angle), math.sin(angle)
    for k in range(half):
        out[k], out[half + k] = re, im
        re, im = re * step_re - im * step_im, re * step_im + im * step_re


@compiled
def _add(into: Reals, scale: Reals, values: Reals) -> None:
    for i in range(values.size):
        into[i] += scale[i] * values[i]


@compiled
def _subtract(into: Reals, scale: Reals, values: Reals) -> None:
    for i in range(values.size):
        into[i] -= scale[i] * values[i]


@compiled
def _mirror(waves: Reals, coefficients: Reals, odd: NDArray[np.bool_], out: NDArray[np.complex64]) -> None:
    """Put the sums of cosines, P, and of sines, Q, together to the subcarriers above and below the middle of the band.

    A term without j is c·(P − jQ) above and c·(P + jQ) below; an odd one has its j, and the other sign below. With
    X = Σ_even c·P + Σ_odd c·Q and Y = Σ_even c·Q − Σ_odd c·P that is X − jY above and X + jY below.

    Args:
        waves: ``[2·half, terms·slots·2·antennas]``, cosines then sines; real parts before imaginary ones in each slot.
        coefficients: ``[terms, half, 2·antennas]``, the same for both parts, or repeated over some slots.
        odd: ``[terms]``.
        out: ``[slots, subcarriers, antennas]``.
    """
    num_slots, num_subcarriers, num_antennas = out.shape
    num_terms, half, span = coefficients.shape
    width = num_slots * 2 * num_antennas
    x, y = np.empty(span, np.float32), np.empty(span, np.float32)
    for k in range(half):
        upper, lower = num_subcarriers - half + k, half - 1 - k
        for begin in range(0, width, span):
            count = min(span, width - begin)
            x[:], y[:] = np.float32(0), np.float32(0)
            for m in range(num_terms):
                values = slice(m * width + begin, m * width + begin + count)
                if odd[m]:
                    _add(x, coefficients[m, k], waves[half + k, values])
                    _subtract(y, coefficients[m, k], waves[k, values])
                else:
                    _add(x, coefficients[m, k], waves[k, values])
                    _add(y, coefficients[m, k], waves[half + k, values])
            for t in range(count // (2 * num_antennas)):
                slot, re = begin // (2 * num_antennas) + t, t * 2 * num_antennas
                im = re + num_antennas
                for n in range(num_antennas):
                    out[slot, lower, n] = complex(x[re + n] - y[im + n], x[im + n] + y[re + n])
                    out[slot, upper, n] = complex(x[re + n] + y[im + n], x[im + n] - y[re + n])


@compiled
def _find_groups(power: NDArray[np.float64], delay_s: NDArray[np.float64], bounds: NDArray[np.int64]) -> int:
    """First path and the one after the last, ``[groups, 2]``, of paths that carry power, follow each other and share a
    delay; returns how many groups there are."""
    used, p = 0, 0
    while p < power.size:
        first = p
        while p < power.size and power[p] > 0 and delay_s[p] == delay_s[first]:
            p += 1
        if p > first:
            bounds[used] = first, p
            used += 1
        else:
            p += 1
    return used


@compiled
def sum_groups(
    power: NDArray[np.float64],
    delay_s: NDArray[np.float64],
    start: Phasors,
    column: Phasors,
    row: Phasors,
    doppler: Phasors,
    weights: Reals,
    coefficients: Reals,
    odd: NDArray[np.bool_],
    first_hz: float,
    step_hz: float,
    num_columns: int,
    slots_at_once: int,
    out: Any,
) -> None:
    """Sum the paths of every sample: within groups of equal delay first, then over groups in one matrix product.

    A group's rays are added as they look at the middle of the band, over slots and antennas, once for each term of the
    expansion with the ray's weight: a product of a matrix of slots and one of antennas. A second product spreads the
    groups over the subcarriers. Their delays' phases are mirrored about the middle of the band, so cosines and sines
    over one half do, and all matrices are real.

    Args:
        power, delay_s: ``[batch, paths]``.
        start: Contribution at the first antenna and slot and the middle of the band, ``[batch, paths]``.
        column, row, doppler: Factors to the next column, row and slot, ``[batch, paths]``.
        weights: Of each path in each term, ``[batch, terms, paths]``.
        coefficients: Of the terms over the upper half of the subcarriers, ``[terms, half, 2·antennas]``, once for real
            and once for imaginary parts, or repeated over some slots.
        odd: The terms that carry a factor j, ``[terms]``.
        first_hz, step_hz: First subcarrier of that half, from the middle of the band, and spacing.
        num_columns: Of the array.
        slots_at_once: So many that what is summed at once stays in the cache.
        out: ``[batch, slots, subcarriers, antennas]``, overwritten.
    """
    num_slots, num_antennas = out.shape[1], out.shape[3]
    num_paths, num_terms, half = weights.shape[2], weights.shape[1], coefficients.shape[1]
    bounds = np.empty((num_paths, 2), np.int64)
    waves = np.empty((num_paths, 2 * half), np.float32)
    steering = np.empty((2 * num_paths, 2 * num_antennas), np.float32)
    turned = np.empty(num_paths, np.complex64)
    for sample in range(out.shape[0]):
        used = _find_groups(power[sample], delay_s[sample], bounds)
        if used == 0:
            out[sample] = 0
            continue
        for g in range(used):
            first, end = bounds[g]
            rays = slice(first, end)
            _delay_waves(delay_s[sample, first], first_hz, step_hz, waves[g])
            _steering(
                start[sample, rays], column[sample, rays], row[sample, rays], num_columns, steering[2 * first : 2 * end]
            )
        turned[:] = np.complex64(1)
        for begin in range(0, num_slots, slots_at_once):
            slots = min(slots_at_once, num_slots - begin)
            rows = num_terms * slots
            sums = np.empty((used, rows * 2 * num_antennas), np.float32)
            for g in range(used):
                first, end = bounds[g]
                rays = slice(first, end)
                moving = np.empty((2 * (end - first), rows), np.float32)
                _moving(turned[rays], doppler[sample, rays], weights[sample, :, rays], slots, moving)
                np.dot(moving.T, steering[2 * first : 2 * end], sums[g].reshape(rows, 2 * num_antennas))
            _mirror(np.dot(waves[:used].T, sums), coefficients, odd, out[sample, begin : begin + slots])
