"""LLM4WM: its joined batches against plain references, its stages, variants and sizes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from networks_by_hand import seen_in_test, stir
from torch import nn

from channelbench.contracts import FitContext, TaskSplit
from channelbench.errors import RequestError
from channelbench.models.llm4wm import LLM4WM, LLM4WMSingle
from channelbench.models.networks import joint
from channelbench.models.networks.backbones import load_backbone
from channelbench.models.networks.data import as_batch
from channelbench.models.networks.llm4wm import LLM4WMNetwork
from channelbench.models.networks.lora import attach_lora
from channelbench.models.networks.training import BUDGETS
from channelbench.models.networks.trunks import trained
from channelbench.presets import Budget
from channelbench.registry import create, find, names, tasks_of
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import LinkObservation
from channelbench.testing import MethodTests, conformance_dataset, small_backbone

pytestmark = pytest.mark.usefixtures("seeded")

pytest.importorskip("transformers", reason="language models need the extra `llm`")

TASKS = tasks_of(LLM4WM)
WIDTH = 32


def splits(task: str, dataset: ChannelDataset | None = None) -> tuple[TaskSplit, TaskSplit]:
    training, validation = (
        TaskSplit(create("tasks", task), (dataset or conformance_dataset()).view(split)) for split in ("train", "val")
    )
    return training, validation


def all_splits() -> dict[str, tuple[TaskSplit, TaskSplit]]:
    return {task: splits(task) for task in TASKS}


def context(**fields: Any) -> FitContext:
    return FitContext(**{"preset": "smoke", "backbone": small_backbone(), **fields})


def variant(name: str) -> type[LLM4WM]:
    return cast(type[LLM4WM], find("methods", f"llm4wm+{name}"))


@cache
def examples() -> dict[str, LinkObservation]:
    return {task: splits(task)[0].observe([0])[0] for task in TASKS}


def network(method: type[LLM4WM] = LLM4WM) -> LLM4WMNetwork:
    return method().build(examples(), context())


def batches(count: int = 5) -> dict[str, Any]:
    return {task: as_batch(*splits(task)[0].observe(np.arange(count)), "cpu") for task in TASKS}


class OnSmallBackbone:
    """Methods with a trunk that takes no time."""

    def fit(self, data: Any, context: FitContext) -> None:
        super().fit(data, replace(context, backbone=small_backbone()))  # type: ignore[misc]


class SmallLLM4WM(OnSmallBackbone, LLM4WM):
    pass


class SmallLLM4WMSingle(OnSmallBackbone, LLM4WMSingle):
    pass


class TestLLM4WM(MethodTests):
    method = SmallLLM4WM
    preset = "smoke"


class TestLLM4WMSingle(MethodTests):
    method = SmallLLM4WMSingle
    preset = "smoke"


# --- the network


def test_untrained_network_gives_the_start() -> None:
    """Heads begin at zero: what needs no learning is the answer."""
    for task, part in batches().items():
        whole = network().eval()
        frame = whole.frame(task)
        start = frame.begin(part.h, part.noise_var)
        shape = start.pairs.shape if task in ("ce", "cp", "pf") else (5, 64) if task == "bf" else (5,)
        shape = start.direct.shape if task == "bf" else shape
        expected = frame.whole(frame.end(start, torch.zeros(shape)))
        torch.testing.assert_close(whole(task, part.h, part.noise_var), expected)


def test_joined_batch_equals_separate_ones() -> None:
    whole = network()
    stir(whole)
    whole.set_stage(tuning=True)
    parts = batches()
    joined = whole.losses(parts)
    for task, part in parts.items():
        torch.testing.assert_close(whole.losses({task: part})[task], joined[task], rtol=1e-4, atol=1e-5)


def test_experts_folded_into_weights_change_no_prediction() -> None:
    whole = network()
    stir(whole)
    whole.set_stage(tuning=True)
    whole.eval()
    for task, part in batches().items():
        with torch.no_grad():
            gated = whole.eval()(task, part.h, part.noise_var)
            whole.specialise(task)
            folded = whole(task, part.h, part.noise_var)
        torch.testing.assert_close(folded, gated, rtol=1e-3, atol=1e-4)


def test_tasks_differ_in_the_trunk_only_by_their_gate() -> None:
    """With MoE-LoRA bypassed, the trunk does the same for all; with it, each task has a trunk of its own."""
    whole = network()
    stir(whole)
    embeddings = torch.randn(2, 8, WIDTH)
    assert whole.moe is not None

    def of(task: int) -> torch.Tensor:
        with whole.moe.tasks(task), torch.no_grad():  # type: ignore[union-attr]
            return whole.trunk(embeddings)

    whole.set_stage(tuning=False)
    torch.testing.assert_close(of(0), of(3))
    whole.set_stage(tuning=True)
    assert (of(0) - of(3)).abs().max() > 1e-4


def moved(before: dict[str, torch.Tensor], after: nn.Module) -> set[str]:
    """Which parts of the network have changed: adapters, heads, experts, trunk, frames."""
    kinds = {"adapter": "adapters", "head": "heads", "logits": "experts", "down": "experts", "up": "experts"}
    changed = {name for name, p in after.state_dict().items() if not torch.equal(p, before[name])}
    return {
        next((kind for word, kind in kinds.items() if word in name.replace(".", "_").split("_")), name.split(".")[0])
        for name in changed
    }


def test_stages_train_what_the_paper_says() -> None:
    whole = network()
    for tuning, expected in ((False, {"adapters", "heads", "frames"}), (True, {"experts", "heads", "frames"})):
        whole.set_stage(tuning=tuning)
        before = {name: p.clone() for name, p in whole.state_dict().items()}
        parameters = [p for p in whole.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        for _ in range(2):  # heads start at zero: the first step moves them, the second what stands before them
            optimizer.zero_grad()
            sum(whole.losses(batches()).values()).backward()  # type: ignore[union-attr]
            optimizer.step()
        assert moved(before, whole) == expected


def test_frozen_trunk_and_trunk_from_scratch() -> None:
    frozen, scratch, none = (network(variant(name)) for name in ("frozen", "scratch", "none"))
    assert frozen.moe is None
    assert scratch.moe is None
    frozen.set_stage(tuning=True)
    assert not any(p.requires_grad for p in frozen.trunk.parameters())
    scratch.set_stage(tuning=True)
    assert all(p.requires_grad for p in scratch.trunk.parameters())
    assert none.moe is not None
    assert not none.moe.layers
    none.set_stage(tuning=True)
    heads = sum(p.numel() for task in TASKS for p in none._branch(task).head.parameters())
    assert trained(none) == heads + sum(p.numel() for p in none.frames.parameters())


def test_plain_lora_against_its_formula() -> None:
    """W + 2·BA on every feed-forward linear, without effect at first, trained in stage two alone."""
    plain, whole = network(variant("frozen")).eval(), network(variant("lora")).eval()
    embeddings = torch.randn(2, 8, WIDTH)
    with torch.no_grad():
        torch.testing.assert_close(whole.trunk(embeddings), plain.trunk(embeddings))
    whole.set_stage(tuning=False)
    assert not any(p.requires_grad for p in whole.trunk.parameters())
    whole.set_stage(tuning=True)
    assert {name for name, p in whole.trunk.named_parameters() if p.requires_grad} == {
        name for name, _ in whole.trunk.named_parameters() if "lora_" in name
    }
    changed = 0
    for name, module in list(whole.trunk.named_modules()):
        if hasattr(module, "lora_A"):
            down, up = module.lora_A["default"].weight, cast(torch.Tensor, module.lora_B["default"].weight)
            assert down.shape[0] == 64
            nn.init.normal_(up, std=0.05)
            linear = cast(nn.Linear, plain.trunk.get_submodule(name))
            linear.weight.data += 2 * (up @ down).detach()
            changed += 1
    assert changed == 6  # two linears in each of three layers
    with torch.no_grad():
        torch.testing.assert_close(whole.trunk(embeddings), plain.trunk(embeddings), atol=1e-5, rtol=1e-4)


def test_plain_lora_on_transposed_weights() -> None:
    """GPT-2 keeps its weights as [in, out]: 4 × (768 + 3072) parameters on each of two linears."""
    trunk = load_backbone("random:gpt2", layers=1)
    assert sum(parameter.numel() for parameter in attach_lora(trunk, rank=4)) == 2 * 4 * (768 + 3072)


def test_scratch_trains_as_much_within_five_per_cent() -> None:
    def ever_trained(method: type[LLM4WM]) -> int:
        whole = network(method)
        names_: set[str] = set()
        for tuning in (False, True):
            whole.set_stage(tuning=tuning)
            names_ |= {name for name, p in whole.named_parameters() if p.requires_grad}
        return sum(p.numel() for name, p in whole.named_parameters() if name in names_)

    assert ever_trained(variant("scratch")) == pytest.approx(ever_trained(LLM4WM), rel=0.05)


# --- the method


def test_variants() -> None:
    assert variant("rank4+experts2")().rank == 4
    assert variant("rank4+experts2")().experts == 2
    assert variant("no-adapter").adapter_in is variant("no-adapter").adapter_out is False
    assert variant("random") is variant("random")
    assert variant("random").card.title == "LLM4WM, random trunk"
    assert "random" in variant("random").card.notes
    assert "llm4wm+random" not in names("methods")
    for wrong in ("rank0", "rankx", "adapter", "random+none", "no-adapter+no-adapter-in", "frozen+rank4", "none+lora"):
        with pytest.raises(RequestError):
            variant(wrong)


@pytest.mark.parametrize("name", ["rank2", "experts4", "no-adapter-in", "no-adapter-out", "no-adapter", "none"])
def test_variants_have_the_sizes_that_they_name(name: str) -> None:
    plain, other = network(), network(variant(name))
    blocks = sum(p.numel() for p in plain.branches["ce"].adapter_in.blocks.parameters())
    assert blocks > 0
    for task in TASKS:
        for side in ("adapter_in", "adapter_out"):
            count = len(list(getattr(other.branches[task], side).blocks.parameters()))
            gone = name == "no-adapter" or name.removeprefix("no-").replace("-", "_") == side
            assert (count == 0) == gone
    weights = other.expert_weights()
    if name == "none":
        assert weights == {}
    else:
        assert {w.shape for w in weights.values()} == {(6, 4 if name == "experts4" else 8)}
        layer = next(iter(cast(Any, other.moe).layers.values()))
        assert layer.down.shape[0] == {"rank2": 16, "experts4": 32}.get(name, 64)


class Stop(Exception): ...


def test_interrupted_fit_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the second stage, then called again."""
    tiny = Budget(batch_size=8, steps=6, validations=6, peak_rate=1e-3)
    monkeypatch.setattr("channelbench.models.networks.joint.budget_of", lambda preset: tiny)
    data = {task: splits(task) for task in ("cp", "bf")}
    whole = LLM4WM()
    whole.fit(data, context())
    calls = 0

    def stop(done: int, total: int, message: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Stop

    with pytest.raises(Stop):
        LLM4WM().fit(data, context(workdir=tmp_path, progress=stop))
    resumed = LLM4WM()
    resumed.fit(data, context(workdir=tmp_path))
    for task in data:
        observation = seen_in_test(task, conformance_dataset(), np.arange(4))[0]
        np.testing.assert_array_equal(resumed.predict(task, observation), whole.predict(task, observation))
    assert BUDGETS["smoke"] is not tiny


def test_experts_are_an_artefact_of_every_task(tmp_path: Path) -> None:
    method = LLM4WM()
    method.fit(all_splits(), context(workdir=tmp_path))
    network = method._of("ce").module.network
    for row, task in enumerate(TASKS):
        kept = method.artefacts(task)["experts"]
        assert kept["initial"].shape == kept["final"].shape == (len(kept["layers"]), 8)
        np.testing.assert_allclose(kept["initial"].sum(1), 1, rtol=1e-5)
        assert np.abs(kept["final"] - kept["initial"]).max() > 0
        for layer, weights in zip(kept["layers"], kept["final"], strict=True):
            np.testing.assert_array_equal(weights, network.expert_weights()[str(layer)][row])
    loaded = LLM4WM()
    loaded.fit(all_splits(), context(workdir=tmp_path))
    for key, array in loaded.artefacts("pe")["experts"].items():
        np.testing.assert_array_equal(array, method.artefacts("pe")["experts"][key], err_msg="a fit that was loaded")
    assert not (tmp_path / "experts.npz").exists()
    assert "random weights" in method.weights
    costs = method.costs("ce")
    assert costs["trainable_parameters"] < costs["total_parameters"]
    assert costs["unused_parameters"] > 0


def test_method_and_backbone_tell_checkpoints_apart(tmp_path: Path) -> None:
    """Also where all shapes are the same."""
    data, work, other = {"cp": splits("cp")}, tmp_path / "work", tmp_path / "other"
    LLM4WM().fit(data, context(workdir=work))
    with pytest.raises(RequestError, match="method"):
        variant("none")().fit(data, context(workdir=work))
    shutil.copytree(small_backbone().removeprefix("random:"), other)
    with pytest.raises(RequestError, match=r"checkpoint final\.safetensors: backbone"):
        LLM4WM().fit(data, context(workdir=work, backbone=f"random:{other}"))


def test_task_losses_are_weighted_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two stages of two steps each are shorter than an epoch."""
    seen = []

    class Watched(joint.DynamicWeightAverage):
        def __init__(self, tasks: Any, steps_per_epoch: int) -> None:
            seen.append(steps_per_epoch)
            super().__init__(tasks, steps_per_epoch)

    monkeypatch.setattr(joint, "DynamicWeightAverage", Watched)
    LLM4WM().fit({task: splits(task) for task in ("de", "pe")}, context())
    assert seen == [1, 1]


def test_single_task_method_keeps_tasks_apart() -> None:
    """Each task's network has one task in its gate, and fitting another changes nothing."""
    both, alone = LLM4WMSingle(), LLM4WMSingle()
    both.fit({task: splits(task) for task in ("de", "bf")}, context())
    alone.fit({"bf": splits("bf")}, context())
    observation = seen_in_test("bf", conformance_dataset(), np.arange(4))[0]
    np.testing.assert_array_equal(both.predict("bf", observation), alone.predict("bf", observation))
    assert both._of("bf").module.network.tasks == ("bf",)
