"""How a dataset is made again: its spec as a TOML file, and the command that takes it, tried before it is promised."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from channelbench.assignments import flatten
from channelbench.errors import RequestError
from channelbench.generation import make_spec
from channelbench.spec import ScenarioSpec

__all__ = ["SPEC_FILE", "Recipe", "as_toml"]

SPEC_FILE = "spec.toml"


@dataclass(frozen=True)
class Recipe:
    """How a dataset is made again.

    Attributes:
        toml: The whole spec, a line for each field, as ``--spec`` reads it.
        command: What makes the dataset again, or of which kind the command was.
        caveat: Why that command alone may not do here; empty where the spec that it would make is this very one.
    """

    toml: str
    command: str
    caveat: str

    @classmethod
    def of(cls, spec: ScenarioSpec, seed: int, folder: str) -> Recipe:
        """That of a spec, a seed and the folder that the dataset was in."""
        toml = as_toml(spec.model_dump(mode="json"))
        if maker := spec.source.maker:
            caveat = f"It needs what it was made from; {SPEC_FILE} has its digest and the settings."
            return cls(toml, f"{maker.replace('x.zarr', folder)} --seed {seed}", caveat)
        return cls(toml, f"channelbench generate --spec {SPEC_FILE} --seed {seed} --out {folder}", _caveat(spec, toml))


def _caveat(spec: ScenarioSpec, toml: str) -> str:
    try:
        again = make_spec(assignments=flatten(tomllib.loads(toml)))
    except RequestError as error:
        return f"Where this card was written the command is refused: {error}."
    differing = spec.differences(again)
    return f"It makes another dataset here: {'; '.join(differing)}." if differing else ""


def as_toml(fields: Mapping[str, Any]) -> str:
    """Nested fields as TOML, a line of dotted name and value each; those without a value are left out, as TOML has
    none for nothing."""
    return "".join(f"{name} = {value}\n" for name, value in _lines(fields))


def _lines(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        name = prefix + (key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key))
        if isinstance(value, Mapping):
            yield from _lines(value, f"{name}.")
        elif value is not None:
            # Of strings, numbers, truth values and lists of them JSON is TOML, but for one control character.
            yield name, json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
