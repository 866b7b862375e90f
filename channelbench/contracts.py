"""The contracts that tasks, metrics and methods fulfil, and the values that pass between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.conditions import Conditions
from channelbench.errors import RequestError
from channelbench.fit_context import FitContext
from channelbench.metric import Asked, Genie, Metric, Observation, Target
from channelbench.predictions import Kept
from channelbench.results import Training
from channelbench.spec import ScenarioSpec
from channelbench.store.dataset import SplitView

__all__ = ["Asked", "FitContext", "FitData", "Genie", "GenieMethod", "Method", "Metric", "Observation"]
__all__ += ["Target", "Task", "TaskSplit"]


# --- tasks ---


class Task(ABC):
    """A problem: which cases a dataset has for it, what is seen of them, what is wanted, and how answers are scored.

    It owns its shapes: the type of its observations, its conditions, what it accepts as an answer.
    """

    card: ClassVar[Card]
    observation: ClassVar[type[Observation]]
    """The type of its observations: methods that understand it can answer."""
    conditions: ClassVar[type[Conditions]] = Conditions
    metrics: ClassVar[tuple[Metric, ...]]
    """The first is the primary one."""
    loss: ClassVar[str] = ""
    """What a fit should minimise: ``nmse``, ``cross_entropy``, ``absolute``, ``squared``, or a word of the task's own
    that methods which understand its observations know."""
    ceiling_note: ClassVar[str] = ""
    """What its ceiling is, in words; empty where it has none, and then no skill."""

    @abstractmethod
    def observe(
        self, view: SplitView, cases: NDArray[np.int64], conditions: Any, *, epoch: int | None = None
    ) -> tuple[Observation, Target]:
        """Observation and target of ``cases``: the same draws for every method and batch size.

        Args:
            view: The split.
            cases: Positions below ``size``, ``[batch]``.
            conditions: Of this task's model.
            epoch: Of training, in which draws are new each epoch; ``None`` for a test.
        """

    @abstractmethod
    def check(self, prediction: Any, observation: Observation, target: Target) -> NDArray[Any]:
        """The prediction as an array; see ``prediction.as_numbers``.

        Raises:
            InvalidPrediction: saying what is wrong with it.
        """

    def ceiling(self, target: Target) -> NDArray[Any] | None:
        """The prediction that no method can beat; ``None`` where no prediction reaches the ceiling."""
        return None

    def ceiling_terms(self, metric: Metric, target: Target) -> NDArray[np.float64] | None:
        """Terms of what no method can beat, as ``metric.accumulate`` has them: those of ``ceiling``, or a bound that is
        no prediction; ``None`` where none is known for this metric."""
        best = self.ceiling(target)
        return None if best is None else metric.accumulate(best, target)

    def same_answers(self, prediction: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether two predictions, as ``check`` gives them, answer each case alike, ``[cases]``. By default where all
        their numbers are equal; a task that reads less than the numbers off a prediction, such as a choice, says so."""
        return np.equal(prediction, other).reshape(len(prediction), -1).all(axis=1)

    def supports(self, spec: ScenarioSpec) -> bool:
        """Whether the task can be cut from datasets of ``spec``."""
        return True

    def lacks(self, variables: Collection[str], conditions: Any) -> list[str]:
        """Variables that it cannot do without under these conditions and a dataset of these variables does not have;
        by default it needs none that a source may leave out."""
        return []

    def default_conditions(self, spec: ScenarioSpec) -> Conditions:
        """The conditions on datasets of ``spec`` where nobody asks for others."""
        return self.conditions()

    def check_conditions(self, spec: ScenarioSpec, conditions: Any) -> None:
        """Whether these conditions can be had on datasets of ``spec``.

        Raises:
            RequestError: why they cannot.
        """
        return

    def size(self, spec: ScenarioSpec, split: str, conditions: Any) -> int:
        """Cases of a split: its samples, unless a task makes its cases of several."""
        return spec.sizes.of(split)

    def samples(self, view: SplitView, cases: NDArray[np.int64], conditions: Any) -> NDArray[np.int64]:
        """Positions within the split of the samples that make up the cases, ``[cases]`` or ``[cases, members]``."""
        return cases

    def drops(self, view: SplitView, cases: NDArray[np.int64], conditions: Any) -> NDArray[np.int64]:
        """The independent unit that each case belongs to, ``[cases]``: intervals resample units. By default the drop
        of the case's first sample."""
        samples = self.samples(view, cases, conditions).reshape(len(cases), -1)
        return view.array("drop")[samples[:, 0]]

    def strata(self, view: SplitView, cases: NDArray[np.int64], conditions: Any) -> dict[str, NDArray[np.float64]]:
        """Numbers by which an exhibit may group the cases, such as a speed, ``{stratum: [cases]}``; they are stored
        beside the terms. None by default."""
        return {}

    def kept(self, prediction: NDArray[Any], error_var: NDArray[Any] | None) -> Mapping[str, NDArray[Any]]:
        """What later stages of an experiment may want to read of a prediction, and of the variance of its errors where
        the method knows it, by name, ``[cases, …]``: nothing by default. It is stored as the artefact
        ``predictions.KEPT`` of the cell."""
        return {}

    def reads(self, conditions: Any) -> Kept | None:
        """Whose kept prediction these conditions are about; ``None``, the default, of none."""
        return None

    def secondary(
        self,
        view: SplitView,
        cases: NDArray[np.int64],
        conditions: Any,
        prediction: NDArray[Any],
        method: Asked,
    ) -> Sequence[tuple[Metric, NDArray[np.float64]]]:
        """Scores that take more than one look, such as those of a coded link behind a receiver: metrics with their
        terms ``[cases, terms]``. They are worked out where the preset is not a quick one; none by default.

        Args:
            view, cases, conditions: As of ``observe``, of a test.
            prediction: Of these cases, as ``check`` gives it.
            method: Whom to ask about other observations of the task's type.
        """
        return ()

    def share_scale(self, source: SplitView, target: SplitView) -> None:
        """Have ``target`` observed on the scale of ``source``, another dataset whose fits are carried over to it. For
        tasks that scale what is seen by constants of the training split; called before anything of ``target`` is
        observed, and perhaps again."""
        return

    def metrics_for(self, spec: ScenarioSpec, conditions: Any) -> tuple[Metric, ...]:
        """Its metrics under these conditions, on which their number may depend."""
        return self.metrics

    @property
    def primary(self) -> Metric:
        """The metric that cells are ranked by."""
        return self.metrics[0]

    def primary_for(self, view: SplitView, conditions: Any) -> Metric:
        """The metric that cells of this test split are ranked by, where it is not always the same."""
        return self.primary

    def genie(self, view: SplitView, cases: NDArray[np.int64], conditions: Any) -> Genie:
        """Which samples these cases are made of."""
        return Genie(spec=view.spec, seed=view.seed, split=view.split, samples=self.samples(view, cases, conditions))


