"""DFT codebooks of uniform linear arrays, steering vectors, and the spectral efficiency of every beam at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["beam_spectral_efficiency", "dft_codebook", "steering_vectors"]

SNR_LINEAR = 10.0
"""‖h‖²/(N σ²): the 10 dB at which the protocol states every spectral efficiency."""

_CHUNK_ELEMENTS = 4_000_000
"""Complex beam outputs held at once: 32 MB."""


def dft_codebook(num_antennas: int, num_beams: int) -> NDArray[np.complex128]:
    """Unit-norm beams ``w_k[n] = exp(j2πnk/num_beams)/√num_antennas``, ``[num_beams, num_antennas]``.

    Beam k looks at the spatial frequency k/num_beams (cycles per element), so at half-wavelength spacing its sine of
    the departure angle is 2k/num_beams, wrapped to [−1, 1).
    """
    # The product nk is reduced modulo num_beams while it is still an integer, which keeps the phases exact.
    phase = np.outer(np.arange(num_beams), np.arange(num_antennas)) % num_beams
    return np.exp(2j * np.pi * phase / num_beams) / np.sqrt(num_antennas)


def steering_vectors(
    position: NDArray[np.float64], direction: NDArray[np.float64], frequency_ratio: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Array responses ``exp(j2π (f/f_c) position·direction)`` of LLM4WM Eq. 2, beam squint included.

    Args:
        position: Elements in carrier wavelengths, ``[antennas, 3]``.
        direction: Unit vectors of departure, ``[..., directions, 3]``.
        frequency_ratio: f/f_c of each subcarrier, ``[subcarriers]``.

    Returns:
        ``[..., subcarriers, antennas, directions]``.
    """
    path_length = np.einsum("ni,...pi->...np", position, direction)
    return np.exp(2j * np.pi * frequency_ratio[:, None, None] * path_length[..., None, :, :])


def beam_spectral_efficiency(h: NDArray[np.complex64], num_beams: int) -> NDArray[np.float32]:
    """Mean over slots and subcarriers of ``log2(1 + |hᴴw_k|²/σ²)`` for every beam of the DFT codebook.

    σ² = (‖h‖²/N)/10 for each sample, slot and subcarrier (LLM4WM Eq. 7 at 10 dB). Since ``hᴴw_k`` is the conjugate of
    the DFT of h at bin k over √N, one zero-padded FFT per subcarrier gives all beams. A channel of zeros scores 0.

    Args:
        h: Channels ``[batch, slots, subcarriers, antennas]``, any scale.
        num_beams: Size of the codebook.

    Returns:
        Bit/s/Hz, ``[batch, num_beams]``, float32. A row does not depend on the other rows.
    """
    from scipy import fft

    batch, slots, subcarriers, _ = h.shape
    efficiency = np.empty((batch, num_beams), np.float32)
    step = max(1, _CHUNK_ELEMENTS // max(1, slots * subcarriers * num_beams))
    for start in range(0, batch, step):
        part = _fold(_unit_norm(h[start : start + step]), num_beams)
        beams = fft.fft(part, n=num_beams, axis=-1)
        gain = beams.real**2 + beams.imag**2  # N·|hᴴw|²/‖h‖², so that |hᴴw|²/σ² is SNR_LINEAR times it
        np.log1p(SNR_LINEAR * gain, out=gain)
        efficiency[start : start + step] = gain.mean(axis=(1, 2), dtype=np.float64) / np.log(2)
    return efficiency


def _unit_norm(h: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    """Each subcarrier's vector at norm 1; vectors of zeros stay."""
    # Scaling by the largest entry first keeps the squares of very weak channels from vanishing in float32.
    largest = np.max(np.maximum(np.abs(h.real), np.abs(h.imag)), axis=-1, keepdims=True)
    scaled = h / np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / np.where(norm > 0, norm, 1)


def _fold(h: NDArray[np.complexfloating], period: int) -> NDArray[np.complexfloating]:
    """Add up elements ``period`` apart, which see the same beam phase: the FFT alone would cut them off."""
    antennas = h.shape[-1]
    if antennas <= period:
        return h
    padded = np.pad(h, [(0, 0)] * (h.ndim - 1) + [(0, -antennas % period)])
    return padded.reshape(*h.shape[:-1], -1, period).sum(axis=-2)
