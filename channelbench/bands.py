"""The parts of a spec that are alike in all of them: arrays, bands, and how many samples."""

from __future__ import annotations

from pydantic import Field, model_validator

from channelbench.errors import RequestError
from channelbench.frozen import Frozen

__all__ = ["LARGEST", "ArraySpec", "BandSpec", "SizesSpec"]

LARGEST = {"num_subcarriers": 2**20, "num_slots": 2**20, "sizes": 10**9}
"""What a dataset can have: more than any that was ever recorded, and few enough for lists of what is still to be made.
A spec refuses more with the bytes that it would be."""

COUNT = 10**30
"""Of digits that can still be multiplied and shown."""


class ArraySpec(Frozen):
    """A uniform rectangular array in the y–z plane, facing +x; one row makes a horizontal ULA along y."""

    rows: int = Field(1, ge=1, le=1024)
    columns: int = Field(8, ge=1, le=1024)
    spacing_wavelengths: float = Field(0.5, ge=0.01, le=10)

    @property
    def num_antennas(self) -> int:
        return self.rows * self.columns


class BandSpec(Frozen):
    """One OFDM band: subcarriers are centred on the carrier, ``bandwidth_hz / num_subcarriers`` apart."""

    carrier_hz: float = Field(gt=0.5e9, le=100e9)
    bandwidth_hz: float = Field(ge=1e3)
    num_subcarriers: int = Field(64, ge=1, le=COUNT)
    num_slots: int = Field(1, ge=1, le=COUNT)
    slot_s: float = Field(0.5e-3, ge=1e-9, le=3600)
    array: ArraySpec = ArraySpec()
    num_beams: int = Field(256, ge=1, le=2**16)

    @property
    def channel_bytes(self) -> int:
        """Bytes of one sample's channels."""
        return 8 * self.num_slots * self.num_subcarriers * self.array.num_antennas

    @model_validator(mode="after")
    def _band_fits(self) -> BandSpec:
        if self.bandwidth_hz >= self.carrier_hz:
            raise RequestError(
                "bandwidth_hz", expected=f"less than carrier_hz ({self.carrier_hz:g})", got=self.bandwidth_hz
            )
        return self


class SizesSpec(Frozen):
    """Samples per split."""

    train: int = Field(ge=1, le=COUNT)
    val: int = Field(ge=1, le=COUNT)
    test: int = Field(ge=1, le=COUNT)

    @property
    def total(self) -> int:
        return self.train + self.val + self.test

    def of(self, split: str) -> int:
        """Samples in ``split``."""
        return int(getattr(self, split))
