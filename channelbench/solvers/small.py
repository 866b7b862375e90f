"""Many small matrices at once, groups last: ``[rows, columns, groups]``.

NumPy's batched LAPACK calls a routine per matrix, which for a 4 × 4 is mostly the call. Here every step of an
elimination is one operation over all groups, in pieces that stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["chunks", "groups_first", "groups_last", "inverse", "product"]

CACHED = 2**15
"""Entries of a stack that is worked on at once: half a megabyte of complex128."""


ROUNDING = float(np.finfo(np.float64).eps)


def chunks(groups: int, size: int) -> Iterator[slice]:
    """Slices of the groups for which a stack of ``size × size`` matrices fits the cache."""
    step = max(16, CACHED // max(1, size * size))
    for start in range(0, groups, step):
        yield slice(start, min(start + step, groups))


def groups_last(matrices: NDArray[Any]) -> NDArray[Any]:
    """``[groups, …]`` → ``[…, groups]``, contiguous."""
    return np.ascontiguousarray(np.moveaxis(matrices, 0, -1))


def groups_first(matrices: NDArray[Any]) -> NDArray[Any]:
    """``[…, groups]`` → ``[groups, …]``, contiguous."""
    return np.ascontiguousarray(np.moveaxis(matrices, -1, 0))


def inverse(matrices: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Inverses by Gauss–Jordan elimination, and its pivots.

    There is no search for pivots: matrices are to be ``D₁ P D₂`` with P Hermitian positive definite and D diagonal,
    where elimination is as stable as Cholesky's, since a diagonal scaling changes no relative error; or M-matrices.
    A pivot is at least a rounding error of its diagonal entry, so that a singular matrix has a finite inverse with huge
    entries.

    Args:
        matrices: ``[n, n, groups]``; not changed.

    Returns:
        ``[n, n, groups]``, and the pivots ``[n, groups]``, positive, whose product is the determinant.
    """
    work = matrices.copy()
    pivots = np.empty(matrices.shape[1:], np.float64)
    with np.errstate(all="ignore"):
        for k in range(len(work)):
            pivots[k] = np.maximum(work[k, k].real, ROUNDING * np.abs(matrices[k, k]))
            factors = work[:, k].copy()
            factors[k] = 0
            work[:, k] = 0
            work[k, k] = 1
            work[k] /= pivots[k]
            work -= factors[:, None] * work[k]
    return work, pivots


def product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Matrix products of two stacks ``[n, m, groups]`` and ``[m, p, groups]``."""
    found = left[:, 0, None] * right[0]
    for k in range(1, left.shape[1]):
        found += left[:, k, None] * right[k]
    return found
