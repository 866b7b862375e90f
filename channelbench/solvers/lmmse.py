"""Linear minimum mean square error estimation of channels, with sample covariances and with known paths.

The estimate of a target g from ``y = h + n`` is ``R_gh (R_hh + σ²I)⁻¹ y``. Both forms here avoid that inverse: a
covariance that is a Kronecker product over time, frequency and antennas is diagonal in the product of its factors'
eigenvectors, and one made of a few hundred paths is inverted in the space of the paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.generator import Paths
from channelbench.grid import ChannelGrid
from channelbench.solvers.dft import steering_vectors
from channelbench.solvers.interpolation import apply_along

__all__ = ["SeparableFilter", "apply_separable", "path_lmmse", "project_psd", "separable_error", "separable_filter"]

_RELATIVE_RANK = 1e-10
"""Eigenvalues below this share of the largest are rounding errors of a sample covariance and count as zero."""


@dataclass(frozen=True)
class SeparableFilter:
    """An LMMSE filter whose covariance is a Kronecker product of one factor per axis.

    Attributes:
        basis: Eigenvectors of each observed factor, ``[observed, rank]``.
        eigenvalues: Theirs, positive, ``[rank]``.
        synthesis: Cross-covariance of target and observation in that basis, ``[targets, rank]``.
        prior: Variance of each target coefficient before anything is observed, ``[targets]``.
    """

    basis: tuple[NDArray[np.complex128], ...]
    eigenvalues: tuple[NDArray[np.float64], ...]
    synthesis: tuple[NDArray[np.complex128], ...]
    prior: tuple[NDArray[np.float64], ...] = ()


def project_psd(matrix: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The nearest Hermitian positive semi-definite matrix (in Frobenius norm), ``[n, n]``."""
    values, vectors = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    return (vectors * np.maximum(values, 0)) @ vectors.conj().T


def separable_filter(
    factors: Sequence[tuple[NDArray[np.complex128], NDArray[np.complex128]]],
    prior: Sequence[NDArray[np.float64]] = (),
) -> SeparableFilter:
    """Prepare the filter of ``R = ⊗ R_m`` from each axis's covariances.

    Args:
        factors: Per axis, the covariance of the observed coefficients ``[observed, observed]`` and that of targets
            with observed ones ``[targets, observed]``.
        prior: Per axis, variances of the targets, which ``separable_error`` needs.
    """
    basis, eigenvalues, synthesis = [], [], []
    for observed, cross in factors:
        values, vectors = np.linalg.eigh((observed + observed.conj().T) / 2)
        kept = values > _RELATIVE_RANK * max(values[-1], np.finfo(float).tiny)
        basis.append(vectors[:, kept])
        eigenvalues.append(values[kept])
        synthesis.append(cross @ vectors[:, kept])
    return SeparableFilter(
        basis=tuple(basis), eigenvalues=tuple(eigenvalues), synthesis=tuple(synthesis), prior=tuple(prior)
    )


def separable_error(prepared: SeparableFilter, noise_var: NDArray[np.floating]) -> NDArray[np.float64]:
    """Variance of the error that the filter leaves where its covariances are right: the diagonal of
    ``R_gg − R_gh (R_hh + σ²I)⁻¹ R_hg``.

    Args:
        prepared: From ``separable_filter``, with its prior.
        noise_var: σ², ``[batch]``.

    Returns:
        ``[batch, targets_1, targets_2, …]``.
    """
    prior, spectrum = prepared.prior[0], prepared.eigenvalues[0]
    for variance, values in zip(prepared.prior[1:], prepared.eigenvalues[1:], strict=True):
        prior, spectrum = np.multiply.outer(prior, variance), np.multiply.outer(spectrum, values)
    noise = np.asarray(noise_var, dtype=np.float64).reshape(-1, *[1] * spectrum.ndim)
    known = 1 / (spectrum + noise)
    for axis, synthesis in enumerate(prepared.synthesis, start=1):
        known = np.moveaxis(np.tensordot(np.abs(synthesis) ** 2, known, axes=(1, axis)), 0, axis)
    return np.maximum(prior - known, 0)


def apply_separable(
    prepared: SeparableFilter, y: NDArray[np.complexfloating], noise_var: NDArray[np.floating]
) -> NDArray[np.complexfloating]:
    """``(⊗ R_gh) (⊗ R_hh + σ²I)⁻¹ y`` for a batch with a noise variance per sample.

    Args:
        prepared: From ``separable_filter``.
        y: Observations ``[batch, observed_1, observed_2, …]``; their precision is the result's.
        noise_var: σ², in the units of the covariances, ``[batch]``.

    Returns:
        ``[batch, targets_1, targets_2, …]``.
    """
    spectrum = prepared.eigenvalues[0]
    for values in prepared.eigenvalues[1:]:
        spectrum = np.multiply.outer(spectrum, values)
    for axis, basis in enumerate(prepared.basis, start=1):
        y = apply_along(basis.conj().T, y, axis)
    # y / (λ + σ²); the factor λ itself is in the synthesis, which maps eigenvectors to λ times their extension.
    noise = np.asarray(noise_var, dtype=np.float64).reshape(-1, *[1] * spectrum.ndim)
    y = y * (1 / (spectrum + noise)).astype(y.real.dtype)
    for axis, synthesis in enumerate(prepared.synthesis, start=1):
        y = apply_along(synthesis, y, axis)
    return y


