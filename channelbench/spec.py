"""What a dataset is made of: frozen, validated descriptions whose field names carry their units."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PlainSerializer,
    SerializeAsAny,
    ValidationError,
    WrapValidator,
    model_serializer,
    model_validator,
)

from channelbench.assignments import flatten, merge, parse_assignments, read_toml
from channelbench.bands import LARGEST, ArraySpec, BandSpec, SizesSpec
from channelbench.errors import RequestError
from channelbench.frozen import Frozen
from channelbench.presets import preset_of
from channelbench.sources import RecordedSource, SourceSpec, default_of, make_source, makers, model_of, unknown_source
from channelbench.systems import KMH, SYSTEMS
from channelbench.units import in_si

__all__ = [
    "BLOCK_SIZE",
    "SPLITS",
    "SYSTEMS",
    "ArraySpec",
    "BandSpec",
    "ScenarioSpec",
    "SizesSpec",
    "defaults",
    "flat_assignments",
    "parse_assignments",
    "preset_sizes",
    "read_toml",
    "source_of",
    "split_samples",
]

BLOCK_SIZE = 200
"""Samples of one split that are drawn together. It divides every preset's sizes."""

SPLITS = ("train", "val", "test")

MAX_SPEED_MPS = 140.0
"""Just above the 500 km/h of high-speed trains, the fastest users of ITU-R M.2412."""

Speed = Annotated[float, Field(ge=0, le=MAX_SPEED_MPS)]


def _or_absent(value: Any, check: Any) -> Any:
    return None if value is None else check(value)


ABSENT = (WrapValidator(_or_absent), PlainSerializer(lambda value: value, return_type=Any))
"""Of a field that is ``None`` where the source may lack it (``SourceSpec.may_lack``). Generators of all others need not
ask, and so it is annotated as what it is for them."""