class TaskSplit:
    """One task on one split of a dataset, as methods receive it for fitting: a window without a handle.

    No attribute leads to other splits, the dataset, its seed or its spec. Who takes functions apart, or opens the
    dataset's folder by its path, finds them: Python keeps no secrets.

    Args:
        task: The task.
        view: The split.
        conditions: The task's default ones if left out.
        limit: Leaves the first so many cases.

    Attributes:
        task: The task, for its ``loss``, ``check`` and metrics.
        conditions: What is observed.

    Raises:
        RequestError: ``limit`` is not between 1 and the cases of the split.
    """

    __slots__ = ("_draw", "_size", "conditions", "task")

    def __init__(
        self, task: Task, view: SplitView, conditions: Conditions | None = None, *, limit: int | None = None
    ) -> None:
        self.task = task
        self.conditions = task.default_conditions(view.spec) if conditions is None else conditions
        size = task.size(view.spec, view.split, self.conditions)
        if limit is not None and not 1 <= limit <= size:
            raise RequestError("limit", expected=f"from 1 to the {size} samples of {view.split}", got=limit)
        self._size = size if limit is None else limit
        chosen = self.conditions

        def draw(cases: NDArray[np.int64], epoch: int) -> tuple[Observation, Target]:
            return task.observe(view, cases, chosen, epoch=epoch)

        self._draw = draw

    def __len__(self) -> int:
        return self._size

    @property
    def loss(self) -> str:
        """The task's."""
        return self.task.loss

    def observe(self, cases: NDArray[np.int64] | Sequence[int] | None = None, *, epoch: int = 0) -> tuple[Any, Target]:
        """Observation, as training has it in ``epoch``, and clean target of ``cases`` (all by default).

        Raises:
            IndexError: a case that is negative or not below ``len(self)``.
        """
        chosen = np.arange(len(self)) if cases is None else np.asarray(cases, dtype=np.int64)
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(f"cases {chosen.min()} to {chosen.max()} are not within {len(self)}")
        return self._draw(chosen, epoch)


