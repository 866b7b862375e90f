"""Linears whose weights are stored in four bits and dequantised whenever they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from channelbench.solvers.nf4 import NF4Tensor, dequantise, quantise, stored_bytes

__all__ = ["PackedLinear", "base_weight", "is_linear", "packed"]


class PackedLinear(nn.Module):
    """``y = W x + b`` with W in four bits.

    Codes and scales are all that is kept of W between calls, in training too: the backward pass dequantises again. They
    are no parameters and are not saved with checkpoints; whoever loads one builds them as before, from the same trunk.

    Args:
        parts: W by rows, each ``[rows, d_in]``.
        bias: Of the linear that it takes the place of; frozen.
    """

    bias: nn.Parameter | None

    def __init__(self, parts: Sequence[NF4Tensor], bias: torch.Tensor | None) -> None:
        super().__init__()
        self._kinds = [(part.shape, part.kind) for part in parts]
        for index, part in enumerate(parts):
            assert isinstance(part.scales, torch.Tensor)
            self.register_buffer(f"codes{index}", part.codes, persistent=False)
            self.register_buffer(f"scales{index}", part.scales, persistent=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)

    @property
    def parts(self) -> list[NF4Tensor]:
        """W by rows."""
        return [
            NF4Tensor(getattr(self, f"codes{index}"), getattr(self, f"scales{index}"), shape, kind)
            for index, (shape, kind) in enumerate(self._kinds)
        ]

    @property
    def num_weights(self) -> int:
        """Weights that the codes stand for."""
        return sum(shape.numel() for shape, _ in self._kinds)

    @property
    def stored_bytes(self) -> int:
        """Of codes and scales."""
        return sum(stored_bytes(part) for part in self.parts)

    def dense(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """W, ``[d_out, d_in]``."""
        return torch.cat([dequantise(part, dtype) for part in self.parts])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """``[…, d_in]`` to ``[…, d_out]``."""
        kind = inputs.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else inputs.dtype
        output: torch.Tensor = _Product.apply(inputs.to(dtype), self)
        return output if self.bias is None else output + self.bias.to(dtype)


class _Product(torch.autograd.Function):
    """``x Wᵀ`` that keeps nothing of W for the backward pass but its codes."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, layer: PackedLinear) -> torch.Tensor:
        ctx.layer = layer
        return functional.linear(inputs, layer.dense(inputs.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.dense(gradient.dtype), None


def packed(base: nn.Module, kind: str, rows: Sequence[int] = ()) -> PackedLinear:
    """A linear in four bits, each part of so many ``rows`` quantised by itself (all at once by default)."""
    weight = base_weight(base)
    parts = weight.split(list(rows) or [len(weight)])
    return PackedLinear([quantise(part, kind=kind) for part in parts], base.bias)  # type: ignore[arg-type]


def is_linear(module: nn.Module) -> bool:
    """Whether it is a linear of torch, or the ``Conv1D`` of GPT-2; that one by its name, so that a trunk without
    transformers does not import them."""
    return isinstance(module, nn.Linear) or _is_transposed(module)


def base_weight(module: nn.Module) -> torch.Tensor:
    """W, ``[d_out, d_in]``, however it is stored."""
    if isinstance(module, PackedLinear):
        return module.dense()
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.t() if _is_transposed(module) else weight


def _is_transposed(module: nn.Module) -> bool:
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")
