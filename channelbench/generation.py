"""``generate``: from a spec to a dataset, unit by unit, on one process, many, or a cluster."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channelbench import cluster, registry
from channelbench.errors import RequestError
from channelbench.generator import Block, Generator
from channelbench.presets import DEFAULT_PRESET
from channelbench.room import check_room
from channelbench.spec import SPLITS, SYSTEMS, ScenarioSpec, SizesSpec, defaults, flat_assignments, preset_sizes
from channelbench.store import layout
from channelbench.store.dataset import read_group, reading
from channelbench.store.files import Files, UnitFiles
from channelbench.store.growing import Kept, fresh_rows, promote
from channelbench.store.location import Location, is_url
from channelbench.target import Target, claim, look

if TYPE_CHECKING:
    from dask.distributed import Client

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
    grow: bool = True,
    look_at: Callable[[Target], None] = lambda target: None,
) -> Path | str:
    """Write the dataset of ``spec`` and ``seed`` to ``out``, finish the one that was begun there, or let a finished one
    of fewer samples grow.

    The bytes depend on ``spec`` and ``seed`` alone. What an interruption leaves is continued by the same call. One that
    grows has samples copied as far as they are there, and stays what it was until all others are.

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
        grow: Whether a finished dataset of fewer samples becomes one of as many as ``spec`` has.
        look_at: Called with what is there, before anything is written.

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
    target = look(location, spec, seed, grow=grow)
    place = target.location
    check_room(spec, place, files, here=scheduler is None)
    for caution in generator.cautions(spec):
        _LOG.warning("warning: %s", caution)
    with ExitStack() as stack:
        stack.callback(vars(_last).clear)  # a gigabyte, perhaps, that nobody needs any more
        client = stack.enter_context(cluster.connect(scheduler, packages)) if scheduler is not None else None
        if target.there is not None and target.left:
            _check_makes_the_same(location, target, spec, seed, here=client is None)
        look_at(target)
        try:
            claim(target, spec, seed, generator.engine(spec), files)
            _make(location, target, spec, seed, stack, client, workers, progress)
        except Exception:
            if not _has_grown(location, target, spec, seed):
                raise
    if target.state != "complete":
        location.sweep(before=began)
    if remember:
        _remember(location)
    return location.place


def _make(
    location: Location,
    target: Target,
    spec: ScenarioSpec,
    seed: int,
    stack: ExitStack,
    client: Client | None,
    workers: int,
    progress: Progress,
) -> None:
    """All units that are not there, and the end: the dataset's digest, and the smaller one's place where it grows."""
    place = target.location
    group, record = read_group(place.place, field="--out", mode="r+")
    with reading(group, place.place, "--out"):
        files, todo = Files.of(group), layout.missing_units(group, spec)
    done = spec.sizes.total - sum(fresh_rows(unit, target.there) for unit in todo)
    progress(done, spec.sizes.total)
    if client is None and workers > 1 and len(todo) > 1:
        client = stack.enter_context(cluster.start(min(workers, len(todo))))
    kept = (location.absolute(), target.digest) if target.there is not None else None
    work = partial(_write, place.absolute(), spec.flat(), seed, files, layout.made_with(spec.source), kept)
    for unit in _one_by_one(work, todo) if client is None else cluster.spread(client, work, todo):
        done += fresh_rows(unit, target.there)
        progress(done, spec.sizes.total)
    if not record.complete:
        layout.finish(str(place), spec, seed)
    if target.grows:
        promote(location)


def _has_grown(location: Location, target: Target, spec: ScenarioSpec, seed: int) -> bool:
    """Whether another process has been quicker to let the same dataset grow, and taken away what it grows in."""
    try:
        return target.grows and look(location, spec, seed).state == "complete"
    except RequestError:
        return False


