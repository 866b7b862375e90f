"""What a fit says of its losses as it goes: numbers for curves, and words for whoever watches."""

from __future__ import annotations

from typing import Any

__all__ = ["Losses"]


class Losses(str):
    """A message of ``FitContext.progress`` that carries numbers: ``progress(done, total, Losses(training=0.42))``.

    What is heard of them becomes the cell's learning curve, see ``results.Training``.

    Args:
        training: Of the batch, or the mean of some, after ``done`` steps.
        validation: The best score so far, lower is better, where there is one.
    """

    training: float
    validation: float | None

    def __new__(cls, training: float, validation: float | None = None) -> Losses:
        words = f"loss {training:.4g}" + ("" if validation is None else f", best validation {validation:.4g}")
        made = super().__new__(cls, words)
        made.training = float(training)
        made.validation = None if validation is None else float(validation)
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:  # what a copy is made of, which goes from process to process
        return self.training, self.validation
