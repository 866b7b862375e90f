"""Weights in four bits: blocks of 64 weights share a scale, the largest absolute value among them.

NF4 has the sixteen levels of QLoRA (Dettmers et al. 2023, appendix E), quantiles of the normal distribution, where
uniform levels of ``round((2⁴ − 1) F(W))`` are the alternative. Two weights lie in a byte, as in bitsandbytes, whose
codes and scales these are. Double quantisation stores scales as 8-bit integers by blocks of 256, less their mean
(QLoRA, section 3, which has an 8-bit float there).

Divisions and comparisons are float32 as IEEE 754 has it, so that a CPU and a GPU give the same codes and scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from channelbench.errors import RequestError

__all__ = ["LEVELS", "DoubleScales", "NF4Tensor", "dequantise", "quantise", "stored_bytes"]

BLOCK = 64
SCALE_BLOCK = 256

_NORMAL = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
LEVELS: dict[str, tuple[float, ...]] = {"nf4": _NORMAL, "q4": tuple(step / 7.5 - 1 for step in range(16))}
"""What the codes 0 to 15 stand for, by kind; a block's scale multiplies them."""


@dataclass(frozen=True)
class DoubleScales:
    """Scales ``offset + steps · scale of their block``.

    Attributes:
        steps: From −127 to 127, ``[blocks]``, int8.
        scales: Of a step, per ``SCALE_BLOCK`` of them, float32.
        offset: Mean of the scales, ``[]``, float32.
    """

    steps: Tensor
    scales: Tensor
    offset: Tensor


@dataclass(frozen=True)
class NF4Tensor:
    """A tensor in four bits.

    Attributes:
        codes: Two a byte, the first in the upper half, ``[⌈weights/2⌉]``, uint8.
        scales: Of each block of ``BLOCK`` weights in row-major order, ``[blocks]``, float32, or twice quantised.
        shape: Of the tensor.
        kind: Which of ``LEVELS`` the codes are.
    """

    codes: Tensor
    scales: Tensor | DoubleScales
    shape: torch.Size
    kind: str = "nf4"


def quantise(w: Tensor, *, kind: str = "nf4", double: bool = False) -> NF4Tensor:
    """Each weight as the nearest of 16 levels times the largest absolute value in its block.

    Args:
        w: Finite, of any shape and floating type, on any device, where the result is, too.
        kind: ``nf4``, or ``q4`` for uniform levels.
        double: Whether scales are quantised, too; codes are chosen before.

    Raises:
        RequestError: ``kind`` is not in ``LEVELS``.
    """
    middles = _middles(kind, w.device)
    flat = _padded(w.detach().reshape(-1).float(), BLOCK)
    scales = flat.abs().amax(dim=1)
    normalised = flat / torch.where(scales > 0, scales, 1)[:, None]
    codes = torch.bucketize(normalised, middles).to(torch.uint8).reshape(-1, 2)
    packed = (codes[:, 0] << 4 | codes[:, 1])[: (w.numel() + 1) // 2].clone()
    return NF4Tensor(codes=packed, scales=_twice(scales) if double else scales, shape=w.shape, kind=kind)


def dequantise(quantised: NF4Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The tensor that the codes stand for, of its shape."""
    codes, scales = quantised.codes, quantised.scales
    if isinstance(scales, DoubleScales):
        steps = _padded(scales.steps.float(), SCALE_BLOCK) * scales.scales[:, None]
        scales = steps.reshape(-1)[: len(scales.steps)] + scales.offset
    levels = torch.tensor(LEVELS[quantised.kind], device=codes.device)
    values = levels[torch.stack([codes >> 4, codes & 15], dim=1).long()].reshape(-1)
    weights = (_padded(values, BLOCK) * scales[:, None]).reshape(-1)
    return weights[: quantised.shape.numel()].reshape(quantised.shape).to(dtype)


def stored_bytes(quantised: NF4Tensor) -> int:
    """Of codes and scales; the same weights take 2 bytes each in fp16."""
    scales = quantised.scales
    stored = [scales] if isinstance(scales, Tensor) else [scales.steps, scales.scales, scales.offset]
    return sum(part.numel() * part.element_size() for part in (quantised.codes, *stored))


def _middles(kind: str, device: torch.device) -> Tensor:
    """Halfway between neighbouring levels; what lies there goes to the lower one."""
    if kind not in LEVELS:
        raise RequestError("quantisation", expected="one of the choices", got=kind, choices=LEVELS)
    levels = torch.tensor(LEVELS[kind], dtype=torch.float64)
    return ((levels[1:] + levels[:-1]) / 2).float().to(device)


def _padded(flat: Tensor, block: int) -> Tensor:
    """With zeros at the end, ``[blocks, block]``."""
    return torch.nn.functional.pad(flat, (0, -len(flat) % block)).reshape(-1, block)


def _twice(scales: Tensor) -> DoubleScales:
    # The order of a sum differs between devices: in float64 that is lost when the mean is rounded.
    offset = scales.double().mean().float() if len(scales) else scales.new_zeros(())
    rest = _padded(scales - offset, SCALE_BLOCK)
    size = rest.abs().amax(dim=1) / 127
    steps = torch.round(rest / torch.where(size > 0, size, 1)[:, None])
    return DoubleScales(steps=steps.reshape(-1)[: len(scales)].to(torch.int8), scales=size, offset=offset)
