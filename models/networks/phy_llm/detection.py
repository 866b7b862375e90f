"""Detection in the multi-task network: users and channel uses are tokens, and each pair of them is a symbol.

Eqs. 17–19, 25 and 38 of the multi-task PHY LLM.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn import functional

from channelbench.models.networks.groups import DetectionPart
from channelbench.models.networks.layers import zeroed
from channelbench.models.networks.phy_llm.branch import Branch, Sizes, perceptron
from channelbench.models.networks.phy_llm.instructions import Instruction
from channelbench.solvers.constellation import constellation_named, hard_decision, max_log_llrs
from channelbench.solvers.detection import lmmse
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.tasks.multiuser.conditions import TRAIN_SNR_DB

__all__ = ["DetectionBranch", "DetectionStart"]

TINY = 1e-30
NODE_DB = 2.5
NODES = int((TRAIN_SNR_DB[1] - TRAIN_SNR_DB[0]) / NODE_DB) + 1
OFFSETS = (1.0, 0.75, 0.5, 0.25, 0.0)


@dataclass(frozen=True)
class DetectionStart:
    """What is known of a part before the network.

    Attributes:
        part: The part.
        estimate, unbiased: By LMMSE, ``[batch, uses, users]``, complex64; 0 where no formula is corrected.
        error_var: Of ``unbiased``, ``[batch, 1, users]``; 1 where no formula is corrected.
        of_users, of_uses, of_pairs: What encoders and decoder see, ``[batch, users, …]``, ``[batch, uses, …]``,
            ``[batch, uses, users, …]``.
    """

    part: DetectionPart
    estimate: torch.Tensor
    unbiased: torch.Tensor
    error_var: torch.Tensor
    of_users: torch.Tensor
    of_uses: torch.Tensor
    of_pairs: torch.Tensor


class DetectionBranch(Branch[DetectionStart]):
    """A perceptron makes a token of each user's channel, another of what is received in each use, and one linear brings
    both to the trunk; two layers read a symbol off the tokens of its user and its use.

    What it says is added to the LMMSE estimate, in units of that estimate's error. Decisions are of
    ``x̂ + s (x̂_u − x̂_l)``: LMMSE estimates x̂_l are shrunk towards 0 and decided as x̂_u, which are not, and how much of
    that a trained estimate x̂ needs, s, is what gives the fewest wrong ones on the validation split. The ratios of its
    error variances to those of LMMSE, by SNR, are measured there, too.

    Args:
        antennas, uses: Of an observation.
        width: Of the trunk.
        sizes: Of ``sizes``.
    """

    offset: torch.Tensor
    ratio: torch.Tensor

    def __init__(self, antennas: int, uses: int, width: int, sizes: Sizes) -> None:
        super().__init__()
        self.instruction = Instruction(kind="detection", fields={"antennas": antennas, "uses": uses})
        self.aligned = sizes.aligned
        self.users_in = perceptron(2 * antennas + 1, sizes.encoder, sizes.encoder)
        self.uses_in = perceptron(2 * antennas + 1, sizes.encoder, sizes.encoder)
        self.outlet = nn.Linear(sizes.encoder, width)
        self.of_user, self.of_use = nn.Linear(width, sizes.decoder), nn.Linear(width, sizes.decoder, bias=False)
        self.of_pair = nn.Linear(3, sizes.decoder, bias=False) if sizes.aligned else None
        self.last = zeroed(nn.Linear(sizes.decoder, 2))
        self.register_buffer("offset", torch.ones(()), persistent=False)
        self.register_buffer("ratio", torch.ones(NODES), persistent=False)

    def begin(self, part: DetectionPart) -> DetectionStart:
        estimate, unbiased, error_var = self._formula(part)
        scale = part.h.abs().square().mean((1, 2), keepdim=True).sqrt().clamp_min(TINY)
        noise = _bels(part.noise_var / scale.flatten().square())[:, None, None]
        h, y = (part.h / scale).mT, part.y / (scale * part.h.shape[2] ** 0.5)
        spread = _bels(error_var).expand(unbiased.shape)
        return DetectionStart(
            part,
            estimate,
            unbiased,
            error_var,
            of_users=torch.cat([h.real, h.imag, noise.expand(*h.shape[:2], 1)], dim=2),
            of_uses=torch.cat([y.real, y.imag, noise.expand(*y.shape[:2], 1)], dim=2),
            of_pairs=torch.stack([unbiased.real.clamp(-3, 3), unbiased.imag.clamp(-3, 3), spread], dim=3),
        )

    def embed(self, start: DetectionStart) -> torch.Tensor:
        return self.outlet(torch.cat([self.users_in(start.of_users), self.uses_in(start.of_uses)], dim=1))

    def read(self, features: torch.Tensor, start: DetectionStart) -> torch.Tensor:
        """Estimates ``[batch, uses, users]``, complex64."""
        users = start.part.h.shape[2]
        hidden = self.of_user(features[:, :users])[:, None] + self.of_use(features[:, users:])[:, :, None]
        if self.of_pair is not None:
            hidden = hidden + self.of_pair(start.of_pairs)
        change = torch.view_as_complex(self.last(functional.gelu(hidden)).contiguous())
        return start.estimate + change * (start.error_var / (1 + start.error_var)).sqrt()

    def loss(self, said: torch.Tensor, start: DetectionStart, progress: float) -> torch.Tensor:
        """Eq. 38, of all uses: half the squared error."""
        return self.score(said, start) / 2

    def score(self, said: torch.Tensor, start: DetectionStart) -> torch.Tensor:
        """Mean squared error."""
        return (said - start.part.x).abs().square().mean()

    def users(self, start: DetectionStart) -> int:
        return start.part.h.shape[2]

    def answer(self, said: torch.Tensor, start: DetectionStart) -> DetectionAnswer:
        """Estimates, decisions and LLRs."""
        node = self._nodes(start.part)
        point = said + self.offset * (start.unbiased - start.estimate)
        error_var = self.ratio[node, None, None] * start.error_var
        return _answer(said, point, error_var.expand(said.shape), start.part.modulation)

    def alone(self, part: DetectionPart) -> DetectionAnswer:
        """The LMMSE answer; of a network that corrects no formula, 0."""
        estimate, unbiased, error_var = self._formula(part)
        return _answer(estimate, unbiased, error_var.expand(estimate.shape), part.modulation)

    def finish(self, answered: Iterable[tuple[torch.Tensor, DetectionStart]]) -> None:
        """Take the offset and the ratios of estimates of validation cases."""
        rows = [self._errors(said, start) for said, start in answered]
        node = torch.cat([each[0] for each in rows])
        wrong, squares, known = (torch.cat([each[i] for each in rows]) for i in (1, 2, 3))
        best = int(wrong.sum(0).argmin())
        self.offset.fill_(OFFSETS[best])
        for index in node.unique():
            chosen = node == index
            self.ratio[index] = squares[chosen][:, best].sum() / known[chosen].sum().clamp_min(TINY)

    def _errors(
        self, said: torch.Tensor, start: DetectionStart
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of each case: node, wrong decisions and squared errors at each offset, and the errors that LMMSE expects."""
        constellation = constellation_named(start.part.modulation)
        points = [said + offset * (start.unbiased - start.estimate) for offset in OFFSETS]
        sent = hard_decision(start.part.x.cpu().numpy(), constellation)
        wrong = [(hard_decision(p.cpu().numpy(), constellation) != sent).sum(axis=(1, 2)) for p in points]
        squares = [(p - start.part.x).abs().square().sum((1, 2)) for p in points]
        known = start.error_var.expand(said.shape).sum((1, 2))
        counted = torch.as_tensor(np.stack(wrong, axis=1), device=said.device)
        return self._nodes(start.part), counted, torch.stack(squares, dim=1), known

    def _nodes(self, part: DetectionPart) -> torch.Tensor:
        """The node of each case's SNR, ``[batch]``."""
        snr = part.h.abs().square().sum((1, 2)) / (part.h.shape[1] * part.noise_var).clamp_min(TINY)
        place = (10 * torch.log10(snr.clamp_min(TINY)) - TRAIN_SNR_DB[0]) / NODE_DB
        return place.round().clamp(0, NODES - 1).long()

    def _formula(self, part: DetectionPart) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        shape = (len(part), part.y.shape[1], part.h.shape[2])
        if not self.aligned:
            nothing = part.h.new_zeros(shape)
            return nothing, nothing, part.noise_var.new_ones(len(part), 1, shape[2])
        with threadpool_limits(1, "blas"):
            found = lmmse(part.h.cpu().numpy(), part.y.cpu().numpy(), part.noise_var.cpu().numpy())

        def tensor(values: NDArray[np.generic], dtype: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(values, device=part.h.device).to(dtype)

        spread = tensor(found.error_variance[:, None], torch.float32)
        return tensor(found.estimate, torch.complex64), tensor(found.unbiased, torch.complex64), spread


def _answer(x: torch.Tensor, point: torch.Tensor, error_var: torch.Tensor, modulation: str) -> DetectionAnswer:
    constellation, points = constellation_named(modulation), point.cpu().numpy()
    return DetectionAnswer(
        x=x.cpu().numpy(),
        decisions=hard_decision(points, constellation),
        llrs=max_log_llrs(points, error_var.cpu().numpy(), constellation),
    )


def _bels(power: torch.Tensor) -> torch.Tensor:
    return torch.log10(power.clamp(1e-6, 1e6))
