"""Opening a dataset: checked against the schema, then arrays by variable and split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.noise import noise_key, unit_noise
from channelbench.spec import ScenarioSpec
from channelbench.store import layout
from channelbench.store.files import DIGEST
from channelbench.store.location import Location, is_store_error
from channelbench.store.schema import SCHEMA_VERSION, Variable, coordinates, recorded_variables

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ChannelDataset", "SplitView", "data_key", "open_dataset", "open_group"]

T = TypeVar("T")


def open_group(path: str | Path, *, field: str = "--data", mode: str = "r") -> zarr.Group:
    """The Zarr group at ``path``, a folder or a URL.

    Raises:
        RequestError: nothing there, nothing that this project wrote, or no way to get at it.
    """
    location = Location.of(path, field=field)
    if location.folder is not None and not location.folder.exists():
        raise RequestError(field, expected="an existing dataset (`channelbench generate` makes one)", got=str(path))
    if location.folder is not None and location.folder.is_file():
        raise RequestError(field, expected="the folder of a Zarr dataset", got=f"{path} (a file)")
    try:
        with layout.quiet_zarr():
            location.probe()
            group = location.open(mode)
            dict(group.attrs)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError):
        raise RequestError(field, expected="a Zarr dataset", got=f"{path} ({location.why_no_group()})") from None
    except Exception as error:
        if not isinstance(error, (ValueError, KeyError, TypeError)) and not is_store_error(error):
            raise
        raise RequestError(field, expected="a readable Zarr dataset", got=f"{path} ({error})") from None
    if "schema_version" not in group.attrs or "spec" not in group.attrs:
        raise RequestError(field, expected="a dataset made by channelbench", got=f"{path} (another Zarr group)")
    return group


def open_dataset(path: str | Path, *, field: str = "--data", allow_unfinished: bool = False) -> ChannelDataset:
    """Open a finished dataset and check it against the schema.

    Raises:
        RequestError: missing, unfinished, of another schema version, or with arrays that are absent or misshapen.
    """
    group = open_group(path, field=field)
    found = group.attrs["schema_version"]
    if found != SCHEMA_VERSION:
        raise RequestError(field, expected=f"schema version {SCHEMA_VERSION}", got=f"{path} (version {found})")
    try:
        spec = ScenarioSpec.from_record(group.attrs["spec"])
    except (RequestError, TypeError, AttributeError) as error:
        raise RequestError(field, expected="a valid spec in the attributes", got=f"{path} ({error})") from None
    table = _checked_arrays(group, spec, path, field)
    if not group.attrs["complete"] and not allow_unfinished:
        left, total = len(layout.missing_units(group, spec)), len(layout.units(spec, layout.unit_rows(group)))
        raise RequestError(
            field,
            expected="a finished dataset (the same `channelbench generate` command continues it)",
            got=f"{path} ({total - left} of {total} blocks written)",
        )
    return ChannelDataset(group, spec, str(Location.of(path, field=field)), table)


def _checked_arrays(group: zarr.Group, spec: ScenarioSpec, path: str | Path, field: str) -> dict[str, Variable]:
    """The dataset's variables, all of them there and of the right shape."""

    def complain(name: str, expected: str, got: str) -> NoReturn:
        raise RequestError(field, expected=f"{name} {expected}", got=f"{path} ({got})")

    for name in (*coordinates(spec), DIGEST):
        if _array(group, name) is None:
            complain(name, "present", "missing")
    try:
        table = recorded_variables(group, list(group[DIGEST].attrs["variables"]), spec)
    except KeyError as error:
        complain(str(error.args[0]), "present", "missing")
    for name, variable in table.items():
        shape = (spec.sizes.total, *variable.shape[1:])
        array = _array(group, name)
        if array is None:
            complain(name, f"of shape {shape}", "missing")
        elif array.shape != shape or array.dtype != np.dtype(variable.dtype):
            complain(name, f"{variable.dtype}{list(shape)}", f"{array.dtype}{list(array.shape)}")
        elif array.metadata.dimension_names != variable.dims:
            complain(name, f"with dimensions {variable.dims}", f"{array.metadata.dimension_names}")
    return table


def _array(group: zarr.Group, name: str) -> Any:
    try:
        return group[name]
    except (KeyError, OSError, ValueError):
        return None


class ChannelDataset:
    """A dataset: whole variables of a split, kept in memory once read.

    Attributes:
        spec: What it was made of.
        seed: The seed it was made with.
        path: Where it is: a path or a URL.
        variables: What it holds of each sample, in writing order.
    """

    def __init__(self, group: zarr.Group, spec: ScenarioSpec, path: str, variables: dict[str, Variable]) -> None:
        self.group, self.spec, self.path, self.variables = group, spec, path, variables
        self.seed = int(group.attrs["seed"])
        self.digest = str(group.attrs["content_digest"])
        self.versions: dict[str, str] = dict(group.attrs["versions"])
        self._memo: dict[Hashable, Any] = {}

    @cached_property
    def xarray(self) -> xr.Dataset:
        """The lazy xarray view, the same that ``xarray.open_zarr(path)`` gives anybody."""
        import xarray as xr

        return xr.open_zarr(self.path)

    def view(self, split: str) -> SplitView:
        """One split, as tasks read it."""
        return SplitView(self, split)

    def array(self, name: str, split: str) -> NDArray[Any]:
        """All rows of one variable in one split, read-only: everybody is given the same array."""

        def read() -> NDArray[Any]:
            values = np.asarray(self.group[name][layout.split_rows(self.spec)[split]])
            values.setflags(write=False)
            return values

        return self.memo((name, split), read)

    def sample_power(self, band: str, split: str) -> NDArray[np.float64]:
        """Mean ``|h|²`` of every sample over slots, subcarriers and antennas, ``[samples]``."""

        def compute() -> NDArray[np.float64]:
            h = self.array(f"h_{band}", split)
            pairs = h.view(np.float32).reshape(len(h), -1)
            return np.einsum("bi,bi->b", pairs, pairs, dtype=np.float64) / (pairs.shape[1] // 2)

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
    def train(self) -> SplitView:
        """The training split of the same dataset, whose means and spans are no secret."""
        return self._dataset.view("train")

    def array(self, name: str) -> NDArray[Any]:
        """All rows of one variable, read-only, ``[samples, …]`` as ``store.schema`` has it."""
        return self._dataset.array(name, self.split)

    def sample_power(self, band: str) -> NDArray[np.float64]:
        """Mean ``|h|²`` of every sample over slots, subcarriers and antennas, ``[samples]``."""
        return self._dataset.sample_power(band, self.split)

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
