"""Import Sionna without what it loads for functions that are not used here."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

__all__ = ["load_sionna"]

PYPLOT = "matplotlib.pyplot"


def load_sionna() -> None:
    """Import ``sionna.phy``, if nobody has yet.

    Functions of its receivers are decorated with ``torch.compile`` and ``torch.compiler.disable``, which import torch's
    compiler: seconds of every worker's start for functions that are not used here. The decorators are put off until
    such a function is called, and pyplot until somebody plots.
    """
    if "sionna.phy" in sys.modules:
        return
    import torch

    with (
        mock.patch.object(torch, "compile", _later(torch.compile)),
        mock.patch.object(torch.compiler, "disable", _later(torch.compiler.disable)),
        _without_pyplot(),
    ):
        import sionna.phy  # noqa: F401


@contextmanager
def _without_pyplot() -> Iterator[None]:
    if PYPLOT in sys.modules:
        yield
        return
    sys.modules[PYPLOT] = _Pyplot(PYPLOT)
    try:
        yield
    finally:
        del sys.modules[PYPLOT]


class _Pyplot(ModuleType):
    """In pyplot's place until it is asked for something other than the types of annotations."""

    def __getattr__(self, name: str) -> Any:
        if name in ("Figure", "Axes"):
            return f"{PYPLOT}.{name}"
        return getattr(importlib.import_module(PYPLOT), name)


def _later(compiler: Callable[..., Any]) -> Callable[..., Any]:
    def decorator(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is None:
            return functools.partial(decorator, **options)
        compiled = functools.cache(lambda: compiler(function, **options))

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            return compiled()(*arguments, **keywords)

        return call

    return decorator
