"""What a dataset is made of: frozen, validated descriptions whose field names carry their units."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_serializer, model_validator

from channelbench.errors import RequestError
from channelbench.paths import expanded
from channelbench.presets import preset_of
from channelbench.sources import RecordedSource, SourceSpec, make_source, makers, model_of

__all__ = [
    "BLOCK_SIZE",
    "SPLITS",
    "SYSTEMS",
    "ArraySpec",
    "BandSpec",
    "ScenarioSpec",
    "SizesSpec",
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

KMH = 1000.0 / 3600.0


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArraySpec(_Frozen):
    """A uniform rectangular array in the y–z plane, facing +x; one row makes a horizontal ULA along y."""

    rows: int = Field(1, ge=1, le=1024)
    columns: int = Field(8, ge=1, le=1024)
    spacing_wavelengths: float = Field(0.5, gt=0, le=10)

    @property
    def num_antennas(self) -> int:
        return self.rows * self.columns


class BandSpec(_Frozen):
    """One OFDM band: subcarriers are centred on the carrier, ``bandwidth_hz / num_subcarriers`` apart."""

    carrier_hz: float = Field(gt=0.5e9, le=100e9)
    bandwidth_hz: float = Field(gt=0)
    num_subcarriers: int = Field(64, ge=1)
    num_slots: int = Field(1, ge=1)
    slot_s: float = Field(0.5e-3, gt=0)
    array: ArraySpec = ArraySpec()
    num_beams: int = Field(256, ge=1)

    @model_validator(mode="after")
    def _band_fits(self) -> BandSpec:
        if self.bandwidth_hz >= self.carrier_hz:
            raise RequestError(
                "bandwidth_hz", expected=f"less than carrier_hz ({self.carrier_hz:g})", got=self.bandwidth_hz
            )
        return self


class SizesSpec(_Frozen):
    """Samples per split."""

    train: int = Field(ge=1)
    val: int = Field(ge=1)
    test: int = Field(ge=1)

    @property
    def total(self) -> int:
        return self.train + self.val + self.test

    def of(self, split: str) -> int:
        """Samples in ``split``."""
        return int(getattr(self, split))


class ScenarioSpec(_Frozen):
    """Everything but the seed that decides a dataset's bytes. docs/protocol.md gives the defaults.

    The system (bands, state), where users stand and how they move, how many samples, and the source of the channels
    with fields of its own. Distances are two-dimensional, base station to user; speeds are of a straight-line motion.

    The written form is flat: ``source`` is the source's name, and its fields stand beside the others. That is what
    ``flat`` gives and what the constructor takes, beside a ``SourceSpec`` or a mapping with a ``name`` as ``source``.
    Without a source it is the one that the scenario means by itself.

    Raises:
        RequestError: on construction, naming the field, what was expected, what was given and the choices.
    """

    scenario: str
    source: SerializeAsAny[SourceSpec]
    system: Literal["dualband", "multiuser"] = "dualband"
    state: Literal["los", "nlos", "random"] = "los"
    sub6: BandSpec
    mmwave: BandSpec | None = None
    bs_height_m: float = Field(gt=1.5, le=150)
    ue_height_m: float = Field(1.5, ge=1, le=22.5)
    min_distance_m: float = Field(ge=1)
    max_distance_m: float = Field(le=10_000)
    sector_deg: float = Field(120.0, gt=0, le=360)
    speed_min_mps: float = Field(30 * KMH, ge=0)
    speed_max_mps: float = Field(30 * KMH, ge=0, le=140)
    test_speeds_mps: tuple[float, ...] = ()
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
        scenario, own = str(flat.get("scenario")), {k: v for k, v in flat.items() if k in cls.model_fields}
        if "scenario" not in flat:
            return own  # pydantic says what is missing
        model = model_of(scenario, flat.get("source"))
        if model is None:
            raise _unknown_source(scenario, flat.get("source"))
        return own | {"source": _source(model, flat)}

    @model_serializer(mode="wrap")
    def _write_flat(self, handler: Any, info: Any) -> dict[str, Any]:
        return {**handler(self), "source": self.source.name, **self.source.fields(mode=info.mode)}

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> ScenarioSpec:
        if self.min_distance_m >= self.max_distance_m:
            raise RequestError(
                "min_distance_m",
                expected=f"less than max_distance_m ({self.max_distance_m:g})",
                got=self.min_distance_m,
            )
        if self.speed_min_mps > self.speed_max_mps:
            raise RequestError(
                "speed_min_mps", expected=f"at most speed_max_mps ({self.speed_max_mps:g})", got=self.speed_min_mps
            )
        return self

    @property
    def bands(self) -> dict[str, BandSpec]:
        """The bands by the suffix that their variables carry; the anchor band first."""
        return {"sub6": self.sub6} if self.mmwave is None else {"sub6": self.sub6, "mmwave": self.mmwave}

    def flat(self) -> dict[str, Any]:
        """The written form, with every field: ``ScenarioSpec(**spec.flat()) == spec``."""
        return self.model_dump()

    def replace(self, assignments: Mapping[str, Any]) -> ScenarioSpec:
        """A validated copy with dotted fields changed, e.g. ``{"sub6.carrier_hz": 2.4e9}``.

        Another source begins with its own defaults; ``rho_z`` and ``source.rho_z`` are the same field.
        """
        changes, data = flat_assignments(assignments), self.flat()
        if changes.get("source", self.source.name) != self.source.name:
            data = {name: value for name, value in data.items() if name in type(self).model_fields}
        for dotted, value in changes.items():
            *parents, leaf = dotted.split(".")
            node: Any = data
            for depth, parent in enumerate(parents):
                node = node.get(parent)
                if not isinstance(node, dict):
                    raise RequestError(
                        ".".join(parents[: depth + 1]),
                        expected="a group of fields in this system",
                        got=dotted,
                        choices=sorted(k for k, v in data.items() if isinstance(v, dict)),
                    )
            node[leaf] = value
        return type(self)(**data)

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
        here, there = _flatten(self.flat()), _flatten(other.flat())
        return [f"{k}: {here.get(k)} → {there.get(k)}" for k in sorted(here | there) if here.get(k) != there.get(k)]


def source_of(record: Mapping[str, Any]) -> SourceSpec:
    """The source that a dataset or a result records; a ``RecordedSource`` where that is not installed.

    Args:
        record: The written form of a spec, or what there is of it.

    Raises:
        RequestError: a field that the source does not have, or a value that it does not take.
    """
    scenario, name = str(record.get("scenario", "")), record.get("source")
    if (model := model_of(scenario, name)) is not None:
        return _source(model, record)
    fields = {key: value for key, value in record.items() if key not in ScenarioSpec.model_fields}
    return RecordedSource(recorded_name=str(name or scenario), **fields)


def flat_assignments(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted assignments with those to the source in their flat form: ``source.rho_z`` is ``rho_z``, ``source.name``
    is ``source``, and a mapping as ``source`` is all of these.

    Raises:
        RequestError: a field of the source that is none, because the spec has it.
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
            flat[key] = value
    return flat


def _source(model: type[SourceSpec], flat: Mapping[str, Any]) -> SourceSpec:
    if shared := sorted(model.model_fields.keys() & ScenarioSpec.model_fields.keys()):
        raise RequestError("source", expected="fields that the spec does not have", got=f"{model.name}: {shared}")
    fields = {name: value for name, value in flat.items() if name not in ScenarioSpec.model_fields}
    if unknown := [name for name in fields if name not in model.model_fields]:
        choices = sorted({*ScenarioSpec.model_fields, *model.model_fields})
        raise RequestError(unknown[0], expected="a known field", got=unknown[0], choices=choices)
    return make_source(model, fields)


def _unknown_source(scenario: str, source: Any) -> RequestError:
    if known := makers(scenario):
        return RequestError("source", expected=f"a source of {scenario}", got=source, choices=known)
    return RequestError("scenario", expected="a scenario that is installed here", got=scenario)


SYSTEMS: dict[str, dict[str, Any]] = {
    # LLM4WM Table II
    "dualband": {
        "state": "los",
        "sub6": {"carrier_hz": 1.9e9, "bandwidth_hz": 60e6, "num_slots": 20, "array": {"columns": 8}},
        "mmwave": {"carrier_hz": 28e9, "bandwidth_hz": 0.5e9, "num_slots": 1, "array": {"columns": 64}},
    },
    # Multi-task PHY LLM, section V-A
    "multiuser": {
        "state": "nlos",
        "sub6": {
            "carrier_hz": 2.4e9,
            "bandwidth_hz": 48 * 180e3,
            "num_subcarriers": 48,
            "num_slots": 20,
            "array": {"rows": 8, "columns": 16},
        },
        "mmwave": None,
        "min_distance_m": 20.0,
        "max_distance_m": 100.0,
        "sector_deg": 180.0,
        "speed_min_mps": 10 * KMH,
        "speed_max_mps": 100 * KMH,
        "test_speeds_mps": tuple(speed * KMH for speed in range(10, 101, 10)),
    },
}


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


def parse_assignments(items: list[str]) -> dict[str, Any]:
    """``["sub6.carrier_hz=2.4e9"]`` to ``{"sub6.carrier_hz": 2.4e9}``; values are TOML, bare words are strings."""
    parsed: dict[str, Any] = {}
    for item in items:
        key, sign, text = item.partition("=")
        if not (sign and key.strip() and text.strip()):
            raise RequestError("--set", expected="field=value", got=item)
        try:
            parsed[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[key.strip()] = text.strip()
    return parsed


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML spec file as dotted assignments."""
    try:
        with open(expanded(path, field="--spec"), "rb") as file:
            return _flatten(tomllib.load(file))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RequestError("--spec", expected="a readable TOML file", got=f"{path} ({error})") from None


def _flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
