"""A scenario of TR 38.901 that somebody else adds: public names do, in a file of its own."""

import re
from pathlib import Path

import pytest

from channelbench.generation import generate, make_spec
from channelbench.spec import SizesSpec
from channelbench.store import open_dataset, verify
from channelbench.store.inspect import draw, summary

INDOOR = '''
from typing import ClassVar, Literal

from channelbench.card import Card
from channelbench.generators.tr38901 import StochasticGenerator, StochasticSource


class OfficeSource(StochasticSource):
    """Which of the report's two offices: they differ in how often there is a line of sight."""

    office: Literal["open", "mixed"] = "mixed"

    @property
    def label(self):
        return f"{super().label}, {self.office} office"


class IndoorHotspot(StochasticGenerator):
    """InH of TR 38.901."""

    card = Card(
        name="inh",
        title="InH",
        description="Indoor hotspot: base station at the ceiling, users up to 50 m away.",
        reference="3GPP TR 38.901 v16.1, tables 7.2-2, 7.4.1-1, 7.4.2-1 and 7.5-6",
        family="scenario",
    )
    source = OfficeSource
    geometry = {"bs_height_m": 3.0, "ue_height_m": 1.0, "min_distance_m": 2.0, "max_distance_m": 50.0}

    def build_scenario(self, spec, options):
        from sionna.phy.channel.tr38901 import InHScenario

        return InHScenario(indoor_scenario=spec.source.office, **options)
'''


@pytest.mark.parametrize("engine", ["fast", "sionna"])
def test_indoor_hotspot_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    assert not re.search(r"(import|from) .*\b_\w", INDOOR)
    (tmp_path / "my_offices.py").write_text(INDOOR)
    monkeypatch.syspath_prepend(tmp_path)
    shares = {}
    for office in ("open", "mixed"):
        spec = make_spec(
            "my_offices:IndoorHotspot",
            state="random",
            engine=engine,
            sizes=SizesSpec(train=170, val=15, test=15),
            assignments={"source.office": office, "sub6.num_slots": 2, "mmwave.num_subcarriers": 4},
        )
        path = generate(spec, tmp_path / f"{office}.zarr", remember=False)
        assert [finding.problems for finding in verify(path) if not finding.ok] == []
        assert f"3GPP TR 38.901 v16.1, stochastic, {office} office" in summary(path).splitlines()[0]
        shares[office] = open_dataset(path).array("los", "train").mean()
    assert draw(path, tmp_path / "sheet.png").stat().st_size > 50_000
    assert shares["open"] > shares["mixed"] + 0.1, "Table 7.4.2-1: an open office has more lines of sight"
