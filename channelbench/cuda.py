"""Whether there is a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from channelbench.errors import RequestError

__all__ = ["has_cuda", "require_cuda"]

DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
"""One of these is there where torch finds a GPU on Linux: NVIDIA's, its boards', Windows' for guests, AMD's."""


def has_cuda() -> bool:
    """Whether torch has a CUDA device. It is not loaded, for a second or two, where there is no driver."""
    if sys.platform == "linux" and "torch" not in sys.modules and not any(Path(driver).exists() for driver in DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def require_cuda(field: str, others: Iterable[str]) -> None:
    """Make sure that torch has a CUDA device.

    Args:
        field: What asked for it.
        others: What may be asked for instead.

    Raises:
        RequestError: there is none on this machine.
    """
    import torch

    if not torch.cuda.is_available():
        raise RequestError(field, expected="a CUDA device that torch can use", got="cuda", choices=others)