def make_unit(spec: ScenarioSpec, seed: int, unit: layout.Unit, files: Files, kept: Kept | None = None) -> UnitFiles:
    """One unit, generated but for the samples that are kept of a smaller dataset, as the files that it will be; valid
    until this thread makes the next."""
    generator = _generator(spec)()
    made, start = _buffers(spec, files, unit.stop - unit.start), 0
    for piece in unit.pieces:
        stop = start + piece.num_samples
        columns = {name: column[start:stop] for name, column in made.columns.items()}
        there = 0 if kept is None else kept.fill(piece, columns)
        if there < piece.num_samples:
            rest = replace(piece, start=piece.start + there)
            generator.fill(spec, rest, seed, {name: column[there:] for name, column in columns.items()})
        start = stop
    return made


def _check_makes_the_same(location: Location, target: Target, spec: ScenarioSpec, seed: int, *, here: bool) -> None:
    """Whether samples made today are those of the dataset that grows: the first of each split, made again. Other
    packages or processors may round otherwise. Where a cluster makes them, what it runs is compared.

    Raises:
        RequestError: they are not.
    """
    kept = Kept.of(location.absolute(), target.digest)
    expected = "a dataset whose samples are made here as they were made then (a new folder otherwise)"
    for split in SPLITS if here else ():
        piece = Block(split=split, index=0, stop=1)
        then, now = (UnitFiles(spec, Files.choose(spec), 1).columns for _ in range(2))
        kept.fill(piece, then)
        _generator(spec)().fill(spec, piece, seed, now)
        if other := [name for name in then if then[name].tobytes() != now[name].tobytes()]:
            got = f"{location} ({other[0]} of {split} differs; {kept.why_not() or 'another processor, perhaps'})"
            raise RequestError("--out", expected=expected, got=got)
    if not here and (reason := kept.why_not()):
        raise RequestError("--out", expected=expected, got=f"{location} ({reason})")


def _generator(spec: ScenarioSpec) -> type[Generator]:
    return registry.find("generators", spec.scenario, source=spec.source.name)


def _buffers(spec: ScenarioSpec, files: Files, rows: int) -> UnitFiles:
    """Those of this thread's last unit, if that was as large: memory that is new costs the system time to give."""
    key = (spec, files.unit_rows, tuple(files.chunk_rows.items()), rows)
    if getattr(_last, "key", None) != key:
        _last.key, _last.buffers = key, UnitFiles(spec, files, rows)
    return _last.buffers


def _write(
    place: str,
    spec_data: dict[str, Any],
    seed: int,
    files: Files,
    versions: dict[str, str],
    kept: tuple[str, str] | None,
    unit: layout.Unit,
) -> None:
    """One unit from spec to store, in whatever process and on whatever machine this runs; ``kept``: place and digest of
    the dataset that grows."""
    cluster.keep_freed_memory()
    spec = ScenarioSpec(**spec_data)
    if (here := layout.made_with(spec.source)) != versions:
        # Workers that join later have not been seen by `cluster.connect`.
        raise cluster.other_versions(socket.gethostname(), here, versions)
    location = Location.of(place, field="--out")
    if not location.has(layout.ROOT):
        got = f"{place}, where {socket.gethostname()} sees nothing"
        raise RequestError("--out", expected="a place that all workers share", got=got)
    there = () if kept is None else (Kept.of(*kept),)
    make_unit(spec, seed, unit, files, *there).write(location.store(), unit.index, files)


def _one_by_one(work: Callable[[layout.Unit], None], todo: Iterable[layout.Unit]) -> Iterable[layout.Unit]:
    for unit in todo:
        work(unit)
        yield unit


def _check_workers(location: Location, workers: int, scheduler: str | None) -> None:
    if scheduler is not None and workers > 1:
        raise RequestError("--scheduler", expected="no --workers beside it: its own are used", got=f"{workers} workers")
    if location.is_private and (scheduler is not None or workers > 1):
        raise RequestError("--out", expected="a place that all workers share", got=f"{location} (of one process)")


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
