"""``generate --dry-run``: what would be made, how large it is and how long it takes, with nothing written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from channelbench import registry
from channelbench.errors import RequestError
from channelbench.generation import default_path
from channelbench.generator import Block, Generator
from channelbench.quantities import band_words, duration
from channelbench.room import check_room, room_of, sample_bytes
from channelbench.spec import BLOCK_SIZE, SPLITS, ScenarioSpec
from channelbench.store.dataset import read_group
from channelbench.store.files import Files, disk_bytes
from channelbench.store.layout import skeleton
from channelbench.store.location import Location
from channelbench.store.schema import variables
from channelbench.systems import KMH
from channelbench.target import Target, look

__all__ = ["Measured", "lines", "measure"]

PATIENCE_S = 3.0
"""What the measurement takes, about, beside start-up."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How long samples took.

    Attributes:
        samples: How many, of one block.
        seconds: Together; with start-up where there was one sample alone.
        start_s: Of the first sample ever: loading and compiling.
    """

    samples: int
    seconds: float
    start_s: float

    def seconds_for(self, samples: int) -> float:
        """Of so many by one process, start-up included."""
        return self.start_s + self.seconds / self.samples * samples


def lines(
    spec: ScenarioSpec,
    out: str | Path | None,
    *,
    seed: int,
    workers: int = 1,
    scheduler: str | None = None,
    file_samples: int | None = None,
    chunk_samples: int | None = None,
    grow: bool = True,
) -> Iterator[str]:
    """What ``generation.generate`` of the same arguments would do, a line for each thing. The target is read at most.

    Raises:
        RequestError: a spec that no world has; files or chunks of impossible sizes; a place that there cannot be.
    """
    location = Location.of(default_path(spec) if out is None else out, field="--out")
    generator = registry.find("generators", spec.scenario, source=spec.source.name)
    generator.refuse(spec)
    files = Files.choose(spec, file_samples, chunk_samples)
    yield from _said(spec, seed)
    try:
        target, reason = look(location, spec, seed, grow=grow), ""
    except RequestError as error:
        target, reason = None, str(error)
    if target is not None and target.state in ("unfinished", "complete", "growing"):
        files = Files.of(read_group(target.location.place, field="--out")[0])  # it keeps its own
    yield from _size(spec, files)
    yield from _room(spec, target, location, files, here=scheduler is None)
    yield from (f"warning    {caution}" for caution in generator.cautions(spec))
    yield f"target     {location}: {reason or _standing(target)}"
    left = spec.sizes.total if target is None else target.left
    yield f"time       {_time(generator, spec, seed, left, workers, scheduler)}"


def measure(generator: type[Generator], spec: ScenarioSpec, seed: int) -> Measured:
    """How long samples of this very spec take here in one process, without their writing: first one, for what has to be
    loaded and compiled, then so many of another block as ``PATIENCE_S`` allows.

    Raises:
        RequestError: this machine cannot make them.
    """
    generator.check(spec)
    start_s = _seconds(generator, spec, seed, Block(split="train", index=0, stop=1))
    if start_s > 10 * PATIENCE_S:
        return Measured(samples=1, seconds=start_s, start_s=0.0)
    samples, seconds = 0, 0.0
    for index, wanted in enumerate((8, 40, BLOCK_SIZE), start=1):
        if samples and seconds / samples * wanted > PATIENCE_S:
            break
        samples, seconds = wanted, _seconds(generator, spec, seed, Block(split="train", index=index, stop=wanted))
    return Measured(samples=samples, seconds=seconds, start_s=start_s)


def _seconds(generator: type[Generator], spec: ScenarioSpec, seed: int, block: Block) -> float:
    columns = {
        name: np.empty((block.num_samples, *variable.shape[1:]), variable.dtype)
        for name, variable in variables(spec).items()
    }
    began = time.perf_counter()
    generator().fill(spec, block, seed, columns)
    return time.perf_counter() - began


def _said(spec: ScenarioSpec, seed: int) -> Iterator[str]:
    """The spec, as people say it."""
    yield f"spec       {spec.title}, {spec.system}, seed {seed}"
    fields = ", ".join(f"{name} {_word(value)}" for name, value in spec.source.fields(mode="json").items())
    yield f"source     {spec.source.name}, {spec.source.label}" + (f" ({fields})" if fields else "")
    for name, band in spec.bands.items():
        yield f"{name:<10} {band_words(band)}, {band.num_beams} beams"
    away = f"{spec.min_distance_m:g} to {spec.max_distance_m:g} m away over {spec.sector_deg:g}°"
    speeds = sorted({round(speed / KMH, 4) for speed in (spec.speed_min_mps, spec.speed_max_mps)})
    yield f"users      {spec.ue_height_m:g} m high, {away}, {' to '.join(f'{s:g}' for s in speeds)} km/h"
    if spec.test_speeds_mps:
        grid = ", ".join(f"{speed / KMH:.4g}" for speed in spec.test_speeds_mps)
        yield f"test users {grid} km/h"
    yield f"station    {spec.bs_height_m:g} m high"
    yield f"samples    {spec.sizes.total}: " + ", ".join(f"{split} {spec.sizes.of(split)}" for split in SPLITS)
    table = variables(spec)
    names = (name + (f" {list(v.shape[1:])}" if len(v.shape) > 2 else "") for name, v in table.items())
    yield f"variables  {len(table)}: {', '.join(names)}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _size(spec: ScenarioSpec, files: Files) -> Iterator[str]:
    made = skeleton(spec, 0, "", files)
    metadata = sum(image.nbytes for image in made.values())
    count, samples = disk_bytes(spec, files)
    yield (
        f"disk       {_gigabytes(samples + metadata)} in {count + len(made) - 1} files of up to {files.unit_rows} "
        f"samples: {sample_bytes(spec):,} bytes a sample, uncompressed; exact but for the last few hundred bytes"
    )


def _room(spec: ScenarioSpec, target: Target | None, location: Location, files: Files, *, here: bool) -> Iterator[str]:
    place = location if target is None else target.location
    if (found := room_of(place)) is not None:
        yield f"room       {_gigabytes(found[0])} in {found[1]}"
    if target is None or target.left:
        try:
            check_room(spec, place, files, here=here)
        except RequestError as error:
            yield f"warning    it will not fit: {error}"


def _standing(target: Target | None) -> str:
    """What is there and what becomes of it, in words."""
    if target is None or target.state == "new":
        return "nothing is there; it would be made"
    if target.state == "complete":
        return "complete; nothing would be done"
    if target.state == "unfinished":
        return f"unfinished; the {target.left} samples that it lacks would be made"
    there = f"{target.there.total} samples are there and would be kept, " if target.there is not None else ""
    begun = "its growth has begun; " if target.state == "growing" else ""
    if not target.left:
        return f"{begun}all samples are there, and their files would take their places"
    return f"{begun}{there}{target.left} would be made"


def _time(
    generator: type[Generator], spec: ScenarioSpec, seed: int, left: int, workers: int, scheduler: str | None
) -> str:
    if not left:
        return "none: all samples are there"
    try:
        found = measure(generator, spec, seed)
    except RequestError as error:
        return f"not estimated: this machine cannot make samples of it ({error})"
    share = ""
    if scheduler is not None:
        share = "; the cluster's processes share it, however fast they are"
    elif workers > 1:
        useful = min(workers, len(os.sched_getaffinity(0)))
        share = (
            f"; {workers} processes on the {useful} processors that they have here need {1 / useful:.2g} of it at best"
        )
    began = f" after {found.start_s:.2g} s of start-up" if found.start_s else ", start-up included"
    return (
        f"about {duration(found.seconds_for(left))} for {left} samples in one process here, estimated: "
        f"{found.samples} of them took {found.seconds:.2g} s{began}; writing them comes on top{share}"
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB ({size:,} bytes)"
