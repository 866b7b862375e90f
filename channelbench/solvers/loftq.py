"""LoftQ: a matrix as four-bit weights plus a low-rank product, chosen together (Li et al. 2023, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from channelbench.errors import RequestError
from channelbench.solvers.nf4 import NF4Tensor, dequantise, quantise

__all__ = ["LoftQ", "loftq"]


@dataclass(frozen=True)
class LoftQ:
    """``W ≈ Q + scaling · ABᵀ``.

    Attributes:
        quantised: Q, ``[d1, d2]`` in four bits.
        a: ``[d1, r]``, float32.
        b: ``[d2, r]``, float32.
        errors: ``‖W − Q − scaling · ABᵀ‖/‖W‖`` after each iteration; 0 for W = 0.
    """

    quantised: NF4Tensor
    a: Tensor
    b: Tensor
    errors: tuple[float, ...]


def loftq(
    w: Tensor, rank: int, *, iterations: int = 5, scaling: float = 1.0, kind: str = "nf4", double: bool = False
) -> LoftQ:
    """``Q ← q(W − ABᵀ)``, then A and B from the ``rank`` largest singular values of ``W − Q``, in turns from A = B = 0.

    Each half of ``ABᵀ = UΣVᵀ`` has the root of Σ. The second step is the best that a Q allows; the first is not, as a
    block's scale is its largest value and not the one of least error, so that errors may rise by a little.

    Args:
        w: ``[d1, d2]``, floating and finite, on any device, where the result is, too.
        rank: r, from 0 (plain quantisation) to the smaller side.
        iterations: Of both steps, at least 1.
        scaling: What the product is multiplied by where it is used, α/r of LoRA; positive.
        kind, double: See ``quantise``.

    Raises:
        RequestError: an argument outside these bounds.
    """
    if w.ndim != 2 or not 0 <= rank <= min(w.shape):
        raise RequestError("rank", expected="from 0 to the smaller side of a matrix", got=(rank, tuple(w.shape)))
    if iterations < 1:
        raise RequestError("iterations", expected="at least 1", got=iterations)
    if not 0 < scaling < float("inf"):
        raise RequestError("scaling", expected="a positive number", got=scaling)
    w = w.detach().float()
    a, b = w.new_zeros(w.shape[0], rank), w.new_zeros(w.shape[1], rank)
    errors = []
    for _ in range(iterations):
        quantised = quantise(w - scaling * (a @ b.T), kind=kind, double=double)
        rest = w - dequantise(quantised)
        a, b = (factor / scaling**0.5 for factor in _low_rank(rest, rank))
        size = torch.linalg.norm(w)
        errors.append(float(torch.linalg.norm(rest - scaling * (a @ b.T)) / size) if size > 0 else 0.0)
    return LoftQ(quantised=quantised, a=a, b=b, errors=tuple(errors))


def _low_rank(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best approximation of that rank as two halves, float32.

    In float64, and with the largest entry of each left vector positive, so that devices agree: an SVD leaves signs
    open, and the next quantisation would turn rounding errors of float32 into other codes.
    """
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    u, root, v = u[:, :rank], s[:rank].sqrt(), v[:rank].T
    sign = torch.sign(u.gather(0, u.abs().argmax(dim=0, keepdim=True)))
    return (u * (sign * root)).float(), (v * (sign * root)).float()
