"""A path's phases over the slots as a few terms, and to what precision its turns are taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import jv

from channelbench.spec import BandSpec

__all__ = ["SlotTerms", "slot_terms"]

MAX_SLOTS = 4096
"""For more the exact sum takes less time, and a fraction of the memory."""

TOLERANCE = 1e-5
"""Of the series over slots, relative to a path's amplitude, whatever the path."""

ROUNDED_CYCLES = 133.0
"""Float32 does for the turns of paths in float32 that turn no further over all slots: 2π·2⁻²⁴·133 = 5e-5."""

SLACK = 1e-6
"""By which a path may exceed the bound, relative: speeds are projected in float32."""


@dataclass(frozen=True)
class SlotTerms:
    """``e^{j2π·turns·(t − middle)} = Σ_k j^odd(k) · matrix[t, k] · term_k(turns)`` over the slots t.

    With a bound on the turns the terms are Chebyshev polynomials of ``turns / most_turns`` and the matrix holds Bessel
    functions, as in ``SquintSeries``. Without one, or where slots are fewer than that, they are cosines and sines at
    the slots after the middle, which those before it share: as many terms as slots, and exact.

    Attributes:
        most_turns: The bound, in cycles from slot to slot; 0 for cosines and sines.
        matrix: ``[slots, terms]``.
        odd: ``[terms]``.
        rounded: Whether turns may be rounded to the precision that a path has.
    """

    most_turns: float
    matrix: NDArray[np.float32] = field(repr=False)
    odd: NDArray[np.bool_]
    rounded: bool = False

    def turns(self, doppler_hz: NDArray[Any], slot_s: float) -> NDArray[np.float64]:
        """Cycles of each path from slot to slot.

        Raises:
            ValueError: a path exceeds the bound, beyond which the polynomials grow without one.
        """
        own, exact = doppler_hz * slot_s, doppler_hz.astype(np.float64) * slot_s
        turns = own.astype(np.float64) if self.rounded else exact
        if not self.most_turns:
            return turns if self.rounded else turns - np.rint(turns)  # the slots do not see whole ones
        if turns.size and not np.abs(turns).max() <= self.most_turns * (1 + SLACK):
            limit, most = self.most_turns / slot_s, np.abs(doppler_hz).max()
            raise ValueError(f"expected Doppler shifts of at most max_doppler_hz = {limit:g} Hz, got {most:g} Hz")
        return turns


@lru_cache(maxsize=16)
def slot_terms(band: BandSpec, max_doppler_hz: float | None) -> SlotTerms | None:
    """The terms of a band's slots; ``None`` where the exact sum is to be used.

    Args:
        band: Its slots.
        max_doppler_hz: No path's is larger, in either direction.
    """
    if band.num_slots > MAX_SLOTS:
        return None
    from_middle: NDArray[np.float64] = np.arange(band.num_slots, dtype=np.float64) - (band.num_slots - 1) / 2
    most_turns = (max_doppler_hz or 0.0) * band.slot_s
    rounded = max_doppler_hz is not None and most_turns * (band.num_slots - 1) <= ROUNDED_CYCLES
    # The series of the last slot, β radians from the middle, needs the order k = ⌊β⌋: J_k(β) ≥ .44·k^(−1/3) there.
    # Where β is as large as there are slots, it has as many terms or more, and is not begun.
    if max_doppler_hz and 2 * np.pi * most_turns * from_middle[-1] < band.num_slots:
        matrix, odd = _series(most_turns, from_middle)
        if len(odd) < band.num_slots:
            return SlotTerms(most_turns, matrix, odd, rounded)
    distances = from_middle[from_middle >= 0]
    cosines = np.abs(from_middle)[:, None] == distances
    sines = np.sign(from_middle)[:, None] * cosines[:, distances > 0]
    matrix = _matrix(np.concatenate([cosines, sines], axis=1))
    return SlotTerms(0.0, matrix, np.arange(band.num_slots) >= cosines.shape[1], rounded)


def _series(most_turns: float, from_middle: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Matrix and odd terms."""
    beta = 2 * np.pi * most_turns * from_middle
    order = np.arange(int(1.2 * beta.max()) + 30)
    sizes = np.where(order > 0, 2, 1) * jv(order, beta[:, None])
    # A polynomial of a path that the user runs straight along is 1 in size: all that is left out may add up.
    rest = np.cumsum(np.abs(sizes[:, ::-1]), axis=1)[:, ::-1]
    num_terms = int(np.argmax(np.sqrt(np.mean(rest**2, axis=0)) < TOLERANCE))
    signs = (-1) ** (order[:num_terms] // 2)
    return _matrix(sizes[:, :num_terms] * signs), order[:num_terms] % 2 == 1


def _matrix(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)
