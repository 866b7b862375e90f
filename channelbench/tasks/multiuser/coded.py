"""A coded uplink behind a detector: codewords of each user over the uses and subcarriers of a slot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Asked, Metric, Target
from channelbench.metrics.coded import MOST_CODEWORDS, NOTHING_CODED, error_rates
from channelbench.solvers.coding import link_code
from channelbench.solvers.constellation import bits_to_symbols, constellation_named
from channelbench.store.dataset import SplitView
from channelbench.store.planes import plane
from channelbench.tasks.multiuser.answers import detected
from channelbench.tasks.multiuser.conditions import DetectionConditions
from channelbench.tasks.multiuser.groups import BAND, draws, members
from channelbench.tasks.multiuser.observations import DetectionObservation

__all__ = ["coded_scores"]


def coded_scores(
    view: SplitView, name: str, cases: NDArray[np.int64], conditions: DetectionConditions, uses: int, method: Asked
) -> tuple[tuple[Metric, NDArray[np.float64]], ...]:
    """BER and BLER after decoding of a method's LLRs, for the cases among the first ``MOST_CODEWORDS`` codewords.

    A user's codeword lies over all uses of all subcarriers, its bits symbol by symbol, subcarriers first; the channels
    are those of the first slot at each subcarrier, and the noise that of the group's uncoded link.

    Args:
        view, cases, conditions: Of a test.
        name: Of the task, which the draws hang on.
        uses: Channel uses of a subcarrier.
        method: Whose LLRs.
    """
    coded = cases[cases < MOST_CODEWORDS // conditions.users]
    if not len(coded):
        return error_rates(NOTHING_CODED, conditions.users, len(cases))
    constellation = constellation_named(conditions.modulation)
    number, users = view.spec.sub6.num_subcarriers, conditions.users
    code = link_code(uses * number * constellation.num_bits, constellation.num_bits)
    h = plane(view, BAND, 0, tuple(range(number)))[members(view, conditions)[coded]]  # [groups, users, sub, antennas]
    noise_var = (np.abs(h[:, :, number // 2]) ** 2).sum(axis=(1, 2)) / h.shape[-1] * 10 ** (-conditions.snr_db / 10)
    uniform = draws(view, f"{name} coded bits", coded, users * code.information_bits, None)
    bits = (uniform >= 0.5).reshape(-1, code.information_bits)
    sent = code.encode(bits.astype(np.uint8)).reshape(len(coded), users, uses, number, constellation.num_bits)
    x = bits_to_symbols(sent, constellation)
    noise, _ = view.noise(f"{name} coded", coded, (uses, number, h.shape[-1]), None)
    y = np.einsum("gkus,gksn->gusn", x, h) + noise * np.sqrt(noise_var)[:, None, None, None]
    llrs = np.empty(sent.shape)
    for subcarrier in range(number):  # one at a time: all of them at once need not fit in memory
        observation = DetectionObservation(
            h=np.ascontiguousarray(h[:, :, subcarrier].swapaxes(1, 2)),
            y=y[:, :, subcarrier].astype(np.complex64),
            noise_var=noise_var.astype(np.float32),
            users=np.full(len(coded), users),
            modulation=conditions.modulation,
            loss="symbols",
        )
        target = Target(value=x[:, :, :, subcarrier].swapaxes(1, 2))
        llrs[:, :, :, subcarrier] = detected(method.answer(observation, target)).llrs.swapaxes(1, 2)
    wrong = code.decode(llrs.reshape(-1, code.length)) != bits
    return error_rates(wrong, users, len(cases))
