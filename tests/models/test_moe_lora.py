"""MoE-LoRA against Eq. 24 of LLM4WM written out expert by expert, in double precision."""

from __future__ import annotations

import copy
import importlib.util
import itertools
from typing import Any

import pytest
import torch
from torch import nn

from channelbench.errors import RequestError
from channelbench.models.networks.backbones import Backbone, load_backbone
from channelbench.models.networks.moe_lora import MoELoRA, MoELoRALinear, TaskGate, attach_moe_lora

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="language models need the extra `llm`"
)

TASKS, EXPERTS, RANK = 3, 4, 2


def make_base(kind: str) -> nn.Module:
    """5 inputs, 7 outputs."""
    if kind == "linear":
        return nn.Linear(5, 7).double()
    pytest.importorskip("transformers")
    from transformers.pytorch_utils import Conv1D

    return Conv1D(7, 5).double()


def make_layer(kind: str = "linear") -> MoELoRALinear:
    """A layer in the middle of its training: B is no longer zero."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    layer = MoELoRALinear(make_base(kind), TaskGate(TASKS), experts=EXPERTS, rank=RANK, generator=generator)
    nn.init.normal_(layer.up, generator=generator)
    return layer


def equation_24(layer: MoELoRALinear, inputs: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """W₀ x + (α/r) Σ_k ω_k B_k A_k x, sample by sample, token by token and expert by expert."""
    weight = layer.base.weight
    weight = weight.T if type(layer.base).__name__ == "Conv1D" else weight
    output = torch.empty(*inputs.shape[:2], weight.shape[0], dtype=inputs.dtype)
    alpha = 2 * RANK
    for sample, token in itertools.product(range(len(inputs)), range(inputs.shape[1])):
        x = inputs[sample, token]
        one_hot = torch.zeros(TASKS, dtype=inputs.dtype)
        one_hot[ids[sample]] = 1.0
        scores = torch.exp(one_hot @ layer.logits)
        omega = scores / scores.sum()
        y = weight @ x + layer.base.bias
        for k in range(EXPERTS):
            a_k = layer.down[k * RANK : (k + 1) * RANK]
            b_k = layer.up[:, k * RANK : (k + 1) * RANK]
            y = y + alpha / RANK * omega[k] * (b_k @ (a_k @ x))
        output[sample, token] = y
    return output


def make_inputs(batch: int = 6, tokens: int = 3) -> torch.Tensor:
    return torch.randn(batch, tokens, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


IDS = torch.tensor([0, 2, 1, 1, 0, 2])


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_fused_is_equation_24(kind: str) -> None:
    layer = make_layer(kind)
    inputs = make_inputs()
    with layer.gate.tasks(IDS):
        got = layer(inputs)
    expected = equation_24(layer, inputs, IDS)
    assert (got - expected).abs().max() < 1e-10
    assert (got - layer.base(inputs)).abs().max() > 0.1, "the update must show"


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_merged_is_unmerged(kind: str) -> None:
    layer = make_layer(kind)
    inputs = make_inputs()
    moe_lora = MoELoRA({"layer": layer}, layer.gate)
    for task in range(TASKS):
        with moe_lora.tasks(task):
            expected = layer(inputs)
        plain = nn.functional.linear(inputs, layer.merge(task), layer.base.bias)
        assert (plain - expected).abs().max() < 1e-10
        moe_lora.merge(task)
        assert torch.equal(layer(inputs), plain), "no task is needed now"
        with moe_lora.tasks(0), pytest.raises(RuntimeError, match="unmerge"):
            layer(inputs)
        moe_lora.unmerge()
    with pytest.raises(RuntimeError, match="no task is set"):
        layer(inputs)


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_gradients(kind: str) -> None:
    layer = make_layer(kind)
    layer.base.requires_grad_(False)
    names = ("down", "up", "logits")
    parameters = [getattr(layer, name).detach().clone().requires_grad_() for name in names]
    inputs = make_inputs(batch=3, tokens=2).requires_grad_()

    def run(inputs: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        with layer.gate.tasks(torch.tensor([0, 2, 0])):
            return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (inputs,))

    assert torch.autograd.gradcheck(run, (inputs, *parameters))


def test_only_the_mixture_is_trained() -> None:
    layer = make_layer()
    layer.base.requires_grad_(False)
    with layer.gate.tasks(IDS):
        layer(make_inputs()).square().sum().backward()
    assert layer.base.weight.grad is None
    for parameter in (layer.down, layer.up, layer.logits):
        assert parameter.grad is not None
        assert parameter.grad.abs().min() > 0


def test_gradients_of_a_task_not_in_the_batch_are_zero() -> None:
    layer = make_layer()
    with layer.gate.tasks(torch.tensor([0, 0, 2])):
        layer(make_inputs(batch=3)).square().sum().backward()
    assert (layer.logits.grad[1] == 0).all()
    assert (layer.logits.grad[[0, 2]] != 0).any(dim=1).all()


def test_gates_sum_to_one_and_are_the_softmax_of_a_linear_layer() -> None:
    layer = make_layer()
    weights = layer.expert_weights()
    assert weights.shape == (TASKS, EXPERTS)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(TASKS, dtype=torch.float64))
    linear = nn.Linear(TASKS, EXPERTS, bias=False).double()
    linear.weight.data = layer.logits.detach().T
    expected = linear(torch.eye(TASKS, dtype=torch.float64)).softmax(dim=1)
    torch.testing.assert_close(weights, expected)


def test_a_mixed_batch_is_its_tasks_one_by_one() -> None:
    layer = make_layer()
    inputs = make_inputs()
    with layer.gate.tasks(IDS):
        mixed = layer(inputs)
    for task in range(TASKS):
        with layer.gate.tasks(task):
            assert (layer(inputs[task == IDS]) - mixed[task == IDS]).abs().max() < 1e-12
    assert (mixed[0] - mixed[4]).abs().max() > 0.1, "samples differ"


def test_tasks_are_forgotten_after_the_batch() -> None:
    gate = TaskGate(TASKS)
    with gate.tasks(1):
        with gate.tasks(IDS):
            assert gate.ids is not None
            assert gate.ids.tolist() == IDS.tolist()
        assert gate.ids is not None
        assert gate.ids.tolist() == 1
    assert gate.ids is None
    with pytest.raises(KeyError), gate.tasks(2):
        raise KeyError
    assert gate.ids is None


def test_tasks_of_another_batch_are_refused() -> None:
    layer = make_layer()
    with layer.gate.tasks(IDS), pytest.raises(ValueError, match="6 tasks were set for a batch of 5 samples"):
        layer(make_inputs(batch=5))


@pytest.mark.parametrize("ids", [3, -1, torch.tensor([0, 3]), torch.tensor([0.0]), torch.zeros(2, 2, dtype=torch.long)])
def test_what_is_no_task_is_refused(ids: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        TaskGate(TASKS).set_task(ids)


def test_bypass_is_the_plain_linear() -> None:
    layer = make_layer()
    inputs = make_inputs()
    moe_lora = MoELoRA({"layer": layer}, layer.gate)
    moe_lora.set_bypass(True)
    assert moe_lora.bypass
    assert torch.equal(layer(inputs), layer.base(inputs))
    moe_lora.merge(1)
    assert torch.equal(layer(inputs), layer.base(inputs)), "merged or not"
    moe_lora.unmerge()
    moe_lora.set_bypass(False)
    with moe_lora.tasks(IDS):
        assert not torch.equal(layer(inputs), layer.base(inputs))


@pytest.mark.parametrize("training", [True, False])
def test_merged_weights_do_not_outlive_a_change_of_mode(training: bool) -> None:
    """A fit calls train() before it changes weights and eval() after, so that no stale merge is ever scored."""
    layer = make_layer()
    moe_lora = MoELoRA({"layer": layer}, layer.gate)
    moe_lora.merge(1)
    assert layer.merged_weight is not None
    nn.Sequential(layer).train(training)
    assert layer.merged_weight is None
    moe_lora.merge(1)
    assert not any("merged" in name for name in layer.state_dict())
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        moe_lora.merge(3)


# --- in a trunk


def make_trunk(kind: str) -> Backbone:
    if kind in ("scratch", "none"):
        return load_backbone(kind, width=32).double()
    pytest.importorskip("transformers")
    from transformers import BertConfig, GPT2Config, LlamaConfig

    from channelbench.models.networks import weights
    from channelbench.models.networks.backbones import LanguageTrunk

    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 20}
    config = {
        "gpt2": lambda: GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=12, vocab_size=20),
        "bert": lambda: BertConfig(**shape, intermediate_size=64),
        "llama": lambda: LlamaConfig(**shape, intermediate_size=64),
    }[kind]()
    from transformers import AutoModel

    weights._configure(config, None)
    torch.manual_seed(3)
    module, unused = weights._without_vocabulary(AutoModel.from_config(config))
    model = weights.Model(module=module, label=kind, layers=3, all_layers=3, sha256="", unused_parameters=unused)
    trunk = LanguageTrunk(model, description=kind).double()
    trunk.set_trainable("none")
    return trunk


LINEARS = {"gpt2": 6, "bert": 6, "llama": 9, "scratch": 8, "none": 0}
TRUNKS = list(LINEARS)


def perturb(moe_lora: MoELoRA) -> None:
    generator = torch.Generator().manual_seed(5)
    for layer in moe_lora.layers.values():
        nn.init.normal_(layer.up, std=0.3, generator=generator)


@pytest.mark.parametrize("kind", TRUNKS)
def test_nothing_changes_at_the_start(kind: str) -> None:
    trunk = make_trunk(kind)
    given = torch.randn(6, 5, 32, dtype=torch.float64)
    before = trunk(given)
    moe_lora = attach_moe_lora(trunk, TASKS, experts=EXPERTS, rank=RANK)
    with moe_lora.tasks(IDS):
        after = trunk(given)
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)
    assert len(moe_lora.layers) == LINEARS[kind]


@pytest.mark.parametrize("kind", TRUNKS[:-1])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_in_a_trunk_tasks_differ_and_merge(kind: str, mode: str) -> None:
    trunk = make_trunk(kind).train(mode == "train")
    moe_lora = attach_moe_lora(trunk, TASKS, experts=EXPERTS, rank=RANK)
    perturb(moe_lora)
    given = torch.randn(6, 5, 32, dtype=torch.float64)
    with torch.no_grad():
        with moe_lora.tasks(IDS):
            mixed = trunk(given)
        results = []
        for task in range(TASKS):
            moe_lora.merge(task)
            results.append(trunk(given))
        moe_lora.unmerge()
        moe_lora.set_bypass(True)
        bare = trunk(given)
    for task in range(TASKS):
        assert (results[task][task == IDS] - mixed[task == IDS]).abs().max() < 1e-10
        assert (results[task] - bare).abs().max() > 1e-3
    assert (results[0] - results[1]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", TRUNKS[:-1])
def test_layers_are_the_feed_forward_ones(kind: str) -> None:
    trunk = make_trunk(kind)
    moe_lora = attach_moe_lora(trunk, TASKS, experts=EXPERTS, rank=RANK)
    sizes = {(layer.in_features, layer.out_features) for layer in moe_lora.layers.values()}
    inner = 128 if kind in ("gpt2", "scratch") else 64
    assert sizes == {(32, inner), (inner, 32)}
    assert not any("attention" in name or "attn" in name for name in moe_lora.layers)
    assert all(trunk.get_submodule(name) is layer for name, layer in moe_lora.layers.items())


def test_only_the_additions_are_trained_and_can_be_frozen() -> None:
    trunk = make_trunk("scratch")
    trunk.set_trainable("none")
    moe_lora = attach_moe_lora(trunk, TASKS, experts=EXPERTS, rank=RANK)
    added = EXPERTS * RANK * (32 + 128) + TASKS * EXPERTS
    trained = [parameter for parameter in trunk.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trained) == LINEARS["scratch"] * added
    assert {id(p) for p in trained} == {id(p) for p in moe_lora.parameters()}
    moe_lora.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


@needs_transformers
def test_gpt2_gains_2_95_million_parameters() -> None:
    """6 layers · 2 linears · 8 experts · rank 8 · (768 + 3072), and 6 × 8 gate weights in each of the 12 linears."""
    trunk = load_backbone("random:gpt2", layers=6)
    moe_lora = attach_moe_lora(trunk, 6, experts=8, rank=8)
    count = sum(parameter.numel() for parameter in moe_lora.parameters())
    assert count == 2_949_120 + 12 * 48
    assert round(count / 1e6, 2) == 2.95
    assert sum(p.numel() for p in trunk.parameters()) - count + trunk.unused_parameters == 81_912_576


def test_expert_weights_by_layer_for_the_correlation_of_tasks() -> None:
    moe_lora = attach_moe_lora(make_trunk("scratch"), TASKS, experts=EXPERTS, rank=RANK)
    weights = moe_lora.expert_weights()
    assert list(weights)[:2] == ["blocks.0.linear1", "blocks.0.linear2"]
    assert all(table.shape == (TASKS, EXPERTS) and not table.requires_grad for table in weights.values())
    torch.testing.assert_close(torch.stack([*weights.values()]).sum(dim=2), torch.ones(8, TASKS, dtype=torch.float64))


def test_starting_values_come_from_the_seed() -> None:
    first, again, other = (attach_moe_lora(make_trunk("scratch"), TASKS, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
    down = next(iter(first.layers.values())).down
    assert down.abs().max() <= 32**-0.5, "Kaiming's bound with the slope that LoRA uses"
    assert down.std().item() == pytest.approx(32**-0.5 / 3**0.5, rel=0.05)


def test_copies_have_a_gate_of_their_own() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = make_trunk("scratch")
            self.moe_lora = attach_moe_lora(self.trunk, TASKS)

    network = Network()
    twin = copy.deepcopy(network)
    assert twin.moe_lora.gate is not network.moe_lora.gate
    assert all(layer.gate is twin.moe_lora.gate for layer in twin.moe_lora.layers.values())
    name, layer = next(iter(twin.moe_lora.layers.items()))
    assert twin.trunk.get_submodule(name) is layer


def test_bfloat16_autocast_stays_near() -> None:
    layer = make_layer().float()
    inputs = make_inputs().float()
    with layer.gate.tasks(IDS):
        exact = layer(inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = layer(inputs)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)


def test_impossible_requests_are_refused() -> None:
    for field in ("num_tasks", "experts", "rank"):
        arguments = {"num_tasks": TASKS, "experts": EXPERTS, "rank": RANK, field: 0}
        with pytest.raises(RequestError, match=f"{field}: expected a positive number, got 0"):
            attach_moe_lora(make_trunk("scratch"), **arguments)

    trunk = make_trunk("scratch")
    for name, module in list(trunk.named_modules()):
        if isinstance(module, nn.Linear):
            trunk.set_submodule(name, nn.Identity())
    with pytest.raises(RequestError, match="feed-forward linears that MoE-LoRA knows"):
        attach_moe_lora(trunk, TASKS)
