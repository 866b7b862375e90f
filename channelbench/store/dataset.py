"""Opening a dataset: checked against the schema, then arrays by variable and split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from importlib import import_module
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psutil
import zarr
import zarr.errors
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.noise import noise_key, unit_noise
from channelbench.spec import ScenarioSpec
from channelbench.store import layout
from channelbench.store.checked import checked_arrays
from channelbench.store.copies import part
from channelbench.store.describing import described, in_html, in_text
from channelbench.store.direct import DirectArray
from channelbench.store.location import Location, is_network_error, is_store_error, said
from channelbench.store.record import PART_OF, Record
from channelbench.store.schema import SCHEMA_VERSION, Variable

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ChannelDataset", "SplitView", "data_key", "open_dataset", "open_group", "read_group", "recorded_spec"]

T = TypeVar("T")

MOST_IN_MEMORY = 6 * 2**30
"""A variable of a split that is larger, some of the largest preset of the planar array, is read row by row."""

MOST_OF_FREE = 1 / 3
"""So is one that is larger than this share of the memory that is free, unless it is there already."""

FEW = 16
"""Numbers of a sample that are no dask array in the view of xarray."""

PIECE_BYTES = 2**27
"""What is read in pieces is read in pieces of about this size."""

NEAR = 8
"""So many datasets are offered where there is none."""


def open_group(path: str | Path, *, field: str = "--data", mode: str = "r") -> zarr.Group:
    """See ``read_group``."""
    return read_group(path, field=field, mode=mode)[0]


def read_group(path: str | Path, *, field: str = "--data", mode: str = "r") -> tuple[zarr.Group, Record]:
    """The Zarr group at ``path``, a folder or a URL, and what it says of itself.

    Raises:
        RequestError: nothing there, nothing that this version can read, or no way to get at it.
    """
    location = Location.of(path, field=field)
    if location.folder is not None and not location.folder.exists():
        beside = location.folder.parent
        near = sorted(str(there) for there in beside.glob("*.zarr"))[:NEAR] if beside.is_dir() else []
        expected = "an existing dataset (`channelbench generate` makes one)"
        raise RequestError(field, expected=expected, got=str(path), choices=near)
    if location.folder is not None and location.folder.is_file():
        raise RequestError(field, expected="the folder of a Zarr dataset", got=f"{path} (a file)")
    try:
        with layout.quiet_zarr():
            location.probe()
            group = location.open(mode)
            attributes = dict(group.attrs)
    except RequestError:
        raise
    except (FileNotFoundError, zarr.errors.GroupNotFoundError):
        remedy = "name a new folder" if field == "--out" else "`channelbench import` makes one of other files"
        got = f"{path} ({location.why_no_group()})"
        raise RequestError(field, expected="a Zarr dataset", got=got, remedy=remedy) from None
    except Exception as error:  # what others have written there makes zarr raise all kinds
        raise RequestError(field, expected="a readable Zarr dataset", got=f"{path} ({_said(error)})") from None
    if "schema_version" not in attributes or "spec" not in attributes:
        raise RequestError(field, expected="a dataset made by channelbench", got=f"{path} (another Zarr group)")
    if PART_OF in attributes:
        raise RequestError(field, expected="a whole dataset", got=f"{path} (part of {attributes[PART_OF]})")
    if (version := attributes["schema_version"]) != SCHEMA_VERSION:
        remedy = "`channelbench generate` makes it anew, the channelbench that made it reads it"
        got = f"{path} (version {version})"
        raise RequestError(field, expected=f"schema version {SCHEMA_VERSION}", got=got, remedy=remedy)
    try:
        return group, Record.of(attributes)
    except RequestError as error:
        got = f"{path} ({error})"
        raise RequestError(field, expected="valid attributes of a dataset", got=got) from None


def recorded_spec(record: Record, path: str | Path, field: str) -> ScenarioSpec:
    """The spec in a dataset's attributes.

    Raises:
        RequestError: it is none.
    """
    try:
        return ScenarioSpec.from_record(record.spec)
    except RequestError as error:
        got = str(error)
    except Exception as error:  # the record may be anything
        got = _said(error)
    raise RequestError(field, expected="a valid spec in the attributes", got=f"{path} ({got})")


def open_dataset(path: str | Path, *, field: str = "--data", allow_unfinished: bool = False) -> ChannelDataset:
    """Open a finished dataset and check it against the schema.

    Raises:
        RequestError: missing, unfinished, of another schema version, or with arrays that are absent or misshapen.
    """
    group, record = read_group(path, field=field)
    spec = recorded_spec(record, path, field)
    table = checked_arrays(group, spec, path, field)
    if not record.complete and not allow_unfinished:
        with reading(group, path, field):
            left = len(layout.missing_units(group, spec))
        total = len(layout.units(spec, layout.unit_rows(group)))
        raise RequestError(
            field,
            expected="a finished dataset (the same `channelbench generate` command continues it)",
            got=f"{path} ({total - left} of {total} blocks written)",
        )
    return ChannelDataset(group, spec, record, str(Location.of(path, field=field)), table)


@contextmanager
def reading(group: zarr.Group, path: str | Path, field: str = "--data") -> Iterator[None]:
    """What zarr raises on files that are damaged, in one line. A network that fails may be back the next time: that
    is left to whoever called."""
    try:
        yield
    except RequestError:
        raise
    except (Exception, MemoryError) as error:
        if is_network_error(error, group.store):
            raise
        expected = "a dataset whose files can be read (`channelbench verify` says which)"
        raise RequestError(field, expected=expected, got=f"{path} ({_said(error)})") from None


def _said(error: BaseException) -> str:
    """What an exception says, as part of a line."""
    return (
        said(error)
        if is_store_error(error) or isinstance(error, ValueError)
        else f"{type(error).__name__}: {said(error)}"
    )


class ChannelDataset:
    """A dataset: whole variables of a split, kept in memory once read. Printed, it says what it is.

    Attributes:
        spec: What it was made of.
        record: What it says of itself.
        seed: The seed it was made with.
        digest: Of its content: 64 hexadecimal digits, the same for the same spec and seed; empty until it is finished.
        versions: Of the packages that made it, by name.
        path: Where it is: a path or a URL.
        variables: What it holds of each sample, in writing order.
        lent: What an earlier stage of an experiment leaves to tasks; see ``predictions``.
    """

    def __init__(
        self, group: zarr.Group, spec: ScenarioSpec, record: Record, path: str, variables: dict[str, Variable]
    ) -> None:
        self.group, self.spec, self.record, self.path, self.variables = group, spec, record, path, variables
        self.seed, self.digest, self.versions = record.seed, record.content_digest, record.versions
        self._memo: dict[Hashable, Any] = {}
        self.lent: Any = None

    def __repr__(self) -> str:
        return in_text(described(self.path, self.spec, self.record, self.variables))

    def _repr_html_(self) -> str:
        return in_html(described(self.path, self.spec, self.record, self.variables))

    @cached_property
    def xarray(self) -> xr.Dataset:
        """The lazy xarray view, with the accessor ``.cb`` (``channelbench.xarray``). Two things are other than what
        ``xarray.open_zarr(path)`` gives: the pieces of dask are whole files, so that ``.to_zarr`` can write it again,
        and what has a few numbers per sample (``split``, ``los``, positions, …) is read when it is first looked at and
        no dask array, so that rows can be selected by it: ``ds.isel(sample=ds.split == 0)``."""
        import xarray as xr

        import_module("channelbench.xarray")  # registers `.cb`, and needs what is built on datasets

        arrays = {name: self.group[name] for name in self.variables}
        rows = lcm(*((array.shards or array.chunks)[0] for array in arrays.values()))
        large = [name for name, array in arrays.items() if int(np.prod(array.shape[1:])) > FEW]
        with self.reading():
            view = xr.open_zarr(self.group.store, chunks=None)
            pieces = view[large].chunk(sample=min(rows, self.spec.sizes.total))
            return view.assign({name: pieces[name] for name in large})

    @property
    def samples(self) -> xr.Dataset:
        """The view without digests, so that all of it has a row per sample: what ``xarray.concat`` can join."""
        return part(self.xarray)

    def reading(self) -> AbstractContextManager[None]:
        """Reads in it fail in one line, a ``RequestError``, where files are damaged."""
        return reading(self.group, self.path)

    def view(self, split: str) -> SplitView:
        """One split, as tasks read it."""
        return SplitView(self, split)

    def array(self, name: str, split: str) -> NDArray[Any]:
        """All rows of one variable in one split, read-only: everybody is given the same array.

        Args:
            name: Of a variable in ``variables``, where dtype, unit and shape stand: ``h_sub6`` is ``[samples, slots,
                subcarriers, antennas]`` complex64, ``distance_m`` ``[samples]`` float32 in m.
            split: ``train``, ``val`` or ``test``.

        Raises:
            RequestError: its files cannot be read.
        """

        def read() -> NDArray[Any]:
            with self.reading():
                values = np.asarray(self.group[name][layout.split_rows(self.spec)[split]])
            values.setflags(write=False)
            return values

        return self.memo((name, split), read)

    def rows(self, name: str, split: str, cases: NDArray[np.int64], *index: Any) -> NDArray[Any]:
        """See ``SplitView.rows``."""
        if not self._is_large(name, split):
            return self.array(name, split)[(cases, *index)]
        array, first = self.group[name], layout.split_rows(self.spec)[split].start
        direct, row = DirectArray.of(array), np.empty((1, *array.shape[1:]), array.dtype)
        found: list[NDArray[Any]] = []
        with self.reading():
            for at in (first + int(case) for case in cases):
                if direct is None or not direct.read(at, at + 1, row):
                    row[0] = array[at]
                found.append(row[(0, *index)].copy())
        return np.stack(found) if found else np.empty((0, *row[(0, *index)].shape), array.dtype)

    def _is_large(self, name: str, split: str) -> bool:
        array = self.group[name]
        split_bytes = self.spec.sizes.of(split) * array.dtype.itemsize * int(np.prod(array.shape[1:]))
        if (name, split) in self._memo:
            return False
        return split_bytes > min(MOST_IN_MEMORY, MOST_OF_FREE * psutil.virtual_memory().available)

    def pieces(self, name: str, split: str, *index: Any) -> Iterator[NDArray[Any]]:
        """See ``SplitView.pieces``: whole files at a time, one at least."""
        array, rows = self.group[name], layout.split_rows(self.spec)[split]
        file_rows = (array.shards or array.chunks)[0]
        file_bytes = file_rows * array.dtype.itemsize * int(np.prod(array.shape[1:]))
        step = max(1, PIECE_BYTES // file_bytes) * file_rows
        for start in range(rows.start, rows.stop, step):
            with self.reading():
                piece = np.asarray(array[(slice(start, min(start + step, rows.stop)), *index)])
            yield piece

    def sample_power(self, band: str, split: str) -> NDArray[np.float64]:
        """Mean ``|h|²`` of every sample over slots, subcarriers and antennas, ``[samples]``."""

        def compute() -> NDArray[np.float64]:
            name = f"h_{band}"
            whole = self.pieces(name, split) if self._is_large(name, split) else [self.array(name, split)]
            return np.concatenate([_power(piece) for piece in whole])

        return self.memo(("sample power", band, split), compute)

    def memo(self, key: Hashable, compute: Callable[[], T]) -> T:
        """``compute()``, once per dataset."""
        if key not in self._memo:
            self._memo[key] = compute()
        return self._memo[key]

    @property
    def key(self) -> str:
        """See ``data_key``."""
        return data_key(self.spec.identity(), self.seed)

    def split_digest(self, split: str) -> str:
        """Digest of one split of this dataset."""
        return hashlib.sha256(f"{self.digest}\n{split}".encode()).hexdigest()


def _power(h: NDArray[Any]) -> NDArray[np.float64]:
    """Mean ``|h|²`` of each row."""
    pairs = h.view(np.float32).reshape(len(h), -1)
    return np.einsum("bi,bi->b", pairs, pairs, dtype=np.float64) / (pairs.shape[1] // 2)


def data_key(identity: str, seed: int) -> str:
    """What tells the samples of a dataset from others', whatever its sizes, and gives away neither spec nor seed."""
    return hashlib.sha256(f"{identity}\n{seed}".encode()).hexdigest()


