"""What a dataset records of the file that its channels come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from channelbench.bands import BandSpec
from channelbench.generators.imported.contract import Scale
from channelbench.sources import CITATION, SourceSpec
from channelbench.store.schema import OPTIONAL, OPTIONAL_OF_USER
from channelbench.variables import Variable

__all__ = ["COMMAND", "FADED", "UNKNOWN_GEOMETRY", "ImportedSource", "Split"]

COMMAND = "channelbench import PATH --out x.zarr"

Split = Literal["seed", "area", "file"]

UNKNOWN_GEOMETRY = (
    *("bs_height_m", "ue_height_m", "min_distance_m", "max_distance_m", "sector_deg"),
    *("speed_min_mps", "speed_max_mps"),
)
"""Of a spec: what a file need not say."""

FADED = "mean power of the channel over slots, subcarriers and antennas, fading included"


class ImportedSource(SourceSpec):
    """Channels that were made or measured elsewhere.

    Attributes:
        format: The reader's name.
        sha256: Of the content of what was read.
        settings: What the reader was told, JSON text.
        title: What people call the data.
        scale: What amplitudes meant; see ``contract.Scale``.
        constants: What the channels of each band were divided by, where they were ``unscaled``.
        split: How links were shared out: at random by the seed, in strips of ground, or as the file has it.
        guard_m: Links nearer than this to another split's strip were left out.
        unit_m: Links of one square of this side are one independent unit; 0 where each link is one.
        squint: Whether the array's phases follow the subcarrier's frequency where paths were summed.
        links: In the file.
        rejected: Links without any power, which were left out.
        quantities: The variables that it has of those that a source may do without.
        data_licence, data_citation: Of the data, as the file or the user states them.
    """

    name: ClassVar[str] = "imported"
    may_lack: ClassVar[frozenset[str]] = frozenset({*UNKNOWN_GEOMETRY, "state", "system"})
    maker: ClassVar[str] = COMMAND

    format: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    settings: str = "{}"
    title: str = ""
    scale: Scale
    constants: tuple[float, ...] = ()
    split: Split = "seed"
    guard_m: float = Field(0.0, ge=0)
    unit_m: float = Field(0.0, ge=0)
    squint: bool = True
    links: int = Field(ge=1)
    rejected: int = Field(0, ge=0)
    quantities: tuple[str, ...] = ()
    data_licence: str = "not stated"
    data_citation: str = ""

    @property
    def label(self) -> str:
        fading = ", path gain with fading" if self.scale == "physical" else ""
        return f"imported from {self.title or self.format} ({self.sha256[:8]}{fading})"

    @property
    def licence(self) -> str:  # type: ignore[override]
        return self.data_licence

    @property
    def citation(self) -> str:  # type: ignore[override]
        return "; ".join(part for part in (self.data_citation, CITATION) if part)

    @property
    def power_slack(self) -> float:
        # Links of one street share their walls: they are not the independent draws that the bound on chance is for.
        has_gain = any(name.startswith("path_gain_db_") for name in self.quantities)
        return 1.0 if has_gain else float("inf")  # without it, it may be in the channels

    def separation_m(self, bands: Mapping[str, BandSpec]) -> float:
        return self.guard_m if self.split == "area" else 0.0

    def variables(self, core: Mapping[str, Variable]) -> dict[str, Variable]:
        has = {name: variable for name, variable in core.items() if name in self.quantities or not _may_be_absent(name)}
        if self.scale == "physical":
            for name in has:
                if name.startswith("path_gain_db_"):
                    has[name] = replace(has[name], long_name=FADED)
        return has


def _may_be_absent(name: str) -> bool:
    return name in OPTIONAL_OF_USER or name.rpartition("_")[0] in OPTIONAL
