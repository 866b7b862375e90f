"""Unfolded orthogonal approximate message passing towards the symbols."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from channelbench.models.networks.detection import TINY, DetectionNetwork, axis_levels, matched
from channelbench.models.networks.groups import DetectionPart
from channelbench.solvers.constellation import constellation_named, hard_decision, max_log_llrs
from channelbench.tasks.multiuser.answers import DetectionAnswer

__all__ = ["OAMPNet"]

LAYERS = 10
LEAST_VARIANCE = 1e-4
"""Floor of the variances: noise often takes more from the residual than is left in it."""

RELATIVE_RANK = 1e-6
"""Eigenvalues below this share of the largest are rounding errors."""


@dataclass(frozen=True)
class _Modes:
    """Eigenvalues of ``HᴴH`` ``[batch, 1, users]`` and eigenvectors ``[batch, users, users]``."""

    values: torch.Tensor
    vectors: torch.Tensor


class OAMPNet(DetectionNetwork):
    """OAMP-Net2: linear estimates that are uncorrelated with the errors before, each followed by a posterior mean.

    Layer t has four scalars γ, θ, ξ, φ and takes

        v² = (‖y − Hx̂‖² − Nσ²)/tr(HᴴH),   W ∝ v²Hᴴ(v²HHᴴ + σ²I)⁻¹ with tr(WH) = K,   r = x̂ + γW(y − Hx̂),
        C = I − θWH,   τ² = (v² tr(CCᴴ) + θ²σ² tr(WWᴴ))/K,   x̂ ← φ(E[x | r, τ²] − ξr).

    v² is the mean over the uses of a case, which have H in common. All products with W are worked out on the modes of
    HᴴH. It has nothing of a size, so that any number of users goes.

    Args:
        modulation: What is sent.
        layers: How many.

    Source: H. He, C.-K. Wen, S. Jin and G. Y. Li, IEEE Trans. Signal Process. 68 (2020).
    """

    levels: torch.Tensor

    def __init__(self, modulation: str, *, layers: int = LAYERS) -> None:
        super().__init__()
        self.modulation = modulation
        self.register_buffer("levels", axis_levels(modulation), persistent=False)
        self.gamma, self.theta, self.phi = (nn.Parameter(torch.ones(layers)) for _ in range(3))
        self.xi = nn.Parameter(torch.zeros(layers))

    def passed(self, part: DetectionPart) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The estimates; and r and τ², real, of the last layer, of which they are made, ``[batch, uses, users]`` and
        ``[batch, 1, 1]``."""
        gram, received = matched(part)
        values, vectors = torch.linalg.eigh(gram)
        modes = _Modes(values.clamp_min(0)[:, None], vectors)
        x, r, tau = torch.zeros_like(received), received, part.noise_var[:, None, None]
        for layer in range(len(self.gamma)):
            r, tau = self.linear(layer, part, modes, received, x)
            x = self.phi[layer] * (self.posterior_mean(r, tau) - self.xi[layer] * r)
        return x, r, tau

    def linear(
        self, layer: int, part: DetectionPart, modes: _Modes, received: torch.Tensor, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """r and τ² of a layer."""
        noise, users = part.noise_var[:, None, None], part.h.shape[2]
        left = torch.view_as_real(part.y - x @ part.h.mT).square().sum((2, 3)).mean(1)[:, None, None]
        total = modes.values.sum(2, keepdim=True).clamp_min(TINY)
        variance = ((left - part.h.shape[1] * noise) / total).clamp_min(LEAST_VARIANCE)
        loaded = modes.values + noise / variance
        inverse = torch.where(loaded > RELATIVE_RANK * loaded.amax(2, keepdim=True), 1 / loaded.clamp_min(TINY), 0)
        filtered = modes.values * inverse
        scale = users / filtered.sum(2, keepdim=True).clamp_min(TINY)
        weights = scale * inverse  # of Hᴴ(y − Hx̂) on the modes
        gradient = (received - x @ (part.h.mH @ part.h).mT) @ modes.vectors.conj()
        r = x + self.gamma[layer] * (weights * gradient) @ modes.vectors.mT
        theta = self.theta[layer]
        spread = variance * (1 - theta * scale * filtered).square().sum(2, keepdim=True)
        heard = theta**2 * noise * (weights.square() * modes.values).sum(2, keepdim=True)
        return r, ((spread + heard) / users).clamp_min(LEAST_VARIANCE)

    def posterior_mean(self, r: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        """``E[x | r]`` of points that are equally likely and an error of variance τ²: of each axis alone."""
        exponent = -(torch.view_as_real(r)[..., None] - self.levels).square() / tau[..., None, None]
        return torch.view_as_complex((exponent.softmax(-1) * self.levels).sum(-1))

    def forward(self, part: DetectionPart) -> torch.Tensor:
        return self.passed(part)[0]

    def answer(self, part: DetectionPart) -> DetectionAnswer:
        """x̂, and decisions and likelihood ratios of r with its own τ²."""
        x, r, tau = (each.cpu().numpy() for each in self.passed(part))
        constellation = constellation_named(self.modulation)
        return DetectionAnswer(x=x, decisions=hard_decision(r, constellation), llrs=max_log_llrs(r, tau, constellation))
