"""From an experiment's plan to the stages of this run: its datasets are made or found, its folders are known."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from channelbench.benchmarks.default_data import Unmade
from channelbench.benchmarks.hidden import HiddenTest
from channelbench.benchmarks.jobs import OpenStage, Reporter
from channelbench.benchmarks.request import Request, conditions_of, open_verified, supported_tasks
from channelbench.errors import RequestError
from channelbench.experiment import DATA, Plan, Stage
from channelbench.generation import generate
from channelbench.predictions import Kept
from channelbench.results import DatasetCard
from channelbench.spec import ScenarioSpec
from channelbench.store import open_dataset
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import variables

__all__ = ["Provenance", "Stages"]


@dataclass(frozen=True)
class Provenance:
    """What the cells of a stage have in common, whoever makes them.

    Attributes:
        spec: Of the dataset that they are scored on.
        dataset: That dataset; its digest is empty until it is made.
        source: The dataset that their fits were made on first, if that is another.
        setting: How they came about, in words.
    """

    spec: ScenarioSpec
    dataset: DatasetCard
    source: DatasetCard | None
    setting: str

    @classmethod
    def of(cls, stage: OpenStage) -> Provenance:
        source = None if stage.source is None else _dataset_card(stage.source)
        return cls(stage.test.spec, _dataset_card(stage.test), source, stage.setting)


@dataclass(frozen=True)
class _Ordered:
    """A dataset that is to be made, and where."""

    path: Path
    spec: ScenarioSpec
    seed: int

    def check(self, name: str) -> None:
        """Refuse another dataset in its place."""
        if not self.path.exists():
            return
        there = open_dataset(self.path, allow_unfinished=True)
        differences = there.spec.differences(self.spec)
        if there.seed != self.seed:
            differences.append(f"seed: {there.seed} → {self.seed}")
        if differences:
            raise RequestError(
                "--data",
                expected=f"beside it no {self.path.name}, or the experiment's own {name}",
                got=f"{self.path}, which differs in {'; '.join(differences)}",
            )

    def digest(self) -> str:
        """Of what is there; empty until it is finished."""
        try:
            return open_dataset(self.path).digest if self.path.exists() else ""
        except RequestError:
            return ""

    def lacks(self) -> str:
        """What this machine lacks to make it, and the remedy; empty where it lacks nothing, or it is there."""
        try:
            if not self.digest():
                self.spec.source.machine()
        except RequestError as error:
            return str(error)
        return ""

    @property
    def card(self) -> DatasetCard:
        """What is known of it now: the digest stays empty until it is made."""
        return DatasetCard(digest="", spec=self.spec.model_dump(mode="json"), seed=self.seed)


class Stages:
    """The stages of a plan for one dataset and one results folder.

    Args:
        plan: What is fitted on what.
        own: The dataset that the run was given; one that is not made yet can be planned with, not opened.
        folder: The run's own results folder.

    Raises:
        RequestError: datasets cannot be made beside ``own``, or others are in their places.
    """

    def __init__(self, plan: Plan, own: ChannelDataset | Unmade, folder: Path) -> None:
        self.plan, self.own, self.folder = plan, own, folder
        if plan.datasets and "://" in own.path:
            raise RequestError("--data", expected="a local dataset: others are made beside it", got=own.path)
        self._ordered = {
            name: _Ordered(
                path=Path(own.path).parent / f"{Path(own.path).stem}-{name}.zarr",
                spec=planned.spec,
                seed=own.seed if planned.seed is None else planned.seed,
            )
            for name, planned in plan.datasets.items()
        }
        for name, ordered in self._ordered.items():
            ordered.check(name)
        lacking = {name: reason for name, ordered in self._ordered.items() if (reason := ordered.lacks())}
        self.plan, self.skipped = _without(plan, lacking)
        self._ordered = {name: self._ordered[name] for name in self.plan.datasets}

    def check(self, request: Request) -> None:
        """Refuse tasks and conditions that one of the datasets does not have."""
        for ordered in self._ordered.values():
            supported_tasks(request.tasks, ordered.spec, variables(ordered.spec), explicit=True)
        known: list[tuple[ScenarioSpec, Collection[str]]] = [(self.own.spec, self.own.variables)]
        known += [(ordered.spec, variables(ordered.spec)) for ordered in self._ordered.values()]
        for spec, there in known:
            for varied in request.conditions:
                for name, conditions in conditions_of(request.tasks, varied, spec).items():
                    if lacking := request.tasks[name].lacks(there, conditions):
                        expected = f"conditions of {name} for datasets without {', '.join(lacking)}"
                        raise RequestError("--condition", expected=expected, got=conditions.label)

    def provenance(self, stage: Stage) -> Provenance:
        """What is known of a stage before anything is made."""
        origin = self.plan.origin(stage)
        spec = self.own.spec if stage.test == DATA else self._ordered[stage.test].spec
        source = None if origin == stage.test else self._card(origin)
        return Provenance(spec, self._card(stage.test), source, stage.setting)

    def data_of(self, name: str | None) -> tuple[Path | str, ScenarioSpec, str]:
        """Place, spec and digest of a dataset of the plan, ``None`` for the run's own; the digest is empty until it is
        made."""
        if name is None or name == DATA:
            return self.own.path, self.own.spec, self.own.digest
        ordered = self._ordered[name]
        return ordered.path, ordered.spec, ordered.digest()

    def _card(self, name: str) -> DatasetCard:
        return _dataset_card(self.own) if name == DATA else self._ordered[name].card

    def request_of(self, request: Request, stage: Stage) -> Request:
        """What of a request is for a stage: its own tasks, and what is varied of these. One that keeps predictions
        makes them at the SNRs at which later stages read them, whatever else a preset leaves out.

        Raises:
            RequestError: none of its tasks is among the run's.
        """
        if stage.tasks is None:
            return request
        tasks = {name: task for name, task in request.tasks.items() if name in stage.tasks}
        if not tasks:
            got = ", ".join(request.tasks)
            raise RequestError(
                "--tasks", expected="one at least for each stage of the experiment", got=got, choices=stage.tasks
            )
        varied = [v for v in request.conditions if any(task.conditions.has(v) for task in tasks.values())]
        if stage.keeps_predictions:
            varied += [{"snr_db": snr_db} for snr_db in sorted({kept.snr_db for kept in self._read(request, stage)})]
            request = replace(request, once=())
        return replace(request, tasks=tasks, conditions=tuple(varied) or ({},))

    def check_reads(self, request: Request) -> None:
        """Refuse conditions that are about predictions which no earlier stage keeps."""
        for stage in self.plan.stages:
            source = self.plan.read_by(stage)
            tasks = () if source is None else tuple(self.request_of(request, source).tasks.values())
            known = [name for name, method in request.methods.items() if any(map(method.covers, tasks))]
            for wanted in self._wanted(request, stage):
                if wanted.method not in known:
                    raise wanted.refused(f"predictions of {', '.join(known) or 'nobody'}")

    def _read(self, request: Request, kept: Stage) -> Iterator[Kept]:
        """What later stages read of what a stage keeps."""
        for stage in self.plan.stages:
            if stage.reads == kept.folder:
                yield from self._wanted(request, stage)

    def _wanted(self, request: Request, stage: Stage) -> Iterator[Kept]:
        """What the conditions of a stage's tasks are about."""
        own = self.request_of(request, stage)
        for varied in own.conditions:
            for name, conditions in conditions_of(own.tasks, varied, self.own.spec).items():
                if (wanted := own.tasks[name].reads(conditions)) is not None:
                    yield wanted

    def opened(self, request: Request, reporter: Reporter) -> Iterator[tuple[str, Request, OpenStage]]:
        """Folder, request and datasets of each stage in turn. Datasets are made, or finished, when the first stage
        needs them; those that the next stage has no use for need not stay in memory."""
        assert isinstance(self.own, ChannelDataset), "a plan opens nothing"
        here = {DATA: self.own}
        for stage in self.plan.stages:
            needed = {DATA, stage.test, self.plan.training(stage).train, self.plan.origin(stage)}
            here = {name: here[name] if name in here else self._make(name, reporter) for name in sorted(needed)}
            ready = self._open(stage, here)
            ready.prepare(request.tasks.values())
            yield stage.folder, self.request_of(request, stage), ready

    def _make(self, name: str, reporter: Reporter) -> ChannelDataset:
        ordered = self._ordered[name]
        progress = partial(reporter.generating, ordered.path.stem)
        generate(ordered.spec, ordered.path, seed=ordered.seed, progress=progress, remember=False)
        return open_verified(ordered.path)

    def _open(self, stage: Stage, datasets: dict[str, ChannelDataset]) -> OpenStage:
        trained, origin = self.plan.training(stage), self.plan.origin(stage)
        return OpenStage(
            folder=self.folder / stage.folder,
            train=datasets[trained.train],
            test=datasets[stage.test],
            checkpoints=self.folder / trained.folder / "checkpoints",
            source=None if origin == stage.test else datasets[origin],
            setting=stage.setting,
            start=None if trained.start is None else self.folder / trained.start / "checkpoints",
            scale=None if {trained.train, stage.test} == {DATA} else datasets[DATA],
            share=trained.share,
            keeps_predictions=stage.keeps_predictions,
            reads=None if stage.reads is None else self.folder / stage.reads,
        )


def _without(plan: Plan, lacking: Mapping[str, str]) -> tuple[Plan, dict[str, str]]:
    """The plan without the stages that need a dataset which cannot be had, and why each of these is left out."""
    skipped: dict[str, str] = {}
    for stage in plan.stages:
        needed = (stage.train, stage.test, plan.training(stage).train, plan.origin(stage))
        why = [lacking[name] for name in needed if name in lacking]
        why += [skipped[other] for other in (stage.start, stage.fits, stage.reads) if other in skipped]
        if why:
            skipped[stage.folder] = why[0]
    if not skipped:
        return plan, {}
    if "" in skipped:
        raise RequestError("--suite", expected="one whose datasets can be made here", got=skipped[""])
    kept = {name: data for name, data in plan.datasets.items() if name not in lacking}
    return Plan(stages=tuple(s for s in plan.stages if s.folder not in skipped), datasets=kept), skipped


def _dataset_card(dataset: ChannelDataset | Unmade) -> DatasetCard:
    return DatasetCard(
        digest=dataset.digest,
        spec=dataset.spec.model_dump(mode="json"),
        seed=dataset.seed,
        versions=dataset.versions,
        fitted=dataset.public.digest if isinstance(dataset, HiddenTest) else "",
    )