FitData: TypeAlias = Mapping[str, tuple[TaskSplit, TaskSplit]]
"""``{task name: (training split, validation split)}``."""


class Method(ABC):
    """Anything that predicts: a trivial answer, a formula, a network.

    A class with ``joint = False`` is fitted once per task, so that what fails on one task costs no other; one with
    ``joint = True`` once for all its tasks.
    """

    card: ClassVar[Card]
    observes: ClassVar[tuple[type[Observation], ...]]
    """The types of observations that it understands: it answers every task that has one of them."""
    joint: ClassVar[bool] = False
    learned: ClassVar[bool] = False
    """Whether the seed changes the result, so that several seeds are run."""
    variants: ClassVar[tuple[str, ...]] = ()
    """The options that ``variant`` takes, for lists and error messages; ``rankN`` stands for a number after a word."""

    @classmethod
    def covers(cls, task: Task | type[Task]) -> bool:
        """Whether it understands what the task shows."""
        return issubclass(task.observation, cls.observes)

    @classmethod
    def order(cls, task: Task | type[Task]) -> tuple[int, str]:
        """Sorts the tasks of a joint fit, which may depend on their order: as ``observes`` has their types, then by
        name, whatever the order that they were asked for."""
        place = next(i for i, kind in enumerate(cls.observes) if issubclass(task.observation, kind))
        return place, task.card.name

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

    def fit(self, data: FitData, context: FitContext) -> None:
        """Learn from ``{task name: (training split, validation split)}``. Nothing to do by default."""
        return

    @abstractmethod
    def predict(self, task: str, observation: Any) -> NDArray[Any]:
        """What the task asks for, one row per observed case."""

    def error_variance(self, task: str, observation: Any) -> NDArray[np.floating] | None:
        """Variance of the complex error of each number that ``predict`` gives, of its shape, where the method knows it:
        what a receiver or a precoder behind it does with it. ``None``, the default, where it does not."""
        return None

    def predict_start(self, task: str, observation: Any) -> NDArray[Any] | None:
        """What this fit would predict if the last layer of its network answered 0: where a network corrects an answer
        that needs no learning, that answer with what else was fitted of it. ``None``, the default, where there is no
        such thing.

        A cell counts the cases that are answered as the start alone answers them. It is asked for apart from
        ``predict``, outside what is timed, and should not cost what the network costs.
        """
        return None

    @property
    def weights(self) -> str:
        """Which backbone weights a fitted method used, in words: the name of trained ones, that they are random, that
        there is no trunk; empty for a method that has no use for a backbone."""
        return ""

    @property
    def precision(self) -> str:
        """What a fitted method computed in that is not float32 or better, in words; empty where nothing was."""
        return ""

    def artefacts(self, task: str) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """What else of a fit an exhibit may want to see of ``task``: small arrays by name, under the name of the
        artefact, e.g. ``{"experts": {"final": [layers, experts]}}``. Nothing by default.

        They are stored beside each cell that is scored with the fit (``results.read_artefact``). Names of artefacts
        have lower-case letters, digits, ``_`` and ``-``; arrays are numbers, booleans or strings, no objects.
        """
        return {}

    def fit_record(self, task: str) -> Training | None:
        """How the fit for ``task`` went, for its cell; nothing by default."""
        return None

    def costs(self, task: str) -> dict[str, float]:
        """Cost figures by their key in ``channelbench.costs``; further ones are kept, in the leaderboard's CSV."""
        return {"trainable_parameters": 0, "total_parameters": 0}


class GenieMethod(Method):
    """A reference that is told which samples it sees. Its family is ``reference``, so it is shown without a rank."""

    @abstractmethod
    def predict_knowing(self, task: str, observation: Any, genie: Genie) -> NDArray[Any]:
        """As ``predict``, with what no contestant may know."""

    def predict(self, task: str, observation: Any) -> NDArray[Any]:
        raise TypeError(f"{self.card.name} predicts with a genie alone")