class SplitView:
    """The rows of one split, and the training split's, which everybody may know.

    A view is for tasks. What contestants get instead, a ``TaskSplit``, lets nobody at it.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        spec: What the dataset was made of.
        size: Rows of the split.
    """

    def __init__(self, dataset: ChannelDataset, split: str) -> None:
        self._dataset, self.split, self.spec = dataset, split, dataset.spec
        self.size = dataset.spec.sizes.of(split)

    @property
    def seed(self) -> int:
        """The dataset's."""
        return self._dataset.seed

    @property
    def lent(self) -> Any:
        """See ``ChannelDataset.lent``."""
        return self._dataset.lent

    @property
    def variables(self) -> Collection[str]:
        """Names of what there is of each sample: sources may leave out some of what the schema has."""
        return self._dataset.variables.keys()

    @property
    def train(self) -> SplitView:
        """The training split of the same dataset, whose means and spans are no secret."""
        return self._dataset.view("train")

    def array(self, name: str) -> NDArray[Any]:
        """All rows of one variable, read-only, ``[samples, …]`` as ``store.schema`` has it."""
        return self._dataset.array(name, self.split)

    def sample_power(self, band: str) -> NDArray[np.float64]:
        """Mean ``|h|²`` of every sample over slots, subcarriers and antennas, ``[samples]``."""
        return self._dataset.sample_power(band, self.split)

    def rows(self, name: str, cases: NDArray[np.int64], *index: Any) -> NDArray[Any]:
        """Some rows of one variable, a copy. A split that is small enough is kept in memory; of a larger one these rows
        are read alone.

        Args:
            name: Of the variable.
            cases: Positions within the split, ``[cases]``.
            index: Slices and integers: what is wanted of each row, e.g. some slots.
        """
        return self._dataset.rows(name, self.split, cases, *index)

    def pieces(self, name: str, *index: Any) -> Iterator[NDArray[Any]]:
        """The rows of one variable some at a time, for what need not be in memory as a whole.

        Args:
            name: Of the variable.
            index: What is read of each row, e.g. a slot.
        """
        yield from self._dataset.pieces(name, self.split, *index)

    def memo(self, key: Hashable, compute: Callable[[], T]) -> T:
        """``compute()``, once per split."""
        return self._dataset.memo((key, self.split), compute)

    def noise(
        self, task: str, cases: NDArray[np.int64], shape: tuple[int, ...], epoch: int | None
    ) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
        """Circular complex noise of variance 1, and one uniform number, for every case of a task.

        They depend on the dataset's seed and spec (not its sizes), the split, the task, the case and the epoch alone:
        the same for every method, batch and machine.

        Args:
            task: Its name.
            cases: ``[batch]``.
            shape: Of one case's noise.
            epoch: Of training; ``None`` for what a test sees.

        Returns:
            ``[batch, *shape]`` complex64, and ``[batch]`` float64 in [0, 1).
        """
        when = "test" if epoch is None else f"epoch {epoch}"
        return unit_noise(noise_key(self.seed, self.spec.identity(), self.split, task, when), cases, shape)
