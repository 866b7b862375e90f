"""Drawing in one thread, one block after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any

__all__ = ["single_threaded"]

_ONE_AT_A_TIME = Lock()
"""Sionna's random generator and the thread counts are the process's: blocks are drawn one after the other."""


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread in torch and in BLAS: bytes must not depend on how many there are, and workers are processes."""
    import torch

    with _ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with _libraries().limit(limits=1):
                yield
        finally:
            torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _libraries() -> Any:
    """The thread pools to limit. To find them takes milliseconds, as much as to draw some samples."""
    from threadpoolctl import ThreadpoolController

    import channelbench.generators.evaluate.compiled  # noqa: F401 - loads the BLAS that is to be limited

    return ThreadpoolController()
