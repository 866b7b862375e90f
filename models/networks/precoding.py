"""Precoders that a network parametrises: rates and the structure of optimal beams, differentiable, and labels for both.

Conventions are those of ``solvers.precoding``: row k of ``h [batch, users, antennas]`` is user k's channel, row k of a
precoder ``w`` of that shape its beam. Networks say how P_max is shared out: p among the beams and λ among the channels
that beams avoid. Equal shares, the answer of a network whose last layer is zero, are regularised zero forcing.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn

from channelbench.models.networks.groups import PrecodingPart
from channelbench.solvers.max_min import max_min
from channelbench.solvers.precoding import gains as solved_gains
from channelbench.solvers.wmmse import structure_labels, wmmse

__all__ = ["PrecodingNetwork", "labels", "max_min_labels", "objective", "sinr", "structure", "user_rates"]

TINY = 1e-30
WMMSE_ITERATIONS = 20


def sinr(h: torch.Tensor, w: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
    """``|h_kᴴw_k|² / (Σ_{j≠k} |h_kᴴw_j|² + σ²)``, ``[batch, users]``, of ``noise_var`` ``[batch]``."""
    amplitudes = h.to(w.dtype).conj() @ w.mT
    powers = amplitudes.real**2 + amplitudes.imag**2
    own = torch.eye(h.shape[1], dtype=powers.dtype, device=h.device)
    # Left out rather than subtracted, which would round at the signal's size.
    return (powers * own).sum(2) / ((powers * (1 - own)).sum(2) + noise_var[:, None])


def user_rates(h: torch.Tensor, w: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
    """``log2(1 + SINR)``, ``[batch, users]``, bit/s/Hz."""
    return torch.log2(1 + sinr(h, w, noise_var))


def objective(h: torch.Tensor, w: torch.Tensor, noise_var: torch.Tensor, loss: str) -> torch.Tensor:
    """What is to be large, ``[batch]``: the sum of the rates (``sum_rate``), or the least of them (``min_rate``)."""
    rates = user_rates(h, w, noise_var)
    return rates.amin(1) if loss == "min_rate" else rates.sum(1)


def structure(h: torch.Tensor, p: torch.Tensor, lam: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
    """``w_k = √p_k v_k/‖v_k‖`` with ``v_k = (I + Σ_j λ_j/σ² h_j h_jᴴ)⁻¹ h_k``, by matrices of users × users.

    In double precision whatever is given: at high power, directions hang on small differences.

    Args:
        h: ``[batch, users, antennas]``.
        p, lam: Powers and λ, not negative, ``[batch, users]``.
        noise_var: σ², ``[batch]``.

    Returns:
        ``[batch, users, antennas]``, complex128; 0 for a user without a channel.

    Source: E. Björnson, M. Bengtsson and B. Ottersten, IEEE Signal Process. Mag. 31 (2014), Eq. 11; multi-task PHY LLM,
    Eq. 4.
    """
    wide = h.to(torch.complex128)
    norm = torch.linalg.vector_norm(wide, dim=2)
    unit = wide / norm.clamp_min(TINY)[..., None]
    strength = lam.double() * norm**2 / noise_var.double()[:, None]
    # (I + Σ μ_j u_j u_jᴴ)⁻¹ u_k are the rows of (I + R diag(μ))⁻¹ u with R = u uᴴ.
    system = (unit @ unit.mH) * strength[:, None].to(wide.dtype)
    system = system + torch.eye(h.shape[1], dtype=wide.dtype, device=h.device)
    beams = torch.linalg.solve(system, unit)
    length = (beams.real**2 + beams.imag**2).sum(2).clamp_min(TINY).sqrt()
    return beams * (p.double().clamp_min(TINY).sqrt() / length)[..., None]


# --- labels ---


def max_min_labels(
    h: NDArray[np.complexfloating], power: NDArray[np.floating], noise_var: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """p and λ, ``[groups, users]``, with which ``structure`` gives the max-min optimum: powers of the downlink and of
    the dual uplink, whose receivers are the beams, each of which sums to P.

    At the optimum's SINR γ, ``λ_k g_kk/γ − Σ_{j≠k} λ_j g_jk = σ²`` with ``g_kj = |h_kᴴ v_j|²`` of unit beams v
    (Schubert and Boche, IEEE Trans. Veh. Technol. 53, 2004). Groups in which somebody has no channel get equal shares.
    """
    found = max_min(h, power, noise_var, tolerance=1e-6, max_iterations=1000)
    p = (np.abs(found.w) ** 2).sum(axis=2)
    equal = np.repeat(np.asarray(power, np.float64)[:, None] / h.shape[1], h.shape[1], axis=1)
    served = (found.sinr > 0) & (p > 0).all(axis=1)
    lam = equal.copy()
    received = solved_gains(h[served], found.w[served]) / p[served][:, None]
    equations = -received.swapaxes(1, 2)
    own = np.einsum("gkk->gk", received) / found.sinr[served][:, None]
    np.einsum("gkk->gk", equations)[:] = own
    noise = np.repeat(np.asarray(noise_var, np.float64)[served][:, None], h.shape[1], axis=1)
    lam[served] = np.maximum(np.linalg.solve(equations, noise[..., None])[..., 0], 0)
    p[~served] = equal[~served]
    return p, lam


def labels(part: PrecodingPart) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares of P in p and in λ, ``[batch, users]`` each: of 20 iterations of WMMSE where the loss is the sum rate (as
    the paper has it), of the max-min optimum where it is the least rate."""
    h, power, noise_var = (each.cpu().numpy() for each in (part.h, part.power, part.noise_var))
    with threadpool_limits(1, "blas"):
        if part.loss == "min_rate":
            p, lam = max_min_labels(h, power, noise_var)
        else:
            p, lam = structure_labels(h, wmmse(h, power, noise_var, WMMSE_ITERATIONS), power, noise_var)
    shares = [np.divide(v, v.sum(axis=1, keepdims=True), out=np.full_like(v, 1 / h.shape[1])) for v in (p, lam)]
    first, second = (torch.as_tensor(share, dtype=torch.float32, device=part.h.device) for share in shares)
    return first, second


