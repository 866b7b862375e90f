"""``generate``: from a spec to a dataset on disk, unit by unit, on one process or many."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from channelbench import registry
from channelbench.errors import RequestError
from channelbench.spec import PRESETS, SYSTEMS, ScenarioSpec, SizesSpec
from channelbench.store import layout
from channelbench.store.dataset import open_group
from channelbench.store.schema import SCHEMA_VERSION, variables

__all__ = ["default_path", "generate", "last_dataset", "make_spec"]

POINTER = Path(".channelbench") / "last_dataset"

Progress = Callable[[int, int], None]


def make_spec(
    scenario: str = "uma",
    *,
    system: str = "dualband",
    state: str | None = None,
    source: str = "stochastic",
    engine: str = "fast",
    preset: str = "quick",
    sizes: SizesSpec | None = None,
    assignments: Mapping[str, Any] | None = None,
) -> ScenarioSpec:
    """The spec of a scenario: the system's defaults, the scenario's geometry, a preset's sizes, then your changes.

    Args:
        scenario: A name from ``channelbench list scenarios``, or ``package.module:Class``.
        system: ``dualband`` or ``multiuser``.
        state: ``los``, ``nlos`` or ``random``; the system's default if left out.
        source: ``stochastic`` or ``raytraced``.
        engine: ``fast``, or ``sionna`` for Sionna's own classes, the reference, many times as slow.
        preset: ``quick``, ``standard`` or ``paper``; ignored where ``sizes`` are given.
        sizes: Samples per split.
        assignments: Dotted fields to change, e.g. ``{"sub6.carrier_hz": 2.4e9}``.

    Raises:
        RequestError: a name, field or value that does not exist or is out of range.
    """
    if system not in SYSTEMS:
        raise RequestError("system", expected="a known system", got=system, choices=SYSTEMS)
    if preset not in PRESETS[system]:
        raise RequestError("preset", expected="a known preset", got=preset, choices=PRESETS[system])
    generator = registry.find("generators", scenario)
    if source != "stochastic":
        raise RequestError("source", expected="a source this version has", got=source, choices=["stochastic"])
    # The multi-user system states its own distances; the scenario supplies what the system leaves open.
    fields: dict[str, Any] = {**generator.geometry, **SYSTEMS[system]}
    if state is not None:
        fields["state"] = state
    spec = ScenarioSpec(
        scenario=scenario,
        source=source,
        system=system,
        engine=engine,
        sizes=sizes or PRESETS[system][preset],
        **fields,
    )
    return spec.replace(assignments) if assignments else spec


def default_path(spec: ScenarioSpec) -> Path:
    """``data/uma.zarr``, or with system and state where they are not the defaults."""
    parts = [spec.scenario.rpartition(":")[2].lower()]
    if spec.system != "dualband":
        parts.append(spec.system)
    if spec.state != SYSTEMS[spec.system]["state"]:
        parts.append(spec.state)
    return Path("data") / f"{'-'.join(parts)}.zarr"


def generate(
    spec: ScenarioSpec,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
    remember: bool = True,
) -> Path:
    """Write the dataset of ``spec`` and ``seed`` to ``out``, or finish the one that was begun there.

    The bytes depend on ``spec`` and ``seed`` alone. What an interruption leaves is continued by the same call.

    Args:
        spec: What to make; see ``make_spec``.
        out: Folder of the Zarr group; ``data/<scenario>.zarr`` by default.
        seed: Any integer from 0 to 2^63 − 1.
        workers: Processes of one thread each; 1 works in this process.
        progress: Called with (samples done, all samples).
        remember: Whether this is the dataset that ``last_dataset`` gives from now on.

    Returns:
        The path of the finished dataset.

    Raises:
        RequestError: ``out`` holds something else, is a file, or cannot be written.
    """
    path = default_path(spec) if out is None else Path(out)
    generator = registry.find("generators", spec.scenario)
    engine = f"{generator.__module__.rpartition('.')[0]}:{generator.card.name} cpu"
    _claim(path, spec, seed, engine)
    group = open_group(path, field="--out", mode="r+")
    todo = layout.missing_units(group, spec)
    done = spec.sizes.total - sum(unit.stop - unit.start for unit in todo)
    progress(done, spec.sizes.total)
    runner = _in_process if workers <= 1 or len(todo) <= 1 else _on_local_cluster
    for rows in runner(path, spec, seed, todo, workers):
        done += rows
        progress(done, spec.sizes.total)
    if not group.attrs["complete"]:
        layout.finish(path, spec, seed)
    if remember:
        _remember(path)
    return path


def make_unit(spec: ScenarioSpec, seed: int, unit: layout.Unit) -> dict[str, NDArray[Any]]:
    """The columns of one unit, generated."""
    generator = registry.create("generators", spec.scenario)
    pieces = [generator.sample(spec, piece, seed) for piece in unit.pieces]
    columns = {}
    for name, variable in variables(spec).items():
        parts = [piece[name].values for piece in pieces]
        columns[name] = np.ascontiguousarray(np.concatenate(parts), dtype=variable.dtype)
        expected = (unit.stop - unit.start, *variable.shape[1:])
        if columns[name].shape != expected:
            raise ValueError(f"{spec.scenario} made {name} of shape {columns[name].shape}, expected {expected}")
    return columns


def _write(path: Path, spec_data: dict[str, Any], seed: int, unit: layout.Unit) -> int:
    """One unit from spec to disk, in whatever process this runs."""
    spec = ScenarioSpec(**spec_data)
    layout.write_unit(zarr.open_group(str(path), mode="r+"), unit, make_unit(spec, seed, unit))
    return unit.stop - unit.start


def _in_process(path: Path, spec: ScenarioSpec, seed: int, todo: list[layout.Unit], workers: int) -> Iterator[int]:
    for unit in todo:
        yield _write(path, spec.model_dump(), seed, unit)


def _on_local_cluster(
    path: Path, spec: ScenarioSpec, seed: int, todo: list[layout.Unit], workers: int
) -> Iterator[int]:
    from dask.distributed import as_completed

    with _cluster(min(workers, len(todo))) as client:
        futures = client.map(
            lambda unit: _write(path.absolute(), spec.model_dump(), seed, unit), todo, pure=False, retries=2
        )
        for future in as_completed(futures):
            yield future.result()
            future.release()


@contextmanager
def _cluster(workers: int) -> Iterator[Any]:
    """One-thread processes: two-thread torch operations stall under load, and bytes must not depend on threads."""
    from dask.distributed import Client, LocalCluster

    with (
        tempfile.TemporaryDirectory(prefix="channelbench-") as scratch,  # dask would leave one in the current folder
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=scratch,
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _claim(path: Path, spec: ScenarioSpec, seed: int, engine: str) -> None:
    """Make ``path`` ours: create it, or check that it is the same dataset, begun earlier."""
    if path.is_file():
        raise RequestError("--out", expected="a folder to create", got=f"{path} (a file)")
    if path.exists() and any(path.iterdir()):
        _check_same(path, spec, seed)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        layout.create(path, spec, seed, engine)
    except OSError as error:
        raise RequestError("--out", expected="a place that can be written", got=f"{path} ({error.strerror})") from None


def _check_same(path: Path, spec: ScenarioSpec, seed: int) -> None:
    group = open_group(path, field="--out")
    version = group.attrs["schema_version"]
    if version != SCHEMA_VERSION:
        raise RequestError("--out", expected=f"schema version {SCHEMA_VERSION}", got=f"{path} (version {version})")
    differences = ScenarioSpec(**group.attrs["spec"]).differences(spec)
    if group.attrs["seed"] != seed:
        differences.append(f"seed: {group.attrs['seed']} → {seed}")
    if differences:
        raise RequestError(
            "--out",
            expected="a new folder, or the dataset of the same spec and seed",
            got=f"{path}, which differs in {'; '.join(differences)}",
        )
    if not os.access(path, os.W_OK):
        raise RequestError("--out", expected="a place that can be written", got=f"{path} (read-only)")


def _remember(path: Path) -> None:
    """Note for ``run`` in this folder; a folder that cannot be written goes without."""
    try:
        POINTER.parent.mkdir(exist_ok=True)
        POINTER.write_text(str(path))
    except OSError:
        return


def last_dataset() -> Path | None:
    """What ``generate`` wrote last in this folder, if it is still there."""
    try:
        path = Path(POINTER.read_text().strip())
    except OSError:
        return None
    return path if path.exists() else None
