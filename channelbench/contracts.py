"""The contracts that scenarios, tasks, metrics and methods fulfil, and the values that pass between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from channelbench.card import Card
from channelbench.errors import RequestError
from channelbench.generator import Block, Generator, Paths
from channelbench.spec import ScenarioSpec

if TYPE_CHECKING:
    from channelbench.store.dataset import ChannelDataset

__all__ = [
    "Block",
    "Conditions",
    "FitContext",
    "Generator",
    "Grid",
    "Method",
    "Metric",
    "Observation",
    "Paths",
    "Suite",
    "Target",
    "Task",
    "TaskSplit",
]


# --- tasks ---


class Conditions(BaseModel):
    """What may be varied about an observation. See docs/protocol.md. They change the test only; a fit is reused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    snr_db: float = Field(10.0, ge=-50, le=100)
    snr_reference: Literal["sample", "set"] = "sample"
    paper_compat: bool = False
    pilot_spacing: int = Field(8, ge=1)
    pilots_only: bool = False

    TRAIN_SNR_DB: ClassVar[tuple[float, float]] = (5.0, 20.0)

    @property
    def effective_snr_reference(self) -> str:
        """``paper_compat`` implies the set's mean power as reference."""
        return "set" if self.paper_compat else self.snr_reference

    @property
    def label(self) -> str:
        """The fields that differ from the defaults, e.g. ``snr_db=0,paper_compat=true``; else ``default``."""
        changed = {k: v for k, v in self.model_dump().items() if v != type(self).model_fields[k].default}
        return ",".join(f"{k}={str(v).lower() if isinstance(v, bool) else _plain(v)}" for k, v in changed.items()) or (
            "default"
        )

    @property
    def changes_training(self) -> bool:
        """Whether the shape of the observation changes, so that a fit under other conditions cannot be reused."""
        return self.pilot_spacing != 8 or self.pilots_only


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the observed and the wanted channel coefficients lie.

    Attributes:
        carrier_hz: Carrier of the observed band, Hz.
        subcarrier_hz: Observed subcarriers, absolute Hz, ``[observed subcarriers]``.
        slot_s: Observed slots, s, ``[observed slots]``.
        antenna_position: Element positions in carrier wavelengths, ``[antennas, 3]``.
        target_subcarrier_hz, target_slot_s: The same for the target of a channel task; empty otherwise.
        num_beams: Size of the mmWave DFT codebook (BF), else 0.
        num_beam_antennas: Elements of the mmWave array (BF), else 0.
    """

    carrier_hz: float
    subcarrier_hz: NDArray[np.float64]
    slot_s: NDArray[np.float64]
    antenna_position: NDArray[np.float64]
    target_subcarrier_hz: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    target_slot_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    num_beams: int = 0
    num_beam_antennas: int = 0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a method sees of a batch.

    Attributes:
        h: Noisy channel coefficients, ``[batch, slots, subcarriers, antennas]``, complex64.
        noise_var: Variance of the complex noise on each coefficient of ``h``, ``[batch]``, float32.
        power_db: 10·log10 of the mean of ``|h|²`` per sample, ``[batch]``, float32.
        grid: Where the coefficients lie.
        spec, seed, split, indices: Which samples these are (positions within the split), for reference lines that
            redraw a sample's rays; a contestant that uses them is no contestant.
    """

    h: NDArray[np.complex64]
    noise_var: NDArray[np.float32]
    grid: Grid
    spec: ScenarioSpec
    seed: int
    split: str
    indices: NDArray[np.int64]

    @property
    def power_db(self) -> NDArray[np.float32]:
        power = np.mean(np.abs(self.h) ** 2, axis=(1, 2, 3), dtype=np.float64)
        return (10 * np.log10(np.maximum(power, 1e-30))).astype(np.float32)

    def __len__(self) -> int:
        return len(self.h)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a prediction is compared with.

    Attributes:
        value: ``[batch, slots, subcarriers, antennas]`` complex64 for a channel task, ``[batch]`` int64 (beam) or
            float32 (scalar) otherwise.
        context: Per-sample arrays that metrics need besides the value (clean channels, beam rates, path gains).
        constants: Numbers of the training split that metrics need (means, spans).
    """

    value: NDArray[Any]
    context: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)


class Metric(ABC):
    """A score as a mean of per-sample terms and a function of that mean, so that bootstraps are exact and cheap."""

    card: ClassVar[Card]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False

    @abstractmethod
    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        """Per-sample terms ``[batch, terms]``; their mean over samples is all that ``finalize`` needs."""

    @abstractmethod
    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores ``[...]`` of mean terms ``[..., terms]``."""


class Task(ABC):
    """Cuts observations and targets from a dataset: the same draws for every method and batch size."""

    card: ClassVar[Card]
    kind: ClassVar[Literal["channel", "beam", "scalar"]]
    """What a prediction is: channel coefficients like ``target.value``, a score per beam ``[batch, beams]``, or one
    number per sample ``[batch]``."""
    metrics: ClassVar[tuple[Metric, ...]]
    """All its metrics; the first is the primary one."""
    ceiling_note: ClassVar[str] = "the target itself"

    @abstractmethod
    def observe(
        self,
        dataset: ChannelDataset,
        split: str,
        indices: NDArray[np.int64],
        conditions: Conditions,
        *,
        training: bool = False,
        epoch: int = 0,
    ) -> tuple[Observation, Target]:
        """Observation and target of ``indices`` (positions within ``split``).

        ``training`` draws each sample's SNR uniformly from 5–20 dB and new noise each ``epoch``, and leaves targets
        clean whatever the conditions say.
        """

    @abstractmethod
    def ceiling(self, target: Target) -> NDArray[Any]:
        """The prediction that no method can beat."""

    def supports(self, spec: ScenarioSpec) -> bool:
        """Whether the task can be cut from datasets of ``spec``."""
        return True

    @property
    def primary(self) -> Metric:
        return self.metrics[0]


