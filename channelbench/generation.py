"""``generate``: from a spec to a dataset, unit by unit, on one process, many, or a cluster."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from channelbench import cluster, registry
from channelbench.errors import RequestError
from channelbench.generator import Generator
from channelbench.presets import DEFAULT_PRESET
from channelbench.room import check_room
from channelbench.spec import SYSTEMS, ScenarioSpec, SizesSpec, defaults, flat_assignments, preset_sizes
from channelbench.store import layout
from channelbench.store.checked import checked_arrays
from channelbench.store.dataset import read_group, reading, recorded_spec
from channelbench.store.files import DIGEST, Files, UnitFiles
from channelbench.store.location import Location, is_store_error, is_url, said
from channelbench.store.record import names_of
from channelbench.store.schema import variables

_LOG = logging.getLogger("channelbench")

__all__ = ["default_path", "generate", "last_dataset", "make_spec"]

POINTER = Path(".channelbench") / "last_dataset"

Progress = Callable[[int, int], None]

_last = threading.local()


def make_spec(
    scenario: str = "uma",
    *,
    system: str = "dualband",
    state: str | None = None,
    source: str | None = None,
    engine: str | None = None,
    preset: str = DEFAULT_PRESET,
    sizes: SizesSpec | None = None,
    assignments: Mapping[str, Any] | None = None,
) -> ScenarioSpec:
    """The spec of a scenario: the system's defaults, the scenario's geometry, what new specs of the source begin with,
    a preset's sizes, then your changes.

    It is the same whether a field is an argument here or among the assignments, which come last.

    Args:
        scenario: A name from ``channelbench list scenarios``, or ``package.module:Class``.
        system: ``dualband`` or ``multiuser``.
        state: ``los``, ``nlos`` or ``random``; the system's default if left out.
        source: Where the channels come from; the scenario's own source if left out.
        engine: What draws and sums them, for sources that have several: the field ``engine`` of the source.
        preset: One of ``channelbench.presets``: how many samples, where no ``sizes`` are given.
        sizes: Samples per split.
        assignments: Dotted fields to change, e.g. ``{"sub6.carrier_hz": 2.4e9}``; the source's stand beside the others
            or below ``source.``.

    Raises:
        RequestError: a name, field or value that does not exist or is out of range.
    """
    changes = flat_assignments(assignments or {})
    scenario, system = changes.pop("scenario", scenario), changes.pop("system", system)
    source = changes.pop("source", source)
    if isinstance(scenario, str) and isinstance(source, str | None):
        registry.find("generators", scenario, source=source)  # says what there is instead
    fields, usual = defaults(scenario, system, source), preset_sizes(system, preset)
    given = {name: value for name, value in (("state", state), ("engine", engine)) if value is not None}
    return ScenarioSpec(**fields, sizes=sizes or usual).replace(given | changes)


def default_path(spec: ScenarioSpec) -> Path:
    """``data/uma.zarr``, or with source, system and state where they are not the defaults."""
    parts = [spec.scenario.rpartition(":")[2].lower()]
    if spec.source.name != registry.find("generators", spec.scenario).source.name:
        parts.append(spec.source.name)
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
    scheduler: str | None = None,
    file_samples: int | None = None,
    chunk_samples: int | None = None,
    progress: Progress = lambda done, total: None,
    remember: bool = True,
) -> Path | str:
    """Write the dataset of ``spec`` and ``seed`` to ``out``, or finish the one that was begun there.

    The bytes depend on ``spec`` and ``seed`` alone. What an interruption leaves is continued by the same call.

    Args:
        spec: What to make; see ``make_spec``.
        out: Folder of the Zarr group, or a URL that fsspec knows; ``data/<scenario>.zarr`` by default.
        seed: Any integer from 0 to 2^63 − 1.
        workers: Processes of one thread each; 1 works in this process.
        scheduler: Address of a dask scheduler whose workers do it instead, ``tcp://host:port``, or its scheduler
            file. They have to reach ``out`` under the same name.
        file_samples, chunk_samples: Samples in a file of each variable and in a chunk of the channels; see
            ``store.files.Files``. A dataset that was begun keeps its own.
        progress: Called with (samples done, all samples).
        remember: Whether this is the dataset that ``last_dataset`` gives from now on.

    Returns:
        The path of the finished dataset; the URL where it has one.

    Raises:
        RequestError: ``out`` holds something else, is a file, has no room or cannot be written; the scenario has no
            such world; nobody answers at ``scheduler``, or its workers are no good for this.
    """
    if not (isinstance(seed, int) and 0 <= seed < 2**63):
        raise RequestError("seed", expected="an integer from 0 to 2^63 − 1", got=seed)
    location, began = Location.of(default_path(spec) if out is None else out, field="--out"), time.time()
    _check_workers(location, workers, scheduler)
    generator, packages = _generator(spec), spec.source.packages
    generator.refuse(spec)  # before anything is written
    if scheduler is None:
        generator.check(spec)
    files = Files.choose(spec, file_samples, chunk_samples)
    check_room(spec, location, files, here=scheduler is None)
    for caution in generator.cautions(spec):
        _LOG.warning("warning: %s", caution)
    with ExitStack() as stack:
        stack.callback(vars(_last).clear)  # a gigabyte, perhaps, that nobody needs any more
        client = stack.enter_context(cluster.connect(scheduler, packages)) if scheduler is not None else None
        _claim(location, spec, seed, generator.engine(spec), files)
        group, record = read_group(location.place, field="--out", mode="r+")
        with reading(group, location.place, "--out"):
            files, todo = Files.of(group), layout.missing_units(group, spec)
        done = spec.sizes.total - sum(unit.stop - unit.start for unit in todo)
        progress(done, spec.sizes.total)
        if client is None and workers > 1 and len(todo) > 1:
            client = stack.enter_context(cluster.start(min(workers, len(todo))))
        work = partial(_write, location.absolute(), spec.flat(), seed, files, layout.made_with(spec.source))
        for unit in _one_by_one(work, todo) if client is None else cluster.spread(client, work, todo):
            done += unit.stop - unit.start
            progress(done, spec.sizes.total)
    if not record.complete:
        layout.finish(str(location), spec, seed)
        location.sweep(before=began)
    if remember:
        _remember(location)
    return location.place


def make_unit(spec: ScenarioSpec, seed: int, unit: layout.Unit, files: Files) -> UnitFiles:
    """One unit, generated, as the files that it will be; valid until this thread makes the next."""
    generator = _generator(spec)()
    made, start = _buffers(spec, files, unit.stop - unit.start), 0
    for piece in unit.pieces:
        stop = start + piece.num_samples
        generator.fill(spec, piece, seed, {name: column[start:stop] for name, column in made.columns.items()})
        start = stop
    return made


def _generator(spec: ScenarioSpec) -> type[Generator]:
    return registry.find("generators", spec.scenario, source=spec.source.name)


def _buffers(spec: ScenarioSpec, files: Files, rows: int) -> UnitFiles:
    """Those of this thread's last unit, if that was as large: memory that is new costs the system time to give."""
    key = (spec, files.unit_rows, tuple(files.chunk_rows.items()), rows)
    if getattr(_last, "key", None) != key:
        _last.key, _last.buffers = key, UnitFiles(spec, files, rows)
    return _last.buffers


