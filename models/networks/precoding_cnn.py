"""A convolutional network that shares out the power of precoders."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from channelbench.errors import RequestError
from channelbench.models.networks.groups import PrecodingPart
from channelbench.models.networks.layers import zeroed
from channelbench.models.networks.precoding import TINY, PrecodingNetwork

__all__ = ["PrecodingCNN"]

KERNELS = 8
LEAST_USERS = 8
"""Images have rows for so many users at least."""


class PrecodingCNN(PrecodingNetwork):
    """Two 3×3 convolutions over an image of users × antennas, and dense layers to p and λ.

    Users come in the order of their channels' power, the strongest first, with unit channels that are real at the first
    antenna; ``log2(1 + P‖h_k‖²/σ²)`` of each says the rest, beside the image and within it. Rows of users who are not
    there are zero, and so are their shares.

    Args:
        antennas: Of the base station.
        users: Most users of a group.
        width: Hidden units of the dense layers.
        supervised: As of ``PrecodingNetwork``.
    """

    def __init__(self, antennas: int, users: int, *, width: int, supervised: float) -> None:
        super().__init__(supervised=supervised)
        self.antennas, self.rows = antennas, max(LEAST_USERS, users)
        self.image = nn.Sequential(
            *(nn.Conv2d(2, KERNELS, 3, padding=1), nn.BatchNorm2d(KERNELS), nn.ReLU()),
            *(nn.Conv2d(KERNELS, KERNELS, 3, padding=1), nn.BatchNorm2d(KERNELS), nn.ReLU(), nn.Flatten()),
        )
        self.hidden = nn.Linear(KERNELS * self.rows * antennas + self.rows, width)
        self.head = zeroed(nn.Linear(width, 2 * self.rows))  # the untrained network is the start: equal shares

    def logits(self, part: PrecodingPart) -> tuple[torch.Tensor, torch.Tensor]:
        users, antennas = part.h.shape[1:]
        if users > self.rows or antennas != self.antennas:
            expected = f"at most {self.rows} users and {self.antennas} antennas, as in the fit"
            raise RequestError("observation", expected=expected, got=f"{users} users and {antennas} antennas")
        gain = (part.h.real**2 + part.h.imag**2).sum(2)
        order = gain.argsort(dim=1, descending=True, stable=True)
        strength = torch.log2(1 + gain * (part.power / part.noise_var)[:, None]).gather(1, order)
        h = part.h.gather(1, order[..., None].expand_as(part.h))
        turned = h * torch.where(h[..., :1].abs() > 0, h[..., :1], 1).sgn().conj()
        turned = turned / gain.gather(1, order).sqrt().clamp_min(TINY)[..., None] * strength[..., None]
        missing = self.rows - users
        image = functional.pad(torch.stack([turned.real, turned.imag], dim=1), (0, 0, 0, missing))
        features = torch.cat([self.image(image), functional.pad(strength, (0, missing))], dim=1)
        ordered = self.head(functional.relu(self.hidden(features))).unflatten(1, (2, self.rows))[..., :users]
        found = torch.empty_like(ordered).scatter(2, order[:, None].expand_as(ordered), ordered)
        return found[:, 0], found[:, 1]
