"""What the axes of somebody's array mean, and how it becomes ``[links, slots, subcarriers, antennas]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.array_files import StoredArray

__all__ = ["AXES", "ChannelArray"]

AXES = (
    *("sample", "slot", "subcarrier", "antenna", "row", "column"),
    *("polarisation", "user_antenna", "re_im", "one"),
)
"""``antenna`` counts along columns first, then rows, or there are ``row`` and ``column``. Several axes of samples are
one. Each ``polarisation`` is a link of its own, unless one is chosen, as of user antennas one is. ``re_im`` has length
2, real and imaginary part, and ``one`` has length 1."""

REPEATED = {"sample", "one"}


@dataclass(frozen=True)
class ChannelArray:
    """An array of channels and what its axes are.

    Attributes:
        stored: The array.
        axes: Of each of its axes.
        user_antenna: Which of the user's antennas is taken.
        polarisation: Which of the base station's is taken; ``None`` where each is a link.
    """

    stored: StoredArray
    axes: tuple[str, ...]
    user_antenna: int = 0
    polarisation: int | None = None

    def __post_init__(self) -> None:
        name, shape, axes = self.stored.name, self.stored.shape, self.axes
        if not self.stored.numeric:
            raise RequestError("key", expected="an array of numbers", got=f"{name}, which is none")
        if len(axes) != len(shape):
            expected = f"a name for each axis of {name}, of shape {list(shape)}"
            raise RequestError("axes", expected=expected, got=list(axes), choices=AXES)
        twice = any(axes.count(axis) > 1 for axis in {*axes} - REPEATED)
        known, both = {*axes} <= {*AXES}, "antenna" in axes and ("row" in axes or "column" in axes)
        if twice or not known or both or "sample" not in axes:
            expected = "sample, and of the others each at most once, and antenna or row and column"
            raise RequestError("axes", expected=expected, got=list(axes), choices=AXES)
        for axis, length in zip(axes, shape, strict=True):
            wanted = {"re_im": 2, "one": 1}.get(axis)
            if length == 0 or (wanted is not None and length != wanted):
                expected = f"{axis} of length {wanted or 'at least 1'}"
                raise RequestError("axes", expected=expected, got=f"{length} in {name} of shape {list(shape)}")
        for axis, chosen in (("user_antenna", self.user_antenna), ("polarisation", self.polarisation or 0)):
            if not 0 <= chosen < self.length(axis):
                raise RequestError(axis, expected=f"a number below {self.length(axis)}, from 0", got=chosen)
        if self.stored.is_complex == ("re_im" in axes):
            expected = "complex numbers, or an axis re_im of real and imaginary parts"
            raise RequestError("axes", expected=expected, got=f"{name}: {list(axes)}")

    def length(self, axis: str) -> int:
        """Of all axes of that name together; 1 where there is none."""
        pairs = zip(self.axes, self.stored.shape, strict=True)
        return int(np.prod([length for each, length in pairs if each == axis], dtype=object))

    @property
    def num_samples(self) -> int:
        """Samples, each of all polarisations."""
        return self.length("sample")

    @property
    def links_each(self) -> int:
        """Links of a sample: its polarisations, unless one is chosen."""
        return self.length("polarisation") if self.polarisation is None else 1

    @property
    def num_links(self) -> int:
        """Samples times their links."""
        return self.num_samples * self.links_each

    @property
    def num_antennas(self) -> int:
        """Of the base station, in one polarisation."""
        return self.length("antenna") * self.length("row") * self.length("column")

    def links(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Channels of some links, ``[links, slots, subcarriers, antennas]``; polarisation counts fastest."""
        samples, polarisation = np.divmod(rows, self.links_each)
        if self.polarisation is not None:
            polarisation = np.full(len(rows), self.polarisation)
        values = self._samples(samples)  # [links, polarisation, slot, subcarrier, row·column]
        return np.ascontiguousarray(values[np.arange(len(rows)), polarisation])

    def _samples(self, samples: NDArray[np.int64]) -> NDArray[Any]:
        """``[samples, polarisations, slots, subcarriers, antennas]``."""
        shape, axes = self.stored.shape, self.axes
        along = axes.index("sample")
        inner = self.num_samples // shape[along]  # samples of one step along the first of their axes
        first, last = int(samples.min()) // inner, int(samples.max()) // inner
        values, at = self.stored.read(first, last + 1, along), samples - first * inner
        order = [index for index, axis in enumerate(axes) if axis == "sample"]
        lengths = {axis: self.length(axis) for axis in AXES}
        rest = ["user_antenna", "polarisation", "slot", "subcarrier", "antenna", "row", "column", "re_im"]
        order += [axes.index(axis) for axis in rest if axis in axes]
        order += [index for index, axis in enumerate(axes) if axis == "one"]
        values = values.transpose(order)
        values = values.reshape(-1, *(lengths[axis] for axis in rest))[at, self.user_antenna]
        values = values[..., 0] + 1j * values[..., 1] if "re_im" in axes else values[..., 0]
        return values.reshape(*values.shape[:4], -1)