def path_lmmse(
    h: NDArray[np.complex64],
    noise_var: NDArray[np.float32],
    paths: Paths,
    grid: ChannelGrid,
    target_gain: NDArray[np.complexfloating] | None = None,
) -> NDArray[np.complex64]:
    """LMMSE with the true covariance of drops whose paths are known up to independent uniform phases.

    Then R = V P Vᴴ with one column ``v_p(t, f, n) = e^{j2πν_p t} e^{−j2π(f−f_c)τ_p} e^{j2π(f/f_c) x_n·u_p}`` per path,
    and by the matrix inversion lemma ``ĝ = V_g A (A V_hᴴV_h A + σ²I)⁻¹ A V_hᴴ y`` with A = P^½. The Gram matrix of the
    observed columns is the Hadamard product of that over time and that over frequency and antennas; nothing is
    approximated, beam squint included.

    Args:
        h: Observations ``[batch, slots, subcarriers, antennas]``.
        noise_var: σ² per sample, ``[batch]``.
        paths: The drops' paths.
        grid: Observed and target slots and subcarriers.
        target_gain: Factor of each path's column at the target subcarriers, for paths that are known where they are
            observed and less well elsewhere, ``[batch, target subcarriers, paths]``; 1 by default.

    Returns:
        ``[batch, target slots, target subcarriers, antennas]``, complex64.
    """
    shape = (len(h), len(grid.target_slot_s), len(grid.target_subcarrier_hz), h.shape[-1])
    estimate = np.zeros(shape, np.complex64)
    frequencies, position = np.unique(
        np.concatenate([grid.subcarrier_hz, grid.target_subcarrier_hz]), return_inverse=True
    )
    seen, wanted = np.split(position, [len(grid.subcarrier_hz)])
    # A loop over samples: each one's matrices fill a cache, and its products keep BLAS busy for milliseconds.
    for row in range(len(h)):
        used = paths.power[row] > 0
        if not used.any():
            continue
        one = Paths(
            power=paths.power[row, used],
            delay_s=paths.delay_s[row, used],
            doppler_hz=paths.doppler_hz[row, used],
            direction=paths.direction[row, used],
        )
        response = _space_response(one, frequencies, grid)
        weights = _path_amplitudes(h[row], float(noise_var[row]), one, response[seen], grid.slot_s)
        rotating = _time_response(one, grid.target_slot_s) * weights
        synthesis = response[wanted]
        if target_gain is not None:
            synthesis = synthesis * target_gain[row][:, used][:, None]
        flat = synthesis.reshape(-1, len(weights))
        estimate[row] = (rotating @ flat.T).reshape(shape[1:])
    return estimate


def _space_response(paths: Paths, frequencies: NDArray[np.float64], grid: ChannelGrid) -> NDArray[np.complex128]:
    """``√P_p e^{−j2π(f−f_c)τ_p} e^{j2π(f/f_c) x_n·u_p}``, ``[subcarriers, antennas, paths]``."""
    steering = steering_vectors(grid.antenna_position, paths.direction, frequencies / grid.carrier_hz)
    delay = np.exp(-2j * np.pi * np.outer(frequencies - grid.carrier_hz, paths.delay_s))
    steering *= (delay * np.sqrt(paths.power))[:, None, :]
    return steering


def _time_response(paths: Paths, slot_s: NDArray[np.float64]) -> NDArray[np.complex128]:
    """``e^{j2πν_p t}``, ``[slots, paths]``."""
    return np.exp(2j * np.pi * np.outer(slot_s, paths.doppler_hz))


def _path_amplitudes(
    y: NDArray[np.complex64],
    noise_var: float,
    paths: Paths,
    response: NDArray[np.complex128],
    slot_s: NDArray[np.float64],
) -> NDArray[np.complex128]:
    """Posterior mean of the paths' unit-variance amplitudes, ``[paths]``."""
    from scipy import linalg

    space = response.reshape(-1, response.shape[-1])
    time = _time_response(paths, slot_s)
    # zherk computes one triangle of S^T S^*, the conjugate of the Gram matrix, at half a product's cost.
    gram = linalg.blas.zherk(1.0, space.T, lower=1).conj()
    gram *= time.conj().T @ time
    matched = (time.conj() * (y.reshape(len(y), -1) @ space.conj())).sum(axis=0)
    # Without noise the Gram matrix of more paths than observations is singular; this ridge is far below any noise.
    ridge = max(noise_var, 1e-12 * float(gram.diagonal().real.sum()), np.finfo(float).tiny)
    gram[np.diag_indices_from(gram)] += ridge
    factor = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    return linalg.cho_solve(factor, matched, overwrite_b=True, check_finite=False)
