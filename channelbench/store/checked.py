"""Whether a group holds the arrays that its spec asks for, of the right shape, before anything of them is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr

from channelbench.errors import RequestError
from channelbench.spec import BLOCK_SIZE, ScenarioSpec
from channelbench.store.files import DIGEST, DIGEST_BYTES
from channelbench.store.location import is_network_error
from channelbench.store.record import names_of
from channelbench.store.schema import Variable, coordinates, core_variables, optional, recorded_variables

__all__ = ["checked_arrays"]

DIGESTS_MAX = 2**32
"""Bytes of digests, which are read at once: those of some 10⁹ samples. Whoever claims more has made them up."""
COORDINATES_MAX = 2**28
ALGORITHMS = ("blake2b", "blake3")


def checked_arrays(group: zarr.Group, spec: ScenarioSpec, path: str | Path, field: str) -> dict[str, Variable]:
    """The dataset's variables, all of them there and of the right shape, as are coordinates and digests.

    Raises:
        RequestError: they are not.
    """

    def complain(name: str, expected: str, got: str) -> NoReturn:
        raise RequestError(field, expected=f"{name} {expected}", got=f"{path} ({got})")

    def check(name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: str) -> None:
        array = _array(group, name)
        if isinstance(array, str):
            complain(name, f"of shape {shape}", array)
        elif array.shape != shape or array.dtype != np.dtype(dtype):
            complain(name, f"{dtype}{list(shape)}", f"{array.dtype}{list(array.shape)}")
        elif array.metadata.dimension_names != dims:
            complain(name, f"with dimensions {dims}", f"{array.metadata.dimension_names}")
        elif not all(array.chunks):
            complain(name, "in chunks", "chunks of no samples")

    largest = max(max(band.num_slots, band.num_subcarriers) for band in spec.bands.values()) * 8
    blocks, total = -(-spec.sizes.total // BLOCK_SIZE), spec.sizes.total
    if largest > COORDINATES_MAX:
        complain("coordinates", f"of at most {COORDINATES_MAX} bytes", f"{largest} bytes by its spec")
    rows = _array(group, "split")
    if not isinstance(rows, str) and rows.ndim == 1 and rows.shape[0] < total:
        got = f"{path} ({rows.shape[0]} of its samples, as xarray writes a selection, and reads it)"
        raise RequestError(field, expected=f"a whole dataset of {total} samples", got=got)
    for name, (dims, values, _) in coordinates(spec).items():
        check(name, dims, values.shape, "float64")
    digests = _array(group, DIGEST)
    if isinstance(digests, str):
        complain(DIGEST, "present", digests)
    try:
        names = names_of(digests.attrs.get("variables"))
    except RequestError as error:
        complain(DIGEST, "with the names of its variables", str(error.got))
    if (algorithm := digests.attrs.get("algorithm", ALGORITHMS[0])) not in ALGORITHMS:
        complain(DIGEST, f"by {' or '.join(ALGORITHMS)}", f"{algorithm}")
    shape = (blocks, len(names), DIGEST_BYTES)
    if np.prod(shape, dtype=object) > DIGESTS_MAX:
        complain(DIGEST, f"of at most {DIGESTS_MAX} bytes", f"{total} samples by its spec")
    check(DIGEST, ("unit", "hashed_variable", "digest_byte"), shape, "uint8")
    if missing := [name for name in core_variables(spec) if name not in optional(spec) and name not in names]:
        complain(missing[0], "present", "missing")
    for name in names:
        if isinstance(found := _array(group, name), str):
            complain(name, "present", found)
    try:
        table = recorded_variables(group, names, spec)
    except (KeyError, TypeError, ValueError) as error:
        complain("every variable", "with unit and description", f"{error}")
    for name, variable in table.items():
        check(name, variable.dims, (total, *variable.shape[1:]), variable.dtype)
        if np.dtype(variable.dtype).kind not in "biufc":
            complain(name, "of numbers", variable.dtype)
    return table


def _array(group: zarr.Group, name: str) -> zarr.Array | str:
    """The array, or why there is none."""
    try:
        found: Any = group[name]
    except KeyError:
        return "missing"
    except Exception as error:  # what others have written there makes zarr raise all kinds
        if is_network_error(error, group.store):
            raise
        return f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if not isinstance(found, zarr.Array):
        return f"{name} is a group"
    return found if isinstance(found.metadata.attributes, dict) else f"{name}: attributes that are none"
