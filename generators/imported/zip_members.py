"""Where in an ``.npz`` the numbers of each array begin, so that they can be read in parts."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["MemberHeader", "header_of", "place_of"]

LOCAL_HEADER = 30
"""Bytes of a member's own header before its name, whose length is in bytes 26 and 27, and further fields, in 28 and 29
(PKWARE, .ZIP File Format Specification, 4.3.7)."""


class MemberHeader(NamedTuple):
    """Of an array in numpy's format; ``length`` bytes before its numbers."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int


def header_of(archive: zipfile.ZipFile, name: str) -> MemberHeader:
    """What numpy says of an array before its numbers.

    Raises:
        ValueError: it is none of numpy's.
    """
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return MemberHeader(*read(file), file.tell())


def place_of(path: Path, info: zipfile.ZipInfo) -> int | None:
    """Where in the file the bytes of a member begin; ``None`` where they are compressed."""
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(LOCAL_HEADER)
    lengths = (int.from_bytes(local[place : place + 2], "little") for place in (26, 28))
    return info.header_offset + LOCAL_HEADER + sum(lengths)
