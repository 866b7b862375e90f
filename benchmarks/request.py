"""What a request asks for: names, conditions, device and dataset, checked before anything is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from channelbench import registry
from channelbench.contracts import Conditions, Method, Task
from channelbench.errors import RequestError
from channelbench.store import open_dataset, verify
from channelbench.store.dataset import ChannelDataset

__all__ = [
    "at_default_snr",
    "chosen_methods",
    "open_verified",
    "parse_conditions",
    "resolve_device",
    "supported_tasks",
]

MULTIUSER_SNR_DB = 20.0


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
        raise RequestError("--device", expected="a CUDA device that torch can use", got="cuda", choices=["auto", "cpu"])
    return "cpu"


def chosen_methods(wanted: Sequence[str], tasks: dict[str, Task], *, explicit: bool) -> dict[str, type[Method]]:
    """Methods by name: the wanted ones, and the floors of the tasks, without which there is no skill."""
    found: dict[str, type[Method]] = {}
    for name in wanted:
        method = registry.find("methods", name)
        if method.card.name in found and found[method.card.name] is not method:
            raise RequestError("--methods", expected="methods of different names", got=method.card.name)
        if ":" in name and method.card.name in registry.names("methods"):
            known = registry.find("methods", method.card.name)
            if known is not method:
                raise RequestError("--methods", expected="a name that is not taken", got=f"{name} ({method.card.name})")
        if explicit and not set(method.card.tasks) & set(tasks):
            raise RequestError(
                "--methods", expected=f"a method of the tasks {', '.join(tasks)}", got=name, choices=method.card.tasks
            )
        found[method.card.name] = method
    for name in registry.names("methods"):
        method = registry.find("methods", name)
        if method.card.family == "floor" and set(method.card.tasks) & set(tasks):
            found.setdefault(name, method)
    return found


def supported_tasks(tasks: dict[str, Task], dataset: ChannelDataset, *, explicit: bool) -> dict[str, Task]:
    usable = {name: task for name, task in tasks.items() if task.supports(dataset.spec)}
    refused = [name for name in tasks if name not in usable]
    if refused and (explicit or not usable):
        raise RequestError(
            "--tasks",
            expected=f"tasks that a {dataset.spec.system} dataset supports",
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
