"""Import Sionna without the compiler that two of its decorators load."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

__all__ = ["load_sionna"]


def load_sionna() -> None:
    """Import ``sionna.phy``, if nobody has yet.

    Functions of its receivers are decorated with ``torch.compile`` and ``torch.compiler.disable``, which import torch's
    compiler: seconds of every worker's start for functions that are not used here. The decorators are put off until
    such a function is called.
    """
    if "sionna.phy" in sys.modules:
        return
    import torch

    with (
        mock.patch.object(torch, "compile", _later(torch.compile)),
        mock.patch.object(torch.compiler, "disable", _later(torch.compiler.disable)),
    ):
        import sionna.phy  # noqa: F401


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
