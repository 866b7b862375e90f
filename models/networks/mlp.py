"""Multi-layer perceptrons on what a channel looks like from its strongest path."""

from __future__ import annotations

import torch
from torch import nn

from channelbench.models.networks.alignment import Peak
from channelbench.models.networks.layers import zeroed
from channelbench.models.networks.sensing import BeamNetwork, ScalarNetwork, power_profiles

__all__ = ["BeamMLP", "ScalarMLP", "perceptron"]


def perceptron(inputs: int, width: int, outputs: int, dropout: float) -> nn.Sequential:
    """Three hidden layers of ``width`` with SiLU; the last layer starts at zero."""
    last = zeroed(nn.Linear(width, outputs))
    layers: list[nn.Module] = []
    for here in (inputs, width, width):
        layers += [nn.Linear(here, width), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, last)


class BeamMLP(BeamNetwork):
    """Beam scores from the power profiles and the complex delay–antenna map.

    Args:
        subcarriers, antennas: Of the observation.
        num_beams: Size of the codebook.
        width: Hidden units.
        dropout: Share of hidden units left out in training.
    """

    def __init__(self, subcarriers: int, antennas: int, num_beams: int, *, width: int, dropout: float) -> None:
        super().__init__(num_beams)
        features = subcarriers + antennas + 2 * subcarriers * antennas + 1
        self.layers = perceptron(features, width, num_beams, dropout)

    def scores(self, peak: Peak, scale: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        taps = (peak.taps / scale[:, None, None]).flatten(1)
        return self.layers(torch.cat([power_profiles(peak, scale), taps.real, taps.imag, noise[:, None]], dim=1))


class ScalarMLP(ScalarNetwork):
    """A number from the power profiles, without the phases. Arguments as ``BeamMLP`` and ``ScalarNetwork``."""

    def __init__(
        self,
        subcarriers: int,
        antennas: int,
        objective: str,
        *,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__(objective, subcarriers, antennas)
        self.layers = perceptron(self.num_features, width, 1, dropout)

    def correction(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)[:, 0]
