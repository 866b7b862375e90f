"""The presets: how many samples, how long and how wide to train, how many seeds, how long to wait.

Everything that a preset decides stands in this table, and its name is checked here alone. Nothing heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from channelbench.errors import RequestError

__all__ = [
    "DEFAULT_PRESET",
    "MAX_GRAD_NORM",
    "PRESETS",
    "PUBLIC_PRESETS",
    "Budget",
    "Preset",
    "preset_of",
    "preset_words",
]
__all__ += ["training_words"]

DEFAULT_PRESET = "quick"

MAX_GRAD_NORM = 1.0
"""What the gradients of learned methods are clipped to, in every preset."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a learned method trains, the same for all of them.

    Attributes:
        batch_size: Samples a step and task.
        steps: Optimiser steps, or 0 where ``epochs`` counts.
        epochs: Passes over the training split.
        validations: How often the validation split is scored on the way.
        peak_rate, floor_rate: Largest and smallest learning rate.
        warmup: Share of the steps in which the rate rises linearly from ``floor_rate`` to ``peak_rate``.
        cycle: Share of the steps of one cosine descent after that; 0 for a single one to the end.
        weight_decay: Decoupled (AdamW); 0 makes it plain Adam.
    """

    batch_size: int
    steps: int = 0
    epochs: int = 0
    validations: int
    peak_rate: float = 1e-3
    floor_rate: float = 1e-5
    warmup: float = 0.1
    cycle: float = 0.0
    weight_decay: float = 0.0

    def total_steps(self, num_samples: int, *, goes_on: bool = False) -> int:
        """Steps of a fit on ``num_samples`` samples; the last, smaller batch of an epoch is left out. One that goes on
        from the weights of another fit has a quarter of them."""
        steps = self.steps or self.epochs * max(1, num_samples // self.batch_size)
        return max(1, steps // 4) if goes_on else steps

    def learning_rate(self, step: int, total: int) -> float:
        """Linear warm-up, then cosine descent, begun anew each ``cycle`` where there is one."""
        warm = max(1, round(self.warmup * total))
        span = self.peak_rate - self.floor_rate
        if step < warm:
            return self.floor_rate + span * (step + 1) / warm
        period = max(1, round(self.cycle * total)) if self.cycle else max(1, total - warm)
        return self.floor_rate + span * (1 + math.cos(math.pi * ((step - warm) % period) / period)) / 2


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One line of the table.

    Attributes:
        name: As commands, specs' makers and result cells have it.
        sizes: Samples of a generated dataset, ``(train, val, test)``; none for a preset that only trains.
        system_sizes: ``{system: sizes}`` of systems that have others.
        budget: How long networks train.
        width: How wide networks are: ``narrow``, to be quick; ``published``; or ``medium``, which is as published but
            for networks that would take seconds for a step on two cores.
        prompt_tokens: Tokens of an instruction in words, at most: each costs as much as one of data.
        seeds: Seeds of learned methods, where a suite has no number of its own.
        silence_s: Seconds without a sign of progress after which a job of a run is given up.
        caution: What the leaderboard says of such scores.
        public: Whether users may ask for it; the others are for tests of whether a method runs.
    """

    name: str
    sizes: tuple[int, int, int] = (0, 0, 0)
    system_sizes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    budget: Budget
    width: Literal["narrow", "medium", "published"]
    prompt_tokens: int = 16
    seeds: int
    silence_s: float
    caution: str = ""
    public: bool = True

    @property
    def is_narrow(self) -> bool:
        """Whether all networks are narrower than the published ones."""
        return self.width == "narrow"

    def sizes_of(self, system: str) -> tuple[int, int, int]:
        """Samples of a dataset of a system, ``(train, val, test)``."""
        return self.system_sizes.get(system, self.sizes)


_LINES = (
    Preset(
        name="smoke",
        budget=Budget(batch_size=16, steps=4, validations=2, peak_rate=3e-3, weight_decay=1e-2),
        width="narrow",
        seeds=1,
        silence_s=600.0,
        public=False,
    ),
    Preset(
        name="quick",
        sizes=(2000, 400, 600),
        budget=Budget(batch_size=32, steps=120, validations=3, peak_rate=3e-3, weight_decay=1e-2),
        width="narrow",
        seeds=1,
        silence_s=600.0,
        caution="short trainings that show that everything runs; read rankings from standard on",
    ),
    Preset(
        name="standard",
        sizes=(4000, 800, 1200),
        budget=Budget(batch_size=32, steps=800, validations=8, peak_rate=2e-3, weight_decay=1e-2),
        width="medium",
        seeds=3,
        silence_s=3600.0,
    ),
    Preset(
        name="paper",
        sizes=(15000, 1600, 3400),
        system_sizes={"multiuser": (48000, 2000, 10000)},
        # LLM4WM Table III and section V-A3: 250 epochs, warm-up over 50, cosine with a period of 100, Adam.
        budget=Budget(batch_size=512, epochs=250, validations=50, warmup=50 / 250, cycle=100 / 250),
        width="published",
        prompt_tokens=128,
        seeds=3,
        silence_s=6 * 3600.0,
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _LINES})
"""By name, the shortest first."""

PUBLIC_PRESETS = tuple(preset.name for preset in _LINES if preset.public)
"""The names that users may ask for."""


def preset_of(name: str, *, public: bool = False) -> Preset:
    """The preset called ``name``; ``public`` refuses those that are for tests.

    Raises:
        RequestError: there is none.
    """
    found = PRESETS.get(name)
    if found is None or (public and not found.public):
        raise RequestError("preset", expected="a known preset", got=name, choices=PUBLIC_PRESETS)
    return found


def preset_words() -> str:
    """``quick, standard or paper``."""
    return f"{', '.join(PUBLIC_PRESETS[:-1])} or {PUBLIC_PRESETS[-1]}"


def training_words(name: str) -> str:
    """How learned methods are trained at a preset: optimiser, clipping, batch, length, rates, which weights are kept.

    Raises:
        RequestError: there is no such preset.
    """
    budget = preset_of(name).budget
    decay = f"W with a weight decay of {budget.weight_decay:g} (none of vectors)" if budget.weight_decay else ""
    length = f"{budget.steps} steps" if budget.steps else f"{budget.epochs} epochs"
    cycle = f" that begins anew after {budget.cycle:.0%} of them" if budget.cycle else ""
    return (
        f"Adam{decay}, gradients clipped to a norm of {MAX_GRAD_NORM:g}; {length} in batches of {budget.batch_size} "
        f"per task; the rate rises from {budget.floor_rate:g} to {budget.peak_rate:g} in {budget.warmup:.0%} of them "
        f"and falls by a cosine{cycle}; of {budget.validations} looks at the validation split the best is kept"
    )
