"""What a file says of its bands, completed by what the user says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from channelbench.assignments import flatten
from channelbench.bands import ArraySpec, BandSpec
from channelbench.errors import RequestError
from channelbench.generators.imported.contract import BandFacts, Description

__all__ = ["complete_bands", "needed"]

FIELDS = ("carrier_hz", "bandwidth_hz", "num_subcarriers", "num_slots", "slot_s")


def complete_bands(description: Description, said: Mapping[str, Mapping[str, Any]]) -> dict[str, BandSpec]:
    """The bands of a dataset.

    Args:
        description: What the file says.
        said: What the user says, by band: fields of ``BandSpec``, ``array.rows`` among them.

    Raises:
        RequestError: a field that neither says, that both say differently, or that no band has.
    """
    if unknown := [name for name in said if name not in description.bands]:
        raise RequestError(unknown[0], expected="a band of this file", got=unknown[0], choices=description.bands)
    if missing := needed(description, said):
        also = f", and of {', '.join(missing[1:])}" if missing[1:] else ""
        raise RequestError(missing[0], expected=f"a value (--set or --settings){also}", got="nothing in the file")
    return {name: _band(name, facts, flatten(said.get(name, {}))) for name, facts in description.bands.items()}


def needed(description: Description, said: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Dotted fields that the user has to say."""
    return [
        f"{name}.{field}"
        for name, facts in description.bands.items()
        for field in _needed(facts, flatten(said.get(name, {})))
    ]


def _needed(facts: BandFacts, said: Mapping[str, Any]) -> list[str]:
    known = {**facts.usual, **_known(facts), **said}
    fields = [field for field in ("carrier_hz", "bandwidth_hz", "num_subcarriers") if field not in known]
    slots = known.get("num_slots", 1)
    if slots != 1 and "slot_s" not in known:
        fields.append("slot_s")
    arrays = {"array.rows", "array.columns"} & known.keys()
    if facts.array is None and facts.num_antennas != 1 and not arrays:
        fields.append("array.columns")
    return fields


def _known(facts: BandFacts) -> dict[str, Any]:
    """What the file says, by field."""
    return {field: getattr(facts, field) for field in FIELDS if getattr(facts, field) is not None}


def _band(name: str, facts: BandFacts, said: dict[str, Any]) -> BandSpec:
    known = _known(facts)
    if facts.array is not None:
        known |= {f"array.{field}": value for field, value in facts.array.model_dump().items()}
    for field, value in known.items():
        if field in said and float(said[field]) != float(value):
            expected = f"{value:g}, as the file has it, or nothing"
            raise RequestError(f"{name}.{field}", expected=expected, got=said[field])
    fields = {"num_slots": 1} | dict(facts.usual) | known | said
    if "array" in fields:
        raise RequestError(f"{name}.array", expected="array.rows and array.columns", got=fields["array"])
    array = {key.removeprefix("array."): fields.pop(key) for key in list(fields) if key.startswith("array.")}
    if facts.array is None:
        array = {"rows": 1, "columns": 1} | array
    try:
        shape = ArraySpec(**array)
    except ValidationError as error:
        raise _named(f"{name}.array", RequestError.from_pydantic(error, ArraySpec)) from None
    try:
        band = BandSpec(**fields, array=shape)
    except ValidationError as error:
        raise _named(name, RequestError.from_pydantic(error, BandSpec)) from None
    except RequestError as error:
        raise _named(name, error) from None
    if facts.num_antennas is not None and band.array.num_antennas != facts.num_antennas:
        got = f"{band.array.rows} × {band.array.columns}"
        raise RequestError(f"{name}.array", expected=f"rows × columns of {facts.num_antennas} antennas", got=got)
    return band


def _named(band: str, error: RequestError) -> RequestError:
    return error.about(f"{band}.{error.field}")
