"""Half precision where the hardware computes in it."""

from __future__ import annotations

from functools import cache

import torch

__all__ = ["half_precision", "has_bfloat16"]


@cache
def has_bfloat16(device_type: str) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32: on a CPU with instructions for them (AVX512-BF16
    or AMX), on a GPU since Ampere."""
    if device_type == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    return device_type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def half_precision(device_type: str, wanted: bool) -> torch.autocast:
    """Autocast to bfloat16 if that is ``wanted`` and gains anything, else a context that changes nothing."""
    return torch.autocast(device_type, dtype=torch.bfloat16, enabled=wanted and has_bfloat16(device_type))
