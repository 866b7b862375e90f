"""Croissant 1.1 metadata (http://mlcommons.org/croissant/1.1) of a dataset.

Croissant has no word for Zarr. Files and variables are described; records there are of the table of samples alone. The
one checksum of the Zarr group is that of its ``zarr.json``: that file carries the content digest, which covers every
sample (``channelbench verify``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from channelbench.store.cards import samples
from channelbench.store.cards.facts import Facts, StoredArray
from channelbench.store.cards.licences import addresses
from channelbench.store.cards.samples import Column
from channelbench.store.files import DIGEST
from channelbench.store.location import ROOT

__all__ = ["FILE", "metadata"]

FILE = "croissant.json"

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The JSON-LD context of Croissant 1.1, as mlcroissant writes it."""

TYPES = {
    "bool": "sc:Boolean",
    "str": "sc:Text",
    **{f"float{bits}": f"cr:Float{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"cr:Int{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"cr:UInt{bits}" for bits in (8, 16, 32, 64)},
}
"""Croissant's name for each dtype of a column."""

SPLIT_TERMS = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}


def metadata(facts: Facts, table: Path) -> dict[str, Any]:
    """The JSON-LD document.

    Args:
        facts: Of the dataset.
        table: The Parquet file of its samples, for size and checksum.
    """
    publication, created = facts.publication, facts.created
    licences = addresses(facts.licence)
    stated = {
        "name": facts.title,
        "description": f"{facts.summary} Licence: {facts.licence}.",
        "license": licences if len(licences) > 1 else licences[0],
        "citeAs": facts.bibtex,
        "keywords": list(facts.keywords),
        "version": facts.version,
        "url": publication.url,
        "sameAs": f"https://doi.org/{publication.doi}" if publication.doi else "",
        "creator": [{"@type": "Person", "name": name} for name in publication.authors],
        "dateCreated": created.isoformat() if created else "",
        "datePublished": created.isoformat() if created else "",
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        **{key: value for key, value in stated.items() if value},
        "distribution": [*_files(facts, table), *(_file_set(facts, array) for array in _stored(facts))],
        "recordSet": [_splits(facts), _variables(facts), _samples(samples.columns(facts))],
    }


def _stored(facts: Facts) -> tuple[StoredArray, ...]:
    """All arrays of the group, the digests' too."""
    array = facts.dataset.group[DIGEST]
    digest = StoredArray(
        DIGEST,
        tuple(array.metadata.dimension_names),
        array.shape,
        str(array.dtype),
        "1",
        str(array.attrs["long_name"]),
    )
    return (*facts.arrays, *facts.axes, digest)


def _files(facts: Facts, table: Path) -> Iterator[dict[str, Any]]:
    yield {
        "@type": "cr:FileObject",
        "@id": ROOT,
        "name": ROOT,
        "description": f"Metadata of the Zarr group {facts.folder}; its content_digest covers every sample.",
        "contentUrl": f"{facts.folder}/{ROOT}",
        "contentSize": f"{len(facts.root_bytes)} B",
        "encodingFormat": "application/json",
        "sha256": facts.root_sha256,
    }
    yield {
        "@type": "cr:FileObject",
        "@id": samples.FILE,
        "name": samples.FILE,
        "description": "The scalars of each sample.",
        "contentUrl": samples.FILE,
        "contentSize": f"{table.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": samples.sha256_of(table),
    }


def _file_set(facts: Facts, array: StoredArray) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{facts.folder}/{array.name}",
        "name": array.name,
        "description": f"{array.description}; {array.lengths}, {array.dtype}, unit {array.unit}.",
        "encodingFormat": "application/vnd.zarr",
        "includes": [f"{facts.folder}/{array.name}/**"],
    }


def _splits(facts: Facts) -> dict[str, Any]:
    fields = {"name": "sc:Text", "url": "sc:URL", "samples": "cr:Int64"}
    rows = [
        {"splits/name": split, "splits/url": SPLIT_TERMS[split], "splits/samples": count}
        for split, count in facts.splits.items()
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits, with the number of samples in each.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field("splits", name, kind, name) for name, kind in fields.items()],
        "data": rows,
    }


def _variables(facts: Facts) -> dict[str, Any]:
    about = {
        "name": "array of the Zarr group",
        "dims": "its dimensions, in order, with their lengths",
        "dtype": "numpy dtype",
        "unit": "UDUNITS string",
        "description": "what it is",
        "files": "where its files are, as a glob",
    }
    rows = [
        {
            "variables/name": array.name,
            "variables/dims": array.lengths,
            "variables/dtype": array.dtype,
            "variables/unit": array.unit,
            "variables/description": array.description,
            "variables/files": f"{facts.folder}/{array.name}/**",
        }
        for array in _stored(facts)
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "variables",
        "name": "variables",
        "description": "The arrays of the Zarr group, which xarray.open_zarr opens: one record describes one array.",
        "key": {"@id": "variables/name"},
        "field": [_field("variables", name, "sc:Text", words) for name, words in about.items()],
        "data": rows,
    }


def _samples(wanted: list[Column]) -> dict[str, Any]:
    fields = []
    for column in wanted:
        words = column.description if column.unit == "1" else f"{column.description}, {column.unit}"
        field = _field("samples", column.name, TYPES[column.dtype], words)
        field["source"] = {"fileObject": {"@id": samples.FILE}, "extract": {"column": column.name}}
        if column.name == "split":
            field["references"] = {"field": {"@id": "splits/name"}}
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "One record per sample: its scalars, in the order of the Zarr arrays' rows.",
        "key": {"@id": "samples/sample"},
        "field": fields,
    }


def _field(record_set: str, name: str, kind: str, words: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": words,
        "dataType": kind,
    }
