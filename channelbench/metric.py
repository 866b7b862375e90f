"""Metrics, and the values that pass between tasks, methods and metrics; ``contracts`` has all of it, too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.spec import ScenarioSpec

__all__ = ["Asked", "Genie", "Metric", "Observation", "Target"]


class Observation(ABC):
    """What a contestant may know of a batch of cases, and nothing that tells which cases they are.

    Each kind of problem has its own subclass, by which methods know what they understand.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Cases in the batch."""


@dataclass(frozen=True, kw_only=True)
class Genie:
    """Which samples a batch of cases is made of: what references may know that redraw the rays, and no contestant.

    Attributes:
        spec, seed, split: Of the dataset.
        samples: Positions within the split, ``[cases]``, or ``[cases, samples of a case]``.
    """

    spec: ScenarioSpec
    seed: int
    split: str
    samples: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a prediction is compared with.

    Attributes:
        value: The right answer, ``[cases, …]``, in the form that the task states; empty where there is no single one.
        context: Arrays ``[cases, …]`` that metrics need besides (clean channels, beam rates, path gains).
        constants: Numbers of the training split that metrics need (means, spans).
    """

    value: NDArray[Any]
    context: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A method that answers about one task.

    Attributes:
        answer: What it says of an observation, in the form that the task's ``check`` gives; the target is there for
            that check alone.
        error_variance: As of ``Method``.
    """

    answer: Callable[[Observation, Target], NDArray[Any]]
    error_variance: Callable[[Any], NDArray[Any] | None]


class Metric(ABC):
    """A score as a mean of per-case terms and a function of that mean, so that bootstraps are exact and cheap.

    An instance may have parameters, which are then arguments of its class: they are what ``parameters`` gives, and
    ``card`` follows from them. ``listed`` has the arguments of those that lists show.
    """

    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    listed: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    @property
    @abstractmethod
    def card(self) -> Card:
        """Who it is; a class attribute where there are no parameters."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments that make it anew: JSON values."""
        return {}

    @property
    def path(self) -> str:
        """Where its class is found, ``package.module:Class``."""
        return f"{type(self).__module__}:{type(self).__qualname__}"

    def can_score(self, target: Target) -> bool:
        """Whether targets have what it needs: a dataset may lack what they take from it. It is left out where not."""
        return True

    @abstractmethod
    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        """Per-case terms ``[cases, terms]``; their mean over cases is all that ``finalize`` needs."""

    @abstractmethod
    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores ``[…]`` of mean terms ``[…, terms]``."""

    def exact_interval(self, terms: NDArray[np.float64]) -> tuple[float, float] | None:
        """A 95 % interval for the score of these terms ``[cases, terms]`` that is better than a bootstrap's; ``None``,
        the default, where none is."""
        return None

    def note(self, terms: NDArray[np.float64]) -> str:
        """What a reader has to know of a score of these terms, in a few words; empty by default."""
        return ""

    def least(self, terms: NDArray[np.float64]) -> float | None:
        """Of a score whose decades count, such as an error rate: the least that these terms ``[cases, terms]`` tell
        from 0. Skill is then of ``log10 max(score, least)``. ``None``, the default, where differences count."""
        return None
