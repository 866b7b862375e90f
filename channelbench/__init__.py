"""channelbench: wireless-channel datasets, and scores on them that anybody can check.

Heavy libraries load on first use: importing this package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from channelbench._version import __version__

if TYPE_CHECKING:
    from channelbench.benchmarks.exhibits import report
    from channelbench.benchmarks.runner import run
    from channelbench.errors import RequestError
    from channelbench.generation import generate, make_spec
    from channelbench.losses import Losses
    from channelbench.models.embed_method import EmbedMethod
    from channelbench.models.torch_method import TorchMethod
    from channelbench.store import open_dataset, verify
    from channelbench.stream import ChannelStream, to_tf_dataset

_HOMES = {
    "ChannelStream": "channelbench.stream",
    "EmbedMethod": "channelbench.models.embed_method",
    "Losses": "channelbench.losses",
    "RequestError": "channelbench.errors",
    "TorchMethod": "channelbench.models.torch_method",
    "generate": "channelbench.generation",
    "make_spec": "channelbench.generation",
    "open_dataset": "channelbench.store",
    "report": "channelbench.benchmarks.exhibits",
    "run": "channelbench.benchmarks.runner",
    "to_tf_dataset": "channelbench.stream",
    "verify": "channelbench.store",
}

__all__ = [
    "ChannelStream",
    "EmbedMethod",
    "Losses",
    "RequestError",
    "TorchMethod",
    "__version__",
    "generate",
    "make_spec",
    "open_dataset",
    "report",
    "run",
    "to_tf_dataset",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
