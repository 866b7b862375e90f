"""``channelbench export``: from a dataset to a file of somebody else's format."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from channelbench.errors import RequestError
from channelbench.generators.imported.formats import writer_named
from channelbench.paths import expanded
from channelbench.store.dataset import open_dataset
from channelbench.store.location import Location, is_url

__all__ = ["export_dataset"]


def export_dataset(
    data: str | Path,
    *,
    format: str,
    out: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write a dataset in another format. Nothing stands at ``out`` before all of it is written.

    Args:
        data: The dataset.
        format: Name of a writer.
        out: File or folder to write; the dataset's name in this folder by default.
        progress: Called with (samples done, all samples).

    Returns:
        Where it is.

    Raises:
        RequestError: no such dataset or format, a dataset that the format cannot hold, something at ``out`` already,
            or no way to write there.
    """
    writer = writer_named(format)()
    dataset = open_dataset(data, field="data")
    if out is not None and is_url(out):
        raise RequestError("--out", expected="a file or folder of this machine", got=str(out))
    target = expanded(out, field="--out") if out is not None else _default(data, writer.name, writer.suffix)
    if target.exists():
        raise RequestError("--out", expected="a new file or folder", got=str(target))
    if writer.suffix and not target.parent.is_dir():
        raise RequestError("--out", expected="a file in a folder that is there", got=str(target))
    writer.refuse(dataset)
    # A name of its own for each process, which keeps the suffix: libraries go by it.
    partial = target.with_name(f".{os.getpid()}.partial.{target.name}")
    try:
        writer.write(dataset, partial, progress)
        os.replace(partial, target)
    except OSError as error:
        raise RequestError("--out", expected="a place that can be written", got=f"{target} ({error})") from None
    finally:
        _remove(partial)
    return target


def _default(data: str | Path, format: str, suffix: str) -> Path:
    stem = Path(str(Location.of(data, field="data").place)).stem
    return Path(f"{stem}{suffix}" if suffix else f"{stem}-{format}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
