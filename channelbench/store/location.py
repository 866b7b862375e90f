"""Where a dataset is: a folder of this machine, or a URL that fsspec knows (``s3://``, ``gs://``, ``memory://``, …).

Endpoints and credentials are fsspec's and the client libraries' own settings, in the environment and in
``~/.config/fsspec``: what opens a URL here opens it in plain xarray too, and no secret passes through our hands.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import zarr
from zarr.abc.store import Store

from channelbench.errors import RequestError
from channelbench.paths import check_words, expanded
from channelbench.store.guarded import LocalFiles, NoFile, RemoteFiles, ask, check_regular

__all__ = ["ROOT", "Location", "is_network_error", "is_store_error", "is_url", "parsed", "said"]

ROOT = "zarr.json"
"""The key of the group's metadata: with it a dataset begins to exist."""

EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Protocols whose package comes with one of our extras."""

CLIENT_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "adlfs", "paramiko")
"""What fsspec's filesystems call; not all that these raise is an ``OSError``."""


def is_url(place: str | Path) -> bool:
    """Whether this is fsspec's and not a path; zarr and xarray tell them apart in the same way."""
    return "://" in str(place) or "::" in str(place)


def is_store_error(error: BaseException) -> bool:
    """Whether a disk, a network or a remote store is to blame."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in CLIENT_LIBRARIES


def is_network_error(error: BaseException, store: Store) -> bool:
    """Whether reading may go well the next time: nothing that a folder of this machine says, nor what is no file."""
    return is_store_error(error) and not isinstance(error, NoFile) and not isinstance(store, LocalFiles)


def _options(url: str) -> dict[str, Any]:
    """Options of fsspec's filesystem for a URL, where nobody has said otherwise: S3's client and s3fs repeat a request
    five times each, with pauses, so that what the host answers would only be seen after twenty-five."""
    protocol = re.split("://|::", url)[0]
    given = "config_kwargs" in fsspec.config.conf.get("s3", {}) or {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & {
        *os.environ
    }
    if protocol not in EXTRAS or "::" in url or given:
        return {}
    return {"config_kwargs": {"retries": {"total_max_attempts": 2}}}


def said(error: BaseException) -> str:
    """What an error of a store says, in one line, with the HTTP status where a host gave one that the text lacks."""
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:300].rstrip(": ")
    while error is not None:
        response = getattr(error, "response", None)
        found = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
        if (status := found.get("HTTPStatusCode")) and str(status) not in text:
            return f"{text} (HTTP {status})"
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return text


def parsed(data: bytes, key: str) -> dict[str, Any]:
    """The JSON object that is the metadata at ``key``.

    Raises:
        ValueError: it is something else: what, in one line.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    start = " ".join(re.sub(r"<[^>]*>", " ", data[:2000].decode(errors="replace")).split())[:60]
    kind = "HTML" if data[:200].lstrip().startswith(b"<") else "no JSON object"
    raise ValueError(f"{key} is {kind}, {len(data)} bytes: {start!r}")


