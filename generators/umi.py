"""Urban microcell, street canyon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from channelbench.card import Card
from channelbench.generators.tr38901.stochastic import StochasticGenerator
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

    def build_scenario(self, spec: ScenarioSpec, carrier_hz: float, precision: str) -> Any:
        from sionna.phy.channel.tr38901 import UMiScenario

        from channelbench.generators.tr38901.scenarios import single_element

        element = single_element(carrier_hz, precision)
        return UMiScenario(
            carrier_frequency=carrier_hz,
            o2i_model="low",  # unused: everybody is outdoors
            ut_array=element,
            bs_array=element,
            direction="downlink",
            precision=precision,
            device="cpu",
            spec_version=spec.table_version,
        )
