"""What a dataset says of itself: the attributes of its group, typed, however they were written.

Mappings are written as JSON text and marks as numbers: netCDF knows no others, and xarray writes a dataset's attributes
wherever it writes the dataset. Datasets of earlier versions have mappings and ``true``, and are read as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from channelbench.errors import RequestError

__all__ = ["PART_OF", "Record", "names_of", "written"]

PART_OF = "part_of"
"""The attribute of what has been selected from a dataset: the content digest of the whole."""

DEPTH = 64
"""Brackets in brackets: more than any dataset has, fewer than Python can follow."""


def written(value: Any) -> str:
    """A mapping or a list as an attribute."""
    return json.dumps(value, sort_keys=True)


def _unwritten(value: Any) -> Any:
    """What ``written`` has written; other values as they are."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _mark(value: Any) -> Any:
    return bool(value) if type(value) is int and value in (0, 1) else value


Digest = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]


class Record(BaseModel):
    """The attributes that this project reads.

    Attributes:
        schema_version: Of variables, dimensions and units.
        spec: The written form of the spec.
        seed: What the dataset was made with.
        versions: Of the packages that made it.
        complete: Whether it is finished.
        content_digest: Over schema, spec, seed and samples; empty until it is finished.
        metadata_digest: Over all that says what the samples are; ``None`` in datasets of versions that had none.
        storage_digest: Over how they are stored.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    schema_version: str
    spec: Annotated[dict[str, Any], BeforeValidator(_unwritten)]
    seed: int = Field(ge=0, lt=2**63)
    versions: Annotated[dict[str, str], BeforeValidator(_unwritten)]
    complete: Annotated[bool, BeforeValidator(_mark)]
    content_digest: Digest
    metadata_digest: Digest | None = None
    storage_digest: Digest | None = None

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Record:
        """That in the attributes of a group.

        Raises:
            RequestError: attributes that are missing, or are something else.
        """
        if deep := [name for name, value in attributes.items() if _depth(_unwritten(value)) > DEPTH]:
            raise RequestError(deep[0], expected=f"at most {DEPTH} brackets in each other", got="more")
        try:
            return cls(**{name: attributes[name] for name in cls.model_fields if name in attributes})
        except ValidationError as error:
            raise RequestError.from_pydantic(error, cls) from None


def names_of(attribute: Any) -> list[str]:
    """The list of names that an attribute is, one at least and each once, none with a path in it.

    Raises:
        RequestError: it is something else.
    """
    names = _unwritten(attribute)
    if not isinstance(names, list) or not all(isinstance(name, str) and _is_plain(name) for name in names):
        raise RequestError("variables", expected="a list of names", got=attribute)
    if not names or len(set(names)) < len(names):
        raise RequestError("variables", expected="one name at least, each once", got=attribute)
    return names


def _is_plain(name: str) -> bool:
    return 0 < len(name) <= 200 and "/" not in name and "\\" not in name and not name.startswith((".", "__"))


def _depth(value: Any) -> int:
    """Brackets in each other, one more than ``DEPTH`` at most."""
    level, depth = [value], 0
    while level and depth <= DEPTH:
        level = [
            each
            for one in level
            if isinstance(one, list | Mapping)
            for each in (one.values() if isinstance(one, Mapping) else one)
        ]
        depth += bool(level)
    return depth
