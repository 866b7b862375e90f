"""Compiled loops of the fast evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators._compiled import compiled

__all__ = ["sum_groups"]

Reals = NDArray[np.float32]
Phasors = NDArray[np.complex64]


@compiled
def _grow(values: Phasors, length: int, total: int, factor: np.complex64) -> None:
    """Continue a block of ``length`` values to ``total``, each block ``factor`` times the one before, by doubling."""
    while length < total:
        for i in range(min(length, total - length)):
            values[length + i] = values[i] * factor
        length *= 2
        factor = factor * factor


@compiled
def _steering(start: Phasors, column: Phasors, row: Phasors, num_columns: int, out: Phasors) -> None:
    """What each ray is at each antenna, ``[rays, antennas]``."""
    for r in range(start.size):
        out[r, 0] = start[r]
        _grow(out[r], 1, num_columns, column[r])
        _grow(out[r], num_columns, out.shape[1], row[r])


@compiled
def _moving(position: Phasors, doppler: Phasors, weights: Reals, slots: int, room: Phasors, out: Reals) -> None:
    """Doppler factors times weights, ``[rays, 2·terms·slots]``: the real parts of all, then the imaginary ones.

    ``position`` is where the rays stand at the first of these slots, and is taken to the slot after the last; ``room``
    is for one ray.
    """
    num_terms = weights.shape[0]
    for r in range(position.size):
        room[0] = position[r]
        if slots == 1:  # the loops below would be of one turn each
            for m in range(num_terms):
                out[r, m], out[r, num_terms + m] = weights[m, r] * room[0].real, weights[m, r] * room[0].imag
            position[r] = room[0] * doppler[r]
            continue
        _grow(room, 1, slots + 1, doppler[r])
        position[r] = room[slots]
        for m in range(num_terms):
            weight = weights[m, r]
            real = out[r, m * slots : (m + 1) * slots]
            imag = out[r, (num_terms + m) * slots : (num_terms + m + 1) * slots]
            for t in range(slots):
                real[t] = weight * room[t].real
            for t in range(slots):
                imag[t] = weight * room[t].imag


@compiled
def _join(real: Reals, imag: Reals, out: Reals) -> None:
    """``real + j·imag`` of products of real and of imaginary parts with phasors; all have two parts in turn."""
    for i in range(real.size // 2):
        out[2 * i] = real[2 * i] - imag[2 * i + 1]
        out[2 * i + 1] = real[2 * i + 1] + imag[2 * i]


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
def _scale(into: Reals, scale: Reals, values: Reals) -> None:
    for i in range(values.size):
        into[i] = scale[i] * values[i]


@compiled
def _add(into: Reals, scale: Reals, values: Reals) -> None:
    for i in range(values.size):
        into[i] += scale[i] * values[i]


@compiled
def _subtract(into: Reals, scale: Reals, values: Reals) -> None:
    for i in range(values.size):
        into[i] -= scale[i] * values[i]


@compiled
def _times_j(values: Reals, out: Reals) -> None:
    for i in range(values.size // 2):
        out[2 * i] = -values[2 * i + 1]
        out[2 * i + 1] = values[2 * i]


@compiled
def _mirror(waves: Reals, coefficients: Reals, odd: NDArray[np.bool_], out: Reals) -> None:
    """Put the sums of cosines, P, and of sines, Q, together to the subcarriers above and below the middle of the band.

    A term without j is c·(P − jQ) above and c·(P + jQ) below; an odd one has its j, and the other sign below. With
    X = Σ_even c·P + Σ_odd c·Q and Y = Σ_even c·Q − Σ_odd c·P that is X − jY above and X + jY below.

    Args:
        waves: ``[2·half, terms·slots·2·antennas]``, cosines then sines; real and imaginary parts in turn.
        coefficients: ``[terms, half, 2·antennas]``, the same for both parts, or repeated over some slots.
        odd: ``[terms]``; the first is even.
        out: ``[slots, subcarriers, 2·antennas]``.
    """
    num_slots, num_subcarriers, width = out.shape
    num_terms, half, piece = coefficients.shape
    span = num_slots * width
    x, y, jy = np.empty(piece, np.float32), np.empty(piece, np.float32), np.empty(piece, np.float32)
    for k in range(half):
        upper, lower = num_subcarriers - half + k, half - 1 - k
        for begin in range(0, span, piece):
            count = min(piece, span - begin)
            _scale(x, coefficients[0, k], waves[k, begin : begin + count])
            _scale(y, coefficients[0, k], waves[half + k, begin : begin + count])
            for m in range(1, num_terms):
                values = slice(m * span + begin, m * span + begin + count)
                if odd[m]:
                    _add(x, coefficients[m, k], waves[half + k, values])
                    _subtract(y, coefficients[m, k], waves[k, values])
                else:
                    _add(x, coefficients[m, k], waves[k, values])
                    _add(y, coefficients[m, k], waves[half + k, values])
            _times_j(y, jy)
            for t in range(count // width):
                slot, first = begin // width + t, t * width
                for i in range(width):
                    out[slot, lower, i] = x[first + i] + jy[first + i]
                for i in range(width):
                    out[slot, upper, i] = x[first + i] - jy[first + i]


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
    over one half do, and both products are of real matrices.

    Args:
        power, delay_s: ``[batch, paths]``.
        start: Contribution at the first antenna and slot and the middle of the band, ``[batch, paths]``.
        column, row, doppler: Factors to the next column, row and slot, ``[batch, paths]``.
        weights: Of each path in each term, ``[batch, terms, paths]``.
        coefficients: Of the terms over the upper half of the subcarriers, ``[terms, half, 2·antennas]``, each for a
            real and an imaginary part, or repeated over some slots.
        odd: The terms that carry a factor j, ``[terms]``.
        first_hz, step_hz: First subcarrier of that half, from the middle of the band, and spacing.
        num_columns: Of the array.
        slots_at_once: So many that what is summed at once stays in the cache.
        out: ``[batch, slots, subcarriers, antennas]``, overwritten.
    """
    num_slots, num_antennas = out.shape[1], out.shape[3]
    num_paths, num_terms, half = weights.shape[2], weights.shape[1], coefficients.shape[1]
    width = 2 * num_antennas
    largest = num_terms * slots_at_once * width
    bounds = np.empty((num_paths, 2), np.int64)
    delays = np.empty((num_paths, 2 * half), np.float32)
    steering = np.empty((num_paths, num_antennas), np.complex64)
    position, room = np.empty(num_paths, np.complex64), np.empty(slots_at_once + 1, np.complex64)
    all_moving = np.empty(num_paths * 2 * num_terms * slots_at_once, np.float32)
    all_products, all_sums = np.empty(2 * largest, np.float32), np.empty(num_paths * largest, np.float32)
    all_waves = np.empty(2 * half * largest, np.float32)
    # What is written line by line stays in the cache; from there whole pages go to `out`.
    ready = np.empty((slots_at_once, out.shape[2], num_antennas), np.complex64)
    for sample in range(out.shape[0]):
        used = _find_groups(power[sample], delay_s[sample], bounds)
        if used == 0:
            out[sample] = 0
            continue
        for g in range(used):
            first, end = bounds[g]
            rays = slice(first, end)
            _delay_waves(delay_s[sample, first], first_hz, step_hz, delays[g])
            _steering(start[sample, rays], column[sample, rays], row[sample, rays], num_columns, steering[rays])
        position[:] = np.complex64(1)
        for begin in range(0, num_slots, slots_at_once):
            slots = min(slots_at_once, num_slots - begin)
            rows = num_terms * slots
            size = rows * width
            sums = all_sums[: used * size].reshape(used, size)
            for g in range(used):
                first, end = bounds[g]
                rays = slice(first, end)
                moving = all_moving[: (end - first) * 2 * rows].reshape(end - first, 2 * rows)
                _moving(position[rays], doppler[sample, rays], weights[sample, :, rays], slots, room, moving)
                products = all_products[: 2 * size]
                np.dot(moving.T, steering[rays].view(np.float32), products.reshape(2 * rows, width))
                _join(products[:size], products[size:], sums[g])
            waves = all_waves[: 2 * half * size].reshape(2 * half, size)
            np.dot(delays[:used].T, sums, waves)
            _mirror(waves, coefficients, odd, ready[:slots].view(np.float32))
            out[sample, begin : begin + slots] = ready[:slots]
