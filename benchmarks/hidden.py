"""A hidden test: fits are scored on a test split that is drawn from a secret, which nobody had who made them.

The split lies in a private folder while the run lasts. The secret itself stays in its file, which each worker of this
machine reads again: nothing else holds it, or the seed that is made of it, and what is said or written of either is
struck out.
"""

from __future__ import annotations

import hashlib
import hmac
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench import registry
from channelbench.contracts import GenieMethod, Method
from channelbench.discovery import is_ours
from channelbench.errors import RequestError
from channelbench.generation import last_dataset
from channelbench.generator import Block
from channelbench.paths import expanded
from channelbench.spec import BLOCK_SIZE, ScenarioSpec
from channelbench.store import layout, open_dataset
from channelbench.store.dataset import PIECE_BYTES, ChannelDataset, SplitView

__all__ = ["HiddenTest", "Secret", "check_methods", "digest_of", "drawn"]

FIELD = "--test-seed-file"
FEWEST_CHARACTERS = 16
SEED_BYTES = 16

PREFIX = "channelbench-hidden-"
SPLIT_DIGEST = "digest"
LOCK = "lock"
YOUNG_S = 60.0
"""A folder younger than this may belong to a run that is about to lock it."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, repr=False)
class Secret:
    """What a hidden test is drawn from, and which nothing that shows it prints.

    Attributes:
        file: Where it is.
    """

    file: Path
    _key: bytes = field(hash=False)

    @classmethod
    def read(cls, place: str | Path) -> Secret:
        """The text in a file, without what surrounds it of blank space.

        Raises:
            RequestError: no file is there that can be read, or it is too short to be a secret.
        """
        file = expanded(place, field=FIELD).absolute()
        if not file.is_file():  # a pipe could not be read again
            raise RequestError(FIELD, expected="a file, which workers read again", got=str(place))
        try:
            text = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise RequestError(FIELD, expected="a file that can be read", got=f"{place} ({error.strerror})") from None
        except ValueError:
            raise RequestError(FIELD, expected="a file of UTF-8 text", got=f"{place}, which is none") from None
        if len(text) < FEWEST_CHARACTERS:
            expected = f"a file with a secret of at least {FEWEST_CHARACTERS} characters"
            raise RequestError(FIELD, expected=expected, got=f"{place} with {len(text)}")
        return cls(file, text.encode())

    @property
    def seed(self) -> int:
        """The first 128 bits of its SHA-256: what the split, its noise and its groups are drawn with."""
        return int.from_bytes(hashlib.sha256(self._key).digest()[:SEED_BYTES], "big")

    def commitment(self, split_digest: str, spec: ScenarioSpec) -> str:
        """The digest by which the hidden test is known: an HMAC under the secret, of the split's own digest and the
        spec. It gives neither away, and nobody who has published it can draw another split instead."""
        message = f"channelbench hidden test\n{split_digest}\n{spec.canonical()}"
        return hmac.new(self._key, message.encode(), hashlib.sha256).hexdigest()

    def struck_out(self, text: str) -> str:
        """A text without the secret and the seed, whichever way they are written."""
        text = text.replace(self._key.decode(), "…")
        for form in (f"{self.seed:d}", f"{self.seed:032x}", f"{self.seed:x}", f"{self.seed:032X}", f"{self.seed:X}"):
            text = text.replace(form, "…")
        return text


class HiddenTest(ChannelDataset):
    """A dataset whose test split is another: training and validation split are the public ones, and so is whatever a
    task may know of them. Its ``seed`` is the public one, too: only views of the test split know theirs.

    Args:
        public: The dataset that everybody has.
        secret: What the test split was drawn with.
        folder: Where it lies, a file for each variable.

    Attributes:
        digest: The commitment, see ``Secret.commitment``.

    Raises:
        RequestError: the split was drawn from another secret.
    """

    def __init__(self, public: ChannelDataset, secret: Secret, folder: Path, digest: str = "") -> None:
        super().__init__(public.group, public.spec, public.record, public.path, public.variables)
        self.public, self.secret, self.folder = public, secret, folder
        self.versions = layout.made_with(public.spec.source)
        self.digest = secret.commitment((folder / SPLIT_DIGEST).read_text(), public.spec)
        if digest and digest != self.digest:
            raise RequestError(FIELD, expected="the secret that the run began with", got=f"{secret.file} with another")

    def view(self, split: str) -> SplitView:
        return _HiddenView(self, split) if split == "test" else self.public.view(split)

    def array(self, name: str, split: str) -> NDArray[Any]:
        if split != "test":
            return self.public.array(name, split)
        # The system reads what is wanted of the file, for all workers once.
        return self.memo((name, split), lambda: np.asarray(np.load(_file(self.folder, name), mmap_mode="r")))

    def _is_large(self, name: str, split: str) -> bool:
        return False

    def pieces(self, name: str, split: str, *index: Any) -> Iterator[NDArray[Any]]:
        if split != "test":
            yield from self.public.pieces(name, split, *index)
            return
        array = self.array(name, split)
        step = max(1, PIECE_BYTES // max(array[:1].nbytes, 1))
        for start in range(0, len(array), step):
            yield array[(slice(start, start + step), *index)]

    def root(self, out: Path) -> Path:
        """Where the cells of a run in ``out`` lie."""
        return out / f"hidden-{self.digest[:12]}"


class _HiddenView(SplitView):
    """The test split. Noise and groups hang on the seed that a view gives, and so does what references redraw."""

    _dataset: HiddenTest

    @property
    def seed(self) -> int:
        return self._dataset.secret.seed


def check_methods(methods: Mapping[str, type[Method]]) -> None:
    """Refuse references of other people: they would be told the seed.

    Raises:
        RequestError: which.
    """
    for name, method in methods.items():
        if issubclass(method, GenieMethod) and not is_ours(method):
            raise RequestError(
                "--methods", expected=f"no reference of others with {FIELD}, as it knows drops", got=name
            )


@contextmanager
def drawn(
    secret: Secret, public: ChannelDataset, progress: Progress = lambda done, total: None
) -> Iterator[HiddenTest]:
    """A hidden test for a dataset, drawn by the dataset's own source with the same spec. It lies in a folder that
    nobody else may look into, and is gone after the ``with`` block, whatever ends that; what a killed run has left
    goes here.

    Args:
        secret: What it is drawn from.
        public: The dataset.
        progress: Called with (samples done, all samples).

    Raises:
        RequestError: the source cannot draw another test split here, or there is no room for it.
    """
    _sweep(Path(tempfile.gettempdir()))
    from filelock import FileLock

    folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # which has rights 0700
    try:
        with FileLock(folder / LOCK):
            _check_room(public, folder)
            try:
                _draw(secret, public, folder, progress)
            except Exception as error:  # whatever a source says of a seed
                got = f"one of source {public.spec.source.name} ({secret.struck_out(_said(error))})"
                expected = "a dataset whose source draws another test split"
                raise RequestError(FIELD, expected=expected, got=got) from None
            yield HiddenTest(public, secret, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _CannotError(Exception):
    """Why a source draws no other test split."""


def digest_of(secret_file: str | Path, data: str | Path | None, progress: Progress = lambda done, total: None) -> str:
    """The digest of the hidden test that a secret draws: what is published beforehand.

    Args:
        secret_file: Where the secret is.
        data: The public dataset; by default the last one that was generated in this folder.
        progress: Called with (samples done, all samples).

    Raises:
        RequestError: there is no dataset, or see ``drawn``.
    """
    secret, place = Secret.read(secret_file), last_dataset() if data is None else data
    if place is None:
        raise RequestError("--data", expected="a dataset", got="nothing")
    with drawn(secret, open_dataset(place), progress) as test:
        return test.digest


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, RequestError | _CannotError) else f"{type(error).__name__}: {error}"


def _draw(secret: Secret, public: ChannelDataset, folder: Path, progress: Progress) -> None:
    spec = public.spec
    if spec.source.maker:
        raise _CannotError(f"`{spec.source.maker}` made it of a file, which has no other")
    generator = registry.create("generators", spec.scenario, source=spec.source.name)
    generator.check(spec)
    total = spec.sizes.test
    columns = {
        name: np.lib.format.open_memmap(
            _file(folder, name), mode="w+", dtype=np.dtype(variable.dtype), shape=(total, *variable.shape[1:])
        )
        for name, variable in public.variables.items()
    }
    for index, start in enumerate(range(0, total, BLOCK_SIZE)):
        progress(start, total)
        stop = min(start + BLOCK_SIZE, total)
        block = Block(split="test", index=index, start=0, stop=stop - start)
        generator.fill(spec, block, secret.seed, {name: np.asarray(c[start:stop]) for name, c in columns.items()})
    progress(total, total)
    if _is_public(public, columns):
        raise _CannotError("it draws the same one whatever the seed")
    (folder / SPLIT_DIGEST).write_text(_digest(columns))


def _is_public(public: ChannelDataset, columns: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the channels are those that everybody has."""
    names = [f"h_{band}" for band in public.spec.bands]
    return all(
        np.array_equal(first, columns[name][: len(first)])
        for name in names
        for first in [next(public.pieces(name, "test"))]
    )


def _digest(columns: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    whole = hashlib.sha256()
    for name, column in columns.items():
        whole.update(f"{name} {column.dtype.str} {list(column.shape)}\n".encode())
        for start in range(0, len(column), BLOCK_SIZE):
            whole.update(np.ascontiguousarray(column[start : start + BLOCK_SIZE]).tobytes())
    return whole.hexdigest()


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _check_room(public: ChannelDataset, folder: Path) -> None:
    each = sum(np.dtype(v.dtype).itemsize * int(np.prod(v.shape[1:])) for v in public.variables.values())
    wanted, free = each * public.spec.sizes.test, shutil.disk_usage(folder).free
    if wanted > free:
        expected = f"room for {wanted:,} bytes of a test split (TMPDIR says where)"
        raise RequestError(FIELD, expected=expected, got=f"{free:,} bytes free in {folder.parent}")


def _sweep(place: Path) -> None:
    """Remove what killed runs have left: folders of ours that no process has locked."""
    from filelock import FileLock, Timeout

    for left in place.glob(f"{PREFIX}*"):
        try:
            if time.time() - left.stat().st_mtime < YOUNG_S:
                continue
            with FileLock(left / LOCK, timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except (Timeout, OSError):  # at work, or somebody else's
            continue
