"""What a request asks for: names, conditions, device and dataset, checked before anything is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from channelbench import registry
from channelbench.contracts import Conditions, FitContext, Method, Suite, Task
from channelbench.cuda import require_cuda
from channelbench.errors import RequestError
from channelbench.spec import PRESETS, ScenarioSpec
from channelbench.store import open_dataset, verify
from channelbench.store.dataset import ChannelDataset

__all__ = [
    "Request",
    "at_default_snr",
    "check_tasks",
    "chosen_methods",
    "open_verified",
    "parse_conditions",
    "prepare",
    "resolve_device",
    "supported_tasks",
    "with_controls",
]

MULTIUSER_SNR_DB = 20.0

CONTROLS = ("random", "none", "scratch")
"""What a language model has to be compared with: random weights, no trunk, a small trunk that is all trained."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a run, its names resolved; see ``runner.run``."""

    suite: Suite
    tasks: Mapping[str, Task]
    methods: Mapping[str, type[Method]]
    conditions: tuple[Conditions, ...]
    preset: str
    num_seeds: int
    device: str
    backbone: str


def prepare(
    suite: str,
    *,
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    conditions: Sequence[Conditions] = (),
    preset: str = "quick",
    seeds: int | None = None,
    device: str = "auto",
    backbone: str = "minilm",
    controls: bool = False,
) -> Request:
    """Everything about a request that can be checked without its dataset.

    Raises:
        RequestError: something of it does not exist, cannot be had, or does not fit.
    """
    plan: Suite = registry.find("suites", suite)
    if preset not in PRESETS["dualband"]:
        raise RequestError("--preset", expected="a known preset", got=preset, choices=PRESETS["dualband"])
    if seeds is not None and seeds < 1:
        raise RequestError("--seeds", expected="an integer of at least 1", got=seeds)
    device = resolve_device(device)
    chosen_tasks = {name: registry.create("tasks", name) for name in (tasks or plan.tasks)}
    wanted = tuple(methods or plan.methods)
    chosen = chosen_methods(tuple(with_controls(wanted)) if controls else wanted, chosen_tasks, explicit=bool(methods))
    for method in (m for m in chosen.values() if set(m.card.tasks) & set(chosen_tasks)):
        method.check(FitContext(preset=preset, device=device if method.learned else "cpu", backbone=backbone))
    return Request(
        suite=plan,
        tasks=chosen_tasks,
        methods=chosen,
        conditions=tuple(conditions or plan.conditions),
        preset=preset,
        num_seeds=seeds or plan.seeds[preset],
        device=device,
        backbone=backbone,
    )


def parse_conditions(items: Iterable[str]) -> tuple[Conditions, ...]:
    """``["snr_db=0,10", "paper_compat=true"]`` to the product of the named values."""
    axes: dict[str, list[str]] = {}
    for item in items:
        name, sign, values = item.partition("=")
        if not sign or not values:
            raise RequestError("--condition", expected="name=value[,value…]", got=item)
        if name.strip() not in Conditions.model_fields:
            raise RequestError(
                "--condition", expected="a known condition", got=name.strip(), choices=sorted(Conditions.model_fields)
            )
        axes[name.strip()] = [value.strip() for value in values.split(",")]
    if not axes:
        return ()
    try:
        return tuple(Conditions(**dict(zip(axes, point, strict=True))) for point in itertools.product(*axes.values()))
    except ValidationError as error:
        raise RequestError.from_pydantic(error, Conditions) from None


def at_default_snr(conditions: Conditions, dataset: ChannelDataset) -> Conditions:
    """The conditions with the system's own SNR where none was asked for: 20 dB for multi-user prediction."""
    if dataset.spec.system != "multiuser" or "snr_db" in conditions.model_fields_set:
        return conditions
    return conditions.model_copy(update={"snr_db": MULTIUSER_SNR_DB})


def resolve_device(device: str) -> str:
    """``auto`` to ``cuda`` where there is one, else ``cpu``."""
    if device not in ("auto", "cpu", "cuda"):
        raise RequestError("--device", expected="a known device", got=device, choices=["auto", "cpu", "cuda"])
    if device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        require_cuda("--device", ["auto", "cpu"])
    return "cpu"


def chosen_methods(wanted: Sequence[str], tasks: Mapping[str, Task], *, explicit: bool) -> dict[str, type[Method]]:
    """Methods by name: the wanted ones, and the floors of the tasks, without which there is no skill."""
    found: dict[str, type[Method]] = {}
    for name in wanted:
        method = registry.find("methods", name)
        if method.card.name in found and found[method.card.name] is not method:
            raise RequestError("--methods", expected="methods of different names", got=method.card.name)
        if ":" in name:
            _check_not_taken(name)
        if explicit:
            check_tasks(name, method, tasks)
        found[method.card.name] = method
    for name in registry.names("methods"):
        method = registry.find("methods", name)
        if method.card.family == "floor" and set(method.card.tasks) & set(tasks):
            found.setdefault(name, method)
    return found


def _check_not_taken(path: str) -> None:
    """Refuse a class from elsewhere that calls itself as a registered one; options do not make it another."""
    method = registry.find("methods", path.partition("+")[0])
    name = method.card.name
    if name in registry.names("methods") and registry.find("methods", name) is not method:
        raise RequestError("--methods", expected="a name that is not taken", got=f"{path} ({name})")


def check_tasks(name: str, method: type[Method], tasks: Iterable[str]) -> None:
    """Refuse a method that was asked for by ``name`` and has none of the tasks."""
    if not set(method.card.tasks) & set(tasks):
        raise RequestError(
            "--methods", expected=f"a method of the tasks {', '.join(tasks)}", got=name, choices=method.card.tasks
        )


def with_controls(names: Iterable[str]) -> Iterator[str]:
    """The names, each language model's followed by those of its controls that it has."""
    for name in names:
        yield name
        method = registry.find("methods", name)
        if method.card.family == "llm" and "+" not in name:
            yield from (f"{name}+{control}" for control in CONTROLS if control in method.variants)


def supported_tasks(tasks: Mapping[str, Task], spec: ScenarioSpec, *, explicit: bool) -> dict[str, Task]:
    """The tasks that can be cut from a dataset of ``spec``; an ``explicit`` one that cannot is an error."""
    usable = {name: task for name, task in tasks.items() if task.supports(spec)}
    refused = [name for name in tasks if name not in usable]
    if refused and (explicit or not usable):
        raise RequestError(
            "--tasks",
            expected=f"tasks that a {spec.system} dataset supports",
            got=", ".join(refused),
            choices=sorted(usable),
        )
    return usable


def open_verified(path: str | Path) -> ChannelDataset:
    """The dataset, if every check of ``verify`` passes: a score on changed data is worth nothing."""
    dataset = open_dataset(path)
    for finding in verify(path):
        if not finding.ok:
            raise RequestError(
                "--data",
                expected="a dataset that `channelbench verify` accepts",
                got=f"{path} ({finding.check}: {finding.problems[0]})",
            )
    return dataset