def _write(
    place: str, spec_data: dict[str, Any], seed: int, files: Files, versions: dict[str, str], unit: layout.Unit
) -> None:
    """One unit from spec to store, in whatever process and on whatever machine this runs."""
    cluster.keep_freed_memory()
    spec = ScenarioSpec(**spec_data)
    if (here := layout.made_with(spec.source)) != versions:
        # Workers that join later have not been seen by `cluster.connect`.
        raise cluster.other_versions(socket.gethostname(), here, versions)
    location = Location.of(place, field="--out")
    if not location.has(layout.ROOT):
        got = f"{place}, where {socket.gethostname()} sees nothing"
        raise RequestError("--out", expected="a place that all workers share", got=got)
    make_unit(spec, seed, unit, files).write(location.store(), unit.index, files)


def _one_by_one(work: Callable[[layout.Unit], None], todo: Iterable[layout.Unit]) -> Iterable[layout.Unit]:
    for unit in todo:
        work(unit)
        yield unit


def _check_workers(location: Location, workers: int, scheduler: str | None) -> None:
    if scheduler is not None and workers > 1:
        raise RequestError("--scheduler", expected="no --workers beside it: its own are used", got=f"{workers} workers")
    if location.is_private and (scheduler is not None or workers > 1):
        raise RequestError("--out", expected="a place that all workers share", got=f"{location} (of one process)")


def _claim(location: Location, spec: ScenarioSpec, seed: int, engine: str, files: Files) -> None:
    """Make the place ours: create the dataset, or check that it is the same one, begun earlier."""
    try:
        if location.folder is not None and location.folder.is_file():
            raise RequestError("--out", expected="a folder to create", got=f"{location} (a file)")
        if location.is_empty() or _half_created(location, layout.skeleton(spec, seed, engine, files)):
            layout.create(str(location), spec, seed, engine, files)
            return
    except Exception as error:
        if not is_store_error(error) and not isinstance(error, NotImplementedError):  # HTTP takes nothing
            raise
        reason = "read-only" if isinstance(error, NotImplementedError) else said(error)
        raise RequestError("--out", expected="a place that can be written", got=f"{location} ({reason})") from None
    _check_same(location, spec, seed)


def _half_created(location: Location, skeleton: Mapping[str, Any]) -> bool:
    """Whether a process was killed there before the group existed; anything else in a folder is not ours."""
    if location.has(layout.ROOT):
        return False
    return all(key in skeleton or key.endswith(".partial") for key in location.files())


def _check_same(location: Location, spec: ScenarioSpec, seed: int) -> None:
    path = location.place
    group, record = read_group(path, field="--out")
    differences = recorded_spec(record, path, "--out").differences(spec)
    if record.seed != seed:
        differences.append(f"seed: {record.seed} → {seed}")
    with reading(group, path, "--out"):
        there, ours = names_of(group[DIGEST].attrs["variables"]), list(variables(spec))
    if there != ours:
        differences.append(f"variables: {' '.join(there)} → {' '.join(ours)}")
    if differences:
        raise RequestError(
            "--out",
            expected="a new folder, or the dataset of the same spec and seed",
            got=f"{path}, which differs in {'; '.join(differences)}",
        )
    checked_arrays(group, spec, path, "--out")
    if location.folder is not None and not os.access(location.folder, os.W_OK):
        raise RequestError("--out", expected="a place that can be written", got=f"{path} (read-only)")


def _remember(location: Location) -> None:
    """Note for ``run`` in this folder; a folder that cannot be written goes without."""
    if location.is_private:
        return  # gone with this process
    try:
        POINTER.parent.mkdir(exist_ok=True)
        POINTER.write_text(str(location))
    except OSError:
        return


def last_dataset() -> Path | str | None:
    """What ``generate`` wrote last in this folder, if it is still there; a URL is not asked whether it is."""
    try:
        place = POINTER.read_text().strip()
    except OSError:
        return None
    if is_url(place):
        return place  # opening it says why it cannot be had, where another dataset in its stead would say nothing
    return Path(place) if Path(place).exists() else None
