"""What a detector may say of the symbols, and the form in which it is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.prediction import as_numbers
from channelbench.solvers.constellation import Constellation, constellation_named, hard_decision, max_log_llrs
from channelbench.solvers.detection import LinearDetection
from channelbench.tasks.multiuser.observations import DetectionObservation

__all__ = ["Detected", "DetectionAnswer", "as_form", "detected", "of_linear", "scored_form"]


@dataclass(frozen=True, kw_only=True)
class DetectionAnswer:
    """What a detector answers; an array of the estimates alone will do, too.

    Attributes:
        x: Estimates of the symbols, ``[groups, uses, users]``, complex.
        error_var: Variance of their complex errors, of a shape that broadcasts to that of ``x``; without it, the mean
            squared distance of a group's estimates of a user from the nearest points stands for it.
        decisions: Positions of the symbols in the constellation, likewise; the nearest points by default.
        llrs: ``log p(b = 1) − log p(b = 0)`` of each bit, ``[groups, uses, users, bits]``; by default max-log ones of
            an ``x`` with errors of ``error_var``.
    """

    x: NDArray[Any]
    error_var: NDArray[Any] | None = None
    decisions: NDArray[Any] | None = None
    llrs: NDArray[Any] | None = None


@dataclass(frozen=True)
class Detected:
    """An answer as metrics read it.

    Attributes:
        x: ``[groups, uses, users]``, complex128.
        decisions: Likewise, positions in the constellation.
        llrs: ``[groups, uses, users, bits]``.
    """

    x: NDArray[np.complex128]
    decisions: NDArray[np.int64]
    llrs: NDArray[np.float64]


def scored_form(prediction: Any, observation: DetectionObservation) -> NDArray[np.float64]:
    """An answer as one array, ``[groups, uses, users, 3 + bits]``: real and imaginary part, decision, LLRs. An array of
    that form stays as it is.

    Raises:
        InvalidPrediction: of another shape, or not finite.
    """
    answer = prediction if isinstance(prediction, DetectionAnswer) else DetectionAnswer(x=prediction)
    shape = (*observation.y.shape[:2], observation.h.shape[2])
    constellation = constellation_named(observation.modulation)
    if np.ndim(answer.x) == 4:
        return as_numbers(answer.x, (*shape, 3 + constellation.num_bits)).astype(np.float64)
    x = as_numbers(answer.x, shape, allow_complex=True).astype(np.complex128)
    decisions = hard_decision(x, constellation) if answer.decisions is None else as_numbers(answer.decisions, shape)
    if answer.llrs is None:
        llrs = max_log_llrs(x, _error_var(answer.error_var, x, constellation), constellation)
    else:
        llrs = as_numbers(answer.llrs, (*shape, constellation.num_bits))
    return as_form(x, decisions, llrs)


def of_linear(found: LinearDetection, constellation: Constellation) -> DetectionAnswer:
    """The answer of a linear filter: its estimates, decided and weighed after division by their gain."""
    error_var = np.broadcast_to(found.error_variance[:, None], found.unbiased.shape)
    return DetectionAnswer(
        x=found.estimate,
        decisions=hard_decision(found.unbiased, constellation),
        llrs=max_log_llrs(found.unbiased, error_var, constellation),
    )


def as_form(x: NDArray[Any], decisions: NDArray[Any], llrs: NDArray[Any]) -> NDArray[np.float64]:
    """The array of estimates, decisions and LLRs."""
    return np.concatenate([x.real[..., None], x.imag[..., None], decisions[..., None], llrs], axis=-1)


def detected(form: NDArray[np.float64]) -> Detected:
    """What ``scored_form`` has put into an array."""
    return Detected(form[..., 0] + 1j * form[..., 1], form[..., 2].astype(np.int64), form[..., 3:])


def _error_var(
    stated: NDArray[Any] | None, x: NDArray[np.complex128], constellation: Constellation
) -> NDArray[np.float64]:
    if stated is not None:
        return np.broadcast_to(as_numbers(np.broadcast_to(stated, x.shape), x.shape), x.shape).astype(np.float64)
    nearest = constellation.points[hard_decision(x, constellation)]
    return np.broadcast_to((np.abs(x - nearest) ** 2).mean(axis=1, keepdims=True), x.shape)
