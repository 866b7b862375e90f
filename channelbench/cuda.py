"""Whether there is a GPU."""

from __future__ import annotations

from collections.abc import Iterable

from channelbench.errors import RequestError

__all__ = ["require_cuda"]


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
