"""``channelbench import``: from a file of somebody else's to a dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from channelbench.errors import RequestError
from channelbench.frozen import Frozen
from channelbench.generation import generate
from channelbench.generators.imported.columns import columns_of
from channelbench.generators.imported.completing import complete_bands, needed
from channelbench.generators.imported.contract import Description, Reader, Scale
from channelbench.generators.imported.formats import reader_of
from channelbench.generators.imported.opened import Opened, Survey, content_sha256, opened_as, survey
from channelbench.generators.imported.sharing import Shared, share_out
from channelbench.generators.imported.source import UNKNOWN_GEOMETRY, ImportedSource, Split
from channelbench.paths import expanded
from channelbench.spec import BandSpec, ScenarioSpec, SizesSpec
from channelbench.store.location import is_url
from channelbench.store.schema import optional

__all__ = ["Asked", "Found", "Outcome", "import_dataset", "look"]

Progress = Callable[[str, int, int], None]

BANDS = ("sub6", "mmwave")


class Asked(Frozen):
    """What can be said of an import besides the bands and what the format's reader takes.

    Attributes:
        scale: What amplitudes mean; what the reader says by default.
        split: ``seed``, ``area`` or ``file``; the file's own where it has one, else by the seed.
        guard_m: Distance that ``area`` keeps between splits.
        unit_m: Side of the squares whose links are one independent unit in intervals, where positions are known.
        squint: Whether the array's phases follow the subcarrier's frequency where paths are summed.
        title: What the data are called.
        licence, citation: Of the data, where the file does not say.
        bs_height_m: Of the base station, where the file does not say.
    """

    scale: Scale | None = None
    split: Split | None = None
    guard_m: float = Field(50.0, ge=0)
    unit_m: float = Field(50.0, ge=0)
    squint: bool = True
    title: str = Field("", max_length=200, pattern=r"^[^\n\r]*$")
    licence: str | None = Field(None, max_length=200)
    citation: str | None = Field(None, max_length=1000)
    bs_height_m: float | None = Field(None, gt=1.5, le=150)


@dataclass(frozen=True)
class Found:
    """What is at a path, before its links are read.

    Attributes:
        reader: Open; ``reader.close()`` when done.
        description: What it sees.
        asked: What was said of it.
        bands: Of each band, what the user and the file say of its fields.
        settings: What the reader was told.
    """

    reader: Reader
    description: Description
    asked: Asked
    bands: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]

    @property
    def needed(self) -> list[str]:
        """Fields that have to be said before it can be imported."""
        return needed(self.description, self.bands)

    @property
    def scale(self) -> Scale:
        """What amplitudes mean.

        Raises:
            RequestError: paths have no such scale, or channels none.
        """
        scale = self.asked.scale or self.description.scale
        kinds = {facts.kind for facts in self.description.bands.values()}
        possible = {"h": ["physical", "unscaled", "normalised"], "paths": ["paths", "unscaled", "normalised"]}
        choices = [name for name in possible[min(kinds)] if all(name in possible[kind] for kind in kinds)]
        if scale not in choices:
            raise RequestError("scale", expected="a scale of these amplitudes", got=scale, choices=choices)
        return scale


@dataclass(frozen=True)
class Outcome:
    """A finished import: where it is, and how many links became of how many."""

    path: Path | str
    spec: ScenarioSpec

    @property
    def source(self) -> ImportedSource:
        """What the dataset records of the file."""
        assert isinstance(self.spec.source, ImportedSource)
        return self.spec.source


def look(path: str | Path, *, format: str | None = None, assignments: Mapping[str, Any] | None = None) -> Found:
    """Open a file and say what is in it.

    Args:
        path: File or folder.
        format: Name of its reader; told from the content if left out.
        assignments: Dotted settings: those of ``Asked``, those of the reader, and fields of ``BandSpec`` as
            ``sub6.carrier_hz``.

    Raises:
        RequestError: nothing there, no format or several that fit, a file that is damaged, settings that there are not.
    """
    if is_url(path):
        raise RequestError("PATH", expected="a file or folder of this machine: fetch it first", got=str(path))
    place = expanded(path, field="PATH")
    kind = reader_of(place, format)
    own, bands, rest = _sorted_out(assignments or {})
    asked = _model(Asked, own)
    settings = _with_bands(kind, bands, rest)
    reader = kind(place, _model(kind.settings, settings))
    try:
        return Found(reader, reader.describe(), asked, bands, settings)
    except BaseException:
        reader.close()
        raise


def _sorted_out(assignments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any]]:
    """Settings of the importer, of the bands, and the rest, which are the reader's."""
    own: dict[str, Any] = {}
    bands: dict[str, dict[str, Any]] = {}
    rest: dict[str, Any] = {}
    for key, value in assignments.items():
        band, dot, field = key.partition(".")
        if band in BANDS and dot:
            bands.setdefault(band, {})[field] = value
        elif band in BANDS and isinstance(value, Mapping):
            bands.setdefault(band, {}).update(value)
        else:
            (own if key in Asked.model_fields else rest)[key] = value
    return own, bands, rest


