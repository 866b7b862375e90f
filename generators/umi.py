"""Urban microcell, street canyon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from channelbench.card import Card
from channelbench.generators.tr38901 import StochasticGenerator
from channelbench.generators.tr38901.path_loss import UMI, PathLoss, umi_db
from channelbench.ranges import Ranges
from channelbench.spec import ScenarioSpec

__all__ = ["UrbanMicro"]


class UrbanMicro(StochasticGenerator):
    """UMi street canyon of TR 38.901."""

    card: ClassVar[Card] = Card(
        name="umi",
        title="UMi",
        description="Urban microcell, street canyon: base station below the roofs at 10 m, users 10 to 200 m away.",
        reference="3GPP TR 38.901 v16.1, clause 7.5, tables 7.2-1, 7.4.1-1, 7.4.2-1, 7.5-6 and 7.5-8",
        family="scenario",
    )
    geometry: ClassVar[Mapping[str, float]] = {"bs_height_m": 10.0, "min_distance_m": 10.0, "max_distance_m": 200.0}
    ranges: ClassVar[Ranges | None] = UMI
    path_loss: ClassVar[PathLoss | None] = staticmethod(umi_db)

    def build_scenario(self, spec: ScenarioSpec, options: Mapping[str, Any]) -> Any:
        from sionna.phy.channel.tr38901 import UMiScenario

        return UMiScenario(o2i_model="low", **options)  # unused: everybody is outdoors
