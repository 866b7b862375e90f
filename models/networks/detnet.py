"""Unfolded projected gradient descent towards the symbols."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from channelbench.models.networks.detection import TINY, CalibratedDetector, axis_levels, matched, squared_error
from channelbench.models.networks.groups import DetectionPart
from channelbench.models.networks.layers import zeroed

__all__ = ["PUBLISHED_LAYERS", "DetNet"]

PUBLISHED_LAYERS = 30
RESIDUAL = 0.9
"""Share of the layer before in each of 30 layers."""

STEP = 1.5
"""What the untrained network goes along the gradient in a layer, the residual taken into account."""

SHARPNESS = 2.0
"""κ of an untrained layer."""

MEMORY = 8
"""Numbers that each coordinate hands from layer to layer."""

BESIDE = 4
"""Other features of a coordinate: q, x, its own SNR and the group's number of users."""


class DetNet(CalibratedDetector):
    """Gradient steps, each followed by a small network that projects onto the levels, on real coordinates.

    Layer l takes ``q = x − δ₁ D⁻¹Hᵀy + δ₂ D⁻¹HᵀH x`` with ``D = diag(HᵀH) + σ²``, ``z = relu(W₁[q, x, v, …] + b₁)``,
    as x the mean of the levels weighted by ``softmax(−κ(q − level)² + W₂z + b₂)``, and ``v = W₃z + b₃``. Of x and v it
    keeps a share from the layer before. It begins as gradient descent with a soft projection. Weights are shared by all
    coordinates, so that any number of users goes without padding: users hear of each other through ``HᵀH`` alone.

    Args:
        modulation: What is sent.
        layers: How many. With fewer than 30, each keeps less of the one before, so that as much is kept in all.
        width: Hidden units of a coordinate.

    Source: N. Samuel, T. Diskin and A. Wiesel, IEEE Trans. Signal Process. 67 (2019).
    """

    levels: torch.Tensor

    def __init__(self, modulation: str, *, layers: int, width: int) -> None:
        super().__init__()
        self.residual = RESIDUAL ** (PUBLISHED_LAYERS / layers)
        self.register_buffer("levels", axis_levels(modulation), persistent=False)
        step = STEP / (1 - self.residual)  # of which the residual leaves STEP
        self.backward_step, self.forward_step = (nn.Parameter(torch.full((layers,), -step)) for _ in range(2))
        self.sharpness = nn.Parameter(torch.full((layers,), SHARPNESS))
        self.hidden = nn.ModuleList(nn.Linear(BESIDE + MEMORY, width) for _ in range(layers))
        self.choice = nn.ModuleList(zeroed(nn.Linear(width, self.levels.shape[1])) for _ in range(layers))
        self.memory = nn.ModuleList(nn.Linear(width, MEMORY) for _ in range(layers))

    def layers(self, part: DetectionPart) -> list[torch.Tensor]:
        """Estimates of all layers, complex64 ``[batch, uses, users]`` each."""
        gram, received = matched(part)
        power = torch.einsum("bkk->bk", gram).real
        scale = (power + part.noise_var[:, None]).clamp_min(TINY)[:, None]
        own = torch.log10((power / part.noise_var.clamp_min(TINY)[:, None]).clamp(1e-3, 1e6))
        users = torch.full_like(own, math.log2(part.h.shape[2]))
        beside = torch.stack([own, users], dim=2)[:, None, :, None].expand(-1, part.y.shape[1], -1, 2, -1)
        x = torch.zeros_like(received)
        memory = beside.new_zeros(*beside.shape[:-1], MEMORY)
        found = []
        for layer in range(len(self.hidden)):
            q = self.stepped(layer, x, received / scale, x @ gram.mT / scale)
            seen = torch.cat([_real(q)[..., None], _real(x)[..., None], beside, memory], dim=-1)
            hidden = functional.relu(self.hidden[layer](seen))
            nearness = self.sharpness[layer] * (2 * _real(q)[..., None] - self.levels) * self.levels
            chosen = ((nearness + self.choice[layer](hidden)).softmax(-1) * self.levels).sum(-1)
            x = self.residual * x + (1 - self.residual) * torch.view_as_complex(chosen)
            memory = self.residual * memory + (1 - self.residual) * self.memory[layer](hidden)
            found.append(x)
        return found

    def stepped(self, layer: int, x: torch.Tensor, received: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
        """The gradient step of a layer; its two products come divided by D."""
        return x - self.backward_step[layer] * received + self.forward_step[layer] * sent

    def forward(self, part: DetectionPart) -> torch.Tensor:
        return self.layers(part)[-1]

    def loss(self, part: DetectionPart, progress: float) -> torch.Tensor:
        """``Σ log(l) ‖x̂_l − x‖²`` over layers, over ``Σ log(l)``."""
        errors = torch.stack([squared_error(x, part.x).mean() for x in self.layers(part)])
        weight = torch.arange(1, len(errors) + 1, device=errors.device).log()
        return (weight * errors).sum() / weight.sum()


def _real(x: torch.Tensor) -> torch.Tensor:
    """Real and imaginary part as a last axis."""
    return torch.view_as_real(x)
