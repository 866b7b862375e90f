"""Whose a results folder is: the one place that compares it with what is asked, and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from channelbench.errors import RequestError
from channelbench.manifests import LOCK, MANIFEST, UNKNOWN, Missing, Unreadable, locked, read_manifest, told_from
from channelbench.paths import expanded
from channelbench.results import Result, RunManifest, TaskEntry, VariedEntry, write_atomic
from channelbench.store.location import is_url

__all__ = ["check", "claim", "joined", "place"]


def place(out: str | Path) -> Path:
    """The folder that ``out`` names.

    Raises:
        RequestError: it is a URL, a file, or a folder with somebody's files that is no results folder.
    """
    if is_url(out):
        raise RequestError("--out", expected="a folder of this machine, as results are small", got=str(out))
    folder = expanded(out, field="--out")
    if folder.is_file():
        raise RequestError("--out", expected="a folder", got=f"{folder} (a file)")
    # Another run may be about to write its own here.
    ours = (LOCK, f".{MANIFEST}")
    others = [path for path in folder.iterdir() if not path.name.startswith(ours)] if folder.exists() else []
    if others and not (folder / MANIFEST).exists() and not any((folder / "cells").glob("*.json")):
        raise RequestError("--out", expected="a new folder, or one that `run` made", got=f"{folder} (not empty)")
    return folder


def check(folder: Path, manifest: RunManifest, remark: Callable[[str], None] = lambda text: None) -> RunManifest:
    """What the folder's ``run.json`` would be with these cells in it too; nothing is written.

    An empty digest in ``manifest`` is one of a dataset that is not made yet, and differs from none. What a lost or
    damaged ``run.json`` said is told from the cells.

    Args:
        folder: The results folder.
        manifest: Of the cells that are to be made.
        remark: Hears of a ``run.json`` that is damaged.

    Raises:
        RequestError: the folder is not ours, or its cells could not stand beside these.
    """
    before = _before(place(folder), remark)
    return manifest if before is None else joined(before, manifest, folder)


def joined(before: RunManifest, manifest: RunManifest, folder: Path) -> RunManifest:
    """What ``run.json`` says of the cells of both.

    Raises:
        RequestError: their cells could not stand beside each other in ``folder``.
    """
    if changed := _differences(before, manifest):
        raise RequestError(
            "--out",
            expected="a new folder, or one of the same run",
            got=f"{folder}, which differs in {'; '.join(changed)}",
        )
    return manifest.model_copy(
        update={
            "tasks": tuple(dict.fromkeys((*before.tasks, *manifest.tasks))),
            "task_entries": _joined_entries(before.task_entries, manifest.task_entries),
            "conditions": _joined_tables(before.conditions, manifest.conditions),
            "methods": tuple(dict.fromkeys((*before.methods, *manifest.methods))),
            "method_tasks": _joined_tasks(before.method_tasks, manifest.method_tasks),
            "joint_tasks": {**before.joint_tasks, **manifest.joint_tasks},
            "seeds": {**before.seeds, **manifest.seeds},
            "once": tuple(dict.fromkeys((*before.once, *manifest.once))),
            "backbone": manifest.backbone or before.backbone,
            "skipped": _joined_skipped(before, manifest),
        }
    )


def _before(folder: Path, remark: Callable[[str], None]) -> RunManifest | None:
    """What the folder's run is so far; ``None`` where there is nothing."""
    try:
        return read_manifest(folder)
    except Unreadable as error:
        cells, missing = list(_readable(folder)), isinstance(error, Missing)
        if not cells and missing:
            return None  # a run that writes it at this moment is met under the lock
        if missing and (folder / MANIFEST).exists():
            return _before(folder, remark)  # another run has written it since
        if not cells:
            got = f"{folder / MANIFEST} ({error})"
            raise RequestError("--out", expected="a results folder with a readable run.json", got=got) from None
        remark(f"{folder / MANIFEST} cannot be read ({error}): written again, as the {len(cells)} cells there have it")
        return told_from(cells)


def _readable(folder: Path) -> Iterator[Result]:
    for path in sorted((folder / "cells").glob("*.json")):
        with suppress(OSError, ValueError, TypeError, RecursionError):
            yield Result(**json.loads(path.read_bytes()))


def claim(folder: Path, manifest: RunManifest, remark: Callable[[str], None] = lambda text: None) -> None:
    """Write or extend ``run.json``, with nobody else in between.

    Raises:
        RequestError: as ``check`` does, or nothing can be written there.
    """
    check(folder, manifest)  # before there is a folder with a lock
    try:
        with locked(folder):
            whole = check(folder, manifest, remark)
            write_atomic(folder / MANIFEST, (whole.model_dump_json(indent=1) + "\n").encode())
    except OSError as error:
        raise RequestError(
            "--out", expected="a place that can be written", got=f"{folder} ({error.strerror})"
        ) from None


def _differences(before: RunManifest, now: RunManifest) -> list[str]:
    """``field: theirs → ours`` for all that the cells of one folder have in common."""
    pairs = {
        "suite": (before.suite, now.suite) if before.suite != UNKNOWN else ("", ""),
        "preset": (before.preset, now.preset),
        "setting": (before.setting or "none", now.setting or "none"),
    }
    if now.dataset.digest and before.dataset.digest:
        pairs["dataset"] = (before.dataset.digest[:12], now.dataset.digest[:12])
    if now.source is None or now.source.digest:
        old, new = ("none" if run.source is None else run.source.digest[:12] for run in (before, now))
        pairs["source"] = (old, new)
    if before.backbone and now.backbone:
        pairs["backbone"] = (before.backbone, now.backbone)
    for name in before.joint_tasks.keys() & now.joint_tasks.keys():
        pairs[f"tasks of {name}"] = (" ".join(before.joint_tasks[name]), " ".join(now.joint_tasks[name]))
    return [f"{name}: {old} → {new}" for name, (old, new) in pairs.items() if old != new]


def _joined_skipped(before: RunManifest, now: RunManifest) -> dict[str, str]:
    """What either had to leave out and neither has run."""
    return {name: why for name, why in {**before.skipped, **now.skipped}.items() if name not in now.methods}


def _joined_entries(before: Mapping[str, TaskEntry], now: Mapping[str, TaskEntry]) -> dict[str, TaskEntry]:
    """Entries of both, ours where both have one, with the sentences of both."""
    joined = {**before, **now}
    for name in before.keys() & now.keys():
        sentences = {**before[name].sentences, **now[name].sentences}
        joined[name] = now[name].model_copy(update={"sentences": sentences})
    return joined


def _joined_tables(before: Mapping[str, VariedEntry], now: Mapping[str, VariedEntry]) -> dict[str, VariedEntry]:
    """What is varied in both; tasks of a later call join the tables of earlier ones."""
    joined = {**before, **now}
    for label in before.keys() & now.keys():
        old, new = before[label], now[label]
        tasks = tuple(dict.fromkeys((*old.tasks, *new.tasks)))
        joined[label] = VariedEntry(cells={**old.cells, **new.cells}, tasks=tasks)
    return joined


def _joined_tasks(
    before: Mapping[str, tuple[str, ...]], now: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    return {name: tuple(dict.fromkeys((*before.get(name, ()), *now.get(name, ())))) for name in [*before, *now]}
