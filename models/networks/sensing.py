"""What networks that read one answer off a channel (BF, DE, PE) share: features from the strongest path, losses."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from channelbench.models.networks.alignment import TINY, Peak, at_strongest_path
from channelbench.models.networks.frames import MOST_CASES, Frame, FramedNetwork

__all__ = [
    "BeamFrame",
    "BeamNetwork",
    "ScalarFrame",
    "ScalarNetwork",
    "SensingFrame",
    "SensingStart",
    "clean_power_db",
    "frequency_response",
    "power_profiles",
    "spatial_covariance",
]

SCALAR_LOSSES = {"absolute": torch.abs, "squared": torch.square}

POWER_RANGE_DB = 40.0
"""Powers are clipped this far below the sample's mean."""


def clean_power_db(h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
    """Mean ``|h|²`` less the noise variance in dB, ``[batch]``; at least a tenth of what was received."""
    received = h.abs().square().flatten(1).mean(1)
    return 10 * torch.log10(torch.maximum(received - noise_var, 0.1 * received).clamp_min(1e-30))


def frequency_response(peak: Peak, scale: torch.Tensor) -> torch.Tensor:
    """The turned channel over subcarriers, ``[batch, subcarriers, antennas]``, its elements of RMS 1."""
    return peak.taps.shape[2] ** 0.5 * torch.fft.fft(peak.taps / scale[:, None, None], dim=1)


def power_profiles(peak: Peak, scale: torch.Tensor) -> torch.Tensor:
    """Share of the power by delay and by angle bin, counted from the strongest path, ``[batch, delays + antennas]``.

    Logarithms to base 10, clipped at ``POWER_RANGE_DB`` below the whole.
    """
    relative = peak.taps / scale[:, None, None]
    by_delay = relative.abs().square().sum(2)
    by_angle = torch.fft.fft(relative, dim=2).abs().square().sum(1) / relative.shape[2]
    return _bels(torch.cat([by_delay, by_angle], dim=1))


def spatial_covariance(taps: torch.Tensor) -> torch.Tensor:
    """``R = Σ h hᴴ`` over delays of ``[batch, delays, antennas]``, which by Parseval is the sum over subcarriers,
    ``[batch, antennas, antennas]`` with a diagonal of mean 1.

    Delays and the phase of the whole leave it as it is: directions alone are in it.
    """
    covariance = taps.transpose(1, 2) @ taps.conj()
    power = covariance.diagonal(dim1=1, dim2=2).real.mean(1).clamp_min(TINY**2)
    return covariance / power[:, None, None]


def _bels(power: torch.Tensor) -> torch.Tensor:
    return torch.log10(power.clamp_min(10 ** (-POWER_RANGE_DB / 10)))


def _total_amplitude(h: torch.Tensor) -> torch.Tensor:
    """Square root of the power in all delays and antennas together, ``[batch]``."""
    return h.abs().square().mean(1).sum(1).sqrt().clamp_min(TINY)


@dataclass(frozen=True, kw_only=True)
class SensingStart:
    """One slot of a channel, turned so that its strongest path stands at the origin of the delay–angle domain.

    Attributes:
        peak: The turned channel.
        scale: Its total amplitude, ``[batch]``.
        noise: Logarithm of the noise share, ``[batch]``.
        direct: What can be said without learning: beam scores ``[batch, beams]`` by offset from the strongest path's
            bin, or the columns of the curve ``[batch, 5]``.
        features: Standardised features ``[batch, num_features]`` of a scalar task: power profiles, noise share, power,
            the strongest path's share; empty for beams.
    """

    peak: Peak
    scale: torch.Tensor
    noise: torch.Tensor
    direct: torch.Tensor
    features: torch.Tensor

    def response(self) -> torch.Tensor:
        """The turned channel over subcarriers, ``[batch, subcarriers, antennas]``, its elements of RMS 1."""
        return frequency_response(self.peak, self.scale)

    def covariance(self) -> torch.Tensor:
        """Of the turned channel over antennas, ``[batch, antennas, antennas]``; see ``spatial_covariance``."""
        return spatial_covariance(self.peak.taps)

    def beam_features(self) -> torch.Tensor:
        """The covariance as real numbers (its upper triangle's real parts, then the imaginary parts above the diagonal)
        and the noise share, ``[batch, antennas² + 1]``."""
        covariance = self.covariance()
        rows, columns = torch.triu_indices(*covariance.shape[1:], device=covariance.device)
        upper = covariance[:, rows, columns]
        return torch.cat([upper.real, upper.imag[:, rows != columns], self.noise[:, None]], dim=1)


class SensingFrame(Frame[SensingStart]):
    """Reads one slot.

    Args:
        bins: Points of the DFT over antennas in which the strongest path is looked for.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def seen(self, h: torch.Tensor, noise_var: torch.Tensor) -> tuple[Peak, torch.Tensor, torch.Tensor]:
        """The turned channel of the first slot, its total amplitude, and the logarithm of the noise share."""
        first = h[:, 0]
        received = h.abs().square().flatten(1).mean(1).clamp_min(TINY**2)
        share = (noise_var / received).clamp(1e-3, 1.0).log()
        return at_strongest_path(first, self.bins), _total_amplitude(first), share


class BeamFrame(SensingFrame):
    """Scores of beams by how far they lie from the strongest path.

    Scores are computed in bins counted from the strongest path's own, and rolled back: what is learned from one
    direction holds for all. The spectrum of the strongest path enters them directly. An answer is scores by offset,
    ``[batch, beams]``.

    Args:
        num_beams: Size of the codebook, and points of the DFT over the observed antennas.
    """

    def __init__(self, num_beams: int) -> None:
        super().__init__(num_beams)
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> SensingStart:
        peak, scale, noise = self.seen(h, noise_var)
        direct = 10 * torch.log10((peak.spectrum / peak.spectrum[:, :1].clamp_min(TINY)).clamp_min(1e-4))
        return SensingStart(peak=peak, scale=scale, noise=noise, direct=direct, features=direct[:, :0])

    def end(self, start: SensingStart, answer: torch.Tensor) -> torch.Tensor:
        """Scores per beam, ``[batch, beams]``, float32."""
        scores = answer + self.sharpness * start.direct
        columns = (torch.arange(self.bins, device=scores.device) - start.peak.beam[:, None]) % self.bins
        return scores.float().gather(1, columns)

    def nothing(self, start: SensingStart) -> torch.Tensor:
        return torch.zeros_like(start.direct)

    def criterion(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the best beam."""
        return functional.cross_entropy(prediction, target)


class BeamNetwork(FramedNetwork[SensingStart], BeamFrame):
    """A network that scores beams."""

    @abstractmethod
    def scores(self, peak: Peak, scale: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Scores by offset from the strongest path's bin, ``[batch, beams]``."""

    def answer(self, start: SensingStart) -> torch.Tensor:
        return self.scores(start.peak, start.scale, start.noise)


class ScalarFrame(SensingFrame):
    """A number per sample: a least-squares curve, for a network to correct.

    The curve is a cubic in the received power plus a straight line in the share that the strongest path has in it,
    both in dB: what one can say without learning. ``calibrate`` fits it; its residual on the training split is the
    unit of the correction. All of it is part of the checkpoint. An answer is the correction ``[batch]`` in that unit.

    Args:
        objective: ``absolute`` for a task scored by its mean absolute error, ``squared`` for a root mean square.
        subcarriers, antennas: Of the observation.
    """

    calibration_samples = MOST_CASES

    curve: torch.Tensor
    unit: torch.Tensor
    power: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor

    def __init__(self, objective: str, subcarriers: int, antennas: int) -> None:
        super().__init__(bins=8 * antennas)
        self.num_features = subcarriers + antennas + 3
        self.objective = objective
        self.register_buffer("curve", torch.zeros(5))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("power", torch.tensor([0.0, 1.0]))
        self.register_buffer("centre", torch.zeros(self.num_features))
        self.register_buffer("spread", torch.ones(self.num_features))

    def calibrate(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        """Fit the curve on training samples."""
        power_db = clean_power_db(h, noise_var)
        self.power.copy_(torch.stack([power_db.mean(), power_db.std().clamp_min(1e-3)]))
        start, features = self._begin(h, noise_var)
        self.centre.copy_(features.mean(0))
        self.spread.copy_(features.std(0, correction=0).clamp_min(0.05))
        design = start.direct.double()
        # A little ridge keeps the fit defined where a column does not vary.
        gram = design.T @ design / len(design) + 1e-6 * torch.eye(5, dtype=torch.float64, device=h.device)
        curve = torch.linalg.solve(gram, design.T @ target.double() / len(design))
        self.curve.copy_(curve)
        self.unit.copy_((target - design @ curve).square().mean().sqrt().clamp_min(1e-3))

    def begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> SensingStart:
        start, features = self._begin(h, noise_var)
        return replace(start, features=((features - self.centre) / self.spread).clamp(-5.0, 5.0))

    def end(self, start: SensingStart, answer: torch.Tensor) -> torch.Tensor:
        """The number, ``[batch]``, float32."""
        return (start.direct * self.curve).sum(1) + self.unit * answer.float()

    def nothing(self, start: SensingStart) -> torch.Tensor:
        return start.direct.new_zeros(len(start.direct))

    def criterion(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean absolute or squared error in units of the curve's residual."""
        return SCALAR_LOSSES[self.objective]((prediction - target) / self.unit).mean()

    def _begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> tuple[SensingStart, torch.Tensor]:
        """The start without its features, and these as they were measured."""
        peak, scale, noise = self.seen(h, noise_var)
        # An empty observation has no power to speak of: it is read as the weakest that is plausible.
        power = ((clean_power_db(h, noise_var) - self.power[0]) / self.power[1]).clamp(-4.0, 4.0)
        share = _bels(peak.spectrum[:, 0] / (h.shape[3] * scale.square()))
        design = torch.stack([torch.ones_like(power), power, power**2, power**3, share], dim=1)
        features = torch.cat([power_profiles(peak, scale), torch.stack([noise, power, share], dim=1)], dim=1)
        start = SensingStart(peak=peak, scale=scale, noise=noise, direct=design, features=features[:, :0])
        return start, features


class ScalarNetwork(FramedNetwork[SensingStart], ScalarFrame):
    """A network that corrects the curve from its features."""

    @abstractmethod
    def correction(self, features: torch.Tensor) -> torch.Tensor:
        """Correction ``[batch]`` in units of the curve's residual, of standardised features ``[batch, num_features]``:
        power profiles, noise share, power, the strongest path's share."""

    def answer(self, start: SensingStart) -> torch.Tensor:
        return self.correction(start.features)
