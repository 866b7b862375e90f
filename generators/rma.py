"""Rural macrocell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from channelbench.card import Card
from channelbench.generators.tr38901 import StochasticGenerator
from channelbench.generators.tr38901.path_loss import RMA, PathLoss, rma_db
from channelbench.ranges import Ranges
from channelbench.spec import ScenarioSpec

__all__ = ["RuralMacro"]


class RuralMacro(StochasticGenerator):
    """RMa of TR 38.901, with streets 20 m wide, buildings 5 m high, and users on foot, not in cars."""

    card: ClassVar[Card] = Card(
        name="rma",
        title="RMa",
        description="Rural macrocell: base station at 35 m over low buildings, users 35 m to 3 km away.",
        reference="3GPP TR 38.901 v16.1, clause 7.5, tables 7.2-3, 7.4.1-1, 7.4.2-1, 7.5-6 and 7.5-9",
        family="scenario",
    )
    geometry: ClassVar[Mapping[str, float]] = {"bs_height_m": 35.0, "min_distance_m": 35.0, "max_distance_m": 3000.0}
    ranges: ClassVar[Ranges | None] = RMA
    path_loss: ClassVar[PathLoss | None] = staticmethod(rma_db)
    idle: ClassVar[Mapping[str, str]] = {
        **StochasticGenerator.idle,
        "table_version": "the report's versions have the same table for RMa",
    }

    def build_scenario(self, spec: ScenarioSpec, options: Mapping[str, Any]) -> Any:
        from sionna.phy.channel.tr38901 import RMaScenario

        return RMaScenario(**options)