class ScenarioSpec(Frozen):
    """Everything but the seed that decides a dataset's bytes. docs/protocol.md gives the defaults.

    The system (bands, state), where users stand and how they move, how many samples, and the source of the channels
    with fields of its own. Distances are two-dimensional, base station to user; speeds are of a straight-line motion.
    What nobody knows of channels that were not made here is ``None``, of the fields in ``SourceSpec.may_lack``.

    The written form is flat: ``source`` is the source's name, and its fields stand beside the others. That is what
    ``flat`` gives and what the constructor takes, beside a ``SourceSpec`` or a mapping with a ``name`` as ``source``.
    Without a source it is the one that the scenario means by itself.

    Raises:
        RequestError: on construction, naming the field, what was expected, what was given and the choices.
    """

    scenario: str
    source: SerializeAsAny[SourceSpec]
    system: Annotated[Literal["dualband", "multiuser"], *ABSENT] = "dualband"
    state: Annotated[Literal["los", "nlos", "random"], *ABSENT] = "los"
    sub6: BandSpec
    mmwave: BandSpec | None = None
    bs_height_m: Annotated[float, Field(gt=1.5, le=150), *ABSENT]
    ue_height_m: Annotated[float, Field(ge=1, le=22.5), *ABSENT] = 1.5
    min_distance_m: Annotated[float, Field(ge=1), *ABSENT]
    max_distance_m: Annotated[float, Field(le=10_000), *ABSENT]
    sector_deg: Annotated[float, Field(gt=0, le=360), *ABSENT] = 120.0
    speed_min_mps: Annotated[Speed, *ABSENT] = 30 * KMH
    speed_max_mps: Annotated[Speed, *ABSENT] = 30 * KMH
    test_speeds_mps: tuple[Speed, ...] = Field((), max_length=10_000)
    sizes: SizesSpec

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise RequestError.from_pydantic(error, type(self)) from None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ScenarioSpec:
        """The spec that a dataset or a result records, also where its source is not installed.

        Args:
            record: The written form.

        Raises:
            RequestError: it is no spec.
        """
        rest = {name: value for name, value in record.items() if name in cls.model_fields}
        return cls(**(rest | {"source": source_of(record)}))

    @model_validator(mode="before")
    @classmethod
    def _with_source(cls, data: Any) -> Any:
        """The source's fields, from wherever they stand, in the source's own model."""
        if not isinstance(data, Mapping) or isinstance(data.get("source"), SourceSpec):
            return data
        flat = flat_assignments(data)
        own = {name: value for name, value in flat.items() if name in cls.model_fields}
        if "scenario" not in flat:
            return own  # pydantic says what is missing
        own = {name: _switched(name, value, flat | {name: None}) for name, value in own.items()}
        return own | {"source": _source(_maker(flat["scenario"], flat.get("source")).source, flat)}

    @model_serializer(mode="wrap")
    def _write_flat(self, handler: Any, info: Any) -> dict[str, Any]:
        return {**handler(self), "source": self.source.name, **self.source.fields(mode=info.mode)}

    @model_validator(mode="after")
    def _absent_where_it_may_be(self) -> ScenarioSpec:
        for name, field in type(self).model_fields.items():
            if getattr(self, name) is None and field.default is not None and not self.source.lacks(name):
                raise RequestError(name, expected=f"a value for channels of source {self.source.name}", got=None)
        return self

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> ScenarioSpec:
        if None not in (self.min_distance_m, self.max_distance_m) and self.min_distance_m >= self.max_distance_m:
            raise RequestError(
                "min_distance_m",
                expected=f"less than max_distance_m ({self.max_distance_m:g})",
                got=self.min_distance_m,
            )
        if None not in (self.speed_min_mps, self.speed_max_mps) and self.speed_min_mps > self.speed_max_mps:
            raise RequestError(
                "speed_min_mps", expected=f"at most speed_max_mps ({self.speed_max_mps:g})", got=self.speed_min_mps
            )
        return self

    @model_validator(mode="after")
    def _can_be_stored(self) -> ScenarioSpec:
        counts = {f"sizes.{split}": (self.sizes.of(split), LARGEST["sizes"]) for split in SPLITS}
        for name, band in self.bands.items():
            for field in ("num_subcarriers", "num_slots"):
                counts[f"{name}.{field}"] = (getattr(band, field), LARGEST[field])
        for field, (count, largest) in counts.items():
            if count > largest:
                asked = self.sizes.total * sum(band.channel_bytes for band in self.bands.values())
                raise RequestError(field, expected=f"at most {largest}", got=f"{count}: {asked:,} bytes of channels")
        return self

    @property
    def bands(self) -> dict[str, BandSpec]:
        """The bands by the suffix that their variables carry; the anchor band first."""
        return {"sub6": self.sub6} if self.mmwave is None else {"sub6": self.sub6, "mmwave": self.mmwave}

    @property
    def title(self) -> str:
        """Scenario, and state where that is known."""
        return self.scenario if self.state is None else f"{self.scenario} {self.state}"

    def flat(self) -> dict[str, Any]:
        """The written form, with every field: ``ScenarioSpec(**spec.flat()) == spec``."""
        return self.model_dump()

    def replace(self, assignments: Mapping[str, Any]) -> ScenarioSpec:
        """A validated copy with dotted fields changed, e.g. ``{"sub6.carrier_hz": 2.4e9}``.

        Another scenario, system or source brings its own defaults, as it does when a spec is made: of the other fields
        those stay that are not at the defaults of what this spec is of. ``rho_z`` and ``source.rho_z`` are the same
        field, and a table as a value changes the fields that it has.
        """
        changes = flat_assignments(assignments)
        data = self._moved(**{name: changes.get(name) for name in ("scenario", "system", "source")})
        if changes.get("mmwave") is False:  # whatever else is said of it, in whatever order
            changes = {name: value for name, value in changes.items() if not name.startswith("mmwave.")}
        for dotted in sorted(changes, key=lambda name: changes[name] is not True):  # a band is there before its fields
            merge(data, dotted, _switched(dotted, changes[dotted], data))
        return type(self)(**data)

    def _moved(self, *, scenario: Any, system: Any, source: Any) -> dict[str, Any]:
        """The fields of this spec as one of another scenario, system or source; ``None`` where that stays."""
        data, known = self.flat(), makers(self.scenario)
        here: dict[str, Any] = {"scenario": self.scenario, "system": self.system, "source": self.source.name}
        if source is None and self.source.name in known and default_of(self.scenario, known) == self.source.name:
            here["source"] = None  # the scenario's own, whichever that is
        there = {
            "scenario": self.scenario if scenario is None else scenario,
            "system": self.system if system is None else system,
            "source": here["source"] if source is None else source,
        }
        if there in (here, {**here, "source": self.source.name}):
            return data
        if self.source.name not in known:  # nobody knows what it began with
            return {name: value for name, value in data.items() if name in type(self).model_fields}
        usual, moved = (type(self)(**defaults(**kind), sizes=self.sizes) for kind in (here, there))
        fields, skipped = moved.flat(), {*here}
        if moved.source.name != self.source.name:
            skipped |= self.source.fields().keys()
        for name, value in _changed(data, usual.flat()).items():
            if name.partition(".")[0] not in skipped:
                merge(fields, name, value)
        return fields

    def canonical(self, *, sizes: bool = True) -> str:
        """The spec as JSON with sorted keys: the form that digests and noise keys are made from."""
        own = self.model_dump(mode="json", exclude=None if sizes else {"sizes"})
        for name in self.source.fields():
            del own[name]
        return json.dumps(own | self.source.recorded_fields(), sort_keys=True, separators=(",", ":"))

    def identity(self) -> str:
        """Digest of everything but the sizes, which never change a sample's bytes."""
        return hashlib.sha256(self.canonical(sizes=False).encode()).hexdigest()

    def differences(self, other: ScenarioSpec) -> list[str]:
        """``field: here → there`` for each field in which two specs differ."""
        here, there = flatten(self.flat()), flatten(other.flat())
        return [f"{k}: {here.get(k)} → {there.get(k)}" for k in sorted(here | there) if here.get(k) != there.get(k)]


