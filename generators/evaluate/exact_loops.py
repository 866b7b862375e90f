"""Compiled loops of the exact evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.compiled import compiled

__all__ = ["sum_paths"]

Reals = NDArray[np.float64]


@compiled
def _rotate(value: Reals, factor: Reals) -> None:
    for p in range(value.shape[1]):
        real = value[0, p] * factor[0, p] - value[1, p] * factor[1, p]
        value[1, p] = value[0, p] * factor[1, p] + value[1, p] * factor[0, p]
        value[0, p] = real


@compiled
def _store_and_rotate(stored: NDArray[np.complex64], value: Reals, factor: Reals) -> None:
    for p in range(value.shape[1]):
        real, imag = value[0, p], value[1, p]
        stored[p] = complex(real, imag)
        value[0, p] = real * factor[0, p] - imag * factor[1, p]
        value[1, p] = real * factor[1, p] + imag * factor[0, p]


@compiled
def _columns(values: Reals, chosen: NDArray[np.int64]) -> Reals:
    result = np.empty((values.shape[0], 2, chosen.size))
    for i in range(values.shape[0]):
        for part in range(2):
            for p in range(chosen.size):
                result[i, part, p] = values[i, part, chosen[p]]
    return result


@compiled
def _sum_sample(start: Reals, turn: Reals, doppler: NDArray[np.complex64], rows: int, columns: int, out: Any) -> None:
    """``sum_paths`` for one sample, with ``doppler`` ``[slots, paths]``.

    At each antenna all paths step together over the subcarriers; one matrix product with the slots' Doppler factors
    then sums them.
    """
    num_subcarriers = out.shape[1]
    row_value, row_turn = start[0].copy(), turn[0].copy()
    value, factor, moving = np.empty_like(row_value), np.empty_like(row_value), np.empty_like(row_value)
    stored = np.empty((num_subcarriers, row_value.shape[1]), np.complex64)
    for row in range(rows):
        value[:], factor[:] = row_value, row_turn
        for column in range(columns):
            antenna = row * columns + column
            moving[:] = value
            for k in range(num_subcarriers):
                _store_and_rotate(stored[k], moving, factor)
            out[:, :, antenna] = np.dot(doppler, stored.T)
            _rotate(value, start[1])
            _rotate(factor, turn[1])
        _rotate(row_value, start[2])
        _rotate(row_turn, turn[2])


@compiled
def sum_paths(
    alive: NDArray[np.bool_],
    start: Reals,
    turn: Reals,
    slot_turn: Reals,
    rows: int,
    columns: int,
    out: NDArray[np.complex64],
) -> None:
    """Sum the paths of every sample. Complex factors come as real and imaginary parts, ``[..., 2, paths]``.

    Args:
        alive: The paths that carry power, ``[batch, paths]``.
        start: Contributions at slot 0, the first subcarrier and the first antenna, and their factors from column to
            column and from row to row, ``[batch, 3, 2, paths]``.
        turn: The same for the factor from subcarrier to subcarrier.
        slot_turn: Factors from slot to slot, ``[batch, 1, 2, paths]``.
        rows, columns: Of the array; antennas count along columns first.
        out: ``[batch, slots, subcarriers, antennas]``, overwritten.
    """
    for sample in range(out.shape[0]):
        chosen = np.flatnonzero(alive[sample])
        moving = np.empty((2, chosen.size))
        moving[0], moving[1] = 1.0, 0.0
        doppler = np.empty((out.shape[1], chosen.size), np.complex64)
        step = _columns(slot_turn[sample], chosen)[0]
        for slot in range(out.shape[1]):
            _store_and_rotate(doppler[slot], moving, step)
        _sum_sample(
            _columns(start[sample], chosen), _columns(turn[sample], chosen), doppler, rows, columns, out[sample]
        )
