"""Coded links behind detectors and channel estimates: the code, what is sent, and how errors are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from channelbench import registry
from channelbench.contracts import Asked, Observation, Target, Task, TaskSplit
from channelbench.fit_context import FitContext
from channelbench.metrics.coded import BLER, CodedBER, error_rates
from channelbench.solvers.coding import LinkCode
from channelbench.solvers.constellation import bits_to_symbols, constellation_named, max_log_llrs
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.coded import coded_scores, equalised_llrs
from channelbench.testing import make_dataset, small_spec


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    spec = small_spec(train=60, val=20, test=40, sub6__num_slots=5, sub6__num_subcarriers=24)
    return make_dataset(tmp_path_factory.mktemp("links") / "few.zarr", spec)


# --- the code ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [192, 1536, 2048])
def test_codewords_without_noise_are_decoded(length: int) -> None:
    code = LinkCode(length, 4)
    bits = np.random.default_rng(0).integers(0, 2, (5, length // 2))
    coded = code.encode(bits)
    assert coded.shape == (5, length)
    np.testing.assert_array_equal(code.decode(8.0 * (2.0 * coded - 1)), bits)
    assert (code.decode(-8.0 * (2.0 * coded - 1)) != bits).any()


def test_the_code_is_linear() -> None:
    code = LinkCode(1536, 4)
    a, b = np.random.default_rng(1).integers(0, 2, (2, 3, 768))
    np.testing.assert_array_equal(code.encode(a ^ b), code.encode(a) ^ code.encode(b))


def test_llrs_that_are_infinite_or_say_nothing_are_decoded_to_something() -> None:
    code = LinkCode(192, 2)
    for llrs in (np.full((2, 192), np.inf), np.zeros((2, 192)), np.full((2, 192), -1e300)):
        assert code.decode(llrs).shape == (2, 96)


def test_the_waterfall_is_where_the_code_has_it() -> None:
    """Binary ratios at rate 1/2: hopeless below capacity (Eb/N0 of .19 dB), without errors at 2.5 dB."""
    code, rng = LinkCode(1536, 4), np.random.default_rng(2)
    bits = rng.integers(0, 2, (20, 768))
    sent = 2.0 * code.encode(bits) - 1
    for ebno_db, expected in ((-1.0, 1.0), (2.5, 0.0)):
        variance = 10 ** (-ebno_db / 10)  # of real noise: Es = 1, rate 1/2, so that N0/2 = 1/(2 R Eb/N0) = this
        received = sent + np.sqrt(variance) * rng.standard_normal(sent.shape)
        wrong = (code.decode(2 * received / variance) != bits).any(axis=1)
        assert wrong.mean() == expected


# --- counting ---------------------------------------------------------------------------------------------------------


def test_errors_are_counted_by_case() -> None:
    wrong = np.zeros((4, 10), bool)
    wrong[1, :3] = wrong[3, 0] = True
    (_, bits), (_, blocks) = error_rates(wrong, 2, 5)
    np.testing.assert_array_equal(bits, [[3, 20], [1, 20], [0, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(blocks, [[1, 2], [1, 2], [0, 0], [0, 0], [0, 0]])
    assert CodedBER().finalize(bits.mean(axis=0)) == 4 / 40
    assert BLER().finalize(blocks.mean(axis=0)) == 2 / 4


@pytest.mark.parametrize(("errors", "blocks"), [(0, 600), (3, 600), (300, 600), (600, 600), (1, 1)])
def test_the_interval_is_that_of_clopper_and_pearson(errors: int, blocks: int) -> None:
    from scipy.stats import binom

    low, high = BLER().exact_interval(np.array([[errors, blocks]], float)) or (np.nan, np.nan)
    assert binom.sf(errors - 1, blocks, low) == pytest.approx(0.025) if errors else low == 0
    assert binom.cdf(errors, blocks, high) == pytest.approx(0.025) if errors < blocks else high == 1


def test_few_block_errors_are_marked() -> None:
    assert BLER().note(np.array([[4.0, 300.0], [5.0, 300.0]])) == "9 of 600 codewords"
    assert BLER().note(np.array([[10.0, 600.0]])) == ""


# --- behind a detector ------------------------------------------------------------------------------------------------


def asked(task: Task, method: Any) -> Asked:
    def answer(observation: Observation, target: Target) -> Any:
        return task.check(method.predict(task.card.name, observation), observation, target)

    return Asked(answer, lambda observation: method.error_variance(task.card.name, observation))


def det_rates(dataset: ChannelDataset, name: str, **changes: Any) -> tuple[list[float], Any]:
    task = registry.create("tasks", "det")
    conditions = task.default_conditions(dataset.spec).model_copy(update=changes)
    cases = np.arange(task.size(dataset.spec, "test", conditions))
    scores = task.secondary(
        dataset.view("test"), cases, conditions, np.empty(0), asked(task, registry.create("methods", name))
    )
    return [float(metric.finalize(terms.mean(axis=0))) for metric, terms in scores], scores


def test_errors_fall_with_snr_and_the_better_detector_has_fewer(links: ChannelDataset) -> None:
    poor, terms = det_rates(links, "zf_detector", snr_db=0.0)
    fair, _ = det_rates(links, "lmmse_detector", snr_db=9.0)
    worse, _ = det_rates(links, "zf_detector", snr_db=9.0)
    good, _ = det_rates(links, "lmmse_detector", snr_db=40.0)
    blind, _ = det_rates(links, "random_symbols", snr_db=9.0)
    assert poor[1] == blind[1] == 1
    assert 0 == good[0] == good[1] < fair[1] <= worse[1]
    assert poor[0] > fair[0]
    assert blind[0] == pytest.approx(0.5, abs=0.03)
    assert [metric.card.name for metric, _ in terms] == ["ber", "bler"]
    np.testing.assert_array_equal(terms[1][1][:, 1], 4)
    np.testing.assert_array_equal(terms[0][1][:, 1], 4 * 8 * 24 * 4 / 2)


def test_parts_of_a_split_add_up_and_only_the_first_groups_are_coded(
    links: ChannelDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import channelbench.tasks.multiuser.coded as module

    monkeypatch.setattr(module, "MOST_CODEWORDS", 20)
    task, method = registry.create("tasks", "det"), registry.create("methods", "lmmse_detector")
    conditions = task.default_conditions(links.spec).model_copy(update={"snr_db": 6.0})

    def of(cases: Any) -> Any:
        view = links.view("test")
        return [
            terms for _, terms in task.secondary(view, np.array(cases), conditions, np.empty(0), asked(task, method))
        ]

    whole, parts = of(range(10)), [of(range(4)), of(range(4, 7)), of(range(7, 10))]
    for number in range(2):
        np.testing.assert_array_equal(whole[number], np.concatenate([part[number] for part in parts]))
    np.testing.assert_array_equal(whole[1][:, 1], [4] * 5 + [0] * 5)


# --- behind a channel estimate ----------------------------------------------------------------------------------------


def test_the_equaliser_is_the_lmmse_one() -> None:
    """By the filter ``w = ĥ*/(|ĥ|² + σ² + ε)``, its gain and what is left of the error, in float64."""
    rng = np.random.default_rng(3)
    y, h = rng.standard_normal((2, 50, 2)) @ [1, 1j]
    sigma, error = 0.3, 0.2
    w = h.conj() / (np.abs(h) ** 2 + sigma + error)
    gain = (w * h).real
    left = (np.abs(w) ** 2 * (sigma + error) + (1 - gain) ** 2) / gain**2 - ((1 - gain) / gain) ** 2
    wanted = max_log_llrs(w * y / gain, left, constellation_named("qpsk"))
    np.testing.assert_allclose(equalised_llrs(y, h, np.array(sigma), error), wanted, rtol=1e-9)


def ce_rates(dataset: ChannelDataset, estimate: Any, snr_db: float, error_var: Any = None) -> list[float]:
    task = registry.create("tasks", "ce")
    conditions = task.conditions(snr_db=snr_db)
    cases = np.arange(40)
    observation, target = task.observe(dataset.view("test"), cases, conditions)
    guess = estimate(observation, target)
    clean = target.context["h_clean"]
    scores = coded_scores(dataset.view("test"), "ce", cases, clean, observation.noise_var, guess, error_var)
    return [float(metric.finalize(terms.mean(axis=0))) for metric, terms in scores]


def test_better_estimates_make_fewer_errors(links: ChannelDataset) -> None:
    def worse(observation: Any, target: Target) -> Any:
        rng = np.random.default_rng(4)
        return target.value + 0.5 * rng.standard_normal((*target.value.shape, 2)) @ [1, 1j]

    true, guess = ce_rates(links, lambda o, t: t.value, 3.0), ce_rates(links, worse, 3.0)
    assert true[1] < guess[1]
    assert ce_rates(links, lambda o, t: t.value, 30.0) == [0, 0]
    assert ce_rates(links, lambda o, t: 0 * t.value, 30.0)[1] == 1


def test_samples_beyond_the_first_are_not_coded(links: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import channelbench.tasks.link.coded as module

    monkeypatch.setattr(module, "MOST_CODEWORDS", 10)
    task = registry.create("tasks", "ce")
    for cases, coded in ((np.arange(40), 10), (np.arange(5, 20), 5), (np.arange(10, 40), 0)):
        observation, target = task.observe(links.view("test"), cases, task.conditions())
        clean = target.context["h_clean"]
        scores = module.coded_scores(links.view("test"), "ce", cases, clean, observation.noise_var, clean)
        np.testing.assert_array_equal(scores[1][1][:, 1], [1] * coded + [0] * (len(cases) - coded))


def test_the_lmmse_filters_error_is_what_it_says(links: ChannelDataset) -> None:
    """On average over the training split, whose covariance the filter has, as far as that is a Kronecker product."""
    task, method = registry.create("tasks", "ce"), registry.create("methods", "lmmse")
    train, val = (TaskSplit(task, links.view(split)) for split in ("train", "val"))
    method.fit({"ce": (train, val)}, FitContext())
    observation, target = train.observe(epoch=5)
    error = np.abs(method.predict("ce", observation) - target.value) ** 2
    stated = method.error_variance("ce", observation)
    assert stated.shape == error.shape
    assert error.mean() == pytest.approx(stated.mean(), rel=0.35)
    loud = np.argsort(observation.noise_var)
    assert stated[loud[-5:]].mean() > stated[loud[:5]].mean()


def test_bits_are_evenly_spread(links: ChannelDataset) -> None:
    from channelbench.tasks.multiuser.groups import draws

    bits = draws(links.view("test"), "det coded bits", np.arange(10), 4 * 384, None) >= 0.5
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(bits.size)
    assert bits_to_symbols(np.array([0, 0]), constellation_named("qpsk")) == pytest.approx((1 + 1j) / np.sqrt(2))
