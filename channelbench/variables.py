"""What one array of a dataset is: the word in which sources declare what they make and the store what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["NanRule", "Variable"]

NanRule = Literal["never", "nlos", "anywhere"]
"""Where NaN may stand; ``nlos`` is for what has no value without a line of sight."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One array of a dataset, one row per sample.

    Attributes:
        dims: Names of its dimensions; the first is ``sample``.
        dtype: numpy dtype name.
        unit: UDUNITS string; ``1`` for pure numbers.
        long_name: What it is.
        shape: Its length along ``dims``; ``-1`` stands for the number of samples.
        nan: Where NaN may stand: ``never``, ``nlos`` (samples without a line of sight) or ``anywhere``.
    """

    dims: tuple[str, ...]
    dtype: str
    unit: str
    long_name: str
    shape: tuple[int, ...] = (-1,)
    nan: NanRule = "never"

    @classmethod
    def scalar(cls, dtype: str, unit: str, long_name: str, *, nan: NanRule = "never") -> Variable:
        """One number per sample, ``[samples]``."""
        return cls(dims=("sample",), dtype=dtype, unit=unit, long_name=long_name, nan=nan)
