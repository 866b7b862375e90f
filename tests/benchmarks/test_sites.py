"""From drawn channels to one traced site, and from there to the next."""

from __future__ import annotations

from channelbench import registry
from channelbench.benchmarks.experiments.sites import Sites
from channelbench.experiment import DATA
from channelbench.generation import make_spec
from channelbench.spec import SizesSpec


def test_site_transfer_goes_from_uma_to_munich_to_florence() -> None:
    suite = registry.find("suites", "site-transfer")
    spec = make_spec("uma", sizes=SizesSpec(train=40, val=20, test=20), assignments={"sub6.num_slots": 5})
    plan = Sites(**suite.experiment.parameters).plan(spec, 0)
    datasets = {name: planned.spec for name, planned in plan.datasets.items()}
    assert {name: (each.source.name, each.source.scene) for name, each in datasets.items()} == {
        "at-munich": ("raytraced", "munich"),
        "at-florence": ("raytraced", "florence"),
    }
    assert all(each.sub6 == spec.sub6 and each.sizes == spec.sizes for each in datasets.values())

    by_folder = {stage.folder: stage for stage in plan.stages}
    assert list(by_folder) == [
        "",
        "munich/zero-shot",
        "munich/transfer",
        "munich/own",
        "florence/zero-shot",
        "florence/transfer",
    ]
    assert plan.origin(by_folder["munich/zero-shot"]) == plan.origin(by_folder["munich/transfer"]) == DATA
    assert plan.origin(by_folder["florence/zero-shot"]) == plan.origin(by_folder["florence/transfer"]) == "at-munich"
    assert by_folder["florence/transfer"].share == by_folder["munich/transfer"].share == 0.1
    assert {by_folder[f"{site}/zero-shot"].test for site in ("munich", "florence")} == datasets.keys()
    assert by_folder["munich/own"].start is None
