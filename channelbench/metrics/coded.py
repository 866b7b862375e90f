"""Error rates of a coded link: terms are counts, and rows of cases that are not coded are 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Metric, Target

__all__ = ["BLER", "MOST_CODEWORDS", "NOTHING_CODED", "CodedBER", "error_rates"]

MOST_CODEWORDS = 600
"""Of a cell: those of the first cases."""

FEWEST_BLOCK_ERRORS = 10
"""Below so many, a block error rate is marked."""


class _Rate(Metric):
    """Errors over how many."""

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        """Of what ``error_rates`` has counted."""
        return np.asarray(prediction, np.float64)

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0] / np.maximum(mean_terms[..., 1], 1e-300)

    def least(self, terms: NDArray[np.float64]) -> float:
        """Half an error."""
        return 0.5 / max(float(terms[:, 1].sum()), 1.0)


class CodedBER(_Rate):
    """Information bits that are wrong after decoding."""

    card = Card(
        name="ber",
        title="BER, coded",
        description="Information bits that are wrong after decoding of the rate-1/2 LDPC code of 5G.",
        reference="3GPP TS 38.212, section 5.3.2",
        family="metric",
    )


class BLER(_Rate):
    """Codewords of which a bit is wrong after decoding."""

    card = Card(
        name="bler",
        title="BLER",
        description="Codewords with a wrong bit after decoding of the rate-1/2 LDPC code of 5G; binomial interval.",
        reference="3GPP TS 38.212, section 5.3.2; interval of Clopper and Pearson 1934",
        family="metric",
    )

    def exact_interval(self, terms: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
        """Of Clopper and Pearson: that of independent codewords, whose errors are too few for a bootstrap."""
        from scipy.special import betaincinv

        errors, blocks = (float(total) for total in terms.sum(axis=0))
        tail = (1 - level) / 2
        low = 0.0 if errors == 0 else float(betaincinv(errors, blocks - errors + 1, tail))
        high = 1.0 if errors == blocks else float(betaincinv(errors + 1, blocks - errors, 1 - tail))
        return low, high

    def note(self, terms: NDArray[np.float64]) -> str:
        errors, blocks = (int(total) for total in terms.sum(axis=0))
        return f"{errors} of {blocks} codewords" if errors < FEWEST_BLOCK_ERRORS else ""


def error_rates(
    wrong: NDArray[np.bool_], codewords_per_case: int, cases: int
) -> tuple[tuple[Metric, NDArray[np.float64]], ...]:
    """Both metrics with their terms.

    Args:
        wrong: Information bits that are decoded wrongly, ``[codewords, bits]``; the codewords of a case follow each
            other, from the first case on.
        codewords_per_case: How many.
        cases: Of the batch; the last ones, or all, may have no codewords.

    Returns:
        ``CodedBER`` and ``BLER``, each with ``[cases, 2]``: errors, and of how many.
    """
    bits, blocks = np.zeros((cases, 2)), np.zeros((cases, 2))
    each = wrong.reshape(len(wrong) // codewords_per_case, codewords_per_case, wrong.shape[-1])
    bits[: len(each)] = np.stack([each.sum(axis=(1, 2)), np.full(len(each), each.shape[1] * each.shape[2])], axis=-1)
    blocks[: len(each)] = np.stack([each.any(axis=2).sum(axis=1), np.full(len(each), codewords_per_case)], axis=-1)
    return (CodedBER(), bits), (BLER(), blocks)


NOTHING_CODED = np.empty((0, 1), bool)
"""What is decoded wrongly where nothing is coded."""
