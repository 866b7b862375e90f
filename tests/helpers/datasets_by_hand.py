"""Datasets that somebody has made wrongly, and places where they may lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import zarr

from channelbench.store import layout, open_dataset
from channelbench.store.files import Files, UnitFiles
from channelbench.store.schema import variables

__all__ = ["forget_connections", "s3_settings", "signed_anew"]

KEPT: list[Any] = []


def signed_anew(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a variable and sign it again, so that the physics checks and not the digests have to notice."""
    dataset, group = open_dataset(path), zarr.open_group(str(path), mode="r+")
    columns = {key: group[key][:] for key in variables(dataset.spec)}
    columns[name] = change(columns[name])
    files = Files.of(group)
    for unit in layout.units(dataset.spec, files.unit_rows):
        buffers = UnitFiles(dataset.spec, files, unit.stop - unit.start)
        for key, column in buffers.columns.items():
            column[...] = columns[key][unit.start : unit.stop]
        buffers.write(group.store, unit.index, files)
    layout.finish(path, dataset.spec, dataset.seed)


def s3_settings(endpoint: str) -> dict[str, str]:
    """What a user sets for a server of S3."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def forget_connections() -> None:
    """Clients keep the credentials that they were made with. Without us they would be closed too late to be quiet."""
    import s3fs

    KEPT.extend(s3fs.S3FileSystem._cache.values())
    s3fs.S3FileSystem.clear_instance_cache()
