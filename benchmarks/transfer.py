"""Suites with targets: the fits of a run, scored on other datasets as they are and after training on a share of them.

LLM4WM, section V-C (Table V), asks both of a change of scenario and of carrier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from channelbench import registry
from channelbench.benchmarks.folder import Outcome, fill
from channelbench.benchmarks.jobs import Leg, Perform, Reporter, one_by_one
from channelbench.benchmarks.request import Request, conditions_of, open_verified, supported_tasks
from channelbench.errors import RequestError
from channelbench.generation import generate, make_spec
from channelbench.spec import ScenarioSpec, parse_assignments
from channelbench.store import open_dataset
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.scalar import share_reference_power

__all__ = ["Transfer", "fill_transfers", "plan_transfers", "target_spec"]

ZERO_SHOT, TRANSFER = "zero-shot", "transfer"
"""Settings, and the names of their folders below a target's."""


@dataclass(frozen=True)
class Transfer:
    """A target: its name, what its dataset is made of, and where that lies."""

    name: str
    spec: ScenarioSpec
    path: Path


def target_spec(source: ScenarioSpec, overrides: Mapping[str, str]) -> ScenarioSpec:
    """The spec of a target: the source's with what differs, and another scenario's own geometry.

    Args:
        source: The spec of the dataset that fits come from; its sizes, system and state are the target's too.
        overrides: Dotted fields and values as ``--set`` takes them, and ``scenario``.

    Raises:
        RequestError: a field, value or scenario that does not exist.
    """
    changes: dict[str, Any] = parse_assignments([f"{field}={value}" for field, value in overrides.items()])
    if "scenario" in changes:
        scenario = str(changes["scenario"])
        made = make_spec(
            scenario,
            system=source.system,
            state=source.state,
            source=source.source.name,
            sizes=source.sizes,
        )
        geometry = {
            field: getattr(made, field)
            for field in registry.find("generators", scenario, source=source.source.name).geometry
        }
        changes = geometry | changes
    return source.replace(changes)


def plan_transfers(request: Request, source: ChannelDataset) -> list[Transfer]:
    """The targets of a request's suite for this source, checked before anything is written.

    Raises:
        RequestError: a target that cannot be made, or something else where its dataset would go.
    """
    targets = request.suite.targets
    if not targets:
        return []
    if "://" in source.path:
        raise RequestError("--data", expected="a local dataset: the targets' are made beside it", got=source.path)
    here = Path(source.path)
    planned = []
    for name, overrides in targets.items():
        if name in ("cells", "checkpoints"):
            raise RequestError("suite", expected="targets that can have a folder beside cells/", got=name)
        spec = target_spec(source.spec, overrides)
        supported_tasks(request.tasks, spec, explicit=True)
        for varied in request.conditions:
            conditions_of(request.tasks, varied, spec)
        path = here.parent / f"{here.stem}-to-{name}.zarr"
        if path.exists() and (differences := _differences(path, spec, source.seed)):
            raise RequestError(
                "--data",
                expected=f"beside it no {path.name}, or the dataset of target {name}",
                got=f"{path}, which differs in {'; '.join(differences)}",
            )
        planned.append(Transfer(name, spec, path))
    return planned


def _differences(path: Path, spec: ScenarioSpec, seed: int) -> list[str]:
    there = open_dataset(path, allow_unfinished=True)
    return there.spec.differences(spec) + ([f"seed: {there.seed} → {seed}"] if there.seed != seed else [])


def fill_transfers(
    request: Request,
    source: ChannelDataset,
    folder: Path,
    transfers: list[Transfer],
    reporter: Reporter,
    perform: Perform = one_by_one,
) -> dict[str, Outcome]:
    """Make the cells that are missing below ``folder``, whose own cells (the fits on ``source``) are there already."""
    outcomes: dict[str, Outcome] = {}
    for transfer in transfers:
        target = _dataset(transfer, source, reporter)
        for leg in _legs(folder, transfer.name, source, target, request.suite.share):
            name = str(leg.folder.relative_to(folder))
            reporter.entered(name)
            outcomes[name] = fill(request, leg, reporter, perform)
    return outcomes


def _dataset(transfer: Transfer, source: ChannelDataset, reporter: Reporter) -> ChannelDataset:
    """The target's dataset, made or finished where that is needed, on the source's scale of received power."""
    generate(
        transfer.spec,
        transfer.path,
        seed=source.seed,
        progress=partial(reporter.generating, transfer.name),
        remember=False,
    )
    target = open_verified(transfer.path)
    share_reference_power(source, target)
    return target


def _legs(folder: Path, name: str, source: ChannelDataset, target: ChannelDataset, share: float) -> tuple[Leg, Leg]:
    fits = folder / "checkpoints"
    zero_shot, transfer = folder / name / ZERO_SHOT, folder / name / TRANSFER
    return (
        Leg(folder=zero_shot, train=source, test=target, source=source, setting=ZERO_SHOT, checkpoints=fits),
        Leg(
            folder=transfer,
            train=target,
            test=target,
            source=source,
            setting=f"{TRANSFER} {100 * share:g} %",
            checkpoints=transfer / "checkpoints",
            start=fits,
            share=share,
        ),
    )