# --- networks ---


class PrecodingNetwork(nn.Module):
    """A ``GroupNetwork`` that says p and λ. Training is supervised by ``labels`` at first, then by the objective.

    Args:
        supervised: Share of the training that is supervised; the papers do not say it.
    """

    def __init__(self, *, supervised: float) -> None:
        super().__init__()
        self.supervised = supervised

    @abstractmethod
    def logits(self, part: PrecodingPart) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the shares of p and of λ, ``[batch, users]`` each."""

    def shares(self, part: PrecodingPart) -> tuple[torch.Tensor, torch.Tensor]:
        """Shares of P, ``[batch, users]`` each; both sum to 1."""
        p, lam = self.logits(part)
        return p.softmax(1), lam.softmax(1)

    def forward(self, part: PrecodingPart) -> torch.Tensor:
        """Beams ``[batch, users, antennas]``, complex128."""
        return beams(part, *self.shares(part))

    def loss(self, part: PrecodingPart, progress: float) -> torch.Tensor:
        if progress >= self.supervised:
            return self.score(part)
        answered = torch.cat(self.shares(part), dim=1)
        return (answered - torch.cat(labels(part), dim=1)).square().mean()

    def score(self, part: PrecodingPart) -> torch.Tensor:
        return -objective(part.h, self(part), part.noise_var, part.loss).mean()

    def answer(self, part: PrecodingPart) -> torch.Tensor:
        return self(part).to(torch.complex64)

    def alone(self, part: PrecodingPart) -> torch.Tensor:
        """Beams without a network: equal shares."""
        equal = torch.full(part.h.shape[:2], 1 / part.h.shape[1], device=part.h.device)
        return beams(part, equal, equal).to(torch.complex64)


def beams(part: PrecodingPart, p: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    """The structure with these shares of the power."""
    power = part.power[:, None].double()
    return structure(part.h, p * power, lam * power, part.noise_var)
