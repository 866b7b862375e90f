"""Values of a spec in other units than its fields have: ``speed=60km/h``, ``carrier="2.4 GHz"``, ``slot_ms=0.5``.

Fields of a spec name their unit, which is SI but for angles in degrees. A value may name another one, and so may the
field. What comes of it is the number that the field would have been given, so that spec and digests are those of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from channelbench.errors import RequestError
from channelbench.systems import KMH

__all__ = ["all_in_si", "converted", "in_si"]

Convert = Callable[[Decimal], float]


def _times(factor: str) -> Convert:
    """Exactly, and rounded once: 3.3 GHz is 3.3e9 Hz, which 3.3 times 1e9 in floats need not be."""
    exact = Decimal(factor)
    return lambda number: float(number * exact)


def _from_kmh(number: Decimal) -> float:
    return float(number) * KMH  # as the protocol's own speeds are written


UNITS: dict[str, dict[str, Convert]] = {
    "mps": {"m/s": _times("1"), "mps": _times("1"), **dict.fromkeys(("km/h", "kmh", "kph"), _from_kmh)},
    "hz": {"Hz": _times("1"), "kHz": _times("1e3"), "MHz": _times("1e6"), "GHz": _times("1e9"), "THz": _times("1e12")},
    "s": {
        "s": _times("1"),
        "ms": _times("1e-3"),
        **dict.fromkeys(("us", "µs", "μs"), _times("1e-6")),
        "ns": _times("1e-9"),
    },
    "m": {"m": _times("1"), "km": _times("1e3"), "cm": _times("1e-2"), "mm": _times("1e-3")},
    "deg": {"deg": _times("1"), "°": _times("1")},
}
"""By the suffix of the fields, what a value may be in; in any case of letters."""

SHOWN = {
    "mps": ("m/s", "km/h"),
    "hz": ("Hz", "kHz", "MHz", "GHz"),
    "s": ("s", "ms", "us", "ns"),
    "m": ("m", "km"),
    "deg": ("deg",),
}
"""Those that messages name."""

_SPEC = {
    "speed_min": "mps",
    "speed_max": "mps",
    "test_speeds": "mps",
    "bs_height": "m",
    "ue_height": "m",
    "min_distance": "m",
    "max_distance": "m",
    "sector": "deg",
}
_BAND = {"carrier": "hz", "bandwidth": "hz", "slot": "s"}
QUANTITIES = {**_SPEC, **{f"{band}.{name}": unit for band in ("sub6", "mmwave") for name, unit in _BAND.items()}}
"""Fields of a spec that are measured in something, without their suffix."""

BOTH = {"speed": ("speed_min", "speed_max")}
"""One word for the two ends of a range: all users move as fast."""

_NUMBER = re.compile(r"\s*([-+]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S(?:.*\S)?)?\s*", re.DOTALL)


def in_si(field: str, value: Any) -> Iterator[tuple[str, Any]]:
    """An assignment as what it is in the fields and units of a spec; itself where it names no other.

    Args:
        field: Dotted, with the suffix of the spec's field, another unit's (``speed_max_kmh``) or none (``carrier``).
        value: A number, text with a unit, or for ``test_speeds`` a list of them. A table of a band has its fields
            converted.

    Returns:
        Pairs of field and value: two for ``speed``, which is ``speed_min`` and ``speed_max``.

    Raises:
        RequestError: no number with a unit of this kind, or none where neither field nor value names one.
    """
    if isinstance(value, Mapping) and field in ("sub6", "mmwave"):
        own = [pair for name, each in value.items() for pair in in_si(f"{field}.{name}", each)]
        yield field, {name.removeprefix(f"{field}."): each for name, each in own}
        return
    name, unit = _quantity(field)
    if not name:
        yield field, value
        return
    suffix = QUANTITIES[BOTH.get(name, (name,))[0]]
    for each in BOTH.get(name, (name,)):
        yield f"{each}_{suffix}", _values(field, value, suffix, unit)


def all_in_si(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Assignments, each as ``in_si`` has it.

    Raises:
        RequestError: see there.
    """
    return dict(pair for field, value in assignments.items() for pair in in_si(field, value))


def converted(field: str, value: Any, kind: str, unit: str | None = None) -> Any:
    """A value in the unit of its field.

    Args:
        field: For the message.
        value: A number, or text with one and perhaps a unit.
        kind: The suffix of fields of this kind, a key of ``UNITS``.
        unit: What a number without a unit is in; ``None`` where it has to have one.

    Returns:
        A float; the value as it is where it is in the field's unit anyway, or is no number for somebody else to refuse.

    Raises:
        RequestError: a unit of another kind, or none where there has to be one.
    """
    said, known = value, {name.casefold(): convert for name, convert in UNITS[kind].items()}
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    found = _NUMBER.fullmatch(str(value))
    number, named = (found[1], found[2]) if found else (None, None)
    if found is None and not isinstance(value, str):
        return value  # not finite
    named = named or unit
    if number is None or named is None or named.replace(" ", "").casefold() not in known:
        if number is None and unit == kind:
            return value  # the field says itself what it takes
        usual = SHOWN[kind]
        alone = f", or {field}_{kind} with a number alone" if unit is None else ""
        raise RequestError(field, expected=f"a number with a unit of {', '.join(usual)}{alone}", got=said)
    if found and found[2] is None and unit == kind:
        return value  # a number in the field's own unit stays what it was written as
    try:
        return known[named.replace(" ", "").casefold()](Decimal(number))
    except (InvalidOperation, OverflowError):
        raise RequestError(field, expected="a finite number", got=said) from None


def _values(field: str, value: Any, kind: str, unit: str | None) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(converted(field, each, kind, unit) for each in value)
    return converted(field, value, kind, unit)


def _quantity(field: str) -> tuple[str, str | None]:
    """The quantity that a field is, and the unit that its suffix names; nothing of both if it is none."""
    if field in QUANTITIES or field in BOTH:
        return field, None
    name, _, suffix = field.rpartition("_")
    kind = QUANTITIES.get(BOTH.get(name, (name,))[0])
    if kind is None or suffix.casefold() not in {each.casefold() for each in (kind, *UNITS[kind])}:
        return "", None
    return name, suffix
