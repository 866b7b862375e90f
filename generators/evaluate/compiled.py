"""How loops are compiled. Imported where it is used: numba takes a second to load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

# numba's np.dot calls the BLAS of scipy, which must be loaded before anybody limits the threads of loaded libraries.
import scipy.linalg.cython_blas  # noqa: F401

__all__ = ["compiled"]

# No fastmath: with it, what the compiler fuses and reorders differs between a function that has just been compiled and
# the same function loaded from numba's cache, and with it the last bit of the channels.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: Callable[..., Any]) -> Any:
    """A decorator: the function compiled to machine code when it is first called, from numba's cache where it was
    before. It holds no lock of the interpreter and divides as numpy does."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # no writable folder for the cache: compile anew in each process
        return numba.njit(**_OPTIONS)(function)