def _with_bands(kind: type[Reader], bands: dict[str, dict[str, Any]], rest: dict[str, Any]) -> dict[str, Any]:
    """The reader's settings, with the fields of bands that are its own, which leave ``bands``."""
    known, settings = {*BandSpec.model_fields, "array"}, dict(rest)
    for name, fields in bands.items():
        own = [field for field in fields if field.partition(".")[0] not in known]
        if own and name not in kind.settings.model_fields:
            choices = sorted(known)
            raise RequestError(f"{name}.{own[0]}", expected="a known field", got=own[0], choices=choices)
        if own:
            settings[name] = {field: fields.pop(field) for field in own}
    return settings


def _model(model: type[Any], values: Mapping[str, Any]) -> Any:
    try:
        return model(**values)
    except ValidationError as error:
        raise RequestError.from_pydantic(error, model) from None


def import_dataset(
    path: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    assignments: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
    remember: bool = True,
) -> Outcome:
    """Make a dataset of a file. What an interruption leaves is continued by the same call.

    Every link is read twice: once to see that all of it are numbers, which links have power, and on what scale; once
    to be written. Nothing is written before the first pass is through.

    Args:
        path, format, assignments: As of ``look``.
        out: Folder of the Zarr group, or a URL.
        seed: Of the split.
        progress: Called with (what is done, done, all).
        remember: As of ``generate``.

    Raises:
        RequestError: as ``look``; settings that are missing; values that are no numbers; fewer links with power than
            there are splits; ``out`` holds something else.
    """
    if not (isinstance(seed, int) and 0 <= seed < 2**63):
        raise RequestError("seed", expected="an integer from 0 to 2^63 − 1", got=seed)
    with ExitStack() as stack:
        found = look(path, format=format, assignments=assignments)
        reader = stack.enter_context(closing(found.reader))
        scale, bands = found.scale, complete_bands(found.description, found.bands)
        digest = content_sha256(reader, lambda done, total: progress("hashing", done, total))
        seen = survey(reader, bands, found.description.num_links, lambda done, total: progress("reading", done, total))
        shared, how = _shared(found, seen, seed)
        spec = _spec(found, seen, shared, bands, scale=scale, split=how, sha256=digest)
        stack.enter_context(opened_as(spec, Opened(reader, shared)))
        made = generate(
            spec,
            out,
            seed=seed,
            progress=lambda done, total: progress("writing", done, total),
            remember=remember,
        )
    return Outcome(made, spec)


def _shared(found: Found, seen: Survey, seed: int) -> tuple[Shared, Split]:
    given = found.reader.splits()
    how: Split = found.asked.split or ("seed" if given is None else "file")
    shared = share_out(
        how,
        seen.usable,
        seed,
        groups=found.reader.groups(),
        given=given,
        position=seen.position,
        guard_m=found.asked.guard_m,
        unit_m=found.asked.unit_m,
    )
    return shared, how


def _spec(
    found: Found,
    seen: Survey,
    shared: Shared,
    bands: Mapping[str, BandSpec],
    *,
    scale: Scale,
    split: Split,
    sha256: str,
) -> ScenarioSpec:
    asked, description = found.asked, found.description
    constants: dict[str, float] = {}
    if scale == "unscaled":
        train = shared.rows("train")
        constants = {name: float(np.sqrt(power[train].mean())) for name, power in seen.power.items()}
    heights = {height for height in (asked.bs_height_m, description.bs_height_m) if height is not None}
    if len(heights) > 1:
        expected = f"{description.bs_height_m:g}, as the file has it, or nothing"
        raise RequestError("bs_height_m", expected=expected, got=asked.bs_height_m)
    bs_height_m = heights.pop() if heights else None
    sizes = SizesSpec(**{name: len(shared.rows(name)) for name in SizesSpec.model_fields})
    made = columns_of(seen.first, bands, scale=scale, constants=constants, squint=asked.squint, bs_height_m=bs_height_m)

    def source(quantities: tuple[str, ...]) -> ImportedSource:
        return ImportedSource(
            format=found.reader.name,
            sha256=sha256,
            settings=json.dumps(found.settings, sort_keys=True),
            title=asked.title,
            scale=scale,
            constants=tuple(constants.values()),
            split=split,
            guard_m=asked.guard_m if split == "area" else 0.0,
            unit_m=asked.unit_m if seen.position is not None else 0.0,
            squint=asked.squint,
            links=description.num_links,
            rejected=int((~seen.usable).sum()),
            quantities=quantities,
            data_licence=asked.licence or description.licence or "not stated",
            data_citation=asked.citation or description.citation or "",
        )

    def spec(quantities: tuple[str, ...]) -> ScenarioSpec:
        return ScenarioSpec(
            scenario="imported",
            source=source(quantities),
            system=None,
            state=_state(seen, shared),
            **dict.fromkeys(UNKNOWN_GEOMETRY) | {"bs_height_m": bs_height_m},
            sub6=bands["sub6"],
            mmwave=bands.get("mmwave"),
            sizes=sizes,
        )

    has = made.keys() & optional(spec(()))
    return spec(tuple(sorted(has)))


def _state(seen: Survey, shared: Shared) -> str | None:
    """Whether links have a line of sight, where that is known."""
    if seen.los is None:
        return None
    los = seen.los[shared.split >= 0]
    return "los" if los.all() else "random" if los.any() else "nlos"
