"""Detection in the multi-task network: users and channel uses are tokens, and each pair of them is a symbol.

Eqs. 17–19, 25 and 38 of the multi-task PHY LLM.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

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
from channelbench.models.networks.phy_llm.readout import Estimates, Readout
from channelbench.solvers.constellation import constellation_named
from channelbench.solvers.detection import lmmse
from channelbench.tasks.multiuser.answers import DetectionAnswer

__all__ = ["DetectionBranch", "DetectionStart"]

TINY = 1e-30
PAIR_FEATURES = 8


@dataclass(frozen=True)
class DetectionStart:
    """What is known of a part before the network.

    Attributes:
        part: The part.
        estimate, unbiased: By LMMSE, ``[batch, uses, users]``, complex64; 0 where no formula is corrected.
        error_var: Of ``unbiased``, ``[batch, 1, users]``; 1 where no formula is corrected.
        of_users, of_uses, of_pairs: What encoders and decoder see, ``[batch, users, …]``, ``[batch, uses, …]``,
            ``[batch, uses, users, …]``; the last only where a formula is corrected.
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

    What it says is added to the LMMSE estimate, in units of that estimate's error. Beside the tokens, the decoder is
    given that estimate and its error, the posterior mean and spread of the symbol by it alone, and what a matched
    filter finds of the symbol when all users' posterior means are taken out of what is received.

    Args:
        antennas, uses: Of an observation.
        width: Of the trunk.
        sizes: Of ``sizes``.
    """

    def __init__(self, antennas: int, uses: int, width: int, sizes: Sizes) -> None:
        super().__init__()
        self.instruction = Instruction(kind="detection", fields={"antennas": antennas, "uses": uses})
        self.aligned = sizes.aligned
        self.users_in = perceptron(2 * antennas + 1, sizes.encoder, sizes.encoder)
        self.uses_in = perceptron(2 * antennas + 1, sizes.encoder, sizes.encoder)
        self.outlet = nn.Linear(sizes.encoder, width)
        self.of_user, self.of_use = nn.Linear(width, sizes.decoder), nn.Linear(width, sizes.decoder, bias=False)
        self.of_pair = nn.Linear(PAIR_FEATURES, sizes.decoder, bias=False) if sizes.aligned else None
        self.last = zeroed(nn.Linear(sizes.decoder, 2))
        self.readout = Readout()

    def begin(self, part: DetectionPart) -> DetectionStart:
        estimate, unbiased, error_var = self._formula(part)
        scale = part.h.abs().square().mean((1, 2), keepdim=True).sqrt().clamp_min(TINY)
        noise = _bels(part.noise_var / scale.flatten().square())[:, None, None]
        h, y = (part.h / scale).mT, part.y / (scale * part.h.shape[2] ** 0.5)
        return DetectionStart(
            part,
            estimate,
            unbiased,
            error_var,
            of_users=torch.cat([h.real, h.imag, noise.expand(*h.shape[:2], 1)], dim=2),
            of_uses=torch.cat([y.real, y.imag, noise.expand(*y.shape[:2], 1)], dim=2),
            of_pairs=_pairs(part, estimate, unbiased, error_var) if self.aligned else error_var,
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
        return start.estimate + change * _unit(start.error_var)

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
        return cast(DetectionAnswer, self.readout(_estimates(said, start)))

    def alone(self, part: DetectionPart) -> DetectionAnswer:
        """The LMMSE answer; of a network that corrects no formula, 0."""
        estimate, unbiased, error_var = self._formula(part)
        return cast(DetectionAnswer, Readout()(Estimates(part, estimate, estimate, unbiased, error_var)))

    def finish(self, answered: Iterable[tuple[torch.Tensor, DetectionStart]]) -> None:
        """Have the readout fitted to validation cases."""
        self.readout.fit([_estimates(said, start) for said, start in answered])

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


def _estimates(said: torch.Tensor, start: DetectionStart) -> Estimates:
    return Estimates(start.part, said, start.estimate, start.unbiased, start.error_var)


def _unit(error_var: torch.Tensor) -> torch.Tensor:
    """Root of the mean squared error of the LMMSE estimate: with its gain ``1/(1 + v)``, v of the unbiased one."""
    return (error_var / (1 + error_var)).sqrt()


def _pairs(
    part: DetectionPart, estimate: torch.Tensor, unbiased: torch.Tensor, error_var: torch.Tensor
) -> torch.Tensor:
    """What formulas say of each symbol, ``[batch, uses, users, PAIR_FEATURES]``, in units of the LMMSE error."""
    unit = _unit(error_var).clamp_min(1e-3)
    mean, variance = _posterior(unbiased, error_var, part.modulation)
    power = part.h.abs().square().sum(1)[:, None].clamp_min(TINY)
    rest = ((part.y - mean @ part.h.mT) @ part.h.conj()) / power
    complex_ones = [unbiased, (mean - estimate) / unit, rest / unit]
    real_ones = [part for each in complex_ones for part in (each.real.clamp(-3, 3), each.imag.clamp(-3, 3))]
    return torch.stack([*real_ones, variance.sqrt() / unit, _bels(error_var).expand(unbiased.shape)], dim=3)


def _posterior(unbiased: torch.Tensor, error_var: torch.Tensor, modulation: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean, complex, and variance of symbols that are equally likely, given each plus a Gaussian error."""
    means, variances = [], []
    for part, levels in zip((unbiased.real, unbiased.imag), constellation_named(modulation).axes, strict=True):
        values = torch.tensor(levels, dtype=torch.float32, device=part.device)
        likely = (-(part[..., None] - values).square() / error_var.clamp(1e-6, 1e6)[..., None]).softmax(-1)
        means.append(likely @ values)
        variances.append((likely @ values.square() - means[-1].square()).clamp_min(0))
    return torch.complex(*means), variances[0] + variances[1]


def _bels(power: torch.Tensor) -> torch.Tensor:
    return torch.log10(power.clamp(1e-6, 1e6))
