"""Delays that a comb of subcarriers cannot tell apart.

On subcarriers D apart a path of delay τ looks like one of τ + 1/D: the phases between them differ by whole turns. The
finer grid of wanted subcarriers, Δ apart, tells the two apart until 1/Δ, so each path that the comb sees may be one of
D/Δ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError

__all__ = ["Comb", "comb_of", "delay_profile", "repeat_gain"]

BINS_PER_SUBCARRIER = 4
"""Of a delay profile: a quarter of the delay that the whole band resolves."""

FLOOR = 1e-6
"""Share of a profile's power in each bin at least, so that no delay is impossible."""


@dataclass(frozen=True)
class Comb:
    """The delays of a comb of subcarriers.

    Attributes:
        repeats: Delays within ``window_s`` that look alike.
        window_s: 1/Δ, s, of the finest spacing Δ; the comb's period 1/D is ``window_s / repeats``.
        position: Wanted subcarriers, counted in Δ from the first observed one.
        size: Subcarriers of spacing Δ from the first to the last, observed or wanted.
    """

    repeats: int
    window_s: float
    position: tuple[int, ...]
    size: int


def comb_of(seen_hz: NDArray[np.float64], wanted_hz: NDArray[np.float64]) -> Comb:
    """The comb of observed subcarriers among wanted ones. D is the widest spacing whose multiples hold them all.

    Args:
        seen_hz, wanted_hz: Absolute frequencies, Hz.

    Raises:
        RequestError: they are no multiples of one spacing apart, or a single one is observed, which tells no delays.
    """
    together = np.unique(np.concatenate([seen_hz, wanted_hz]))
    if len(np.unique(seen_hz)) < 2:
        raise RequestError("subcarriers", expected="two observed ones or more", got=len(seen_hz))
    spacing = np.diff(together).min()
    position = np.rint((together - seen_hz[0]) / spacing).astype(np.int64)
    if not np.allclose(position * spacing, together - seen_hz[0], atol=1e-3 * spacing, rtol=0):
        raise RequestError("subcarriers", expected="multiples of one spacing apart", got="others")
    seen, wanted = (position[np.searchsorted(together, some)] for some in (seen_hz, wanted_hz))
    return Comb(
        repeats=int(np.gcd.reduce(seen)),
        window_s=float(1 / spacing),
        position=tuple(wanted.tolist()),
        size=int(np.ptp(position)) + 1,
    )


def delay_profile(
    power: NDArray[np.float64], delay_s: NDArray[np.float64], comb: Comb, total: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Power by delay within the comb's window, ``[bins]``; later delays look like earlier ones and count there.

    Args:
        power, delay_s: Of paths, of the same shape, s.
        comb: Which window; each of the comb's periods has the same number of bins.
        total: What earlier paths added up to, to go on from.
    """
    bins = comb.repeats * max(1, -(-BINS_PER_SUBCARRIER * comb.size // comb.repeats))
    index = np.floor(delay_s / comb.window_s * bins).astype(np.int64) % bins
    found = np.bincount(index.ravel(), weights=power.ravel(), minlength=bins).astype(np.float64, copy=False)
    return found if total is None else total + found


def repeat_gain(delay_s: NDArray[np.float64], profile: NDArray[np.float64], comb: Comb) -> NDArray[np.complex128]:
    """Mean response of the delays that look like a path's, over that path's own, at the wanted subcarriers.

    A path of delay τ is one of τ + r/D within 1/Δ with the share w_r of the profile's power at these delays, so that
    its mean response is ``Σ_r w_r e^{−j2πkr/repeats}`` times its own, k the wanted subcarrier's position. On the comb
    that is 1.

    Args:
        delay_s: Paths' delays, s, any shape.
        profile: From ``delay_profile``; without any power all repeats are alike.
        comb: Of the same subcarriers.

    Returns:
        ``[wanted, *delay_s.shape]``.
    """
    bins, repeats = len(profile), comb.repeats
    known = profile + FLOOR * max(profile.sum(), np.finfo(float).tiny)
    own = np.floor(delay_s / comb.window_s * bins).astype(np.int64)
    shifts = (np.arange(repeats) * (bins // repeats)).reshape(-1, *[1] * delay_s.ndim)
    share = known[(own + shifts) % bins]
    share /= share.sum(axis=0)
    turns = np.outer(comb.position, np.arange(repeats)) % repeats
    return np.tensordot(np.exp(-2j * np.pi * turns / repeats), share, axes=1)
