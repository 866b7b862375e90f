"""Urban macrocell."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, cast

from channelbench.card import Card
from channelbench.generators.tr38901 import StochasticGenerator, StochasticSource
from channelbench.generators.tr38901.path_loss import UMA, PathLoss, uma_db
from channelbench.ranges import Ranges
from channelbench.spec import ScenarioSpec

__all__ = ["UrbanMacro"]


class UrbanMacro(StochasticGenerator):
    """UMa of TR 38.901.

    ``uma_fc_clip=False`` evaluates the tables of large-scale parameters at the true carrier also below 6 GHz,
    where the standard (Table 7.5-6, note 6) uses their values at 6 GHz.
    """

    card: ClassVar[Card] = Card(
        name="uma",
        title="UMa",
        description="Urban macrocell: base station above the roofs at 25 m, users 35 to 500 m away at street level.",
        reference="3GPP TR 38.901 v16.1, clause 7.5, tables 7.2-1, 7.4.1-1, 7.4.2-1, 7.5-6 and 7.5-7",
        family="scenario",
        notes="With both bands at one set of angles, the NLOS arrival spread at 28 GHz comes out wider than the table.",
    )
    geometry: ClassVar[Mapping[str, float]] = {"bs_height_m": 25.0, "min_distance_m": 35.0, "max_distance_m": 500.0}
    ranges: ClassVar[Ranges | None] = UMA
    path_loss: ClassVar[PathLoss | None] = staticmethod(uma_db)
    idle: ClassVar[Mapping[str, str]] = {}

    def build_scenario(self, spec: ScenarioSpec, options: Mapping[str, Any]) -> Any:
        from sionna.phy.channel.tr38901 import UMaScenario

        clipped = cast(StochasticSource, spec.source).uma_fc_clip
        return (UMaScenario if clipped else _unclipped())(o2i_model="low", **options)  # unused: everybody is outdoors


@cache
def _unclipped() -> type:
    from sionna.phy.channel.tr38901 import UMaScenario

    class UMaScenarioAtTrueCarrier(UMaScenario):  # Sionna tells scenarios apart by how their names begin
        def clip_carrier_frequency_lsp(self, fc: Any) -> Any:
            return fc

    return UMaScenarioAtTrueCarrier
