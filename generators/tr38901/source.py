"""What can be set about channels of TR 38.901, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from channelbench.sources import SourceSpec

__all__ = ["StochasticSource"]


class StochasticSource(SourceSpec):
    """Channels drawn from the tables of 3GPP TR 38.901.

    Attributes:
        table_version: Of the report whose tables hold.
        uma_fc_clip: Whether UMa's large-scale parameters below 6 GHz are those at 6 GHz, as the report says (Table
            7.5-6, note 6), or those at the true carrier.
        rho_z: Correlation of the clusters' shadowing between the bands.
        squint: Whether the array's phases follow the subcarrier's frequency, or are the carrier's throughout.
        engine: What draws and sums: ``fast``, loops of ours; ``cuda``, which draws the same paths and sums them on a
            GPU; or ``sionna``, Sionna's own classes, the reference, many times as slow.
    """

    name: ClassVar[str] = "stochastic"
    default: ClassVar[bool] = True
    new: ClassVar[Mapping[str, Any]] = {"engine": "fast"}
    later: ClassVar[frozenset[str]] = frozenset({"engine", "squint"})
    licence: ClassVar[str] = "CC-BY-4.0"
    packages: ClassVar[tuple[str, ...]] = ("sionna", "torch")

    table_version: Literal["16.1", "19.2"] = "16.1"
    uma_fc_clip: bool = True
    rho_z: float = Field(1.0, ge=0, le=1)
    squint: bool = True
    engine: Literal["sionna", "fast", "cuda"] = "sionna"

    @property
    def label(self) -> str:
        return f"3GPP TR 38.901 v{self.table_version}, stochastic"

    @property
    def digest_algorithm(self) -> str:
        # The reference engine keeps the digests that its datasets have always had.
        return "blake2b" if self.engine == "sionna" else "blake3"
