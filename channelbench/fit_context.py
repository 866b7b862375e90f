"""What a fit is told besides its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from channelbench.presets import DEFAULT_PRESET

__all__ = ["FitContext"]


@dataclass(frozen=True, kw_only=True)
class FitContext:
    """What a fit may use besides data.

    Attributes:
        seed: Of whatever the method draws.
        preset: One of ``channelbench.presets``: how large and how long to train.
        device: A torch device name.
        workdir: A folder for checkpoints, empty or holding those of the same interrupted fit; ``None`` keeps nothing.
        data: Digest of the dataset and its seed, which tells fits apart and gives away neither.
        progress: Called with (done steps, all steps, message) now and then: a fit that is silent for longer than
            ``--timeout`` is taken for one that hangs.
        backbone: The language model that methods of family ``llm`` are built on: ``minilm``, ``gpt2``, a hub name, a
            local folder, or ``random:NAME`` for the same shape with random weights.
        start: The ``workdir`` of a finished fit whose weights to start from, instead of random ones.
        code: Digest of the code that fits, see ``channelbench.code``; empty where it is not known.
    """

    seed: int = 0
    preset: str = DEFAULT_PRESET
    device: str = "cpu"
    workdir: Path | None = None
    data: str = ""
    backbone: str = "minilm"
    start: Path | None = None
    code: str = ""
    progress: Callable[[int, int, str], None] = lambda done, total, message: None
