"""Whether a document is of a JSON schema: as much of the standard as our schemas use, and nothing passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

KINDS: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
SAID = {"title", "description", "default", "$defs", "maxItems", "minItems", "prefixItems"}
"""Keywords that say nothing of what is here, or are handled with ``type``."""


def complaints(document: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str = "$") -> Iterator[str]:
    """What of ``document`` is not as ``schema`` says, a part of ``root``."""
    for word, value in schema.items():
        match word:
            case "$ref":
                yield from complaints(document, root["$defs"][value.rpartition("/")[2]], root, place)
            case "anyOf":
                if all(list(complaints(document, choice, root, place)) for choice in value):
                    yield f"{place}: {document!r} is none of {value}"
            case "type":
                if not isinstance(document, KINDS[value]) or (isinstance(document, bool) and value != "boolean"):
                    yield f"{place}: {document!r} is no {value}"
            case "const":
                if document != value:
                    yield f"{place}: {document!r} is not {value!r}"
            case "enum":
                if document not in value:
                    yield f"{place}: {document!r} is not among {value}"
            case "required" if isinstance(document, dict):
                yield from (f"{place}: no {name}" for name in value if name not in document)
            case "properties" | "additionalProperties" | "items" if isinstance(document, (dict, list)):
                yield from _inside(document, schema, word, root, place)
            case "required" | "properties" | "additionalProperties" | "items":
                pass  # another type, which ``type`` has said
            case _:
                assert word in SAID, f"{place}: a keyword that is not checked: {word}"


def _inside(document: Any, schema: Mapping[str, Any], word: str, root: Mapping[str, Any], place: str) -> Iterator[str]:
    known = schema.get("properties", {})
    if word == "items":
        for number, each in enumerate(document):
            yield from complaints(each, schema["items"], root, f"{place}[{number}]")
    elif word == "properties":
        for name in known.keys() & document.keys():
            yield from complaints(document[name], known[name], root, f"{place}.{name}")
    else:
        for name in document.keys() - known.keys():
            if schema[word] is False:
                yield f"{place}: {name} is not in the schema"
            elif schema[word] is not True:
                yield from complaints(document[name], schema[word], root, f"{place}.{name}")
