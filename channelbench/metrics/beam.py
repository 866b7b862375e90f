"""Metrics of beam choices: a prediction is a score per beam, ``[batch, beams]``. See docs/protocol.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Metric, Target
from channelbench.metrics.channel import link_snr_scale

__all__ = ["BeamSE", "BeamSELink", "BeamSELoss", "BeamSERatio", "TopKAccuracy", "WithinOneBeam"]


@dataclass(frozen=True)
class TopKAccuracy(Metric):
    """Share of samples whose best beam is among the ``k`` highest scores; equal scores rank by beam number."""

    k: int

    higher_is_better = True
    listed = ({"k": 1}, {"k": 3}, {"k": 5})

    @property
    def card(self) -> Card:
        return Card(
            name=f"top{self.k}_accuracy",
            title=f"Top-{self.k} accuracy",
            description=f"Share of samples whose best beam is among the {self.k} highest scores.",
            reference="LLM4WM, section V-A4",
            family="metric",
        )

    @property
    def parameters(self) -> dict[str, Any]:
        return {"k": self.k}

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        rows = np.arange(len(prediction))
        own = prediction[rows, target.value][:, None]
        beams = np.arange(prediction.shape[1])
        ahead = (prediction > own) | ((prediction == own) & (beams < target.value[:, None]))
        return (ahead.sum(axis=1) < self.k).astype(np.float64)[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


class WithinOneBeam(Metric):
    """Share of samples whose highest-scored beam is the best one or next to it.

    The codebook is that of a DFT, whose spatial frequencies are a circle: its last beam lies next to its first.
    """

    card = Card(
        name="within_one_beam",
        title="Within one beam",
        description="Share of samples whose chosen beam is the best one or next to it; the codebook is a circle.",
        reference="the protocol's own",
        family="metric",
    )
    higher_is_better = True

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        beams = prediction.shape[1]
        steps = (prediction.argmax(axis=1) - target.value) % beams
        return (np.minimum(steps, beams - steps) <= 1).astype(np.float64)[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


class BeamSE(Metric):
    """Mean spectral efficiency of the chosen beam over samples and subcarriers at 10 dB."""

    card = Card(
        name="beam_se",
        title="SE",
        description="Spectral efficiency of the highest-scored beam at 10 dB, mean over subcarriers.",
        reference="LLM4WM, Eq. 4",
        family="metric",
    )
    unit = "bit/s/Hz"
    higher_is_better = True

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        rates = target.context["beam_se"]
        return rates[np.arange(len(rates)), prediction.argmax(axis=1)].astype(np.float64)[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


class BeamSERatio(BeamSE):
    """What share of the best beam's spectral efficiency the chosen one has: the mean of one over the mean of the other.

    Raises:
        ValueError: (``accumulate``) a channel has no beam with any efficiency.
    """

    card = Card(
        name="beam_se_ratio",
        title="SE / best",
        description="Mean spectral efficiency of the chosen beams over that of the best ones.",
        reference="the protocol's own, of LLM4WM, Eqs. 4 and 5",
        family="metric",
    )
    unit = ""

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        best = target.context["beam_se"].max(axis=1).astype(np.float64)[:, None]
        if not np.all(best > 0):
            rows = np.flatnonzero(~(best > 0))[:5].tolist()
            raise ValueError(f"the ratio to the best beam has no value for all-zero channels; rows {rows} are")
        return np.concatenate([super().accumulate(prediction, target), best], axis=1)

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0] / mean_terms[..., 1]


class BeamSELoss(BeamSE):
    """What the chosen beam loses to the best one."""

    card = Card(
        name="se_loss",
        title="SE loss",
        description="Spectral efficiency of the best beam minus that of the chosen one.",
        reference="LLM4WM, Eqs. 4 and 5",
        family="metric",
    )
    higher_is_better = False

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        best = target.context["beam_se"].max(axis=1).astype(np.float64)[:, None]
        return best - super().accumulate(prediction, target)


class BeamSELink(Metric):
    """Spectral efficiency of the chosen beam on the physical link."""

    card = Card(
        name="beam_se_link",
        title="SE (link)",
        description="Spectral efficiency of the chosen beam at the sample's own link budget, 30 dBm at mmWave.",
        reference="3GPP TR 38.901, Table 7.8-1 (powers); thermal noise with a 7 dB noise figure",
        family="metric",
    )
    unit = "bit/s/Hz"
    higher_is_better = True

    def can_score(self, target: Target) -> bool:
        """Where path gain is known."""
        return "path_gain_db" in target.context

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        channel = target.context["h_beam_band"]
        antennas = channel.shape[-1]
        phase = np.outer(prediction.argmax(axis=1) / prediction.shape[1], np.arange(antennas))
        beam = np.exp(2j * np.pi * phase) / np.sqrt(antennas)
        gain = np.abs(np.einsum("btfn,bn->btf", channel.conj(), beam)) ** 2
        scale = link_snr_scale(target)[:, None, None]
        return np.log2(1 + scale * gain).mean(axis=(1, 2))[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]
