"""One slot of a split's channels, read piece by piece: a split need not fit in memory for that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channelbench.store.dataset import SplitView

__all__ = ["plane", "plane_power"]


def plane(view: SplitView, band: str, slot: int, subcarriers: tuple[int, ...]) -> NDArray[np.complex64]:
    """Channels of all samples of a split in one slot, read-only, ``[samples, subcarriers, antennas]``; read once.

    Args:
        view: The split.
        band: Suffix of the variable.
        slot: Position of the slot.
        subcarriers: Positions.
    """

    def read() -> NDArray[np.complex64]:
        wanted = np.asarray(subcarriers)
        found = np.concatenate([piece[:, wanted] for piece in view.pieces(f"h_{band}", slot)])
        found.setflags(write=False)
        return found

    return view.memo(("plane", band, slot, subcarriers), read)


def plane_power(view: SplitView, band: str, slot: int) -> NDArray[np.float64]:
    """Mean ``|h|²`` of every sample in one slot, over subcarriers and antennas, ``[samples]``; read once."""

    def read() -> NDArray[np.float64]:
        pieces = view.pieces(f"h_{band}", slot)
        return np.concatenate([(np.abs(piece) ** 2).mean(axis=(1, 2), dtype=np.float64) for piece in pieces])

    return view.memo(("plane power", band, slot), read)
