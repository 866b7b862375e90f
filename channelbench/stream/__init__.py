"""Streaming a dataset through training: shuffled, larger than memory, resumable, for PyTorch and TensorFlow.

`plan` says which rows come when and reads nothing; `reader` reads them ahead of the consumer, past Zarr where `direct`
can; `torch` and `tensorflow` hand the same batches to either library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channelbench.stream.tensorflow import to_tf_dataset
    from channelbench.stream.torch import ChannelStream

_HOMES = {"ChannelStream": "channelbench.stream.torch", "to_tf_dataset": "channelbench.stream.tensorflow"}

__all__ = ["ChannelStream", "to_tf_dataset"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