@dataclass(frozen=True)
class TaskSplit:
    """One task on one split of a dataset, as methods receive it for fitting.

    ``limit`` leaves the first so many samples of the split; one that the split does not have is a ``RequestError``.
    """

    task: Task
    dataset: ChannelDataset
    split: str
    conditions: Conditions
    limit: int | None = None

    def __post_init__(self) -> None:
        size = self.dataset.spec.sizes.of(self.split)
        if self.limit is not None and not 1 <= self.limit <= size:
            raise RequestError("limit", expected=f"from 1 to the {size} samples of {self.split}", got=self.limit)

    def __len__(self) -> int:
        return self.dataset.spec.sizes.of(self.split) if self.limit is None else self.limit

    def observe(
        self, indices: NDArray[np.int64] | Sequence[int] | None = None, *, epoch: int = 0
    ) -> tuple[Observation, Target]:
        """Training-condition observation and clean target of ``indices`` (all by default) in ``epoch``; an index that
        is negative or not below ``len(self)`` is an ``IndexError``."""
        chosen = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(f"indices {chosen.min()} to {chosen.max()} are not within {len(self)} samples")
        return self.task.observe(self.dataset, self.split, chosen, self.conditions, training=True, epoch=epoch)


# --- methods ---


@dataclass(frozen=True, kw_only=True)
class FitContext:
    """What a fit may use besides data.

    Attributes:
        preset: ``quick``, ``standard`` or ``paper``: how large and how long to train.
        device: A torch device name.
        workdir: A folder for checkpoints, empty or holding those of the same interrupted fit; ``None`` keeps nothing.
        progress: Called with (done steps, all steps, message) now and then.
        backbone: The language model that methods of family ``llm`` are built on: ``minilm``, ``gpt2``, a hub name, a
            local folder, or ``random:NAME`` for the same shape with random weights.
        start: The ``workdir`` of a finished fit whose weights to start from, instead of random ones.
    """

    preset: str = "quick"
    device: str = "cpu"
    workdir: Path | None = None
    backbone: str = "minilm"
    start: Path | None = None
    progress: Callable[[int, int, str], None] = lambda done, total, message: None


class Method(ABC):
    """Anything that predicts: a trivial answer, a formula, a network.

    A class with ``joint = False`` is fitted once per task, so that what fails on one task costs no other; one with
    ``joint = True`` once for all its tasks.
    """

    card: ClassVar[Card]
    joint: ClassVar[bool] = False
    learned: ClassVar[bool] = False
    """Whether the seed changes the result, so that several seeds are run."""
    variants: ClassVar[tuple[str, ...]] = ()
    """The options that ``variant`` takes, for lists and error messages; ``rankN`` stands for a number after a word."""

    @classmethod
    def variant(cls, options: tuple[str, ...]) -> type[Method]:
        """The class that ``<name>+<option>+…`` stands for, whose card has that name.

        Raises:
            RequestError: an option that is not among ``variants``, or options that exclude each other.
        """
        raise RequestError("method", expected="a method without options", got="+".join((cls.card.name, *options)))

    @classmethod
    def check(cls, context: FitContext) -> None:
        """Whether what a fit needs besides data (a backbone's weights) can be had. Nothing is needed by default.

        Raises:
            RequestError: what is missing, and how to get it. It is raised before a run writes anything.
        """
        return

    def fit(
        self,
        data: Mapping[str, tuple[TaskSplit, TaskSplit]],
        seed: int,
        context: FitContext = FitContext(),
    ) -> None:
        """Learn from ``{task name: (training split, validation split)}``. Nothing to do by default."""
        return

    @abstractmethod
    def predict(self, task: str, observation: Observation) -> NDArray[Any]:
        """The prediction that the task's ``kind`` asks for, one row per observed sample."""

    @property
    def weights(self) -> str:
        """Which backbone weights a fitted method used, in words: the name of trained ones, that they are random, that
        there is no trunk; empty for a method that has no use for a backbone."""
        return ""

    def costs(self, task: str) -> dict[str, float]:
        """Cost figures: ``trainable_parameters``, ``total_parameters``, ``flops_per_sample`` where they exist."""
        return {"trainable_parameters": 0, "total_parameters": 0}


# --- suites ---


class Suite(BaseModel):
    """Names of tasks, methods and conditions that are run together. Strings and numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: Card
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    conditions: tuple[Conditions, ...] = (Conditions(),)
    scenario: str = "uma"
    bundles: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Named sets of methods that together cover the tasks, as the papers' tables combine them."""
    seeds: Mapping[str, int] = Field(default_factory=lambda: {"quick": 1, "standard": 3, "paper": 3})
    targets: Mapping[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")], Mapping[str, str]] = Field(
        default_factory=dict
    )
    """Datasets that the fits are transferred to, by name: what differs from the source's spec, as ``--set`` takes it,
    e.g. ``{"rma-1.9": {"scenario": "rma"}, "uma-2.4": {"sub6.carrier_hz": "2.4e9"}}``."""
    share: float = Field(0.1, gt=0, le=1)
    """Share of a target's training and validation splits that a transferred fit sees."""
