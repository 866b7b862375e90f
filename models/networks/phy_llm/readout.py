"""From estimates of symbols to decisions and LLRs, by what a validation split says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channelbench.models.networks.groups import DetectionPart
from channelbench.solvers.constellation import constellation_named, hard_decision, max_log_llrs, symbol_bits
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.tasks.multiuser.conditions import TRAIN_SNR_DB

__all__ = ["MIXES", "Estimates", "Readout"]

TINY = 1e-30
NODE_DB = 2.5
NODES = int((TRAIN_SNR_DB[1] - TRAIN_SNR_DB[0]) / NODE_DB) + 1

MIXES = ((1.0, 1.0), (1.0, 0.5), (1.0, 0.0), (0.5, 1.0), (0.5, 0.5), (0.0, 1.0))
"""Points ``x̂_l + a (x̂ − x̂_l) + s (x̂_u − x̂_l)`` that symbols may be read off, as (a, s); the last is LMMSE's own."""
SCALES = 2.0 ** (np.arange(-20, 9) / 2)


@dataclass(frozen=True)
class Estimates:
    """Of a part: a network's, and those of the formula that it corrects.

    Attributes:
        part: The part.
        x: The network's, ``[batch, uses, users]``, complex64.
        estimate, unbiased: Of LMMSE, likewise; 0 where no formula is corrected.
        error_var: Of ``unbiased``, ``[batch, 1, users]``; 1 where no formula is corrected.
    """

    part: DetectionPart
    x: torch.Tensor
    estimate: torch.Tensor
    unbiased: torch.Tensor
    error_var: torch.Tensor

    def point(self, mix: int) -> NDArray[np.complex64]:
        """What symbols are read off."""
        a, s = MIXES[mix]
        point = self.estimate + a * (self.x - self.estimate) + s * (self.unbiased - self.estimate)
        return point.cpu().numpy()

    def llrs(self, mix: int) -> NDArray[np.float64]:
        """Max-log LLRs at that point with the formula's own error variance."""
        error_var = self.error_var.expand(self.x.shape).cpu().numpy()
        return max_log_llrs(self.point(mix), error_var, constellation_named(self.part.modulation))

    def nodes(self) -> NDArray[np.int64]:
        """Which node the SNR of each case is nearest to, ``[batch]``."""
        part = self.part
        snr = part.h.abs().square().sum((1, 2)) / (part.h.shape[1] * part.noise_var).clamp_min(TINY)
        place = (10 * torch.log10(snr.clamp_min(TINY)) - TRAIN_SNR_DB[0]) / NODE_DB
        return place.round().clamp(0, NODES - 1).long().cpu().numpy()


class Readout(nn.Module):
    """Decisions and LLRs of estimates.

    LMMSE estimates x̂_l are shrunk towards 0 and decided as x̂_u, which are not; a trained x̂ is shrunk by its own
    doubt. So the mix that decisions are read off is the one with the fewest errors on the validation split, and LLRs
    have the mix, and at each node of SNR the scale of error variances, of the least cross-entropy of bits there.
    Before that, a network that has learned nothing is read as LMMSE is.
    """

    decided: torch.Tensor
    soft: torch.Tensor
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("decided", torch.zeros((), dtype=torch.long), persistent=False)
        self.register_buffer("soft", torch.zeros((), dtype=torch.long), persistent=False)
        self.register_buffer("scale", torch.ones(NODES), persistent=False)

    def forward(self, found: Estimates) -> DetectionAnswer:
        """The answer."""
        scale = self.scale.cpu().numpy()[found.nodes()]
        return DetectionAnswer(
            x=found.x.cpu().numpy(),
            decisions=hard_decision(found.point(int(self.decided)), constellation_named(found.part.modulation)),
            llrs=found.llrs(int(self.soft)) / scale[:, None, None, None],
        )

    def fit(self, validation: Iterable[Estimates]) -> None:
        """Choose mixes and scales."""
        wrong, entropy = np.zeros(len(MIXES)), np.zeros((len(MIXES), NODES, len(SCALES)))
        for found in validation:
            for mix in range(len(MIXES)):
                errors, entropies = _measured(found, mix)
                wrong[mix] += errors
                np.add.at(entropy[mix], found.nodes(), entropies)
        self.decided.fill_(int(wrong.argmin()))
        best = int(entropy.min(axis=2).sum(axis=1).argmin())
        self.soft.fill_(best)
        seen = entropy[best].any(axis=1)
        chosen = np.where(seen, SCALES[entropy[best].argmin(axis=1)], 1.0)
        self.scale.copy_(torch.as_tensor(chosen, dtype=torch.float32))


def _measured(found: Estimates, mix: int) -> tuple[int, NDArray[np.float64]]:
    """Wrong decisions, and the cross-entropy of the bits of each case at each scale, ``[batch, scales]``, in nats."""
    constellation = constellation_named(found.part.modulation)
    sent = hard_decision(found.part.x.cpu().numpy(), constellation)
    wrong = int((hard_decision(found.point(mix), constellation) != sent).sum())
    against = (1 - 2.0 * symbol_bits(sent, constellation)) * found.llrs(mix)
    return wrong, np.stack([np.logaddexp(0, against / scale).sum(axis=(1, 2, 3)) for scale in SCALES], axis=1)
