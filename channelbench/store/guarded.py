"""Zarr's stores, with an end to waiting: for what is no file, and for hosts that do not answer."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from fsspec import AbstractFileSystem
from fsspec.asyn import sync as fsspec_sync
from zarr.storage import FsspecStore, LocalStore

from channelbench.errors import RequestError

__all__ = ["LIMIT_VARIABLE", "LocalFiles", "NoFile", "RemoteFiles", "ask", "check_regular", "limit_s"]

LIMIT_VARIABLE = "CHANNELBENCH_STORE_TIMEOUT"
LIMIT_S = 60.0
"""For metadata, listings and everything else that is small."""
SAMPLES_FACTOR = 10
"""A file of samples, up to 128 MiB and ten at a time, may take so many times as long."""

T = TypeVar("T")


class NoFile(OSError):
    """A pipe, a device or a socket where a file of a dataset should be: reading it may never end."""


def limit_s() -> float:
    """Seconds that a remote store has for an answer.

    Raises:
        RequestError: the environment says something else than a number of seconds.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(LIMIT_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86_400:
        raise RequestError(LIMIT_VARIABLE, expected="seconds, more than 0 and at most 86400", got=text)
    return seconds


def check_regular(path: Path) -> None:
    """Complain of what is there and is no file; a folder in a file's place is a file that is missing.

    Raises:
        NoFile: a pipe, a device or a socket.
        OSError: what the system says, such as of links in a circle.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise NoFile(f"{path} is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file")


class LocalFiles(LocalStore):
    """A folder, of which only files are read."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """See ``zarr.abc.store.Store``."""
        check_regular(self.root / key)
        return await super().get(key, prototype, byte_range)

    def get_sync(self, key: str, **options: Any) -> Any:
        """See ``zarr.storage.LocalStore``."""
        check_regular(self.root / key)
        return super().get_sync(key, **options)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> Any:
        """See ``zarr.abc.store.Store``."""
        ranges = list(key_ranges)
        for key, _ in ranges:
            check_regular(self.root / key)
        return await super().get_partial_values(prototype, ranges)


class RemoteFiles(FsspecStore):
    """A remote store whose every answer has a limit, whatever its client library thinks of waiting."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """See ``zarr.abc.store.Store``."""
        return await self._limited(key, super().get(key, prototype, byte_range))

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        """See ``zarr.abc.store.Store``."""
        await self._limited(key, super().set(key, value, byte_range))

    async def exists(self, key: str) -> bool:
        """See ``zarr.abc.store.Store``."""
        return await self._limited("zarr.json", super().exists(key))

    async def _limited(self, key: str, answer: Awaitable[T]) -> T:
        seconds = limit_s() * (1 if key.endswith("zarr.json") else SAMPLES_FACTOR)
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError as error:
            raise _too_slow(f"{self.path}/{key}", seconds) from error


def ask(filesystem: AbstractFileSystem, request: str, path: str, **options: Any) -> Any:
    """``filesystem.request(path)``, within the limit where the filesystem is one that can be interrupted.

    Raises:
        TimeoutError: no answer in time.
        Exception: what the filesystem raises.
    """
    if not filesystem.async_impl or getattr(filesystem, "loop", None) is None or filesystem.asynchronous:
        return getattr(filesystem, request)(path, **options)
    seconds = limit_s()
    asynchronous: Callable[..., Awaitable[Any]] = getattr(filesystem, f"_{request}")
    try:
        return fsspec_sync(filesystem.loop, asynchronous, path, timeout=seconds, **options)
    except TimeoutError as error:
        raise _too_slow(path, seconds) from error


def _too_slow(what: str, seconds: float) -> TimeoutError:
    # In the form of the system's own errors: the command line prints their text.
    return TimeoutError(f"no answer to a request for {what} within {seconds:g} s ({LIMIT_VARIABLE} sets the seconds)")