def source_of(record: Mapping[str, Any]) -> SourceSpec:
    """The source that a dataset or a result records; a ``RecordedSource`` where that is not installed.

    Args:
        record: The written form of a spec, or what there is of it.

    Raises:
        RequestError: a field that the source does not have, or a value that it does not take.
    """
    scenario, name = str(record.get("scenario", "")), record.get("source")
    if not isinstance(name, str | None):
        raise RequestError("source", expected="a name", got=name)
    if (model := model_of(scenario, name)) is not None:
        return _source(model, record)
    fields = {key: value for key, value in record.items() if key not in ScenarioSpec.model_fields}
    return RecordedSource(recorded_name=str(name or scenario), **fields)


def flat_assignments(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted assignments with those to the source in their flat form: ``source.rho_z`` is ``rho_z``, ``source.name``
    is ``source``, and a mapping as ``source`` is all of these. Values in other units are in the fields' own then:
    ``speed_kmh``, or ``speed`` as ``60 km/h``, is ``speed_min_mps`` and ``speed_max_mps``.

    Raises:
        RequestError: a field of the source that is none, because the spec has it; a unit that a field cannot have.
    """
    flat: dict[str, Any] = {}
    for key, value in assignments.items():
        if key == "source" and isinstance(value, SourceSpec):
            flat |= {"source": value.name, **value.fields()}
        elif key == "source" and isinstance(value, Mapping):
            flat |= flat_assignments({f"source.{name}": each for name, each in value.items()})
        elif key == "source.name":
            flat["source"] = value
        elif key.startswith("source."):
            field = key.removeprefix("source.")
            if field.partition(".")[0] in ScenarioSpec.model_fields:
                raise RequestError(key, expected="a field of the source", got=f"{field}, a field of the spec itself")
            flat[field] = value
        else:
            flat |= dict(in_si(key, value))
    return flat


def _switched(field: str, value: Any, data: Mapping[str, Any]) -> Any:
    """What a band is set to: ``false`` takes the second one away, ``true`` is the one that is there or that new specs
    have; anything else as it is.

    Raises:
        RequestError: no band can be without the first; the system has no second one; text or a number.
    """
    if field not in ("sub6", "mmwave") or value is None or isinstance(value, BandSpec | Mapping):
        return value
    if not isinstance(value, bool):
        second = ", or false for none" if field == "mmwave" else ""
        raise RequestError(field, expected=f"a table of the fields of a band{second}", got=value)
    if not value and field == "sub6":
        instead = "`mmwave=false` and `sub6.carrier=28GHz` make a dataset of one band at 28 GHz"
        raise RequestError(field, expected=f"a band: the first or only one, at whatever carrier ({instead})", got=value)
    if not value or isinstance(data.get(field), BandSpec | Mapping):
        return data.get(field) if value else None
    system = data.get("system", "dualband")
    usual = defaults(data["scenario"], system, data.get("source")).get(field)
    if usual is None:
        raise RequestError(field, expected=f"false or a table: system {system} has one band", got=value)
    return deepcopy(usual)  # other fields are merged into it


def _source(model: type[SourceSpec], flat: Mapping[str, Any]) -> SourceSpec:
    if shared := sorted(model.model_fields.keys() & ScenarioSpec.model_fields.keys()):
        raise RequestError("source", expected="fields that the spec does not have", got=f"{model.name}: {shared}")
    fields = {name: value for name, value in flat.items() if name not in ScenarioSpec.model_fields}
    if unknown := [name for name in fields if name not in model.model_fields]:
        choices = sorted({*ScenarioSpec.model_fields, *model.model_fields})
        remedy = f"of a band it is sub6.{unknown[0]}" if unknown[0] in BandSpec.model_fields else ""
        raise RequestError(unknown[0], expected="a known field", got=unknown[0], choices=choices, remedy=remedy)
    return make_source(model, fields)


def _maker(scenario: Any, source: Any) -> Any:
    """The generator of a scenario's source, the scenario's own where none is named.

    Raises:
        RequestError: there is none.
    """
    if not isinstance(scenario, str):
        raise RequestError("scenario", expected="a name", got=scenario)
    if not isinstance(source, str | None):
        raise RequestError("source", expected="a name", got=source)
    known = makers(scenario)
    if not known:
        raise RequestError("scenario", expected="a scenario that is installed here", got=scenario)
    name = default_of(scenario, known) if source is None else source
    if name not in known:
        raise unknown_source(scenario, name, known)
    return known[name]


def defaults(scenario: str, system: str, source: str | None = None) -> dict[str, Any]:
    """The fields that a new spec begins with, sizes aside: the scenario's geometry, the system's bands and whatever
    geometry it states itself, and what new specs of the source begin with.

    Args:
        scenario: Its name, or ``package.module:Class``.
        system: One of ``SYSTEMS``.
        source: Its name; the scenario's own if left out.

    Raises:
        RequestError: there is no such scenario, system or source.
    """
    if not isinstance(system, str) or system not in SYSTEMS:
        raise RequestError("system", expected="a known system", got=system, choices=SYSTEMS)
    maker = _maker(scenario, source)
    if maker.source.maker:
        raise RequestError("source", expected=f"`{maker.source.maker}` for this one", got=maker.source.name)
    names = {"scenario": scenario, "system": system, "source": maker.source.name}
    return {**maker.geometry, **SYSTEMS[system], **maker.source.new, **names}


def _changed(data: Mapping[str, Any], usual: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted fields in which ``data`` is not as usual; a group that is usually absent is one field."""
    changed: dict[str, Any] = {}
    for name, value in data.items():
        other = usual.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            changed |= _changed(value, other, f"{prefix}{name}.")
        elif value != other:
            changed[f"{prefix}{name}"] = value
    return changed


def preset_sizes(system: str, preset: str) -> SizesSpec:
    """Samples of a preset's dataset of a system.

    Raises:
        RequestError: there is no such preset.
    """
    train, val, test = preset_of(preset, public=True).sizes_of(system)
    return SizesSpec(train=train, val=val, test=test)


def split_samples(total: int) -> SizesSpec:
    """``--samples N`` shared out 10:2:3; the test split takes what rounding leaves."""
    if total < 15:
        raise RequestError("samples", expected="an integer of at least 15 (they split 10:2:3)", got=total)
    train, val = total * 10 // 15, total * 2 // 15
    return SizesSpec(train=train, val=val, test=total - train - val)
