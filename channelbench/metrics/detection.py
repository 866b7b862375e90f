"""Metrics of detected symbols, in the form of ``tasks.multiuser.answers``: ``[groups, uses, users, 3 + bits]``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Metric, Target

__all__ = ["BitErrorRate", "MutualInformation", "SymbolErrorRate", "SymbolNMSE", "SymbolNMSEdB"]


class _PerGroup(Metric):
    """A mean over groups of a mean over their symbols."""

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


class SymbolErrorRate(Metric):
    """Share of symbols that are decided wrongly."""

    card = Card(
        name="ser",
        title="SER",
        description="Share of symbols that are decided wrongly.",
        reference="Multi-task PHY LLM, section V-D",
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        wrong = prediction[..., 2] != target.context["symbols"]
        return np.stack([wrong.sum(axis=(1, 2)), np.full(len(wrong), wrong[0].size)], axis=-1).astype(np.float64)

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0] / mean_terms[..., 1]

    def least(self, terms: NDArray[np.float64]) -> float:
        """Half a wrong symbol."""
        return 0.5 / float(terms[:, 1].sum())


class SymbolNMSE(_PerGroup):
    """Mean over groups of ``‖x̂ − x‖² / ‖x‖²``."""

    card = Card(
        name="symbol_nmse",
        title="NMSE of x",
        description="Squared error of the estimated symbols of a group over their energy, mean over groups.",
        reference="Multi-task PHY LLM, section V-D",
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        error = prediction[..., 0] + 1j * prediction[..., 1] - target.value
        energy = (np.abs(target.value) ** 2).sum(axis=(1, 2))
        return ((np.abs(error) ** 2).sum(axis=(1, 2)) / energy)[:, None]


class SymbolNMSEdB(SymbolNMSE):
    """10·log10 of the mean NMSE of the symbols."""

    card = Card(
        name="symbol_nmse_db",
        title="NMSE of x (dB)",
        description="10·log10 of the mean NMSE of the symbols, never the mean of dB values.",
        reference="Multi-task PHY LLM, section V-D",
        family="metric",
    )
    unit = "dB"

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return 10 * np.log10(np.maximum(mean_terms[..., 0], 1e-30))


class BitErrorRate(_PerGroup):
    """Share of bits whose log-likelihood ratio has the wrong sign."""

    card = Card(
        name="uncoded_ber",
        title="BER, uncoded",
        description="Share of bits whose log-likelihood ratio points the wrong way; half an error where it is 0.",
        reference="3GPP TS 38.211, section 5.1 (labels)",
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        towards = (2.0 * target.context["bits"] - 1) * prediction[..., 3:]
        return ((towards < 0) + 0.5 * (towards == 0)).mean(axis=(1, 2, 3))[:, None]


class MutualInformation(_PerGroup):
    """``1 − mean log2(1 + exp(−L))`` of each bit, L its log-likelihood ratio towards what was sent."""

    card = Card(
        name="bit_mutual_information",
        title="Mutual information",
        description="Bitwise mutual information of the LLRs; below 0 where they are confidently wrong.",
        reference="Alvarado et al. 2018, Achievable information rates for fiber optics, Eq. 33",
        family="metric",
    )
    unit = "bit"
    higher_is_better = True

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        towards = (2.0 * target.context["bits"] - 1) * prediction[..., 3:]
        return (1 - np.logaddexp(0.0, -towards) / np.log(2)).mean(axis=(1, 2, 3))[:, None]
