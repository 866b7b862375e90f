"""A multi-layer perceptron from channels and receptions to symbols."""

from __future__ import annotations

import torch
from torch.nn import functional

from channelbench.errors import RequestError
from channelbench.models.networks.detection import TINY, CalibratedDetector, snr_db
from channelbench.models.networks.groups import DetectionPart
from channelbench.models.networks.mlp import perceptron

__all__ = ["DNNDetector"]

LEAST_USERS = 8
"""Channels have columns for so many users at least."""


class DNNDetector(CalibratedDetector):
    """Three hidden layers on (H, y), the same at every use. H and y are divided by the RMS of H; columns of users who
    are not there are zero, and the SNR comes beside them.

    Args:
        antennas: Of the base station.
        users: Most users of a group.
        width: Hidden units.
    """

    def __init__(self, antennas: int, users: int, *, width: int) -> None:
        super().__init__()
        self.antennas, self.columns = antennas, max(LEAST_USERS, users)
        self.layers = perceptron(2 * antennas * (self.columns + 1) + 1, width, 2 * self.columns, 0.0)

    def forward(self, part: DetectionPart) -> torch.Tensor:
        antennas, users = part.h.shape[1:]
        if users > self.columns or antennas != self.antennas:
            expected = f"at most {self.columns} users and {self.antennas} antennas, as in the fit"
            raise RequestError("observation", expected=expected, got=f"{users} users and {antennas} antennas")
        scale = part.h.abs().square().mean((1, 2)).sqrt().clamp_min(TINY)[:, None, None]
        h = torch.view_as_real(functional.pad(part.h / scale, (0, self.columns - users))).flatten(1)
        y = torch.view_as_real(part.y / scale).flatten(2)
        beside = torch.cat([h, snr_db(part)[:, None] / 10], dim=1)
        seen = torch.cat([y, beside[:, None].expand(-1, y.shape[1], -1)], dim=2)
        found = self.layers(seen).unflatten(2, (self.columns, 2))[:, :, :users]
        return torch.view_as_complex(found.contiguous())
