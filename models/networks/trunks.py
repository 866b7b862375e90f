"""Which trunk a language-model method runs on: the backbone that was asked for, or one of its controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from channelbench.contracts import FitContext
from channelbench.models.networks.backbones import Backbone, Trainable, load_backbone, scratch_width
from channelbench.presets import preset_of

__all__ = ["TrunkKind", "build_on_trunk", "trained", "trunk_layers"]

TrunkKind = Literal["pretrained", "random", "none", "scratch"]


def trunk_layers(preset: str) -> int:
    """How many of a backbone's layers are used: six, as LLM4CP and LLM4WM use of GPT-2, or three in a narrow preset."""
    return 3 if preset_of(preset).is_narrow else 6


def trained(module: nn.Module) -> int:
    """Parameters that require gradients."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def build_on_trunk(
    kind: TrunkKind,
    build: Callable[[Backbone], nn.Module],
    *,
    context: FitContext,
    trainable: Trainable = "none",
    words: bool = False,
) -> nn.Module:
    """A network built on its trunk.

    Args:
        kind: ``pretrained``: ``context.backbone`` itself; ``random``: its shape with random weights; ``none``: no
            trunk, embeddings of the same width; ``scratch``: an encoder that is trained as a whole, as wide as it takes
            to train as many parameters as the network on the pretrained trunk does (within 5 %).
        build: Makes the network around a trunk; for ``scratch`` also around others and on torch's meta device, to count
            parameters: those that require gradients once it returns.
        context: Preset, backbone, and seed of random weights.
        trainable: What is trained of a language model's own weights.
        words: Whether a language model keeps its vocabulary beside it.

    Raises:
        RequestError: the backbone cannot be had.
    """
    name, layers = context.backbone, trunk_layers(context.preset)
    if kind == "pretrained":
        return build(load_backbone(name, layers=layers, seed=context.seed, trainable=trainable, words=words))
    stand_in = f"random:{name.removeprefix('random:')}"
    if kind == "random":
        return build(load_backbone(stand_in, layers=layers, seed=context.seed, trainable=trainable, words=words))
    if kind == "none":
        return build(load_backbone("none", width=load_backbone(stand_in, layers=1).width))
    whole = trained(build(load_backbone(stand_in, layers=layers, trainable=trainable)))

    def outside(width: int) -> int:
        with torch.device("meta"):
            return trained(build(load_backbone("none", width=width)))

    return build(load_backbone("scratch", width=scratch_width(whole, outside=outside), seed=context.seed))