@dataclass(frozen=True)
class Location:
    """A place for a dataset, checked for its form only: nothing is read or written by making one.

    Attributes:
        place: A path, or a URL as it was given.
    """

    place: Path | str

    @classmethod
    def of(cls, place: str | Path, *, field: str) -> Location:
        """The location that a user names.

        Raises:
            RequestError: a protocol that there is not, or whose package is not installed; a URL that names nothing.
        """
        if isinstance(place, Path) and re.match(r"[a-z][a-z0-9+.-]+:/", place.as_posix()):
            raise RequestError(field, expected="a URL as a string: a Path drops one of its slashes", got=str(place))
        check_words(str(place), field=field)
        if not is_url(place):
            return cls(expanded(place, field=field))
        url = str(place)
        protocol = re.split("://|::", url)[0]
        if not protocol:
            raise RequestError(field, expected="a URL that begins with a protocol, as s3://", got=url)
        try:
            filesystem, path = fsspec.url_to_fs(url)
        except ImportError as error:
            extra = EXTRAS.get(protocol)
            advice = f"pip install 'channelbench[{extra}]'" if extra else str(error)
            raise RequestError(field, expected=f"a URL whose package is here ({advice})", got=url) from None
        except ValueError as error:
            raise RequestError(field, expected="a URL that fsspec can open", got=f"{url} ({error})") from None
        if not path.strip("/"):
            raise RequestError(field, expected="a URL with a path, as s3://bucket/name.zarr", got=url)
        # A folder by its URL is a folder: what follows need not know two kinds of local place.
        return cls(Path(path)) if "file" in filesystem.protocol and "::" not in url else cls(url)

    def __str__(self) -> str:
        return str(self.place)

    @property
    def folder(self) -> Path | None:
        """The path, if this is one of this machine."""
        return self.place if isinstance(self.place, Path) else None

    @property
    def is_private(self) -> bool:
        """Whether other processes see something else there."""
        return str(self).startswith("memory://")

    def absolute(self) -> str:
        """What other processes open, whose current folder is another."""
        return str(self.place.absolute() if isinstance(self.place, Path) else self.place)

    def is_empty(self) -> bool:
        """Whether there is nothing yet. A missing bucket is empty, too: writing to it will say that it is missing.

        Raises:
            Exception: what ``is_store_error`` knows, where the place cannot be looked at.
        """
        if self.folder is not None:
            return not self.folder.exists() or not any(self.folder.iterdir())
        try:
            return not self._list()
        except FileNotFoundError:
            return True

    def has(self, key: str) -> bool:
        """Whether there is a file of that name, relative to the place."""
        if self.folder is not None:
            return (self.folder / key).is_file()
        filesystem, path = self._remote()
        filesystem.invalidate_cache()
        return ask(filesystem, "exists", f"{path.rstrip('/')}/{key}")

    def files(self) -> Iterator[str]:
        """All files there, relative to the place."""
        if self.folder is not None:
            files = (file for file in self.folder.rglob("*") if file.is_file())
            yield from (file.relative_to(self.folder).as_posix() for file in files)
            return
        filesystem, path = self._remote()
        filesystem.invalidate_cache()
        prefix = f"{path.rstrip('/')}/"
        yield from (file.removeprefix(prefix) for file in ask(filesystem, "find", path))

    def within(self, name: str) -> Location:
        """The place of that name in this one."""
        return Location(self.place / name if isinstance(self.place, Path) else f"{self.place.rstrip('/')}/{name}")

    def take(self, other: Location, key: str) -> None:
        """Move a file of another place of the same store here, over what has its name."""
        if self.folder is not None and other.folder is not None:
            (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
            os.replace(other.folder / key, self.folder / key)
            return
        (filesystem, path), (_, source) = self._remote(), other._remote()
        ask(filesystem, "cp_file", f"{source.rstrip('/')}/{key}", path2=f"{path.rstrip('/')}/{key}")
        ask(filesystem, "rm_file", f"{source.rstrip('/')}/{key}")

    def remove(self, keys: Iterable[str]) -> None:
        """Remove files, as far as they are there."""
        for key in keys:
            with suppress(FileNotFoundError):
                if self.folder is not None:
                    (self.folder / key).unlink()
                    with suppress(OSError):  # other files are in it
                        (self.folder / key).parent.rmdir()
                else:
                    filesystem, path = self._remote()
                    ask(filesystem, "rm_file", f"{path.rstrip('/')}/{key}")

    def clear(self) -> None:
        """Remove everything there."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.remove(list(self.files()))

    def store(self) -> Store:
        """Zarr's store of the place."""
        if self.folder is not None:
            return LocalFiles(self.folder)
        return RemoteFiles.from_url(str(self), storage_options=_options(str(self)))

    def probe(self) -> None:
        """Raise what the store says where there is no group. Zarr asks several things at a time, and of the answers
        that it does not wait for a failing connection leaves tracebacks at exit.

        Raises:
            FileNotFoundError: there is nothing of the kind.
            ValueError: the group's metadata are no JSON object.
        """
        if self.folder is not None:
            check_regular(self.folder / ROOT)
            data = (self.folder / ROOT).read_bytes()
        else:
            filesystem, path = self._remote()
            data = ask(filesystem, "cat_file", f"{path.rstrip('/')}/{ROOT}")
        parsed(data, ROOT)

    def open(self, mode: str) -> zarr.Group:
        """The Zarr group there; raises what zarr and the store raise."""
        group = zarr.open_group(self.store(), mode=mode)
        if (filesystem := getattr(group.store, "fs", None)) is not None:
            filesystem.invalidate_cache()  # other processes write there: a listing from before is no longer true
        return group

    def why_no_group(self) -> str:
        """What is there instead of a Zarr group, in words."""
        if self.folder is not None:
            return "no Zarr group"
        try:
            return "no Zarr group" if self._list() else "nothing there"
        except Exception as error:
            if not is_store_error(error):
                raise
            # Of a missing key the message is the key.
            return "nothing there" if str(error).strip("/") in str(self) else said(error)

    def sweep(self, *, before: float) -> None:
        """Remove the halves of files that a killed process has left in a folder: those that nobody has touched since
        the time ``before``, because another process may be writing the others."""
        if self.folder is not None:
            for half in self.folder.rglob("*.partial"):
                with suppress(FileNotFoundError):
                    if half.stat().st_mtime < before:
                        half.unlink()

    def _remote(self) -> tuple[fsspec.AbstractFileSystem, str]:
        return fsspec.url_to_fs(str(self), **_options(str(self)))

    def _list(self) -> list[Any]:
        filesystem, path = self._remote()
        filesystem.invalidate_cache()
        return ask(filesystem, "ls", path, detail=False)
