"""A language model small enough for tests."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["small_backbone"]

CONFIG = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "vocab_size": 20,
}


@cache
def small_backbone() -> str:
    """What to pass as backbone: three layers of width 32 with random weights, which every machine has."""
    folder = Path(tempfile.mkdtemp(prefix="channelbench-small-bert-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return f"random:{folder}"
