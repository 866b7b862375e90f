"""The multi-task physical-layer LLM: its fit, and its variants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks_by_hand import seen_in_test
from phy_networks import TINY, all_splits, context, examples, network, variant

from channelbench.contracts import TaskSplit
from channelbench.errors import RequestError
from channelbench.models.networks.phy_llm import fitting
from channelbench.models.networks.phy_llm.adaptation import LowRankLinear
from channelbench.models.networks.phy_llm.network import PhyLLMNetwork
from channelbench.models.networks.trunks import trained
from channelbench.models.phy_llm import PhyLLM, PhyLLMSingle
from channelbench.presets import Budget
from channelbench.registry import find, names
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.testing import conformance_dataset

pytestmark = pytest.mark.usefixtures("seeded")

pytest.importorskip("transformers", reason="language models need the extra `llm`")


def test_every_task_has_its_steps_in_random_order() -> None:
    schedule = fitting.Schedule({"a": 50, "b": 50, "c": 20}, seed=3)
    assert len(schedule) == 120
    seen: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for step in range(120):
        task, before = schedule.at(step)
        seen[task].append(before)
    assert seen == {"a": list(range(50)), "b": list(range(50)), "c": list(range(20))}
    order = [schedule.at(step)[0] for step in range(120)]
    assert order != [fitting.Schedule(schedule.steps, seed=4).at(step)[0] for step in range(120)]
    assert len({tuple(order[i : i + 3]) for i in range(0, 120, 3)}) > 5


class Stop(Exception): ...


def test_interrupted_fit_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same tasks at the same steps, and the same curves."""
    monkeypatch.setattr(fitting, "budget_of", lambda preset: TINY)
    data = all_splits("pre_sr", "det", "cp")
    whole = PhyLLM()
    whole.fit(data, context())
    calls = 0

    def stop(done: int, total: int, message: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise Stop

    with pytest.raises(Stop):
        PhyLLM().fit(data, context(workdir=tmp_path, progress=stop))
    resumed, loaded = PhyLLM(), PhyLLM()
    resumed.fit(data, context(workdir=tmp_path))
    loaded.fit(data, context(workdir=tmp_path))
    for task in data:
        observation = seen_in_test(task, conformance_dataset(), np.arange(4))[0]
        first, second, third = (_numbers(m.predict(task, observation)) for m in (whole, resumed, loaded))
        np.testing.assert_array_equal(second, first)
        np.testing.assert_array_equal(third, first)
        for method in (resumed, loaded):
            np.testing.assert_array_equal(method.artefacts(task)["loss"]["training"], _curve(whole, task))
        assert len(_curve(whole, task)) == 3
        assert list(whole.artefacts(task)["loss"]["steps"]) == [1, 2, 3]


def _numbers(answer: Any) -> Any:
    return np.concatenate([answer.x.ravel(), answer.llrs.ravel()]) if isinstance(answer, DetectionAnswer) else answer


def _curve(method: PhyLLM, task: str) -> Any:
    return method.artefacts(task)["loss"]["training"]


def test_training_improves_every_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over its start, on the training split."""
    monkeypatch.setattr(
        fitting, "budget_of", lambda preset: Budget(batch_size=15, steps=30, validations=1, peak_rate=5e-3)
    )
    whole = PhyLLM()
    data = all_splits("pre_sr", "det", "cp")
    whole.fit({task: (training, training) for task, (training, _) in data.items()}, context())
    trained_network = whole._of("cp").module.network
    fresh = network()
    for task, (training, _) in data.items():
        after, before = (_score(each, task, training) for each in (trained_network, fresh))
        assert after < before, task


def _score(whole: PhyLLMNetwork, task: str, split: TaskSplit) -> float:
    with torch.no_grad():
        return fitting._validate(whole.eval(), {task: (split, split)}, "cpu")


# --- variants


def test_options() -> None:
    assert variant("loftq").storage == "loftq"
    assert variant("loftq+merged").deployed
    assert variant("no-prompt+raw").card.title == "Multi-task PHY LLM, no instruction, raw input"
    assert "phy_llm+raw" not in names("methods")
    assert find("methods", "phy_llm(s)+no-prompt").joint is False
    for wrong in ("loftq+nf4", "none+loftq", "scratch+merged", "none+no-prompt", "random+none", "rank4"):
        with pytest.raises(RequestError):
            variant(wrong)


def test_scratch_trains_as_much_within_five_per_cent() -> None:
    whole, scratch, none = network(), network(variant("scratch")), network(variant("none"))
    assert trained(scratch) == pytest.approx(trained(whole), rel=0.05)
    assert scratch.prompts is none.prompts is None
    assert not any(isinstance(module, LowRankLinear) for each in (scratch, none) for module in each.modules())
    frozen = {name for name, p in whole.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith("trunk.") for name in frozen)


@pytest.mark.parametrize("name", ["loftq", "nf4+merged", "random"])
def test_stored_bytes_and_deployment(name: str) -> None:
    method, plain = variant(name)(), PhyLLM()
    for each in (method, plain):
        each.fit(all_splits("det"), context())
    costs, full = method.costs("det"), plain.costs("det")
    assert full["trunk_stored_bytes"] == full["trunk_fp16_bytes"] == costs["trunk_fp16_bytes"]
    assert (costs["trunk_stored_bytes"] < 0.5 * costs["trunk_fp16_bytes"]) == (name != "random")
    assert costs["trainable_parameters"] == full["trainable_parameters"]
    merged = "merged" in name
    lora = sum(p.numel() for n, p in network().named_parameters() if ".up." in n or ".down." in n)
    assert costs["total_parameters"] == full["total_parameters"] - (lora if merged else 0)
    assert costs["unused_parameters"] == full["unused_parameters"] > 0
    layers = [m for m in method._of("det").module.modules() if isinstance(m, LowRankLinear)]
    assert (not layers) == merged


def test_single_task_method_keeps_tasks_apart() -> None:
    both, alone = PhyLLMSingle(), PhyLLMSingle()
    both.fit(all_splits("det", "cp"), context())
    alone.fit(all_splits("cp"), context())
    observation = seen_in_test("cp", conformance_dataset(), np.arange(4))[0]
    np.testing.assert_array_equal(both.predict("cp", observation), alone.predict("cp", observation))
    assert both._of("cp").module.network.tasks == ("cp",)


def test_method_and_storage_tell_checkpoints_apart(tmp_path: Path) -> None:
    data = all_splits("det")
    PhyLLM().fit(data, context(workdir=tmp_path))
    with pytest.raises(RequestError, match="method"):
        variant("no-prompt")().fit(data, context(workdir=tmp_path))


def test_a_loss_that_nobody_can_minimise() -> None:
    with pytest.raises(RequestError, match="loss"):
        PhyLLM().build({"det": replace(examples()["det"], loss="beauty")}, context())
