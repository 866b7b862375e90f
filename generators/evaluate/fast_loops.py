"""Compiled loops of the fast evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.compiled import compiled

__all__ = ["sum_groups"]

Reals = NDArray[np.float32]
Phasors = NDArray[np.complex64]


@compiled
def phase_angles(
    phase: NDArray[np.float64],
    delay_s: NDArray[np.float64],
    direction: Any,
    turns: Any,
    middle_hz: float,
    spacing: float,
    from_centre: Any,
    out: Reals,
) -> None:
    """Angles in radians of each path at the first antenna and the middle of slots and band, of its factor to the next
    column and of that to the next row. Reduced to one turn in float64, so that float32 does for the rest.

    Args:
        phase, delay_s: Radians and s, ``[batch, paths]``.
        direction: Unit vectors, ``[batch, paths, 3]``.
        turns: Cycles from slot to slot, ``[batch, paths]``.
        middle_hz: Of the band, from the carrier.
        spacing: Of the array, in wavelengths of that middle.
        from_centre: Columns, rows and slots from the first to the middle.
        out: ``[3, batch, paths]``, or without the last of the three.
    """
    columns, rows, slots = from_centre
    for b in range(phase.shape[0]):
        for p in range(phase.shape[1]):
            column, row = spacing * np.float64(direction[b, p, 1]), spacing * np.float64(direction[b, p, 2])
            start = phase[b, p] / (2 * np.pi) - middle_hz * delay_s[b, p] + slots * np.float64(turns[b, p])
            start -= columns * column + rows * row
            out[0, b, p] = (start - np.floor(start + 0.5)) * (2 * np.pi)
            out[1, b, p] = (column - np.floor(column + 0.5)) * (2 * np.pi)
            if out.shape[0] > 2:
                out[2, b, p] = (row - np.floor(row + 0.5)) * (2 * np.pi)


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
def _recur(factor: NDArray[np.float64], before: NDArray[np.float64], first: NDArray[np.float64], out: Reals) -> None:
    """``out[0] = first`` and ``out[k + 1] = factor·out[k] − out[k − 1]``, ``before`` being the one before the first."""
    for k in range(out.shape[0]):
        for p in range(factor.size):
            out[k, p] = first[p]
            first[p], before[p] = factor[p] * first[p] - before[p], first[p]


@compiled
def _chebyshev(u: NDArray[np.float64], out: Reals) -> None:
    """``T_0(u)``, ``T_1(u)`` and so on, ``[orders, paths]``."""
    _recur(2 * u, u.copy(), np.ones(u.size), out)


@compiled
def _over_antennas(direction: Any, orders: NDArray[np.int64], room: Reals, out: Reals) -> None:
    """``T_a(u_y)·T_b(u_z)`` of each term, ``[terms, paths]``."""
    half = room.shape[0] // 2
    _chebyshev(direction[:, 1].astype(np.float64), room[:half])
    _chebyshev(direction[:, 2].astype(np.float64), room[half:])
    for m in range(orders.shape[0]):
        y, z = room[orders[m, 0]], room[half + orders[m, 1]]
        for p in range(out.shape[1]):
            out[m, p] = y[p] * z[p]


@compiled
def _over_slots(turns: NDArray[np.float64], most_turns: float, out: Reals) -> None:
    """What each path is in each of the terms from which the slots are made, ``[terms, paths]``: see ``_Slots``."""
    if out.shape[0] == 1:
        out[:] = 1
        return
    if most_turns > 0:
        _chebyshev(turns / most_turns, out)
        return
    num_cos = (out.shape[0] + 1) // 2
    half = np.pi * turns
    if out.shape[0] % 2:  # at 0, 1, 2 ... slots from the middle one
        _recur(2 * np.cos(2 * half), np.cos(2 * half), np.ones(turns.size), out[:num_cos])
        _recur(2 * np.cos(2 * half), np.zeros(turns.size), np.sin(2 * half), out[num_cos:])
    else:  # at 1/2, 3/2 ...
        _recur(2 * np.cos(2 * half), np.cos(half), np.cos(half), out[:num_cos])
        _recur(2 * np.cos(2 * half), -np.sin(half), np.sin(half), out[num_cos:])


@compiled
def _weigh(antenna_terms: Reals, slot_terms: Reals, out: Reals) -> None:
    """Products of the two kinds of terms, ``[antenna terms·slot terms, rays]``."""
    for m in range(antenna_terms.shape[0]):
        for k in range(slot_terms.shape[0]):
            line = out[m * slot_terms.shape[0] + k]
            for r in range(line.size):
                line[r] = antenna_terms[m, r] * slot_terms[k, r]


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
def _mirror(
    waves: Reals, coefficients: Reals, odd: NDArray[np.bool_], odd_slots: NDArray[np.bool_], out: Reals
) -> None:
    """Put the sums of cosines, P, and of sines, Q, together to the subcarriers above and below the middle of the band.

    A term without j is c·(P − jQ) above and c·(P + jQ) below; an odd one has its j, and the other sign below. With
    X = Σ_even c·P + Σ_odd c·Q and Y = Σ_even c·Q − Σ_odd c·P that is X − jY above and X + jY below.

    Args:
        waves: ``[2·half, terms·slot terms·2·antennas]``, cosines then sines; real and imaginary parts in turn.
        coefficients: ``[terms, half, 2·antennas]``, the same for both parts, or repeated over some slot terms.
        odd: ``[terms]``.
        odd_slots: The slot terms that are multiplied by j as a whole, ``[slot terms]``.
        out: ``[slot terms, subcarriers, 2·antennas]``.
    """
    num_slots, num_subcarriers, width = out.shape
    num_terms, half, piece = coefficients.shape
    span = num_slots * width
    x, y = np.empty(piece, np.float32), np.empty(piece, np.float32)
    jx, jy = np.empty(piece, np.float32), np.empty(piece, np.float32)
    for k in range(half):
        upper, lower = num_subcarriers - half + k, half - 1 - k
        for begin in range(0, span, piece):
            count = min(piece, span - begin)
            cosines, sines = waves[k, begin : begin + count], waves[half + k, begin : begin + count]
            if odd[0]:
                _scale(x, coefficients[0, k], sines)
                _scale(y, -coefficients[0, k], cosines)
            else:
                _scale(x, coefficients[0, k], cosines)
                _scale(y, coefficients[0, k], sines)
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
                if odd_slots[slot]:  # the same times j
                    _times_j(x[first : first + width], jx)
                    for i in range(width):
                        out[slot, lower, i] = jx[i] - y[first + i]
                    for i in range(width):
                        out[slot, upper, i] = jx[i] + y[first + i]
                else:
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
            bounds[used, 0], bounds[used, 1] = first, p
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
    direction: Any,
    turns: NDArray[np.float64],
    orders: NDArray[np.int64],
    coefficients: Reals,
    odd: NDArray[np.bool_],
    most_turns: float,
    slots: Reals,
    odd_slots: NDArray[np.bool_],
    first_hz: float,
    step_hz: float,
    num_columns: int,
    at_once: int,
    out: Any,
) -> None:
    """Sum the paths of every sample: within groups of equal delay first, then over groups in one matrix product.

    A group's rays are added as they look at the middle of the band and of the slots, over antennas, once for each pair
    of terms, of the expansion over subcarriers and antennas and of that over slots, with the ray's weight: a product of
    a matrix of weights and one of antennas. A second product spreads the groups over the subcarriers. Their delays'
    phases are mirrored about the middle of the band, so cosines and sines over one half do. A third spreads the terms
    over the slots. All are of real matrices.

    Args:
        power, delay_s: ``[batch, paths]``.
        start: Contribution at the first antenna and the middle of slots and band, ``[batch, paths]``.
        column, row: Factors to the next column and row, ``[batch, paths]``.
        direction: Unit vectors, ``[batch, paths, 3]``.
        turns: Cycles from slot to slot, ``[batch, paths]``.
        orders: ``(a, b)`` of each term over the antennas, ``[terms, 2]``.
        coefficients: Of these terms over the upper half of the subcarriers, ``[terms, half, 2·antennas]``, each for a
            real and an imaginary part, or repeated over some slot terms.
        odd: The terms that carry a factor j, ``[terms]``.
        most_turns: What ``turns`` are divided by, or 0.
        slots: ``[slots, slot terms]``.
        odd_slots: The slot terms that carry a factor j, ``[slot terms]``.
        first_hz, step_hz: First subcarrier of that half, from the middle of the band, and spacing.
        num_columns: Of the array.
        at_once: So many slot terms that what is summed at once stays in the cache.
        out: ``[batch, slots, subcarriers, antennas]``, contiguous, overwritten.
    """
    num_paths, num_antennas, num_slot_terms = power.shape[1], out.shape[3], len(odd_slots)
    num_terms, half = coefficients.shape[:2]
    width = 2 * num_antennas
    bounds = np.empty((num_paths, 2), np.int64)
    delays = np.empty((num_paths, 2 * half), np.float32)
    steering = np.empty((num_paths, num_antennas), np.complex64)
    over_antennas = np.empty((num_terms, num_paths), np.float32)
    over_slots = np.empty((num_slot_terms, num_paths), np.float32)
    room = np.empty((2 * (orders.max() + 1), num_paths), np.float32)
    all_weights = np.empty(num_paths * num_terms * at_once, np.float32)
    all_sums = np.empty(num_paths * num_terms * at_once * width, np.float32)
    all_waves = np.empty(2 * half * num_terms * at_once * width, np.float32)
    ready = np.empty((num_slot_terms, out.shape[2], num_antennas), np.complex64)
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
        _over_antennas(direction[sample], orders, room, over_antennas)
        _over_slots(turns[sample], most_turns, over_slots)
        for begin in range(0, num_slot_terms, at_once):
            terms = slice(begin, min(begin + at_once, num_slot_terms))
            rows = num_terms * (terms.stop - terms.start)
            sums = all_sums[: used * rows * width].reshape(used, rows * width)
            for g in range(used):
                first, end = bounds[g]
                rays = slice(first, end)
                weights = all_weights[: rows * (end - first)].reshape(rows, end - first)
                _weigh(over_antennas[:, rays], over_slots[terms, rays], weights)
                np.dot(weights, steering[rays].view(np.float32), sums[g].reshape(rows, width))
            waves = all_waves[: 2 * half * rows * width].reshape(2 * half, rows * width)
            np.dot(delays[:used].T, sums, waves)
            _mirror(waves, coefficients, odd, odd_slots[terms], ready[terms].view(np.float32))
        flat = ready.view(np.float32).reshape(num_slot_terms, -1)
        np.dot(slots, flat, out[sample].view(np.float32).reshape(len(slots), -1))
