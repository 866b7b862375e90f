"""The scalars of each sample as one Parquet file: what tables, viewers and Croissant can read of a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.spec import SPLITS
from channelbench.store.cards.facts import Facts
from channelbench.store.layout import split_rows

__all__ = ["FILE", "Column", "columns", "require_parquet", "sha256_of", "write_samples"]

FILE = "samples.parquet"

ROWS = 2**16
"""Samples that are read and written at a time."""

AXES = "xyz"


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: Of the column.
        array: The array that it is from; empty for the row's number.
        axis: Which component of a vector it is; ``None`` for scalars.
        dtype: numpy's name; ``str`` for the split.
        unit: UDUNITS string.
        description: What it is.
    """

    name: str
    array: str
    axis: int | None
    dtype: str
    unit: str
    description: str


def columns(facts: Facts) -> list[Column]:
    """The row in the Zarr arrays, the split by name, every real scalar of a sample, and the components of positions and
    velocities."""
    found = [
        Column("sample", "", None, "int64", "1", "row in the Zarr arrays"),
        Column("split", "split", None, "str", "1", "train, val or test"),
    ]
    for array in facts.arrays:
        said = (array.dtype, array.unit, array.description)
        if array.name == "split" or np.dtype(array.dtype).kind not in "bfiu":
            continue
        if array.dims == ("sample",):
            found.append(Column(array.name, array.name, None, *said))
        elif array.dims == ("sample", AXES):
            found += [
                Column(f"{array.name}_{axis}", array.name, index, said[0], said[1], f"{said[2]}, {axis}")
                for index, axis in enumerate(AXES)
            ]
    return found


def require_parquet() -> None:
    """Raise unless Parquet can be written here.

    Raises:
        RequestError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        expected = "pyarrow, which writes the table of samples (pip install 'channelbench[card]')"
        raise RequestError("card", expected=expected, got="not installed") from None


def write_samples(facts: Facts, target: Path) -> None:
    """Write the table, some rows at a time: a dataset need not fit into memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = columns(facts)
    schema = pa.schema(
        [
            pa.field(
                column.name,
                pa.string() if column.dtype == "str" else pa.from_numpy_dtype(np.dtype(column.dtype)),
                metadata={"units": column.unit, "long_name": column.description},
            )
            for column in wanted
        ]
    )
    with pq.ParquetWriter(target, schema) as writer:
        for piece in _pieces(facts, wanted):
            writer.write_table(pa.table(piece, schema=schema))


def _pieces(facts: Facts, wanted: list[Column]) -> Iterator[dict[str, NDArray[Any]]]:
    dataset = facts.dataset
    for split, rows in split_rows(dataset.spec).items():
        for start in range(rows.start, rows.stop, ROWS):
            stop = min(start + ROWS, rows.stop)
            with dataset.reading():
                read = {name: dataset.group[name][start:stop] for name in {c.array for c in wanted if c.array}}
            if (read["split"] != SPLITS.index(split)).any():
                raise RequestError("data", expected=f"rows {start} to {stop} of split {split}", got=dataset.path)
            read[""] = np.arange(start, stop)
            yield {column.name: _values(column, read, split) for column in wanted}


def _values(column: Column, read: dict[str, NDArray[Any]], split: str) -> NDArray[Any]:
    if column.dtype == "str":
        return np.full(len(read[""]), split, dtype=object)
    values = read[column.array]
    return values if column.axis is None else np.ascontiguousarray(values[:, column.axis])


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
