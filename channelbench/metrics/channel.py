"""Metrics of predicted channels ``[batch, slots, subcarriers, antennas]``. See docs/protocol.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Metric, Target

__all__ = ["NMSE", "SE", "NMSEInSlot", "NMSEPooled", "NMSEdB", "SELink", "matched_filter_gain"]

_SE_SNR = 10.0
"""The SNR that ``se`` is defined at: 10 dB, always (LLM4WM, section V-A4)."""

_NOISE_FIGURE_DB = 7.0
_THERMAL_NOISE_DBM_PER_HZ = -174.0


def _energies(error: NDArray[Any]) -> NDArray[np.float64]:
    flat = error.reshape(len(error), -1)
    return np.einsum("bi,bi->b", flat.real, flat.real, dtype=np.float64) + np.einsum(
        "bi,bi->b", flat.imag, flat.imag, dtype=np.float64
    )


def _target_energies(value: NDArray[Any]) -> NDArray[np.float64]:
    energies = _energies(value)
    if not np.all(energies > 0):
        rows = np.flatnonzero(~(energies > 0))[:5].tolist()
        raise ValueError(f"NMSE has no value for all-zero target channels; rows {rows} of the batch are")
    return energies


class NMSE(Metric):
    """Mean over samples of ``‖ĥ − h‖² / ‖h‖²``."""

    card = Card(
        name="nmse",
        title="NMSE",
        description="Mean over samples of the squared error over the squared norm of the sample.",
        reference="LLM4WM, section V-A4",
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        return (_energies(prediction - target.value) / _target_energies(target.value))[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


class NMSEdB(NMSE):
    """10·log10 of the mean NMSE, never the mean of dB values."""

    card = Card(
        name="nmse_db",
        title="NMSE (dB)",
        description="10·log10 of the mean NMSE, never the mean of dB values.",
        reference="LLM4CP, section IV",
        family="metric",
    )
    unit = "dB"

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return 10 * np.log10(np.maximum(mean_terms[..., 0], 1e-30))


class NMSEPooled(Metric):
    """``Σ‖ĥ − h‖² / Σ‖h‖²`` over the whole test split: strong samples weigh more."""

    card = Card(
        name="nmse_pooled",
        title="NMSE (pooled)",
        description="Squared error summed over all samples, over their summed squared norms.",
        reference="common in channel estimation papers",
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        return np.stack([_energies(prediction - target.value), _target_energies(target.value)], axis=-1)

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0] / mean_terms[..., 1]


@dataclass(frozen=True)
class NMSEInSlot(Metric):
    """NMSE of predicted slot ``number`` (from 1) alone: how the error grows with the horizon."""

    number: int

    listed = tuple({"number": number} for number in range(1, 5))

    @property
    def card(self) -> Card:
        return Card(
            name=f"nmse_slot_{self.number}",
            title=f"NMSE, slot +{self.number}",
            description=f"NMSE of predicted slot number {self.number} alone.",
            reference="LLM4CP, section IV",
            family="metric",
        )

    @property
    def parameters(self) -> dict[str, Any]:
        return {"number": self.number}

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        wanted = target.value[:, self.number - 1]
        return (_energies(prediction[:, self.number - 1] - wanted) / _target_energies(wanted))[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


def matched_filter_gain(prediction: NDArray[Any], channel: NDArray[Any]) -> NDArray[np.float64]:
    """``|hᴴw|²`` with ``w = ĥ/‖ĥ‖`` (LLM4WM Eq. 7); 0 where ĥ = 0.

    Args:
        prediction, channel: ``[..., antennas]``, complex.

    Returns:
        ``[...]``, float64.
    """
    inner = np.einsum("...n,...n->...", channel.conj(), prediction)
    power = np.einsum("...n,...n->...", prediction.real, prediction.real) + np.einsum(
        "...n,...n->...", prediction.imag, prediction.imag
    )
    inner_power = (inner.real.astype(np.float64) ** 2) + inner.imag.astype(np.float64) ** 2
    return np.where(power > 0, inner_power / np.where(power > 0, power, 1.0), 0.0)


def _clean(target: Target) -> NDArray[Any]:
    """Rates are those of the true channel, also where targets are noisy."""
    return target.context.get("h_clean", target.value)


class SE(Metric):
    """Mean over samples, slots and subcarriers of ``log2(1 + |hᴴw|²/σ²)`` with ``σ² = (‖h‖²/N_t)/10``."""

    card = Card(
        name="se",
        title="SE",
        description="Spectral efficiency of the matched filter of the predicted channel at 10 dB; direction only.",
        reference="LLM4WM, Eqs. 4 and 7",
        family="metric",
    )
    unit = "bit/s/Hz"
    higher_is_better = True

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        channel = _clean(target)
        power = (np.abs(channel) ** 2).mean(axis=-1, dtype=np.float64)
        snr = _SE_SNR * matched_filter_gain(prediction, channel) / np.where(power > 0, power, 1.0)
        return np.log2(1 + snr).reshape(len(snr), -1).mean(axis=1)[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


def link_snr_scale(target: Target) -> NDArray[np.float64]:
    """Transmit power times path gain over noise power of the band, ``[batch]``: thermal noise, 7 dB noise figure."""
    noise_dbm = _THERMAL_NOISE_DBM_PER_HZ + 10 * np.log10(target.constants["bandwidth_hz"]) + _NOISE_FIGURE_DB
    gain_db = target.context["path_gain_db"].astype(np.float64)
    return 10 ** ((target.constants["tx_power_dbm"] + gain_db - noise_dbm) / 10)


class SELink(Metric):
    """Spectral efficiency of the physical link: transmit power, path gain and thermal noise in place of 10 dB."""

    card = Card(
        name="se_link",
        title="SE (link)",
        description="Spectral efficiency at the sample's own link budget: 46 dBm below 6 GHz, 30 dBm at mmWave.",
        reference="3GPP TR 38.901, Table 7.8-1 (powers); thermal noise with a 7 dB noise figure",
        family="metric",
    )
    unit = "bit/s/Hz"
    higher_is_better = True

    def can_score(self, target: Target) -> bool:
        """Where path gain is known."""
        return "path_gain_db" in target.context

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        gain = matched_filter_gain(prediction, _clean(target))
        scale = link_snr_scale(target).reshape(-1, *[1] * (gain.ndim - 1))
        return np.log2(1 + scale * gain).reshape(len(gain), -1).mean(axis=1)[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]
