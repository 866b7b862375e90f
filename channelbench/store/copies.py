"""Copies of datasets, and of parts of them, that xarray writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from channelbench.errors import RequestError
from channelbench.spec import ScenarioSpec
from channelbench.store.files import DIGEST
from channelbench.store.layout import quiet_zarr
from channelbench.store.location import Location, is_store_error, said
from channelbench.store.record import PART_OF, Record, names_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["part", "save", "writable"]

MARKS = ("complete", "content_digest", "metadata_digest", "storage_digest")
"""What is true of the whole only."""


def save(view: xr.Dataset, path: str | Path) -> Path | str:
    """Write what has been selected of a dataset with xarray to a new place, piece by piece.

    It is ``view.to_zarr`` with two cares. Files of samples are shards, which hold several chunks, and xarray's pieces
    are chunks, so that it refuses to write them, or what has been cut out of them: see ``writable``. And a part is no
    longer the dataset: it does not carry the digests, and ``open_dataset`` does not take it for one.

    Args:
        view: From ``open_dataset(…).xarray`` or ``xarray.open_zarr``, whole or with rows, bands or variables left out.
        path: Folder or URL, where there is nothing yet.

    Returns:
        The place.

    Raises:
        RequestError: there is something already, or it cannot be written.
    """
    location = Location.of(path, field="path")
    try:
        if not location.is_empty():
            raise RequestError("path", expected="a new place", got=str(location))
        view = writable(view if _is_whole(view) else part(view))
        # Chunks of zeros are written too: a file that is not there is not known from one that was lost.
        with quiet_zarr():
            view.to_zarr(location.store(), mode="w-", zarr_format=3, write_empty_chunks=True)
    except Exception as error:
        if not is_store_error(error):
            raise
        raise RequestError("path", expected="a place that can be written", got=f"{location} ({said(error)})") from None
    return location.place


def writable(view: xr.Dataset) -> xr.Dataset:
    """The same numbers in pieces of whole files, which xarray's own ``to_zarr`` writes: those that a selection has cut
    are put together. What an index has taken a dimension of has no use for the lengths of its files."""
    made = view.copy()
    for name in made.variables:
        variable: Any = made[name].variable.copy(deep=False)
        stored = variable.encoding.get("shards") or variable.encoding.get("chunks") or ()
        if len(stored) != variable.ndim:
            lengths = ("chunks", "shards", "preferred_chunks")
            variable.encoding = {key: value for key, value in variable.encoding.items() if key not in lengths}
            stored = variable.shape
        if variable.chunks is not None:
            variable = variable.chunk(dict(zip(variable.dims, stored, strict=True)))
        made[name] = variable
    return made


def _is_whole(view: xr.Dataset) -> bool:
    """Whether all rows and variables of a dataset are there."""
    try:
        sizes = ScenarioSpec.from_record(Record.of(view.attrs).spec).sizes
        names = names_of(view[DIGEST].attrs["variables"])
    except (KeyError, RequestError):
        return False
    return view.sizes.get("sample") == sizes.total and all(name in view for name in names)


def part(view: xr.Dataset) -> xr.Dataset:
    """The view without what is true of the whole only: the digests, and that it is complete."""
    left = view.drop_vars(DIGEST, errors="ignore")
    whole = view.attrs.get("content_digest") or view.attrs.get(PART_OF, "")
    left.attrs = {name: value for name, value in view.attrs.items() if name not in MARKS} | {PART_OF: whole}
    return left
