"""A coded link behind a channel estimate: QPSK on the grid of one antenna, equalised with what a method says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Metric
from channelbench.metrics.coded import MOST_CODEWORDS, NOTHING_CODED, error_rates
from channelbench.solvers.coding import link_code
from channelbench.solvers.constellation import bits_to_symbols, constellation_named, max_log_llrs
from channelbench.store.dataset import SplitView

__all__ = ["coded_scores", "equalised_llrs"]

MODULATION = "qpsk"


def equalised_llrs(
    y: NDArray[Any], estimate: NDArray[Any], noise_var: NDArray[np.float64], error_var: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """LLRs of QPSK behind an LMMSE equaliser, ``[…, 2]``.

    With ``h = ĥ + e``, e of the variance ε, unit-power symbols see ``y = ĥx + (ex + n)``: noise of σ² + ε. The LMMSE
    equaliser ``ĥ*/(|ĥ|² + σ² + ε)`` by its own gain is ``y/ĥ``, whose error has the variance (σ² + ε)/|ĥ|².

    Args:
        y: Received, ``[…]``, complex.
        estimate: ĥ, likewise.
        noise_var: σ², of a shape that broadcasts.
        error_var: ε, likewise; 0 where nobody knows.
    """
    power = np.maximum(np.abs(estimate) ** 2, 1e-30)
    return max_log_llrs(y * estimate.conj() / power, (noise_var + error_var) / power, constellation_named(MODULATION))


def coded_scores(
    view: SplitView,
    name: str,
    cases: NDArray[np.int64],
    h: NDArray[np.complex64],
    noise_var: NDArray[np.floating],
    estimate: NDArray[Any],
    error_var: NDArray[np.floating] | None = None,
) -> tuple[tuple[Metric, NDArray[np.float64]], ...]:
    """BER and BLER of a codeword on the first antenna's grid, for the cases among the first ``MOST_CODEWORDS``.

    Args:
        view, cases: Of a test.
        name: Of the task, which the draws hang on.
        h: True channels, ``[cases, slots, subcarriers, antennas]``.
        noise_var: Of the data, that of the pilots, ``[cases]``.
        estimate: Of the channels, as ``h``.
        error_var: Of the estimate's complex errors, as ``h``, where the method gives it.
    """
    coded = np.flatnonzero(cases < MOST_CODEWORDS)
    if not len(coded):
        return error_rates(NOTHING_CODED, 1, len(cases))
    grid = h.shape[1:3]
    code = link_code(2 * int(np.prod(grid)), 2)
    noise, _ = view.noise(f"{name} coded", cases[coded], (*grid, 2), None)
    angles, _ = view.noise(f"{name} coded bits", cases[coded], (code.information_bits,), None)
    bits = angles.real >= 0
    x = bits_to_symbols(
        code.encode(bits.astype(np.uint8)).reshape(len(coded), *grid, 2), constellation_named(MODULATION)
    )
    sigma = noise_var[coded].astype(np.float64)[:, None, None]
    y = h[coded, ..., 0] * x + noise[..., 0] * np.sqrt(sigma)
    error = 0.0 if error_var is None else error_var[coded, ..., 0].astype(np.float64)
    llrs = equalised_llrs(y, estimate[coded, ..., 0].astype(np.complex128), sigma, error)
    wrong = code.decode(llrs.reshape(len(coded), -1)) != bits
    return error_rates(wrong, 1, len(cases))
