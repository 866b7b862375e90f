"""Every metric against brute force in float64, in parts and in whole."""

from pathlib import Path

import numpy as np
import pytest

from channelbench import registry
from channelbench.bootstrap import _weights, interval, resampled_scores
from channelbench.contracts import Metric, Target
from channelbench.metrics.beam import BeamSE, BeamSELink, BeamSELoss, BeamSERatio, TopKAccuracy, WithinOneBeam
from channelbench.metrics.channel import NMSE, SE, NMSEdB, NMSEInSlot, NMSEPooled, SELink, matched_filter_gain
from channelbench.metrics.scalar import MAEinMetres, MAEofSpan, NMSECentred, NMSELinear, RMSEindB
from channelbench.results import MetricScore, Result, read_terms, read_units, write_cell
from channelbench.solvers.dft import dft_codebook
from channelbench.testing import small_spec

RNG = np.random.default_rng(0)


def value_of(metric: Metric, prediction: np.ndarray, target: Target) -> float:
    return float(metric.finalize(metric.accumulate(prediction, target).mean(axis=0)))


def complex_normal(*shape: int) -> np.ndarray:
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype(np.complex64)


@pytest.fixture
def channels() -> tuple[np.ndarray, Target]:
    h = complex_normal(5, 4, 3, 8) * np.array([1, 2, 3, 4, 5])[:, None, None, None]
    prediction = h + 0.3 * complex_normal(5, 4, 3, 8)
    gains = np.array([-90.0, -100, -110, -120, -130])
    constants = {"bandwidth_hz": 60e6, "tx_power_dbm": 46.0}
    return prediction, Target(value=h, context={"path_gain_db": gains}, constants=constants)


def test_nmse_and_its_kin(channels) -> None:
    prediction, target = channels
    ratios, errors, powers = [], 0.0, 0.0
    for guess, truth in zip(prediction.astype(complex), target.value.astype(complex), strict=True):
        error, power = np.sum(np.abs(guess - truth) ** 2), np.sum(np.abs(truth) ** 2)
        ratios.append(error / power)
        errors, powers = errors + error, powers + power
    assert value_of(NMSE(), prediction, target) == pytest.approx(np.mean(ratios), rel=1e-6)
    assert value_of(NMSEdB(), prediction, target) == pytest.approx(10 * np.log10(np.mean(ratios)), rel=1e-6)
    assert value_of(NMSEPooled(), prediction, target) == pytest.approx(errors / powers, rel=1e-6)
    for number in (1, 2, 3, 4):
        slot = [
            np.sum(np.abs(p[number - 1] - t[number - 1]) ** 2) / np.sum(np.abs(t[number - 1]) ** 2)
            for p, t in zip(prediction, target.value, strict=True)
        ]
        assert value_of(NMSEInSlot(number), prediction, target) == pytest.approx(np.mean(slot), rel=1e-5)


def test_nmse_of_zero_is_one_and_of_truth_zero(channels) -> None:
    _, target = channels
    assert value_of(NMSE(), np.zeros_like(target.value), target) == 1.0
    assert value_of(NMSE(), target.value, target) == 0.0


def test_nmse_refuses_all_zero_targets() -> None:
    target = Target(value=np.zeros((2, 1, 1, 2), dtype=np.complex64))
    with pytest.raises(ValueError, match=r"all-zero target channels; rows \[0, 1\]"):
        NMSE().accumulate(target.value, target)


def test_nmse_names_the_rows_without_a_value_and_takes_the_weakest_others() -> None:
    h = complex_normal(9, 1, 1, 2) * np.float32(1e-12)
    weak = Target(value=h.copy())
    np.testing.assert_allclose(NMSE().accumulate(2 * weak.value, weak), 1, rtol=1e-6)
    h[[0, 1, 2, 3, 5, 7, 8]] = 0
    with pytest.raises(ValueError, match=r"rows \[0, 1, 2, 3, 5\] of the batch are"):
        NMSE().accumulate(h, Target(value=h))


def test_nmse_of_nothing_wrong_is_a_number_in_decibels_too(channels) -> None:
    _, target = channels
    assert value_of(NMSEdB(), target.value, target) == pytest.approx(-300)


HIGHER = {"se", "se_link", "top1_accuracy", "top3_accuracy", "top5_accuracy", "beam_se", "beam_se_link"}
HIGHER |= {"within_one_beam", "beam_se_ratio", "sum_rate", "min_rate", "capacity_share", "bit_mutual_information"}
UNITS_OF = {
    **dict.fromkeys(("se", "se_link", "beam_se", "se_loss", "beam_se_link"), "bit/s/Hz"),
    **dict.fromkeys(("sum_rate", "min_rate"), "bit/s/Hz"),
    **dict.fromkeys(("nmse_db", "symbol_nmse_db", "sinr_spread_db"), "dB"),
    "bit_mutual_information": "bit",
    "rmse_db": "dB",
    "mae_m": "m",
}


def test_metrics_of_the_tasks_and_what_is_better() -> None:
    slots = tuple(f"nmse_slot_{number}" for number in (1, 2, 3, 4))
    names = {
        "ce": ("nmse", "nmse_db", "nmse_pooled", "se", "se_link"),
        "cp": ("nmse", "nmse_db", "nmse_pooled", *slots, "se", "se_link"),
        "pf": ("nmse", "nmse_db", "nmse_pooled", "se", "se_link"),
        "bf": (
            *("top1_accuracy", "within_one_beam", "top3_accuracy", "top5_accuracy"),
            *("beam_se", "beam_se_ratio", "se_loss", "beam_se_link"),
        ),
        "de": ("mae_m", "mae_of_span"),
        "pe": ("rmse_db", "nmse_centred", "nmse_linear"),
        "pre_sr": ("sum_rate", "capacity_share", "min_rate"),
        "pre_mm": ("min_rate", "sinr_spread_db", "sum_rate"),
        "det": ("ser", "symbol_nmse", "symbol_nmse_db", "uncoded_ber", "bit_mutual_information"),
    }
    coded = {"ber", "bler"}
    for name, expected in names.items():
        task = registry.create("tasks", name)
        metrics = task.metrics_for(small_spec(), task.conditions())
        assert tuple(metric.card.name for metric in metrics) == expected
        for metric in metrics:
            assert metric.higher_is_better == (metric.card.name in HIGHER), metric.card.name
            assert metric.unit == UNITS_OF.get(metric.card.name, ""), metric.card.name
            assert registry.create("metrics", metric.card.name).parameters == metric.parameters
    assert set(registry.names("metrics")) == {metric for expected in names.values() for metric in expected} | coded


def test_matched_filter_bounds() -> None:
    for antennas, bound in ((8, 6.34), (64, 9.32)):
        h = complex_normal(3, 2, 4, antennas)
        score = value_of(SE(), h * (0.2 - 3j), Target(value=h))
        assert score == pytest.approx(np.log2(1 + 10 * antennas), rel=1e-6)
        assert score == pytest.approx(bound, abs=0.005)


def test_se_by_brute_force(channels) -> None:
    prediction, target = channels
    total = 0.0
    for i, t, f in np.ndindex(5, 4, 3):
        h, guess = target.value[i, t, f].astype(complex), prediction[i, t, f].astype(complex)
        sigma2 = np.sum(np.abs(h) ** 2) / 8 / 10
        total += np.log2(1 + np.abs(h.conj() @ (guess / np.linalg.norm(guess))) ** 2 / sigma2)
    assert value_of(SE(), prediction, target) == pytest.approx(total / 60, rel=1e-5)


def test_se_of_zero_is_zero_and_of_noisy_targets_is_that_of_the_clean_channel(channels) -> None:
    prediction, target = channels
    assert value_of(SE(), np.zeros_like(prediction), target) == 0.0
    noisy = Target(value=prediction, context={"h_clean": target.value})
    assert value_of(SE(), target.value, noisy) == pytest.approx(np.log2(81), rel=1e-6)


def test_se_link_by_brute_force(channels) -> None:
    prediction, target = channels
    noise_dbm = -174 + 10 * np.log10(60e6) + 7
    total = 0.0
    for i, t, f in np.ndindex(5, 4, 3):
        gain = matched_filter_gain(prediction[i, t, f], target.value[i, t, f])
        total += np.log2(1 + gain * 10 ** ((46 + target.context["path_gain_db"][i] - noise_dbm) / 10))
    assert value_of(SELink(), prediction, target) == pytest.approx(total / 60, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e3, 1e12])
def test_rates_are_of_directions_and_of_any_channel(channels, scale: float) -> None:
    """How large a prediction is does not count, nor does a channel's power where the SNR is given."""
    prediction, target = channels
    for metric in (SE(), SELink()):
        score = value_of(metric, prediction, target)
        assert value_of(metric, prediction * np.float32(scale), target) == pytest.approx(score, rel=1e-5)
    score = value_of(SE(), prediction, target)
    strong = Target(value=target.value * np.float32(scale))
    assert value_of(SE(), prediction, strong) == pytest.approx(score, rel=1e-5)


def test_rates_of_chosen_beams_by_hand() -> None:
    rates = np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 0.5], [2.0, 2.5, 2.25]], dtype=np.float32)
    target = Target(value=rates.argmax(axis=1), context={"beam_se": rates})
    scores = np.array([[0.0, 1.0, 0.5], [-3.0, -2.0, -1.0], [7.0, 1.0, 7.0]])  # beams 1 (best), 2, and 0 of equals
    np.testing.assert_array_equal(BeamSE().accumulate(scores, target), [[3.0], [0.5], [2.0]])
    np.testing.assert_array_equal(BeamSELoss().accumulate(scores, target), [[0.0], [4.5], [0.5]])
    assert value_of(BeamSE(), scores, target) == pytest.approx(5.5 / 3)
    assert value_of(BeamSELoss(), scores, target) == pytest.approx(5 / 3)
    # 3 + 0.5 + 2 of 3 + 5 + 2.5: a mean of ratios would be 0.63.
    assert value_of(BeamSERatio(), scores, target) == pytest.approx(5.5 / 10.5)
    assert value_of(BeamSERatio(), rates, target) == 1.0


def test_ratio_to_the_best_beam_needs_a_beam() -> None:
    rates = np.array([[1.0, 3.0], [0.0, 0.0]], dtype=np.float32)
    target = Target(value=rates.argmax(axis=1), context={"beam_se": rates})
    with pytest.raises(ValueError, match=r"rows \[1\] are"):
        BeamSERatio().accumulate(rates, target)


def test_within_one_beam_by_gains_of_the_codebook() -> None:
    """Neighbours are the two beams that lose least in the direction of a beam, the ends of the codebook included."""
    beams, antennas = 16, 4
    codebook = dft_codebook(antennas, beams)
    gains = np.abs(codebook.conj() @ codebook.T).round(9)
    target = Target(value=np.repeat(np.arange(beams), beams))
    chosen = np.eye(beams)[np.tile(np.arange(beams), beams)]
    near = WithinOneBeam().accumulate(chosen, target).reshape(beams, beams)
    for best in range(beams):
        nearest = gains[best] >= np.sort(gains[best])[-3]
        assert nearest.sum() == 3
        np.testing.assert_array_equal(near[best] == 1, nearest)
    assert near[0, beams - 1] == near[beams - 1, 0] == 1
    assert value_of(WithinOneBeam(), chosen, target) == pytest.approx(3 / beams)


def test_within_one_beam_takes_the_first_of_equal_scores() -> None:
    """As accuracy does, so that the one is never below the other."""
    scores, target = np.zeros((6, 8)), Target(value=np.array([0, 1, 2, 4, 6, 7]))
    np.testing.assert_array_equal(WithinOneBeam().accumulate(scores, target)[:, 0], [1, 1, 0, 0, 0, 1])
    assert value_of(TopKAccuracy(1), scores, target) <= value_of(WithinOneBeam(), scores, target)


def test_top_k_counts_ties_by_beam_number() -> None:
    scores = np.array([[0.1, 0.9, 0.5, 0.7, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    target = Target(value=np.array([2, 3]))
    assert value_of(TopKAccuracy(1), scores, target) == 0.0
    assert value_of(TopKAccuracy(3), scores, target) == 0.5  # 0.5 ranks third; the fourth of equals does not
    assert value_of(TopKAccuracy(5), scores, target) == 1.0


def test_beam_rates_agree_with_the_link_metric() -> None:
    h = complex_normal(4, 1, 6, 16)
    scores = RNG.normal(size=(4, 32))
    constants = {"bandwidth_hz": 0.5e9, "tx_power_dbm": 30.0}
    target = Target(
        value=np.zeros(4, dtype=int), context={"h_beam_band": h, "path_gain_db": np.full(4, -80.0)}, constants=constants
    )
    snr = 10 ** ((30 - 80 - (-174 + 10 * np.log10(0.5e9) + 7)) / 10)
    total = 0.0
    for i in range(4):
        beam = np.exp(2j * np.pi * scores[i].argmax() * np.arange(16) / 32) / 4
        total += np.mean([np.log2(1 + snr * abs(h[i, 0, f].conj() @ beam) ** 2) for f in range(6)])
    assert value_of(BeamSELink(), scores, target) == pytest.approx(total / 4, rel=1e-6)


def test_scalar_metrics_by_hand() -> None:
    target = Target(
        value=np.array([100.0, 110.0, 90.0], dtype=np.float32), constants={"train_mean": 95.0, "train_span": 50.0}
    )
    prediction = np.array([101.0, 108.0, 90.0])
    assert value_of(MAEinMetres(), prediction, target) == pytest.approx(1.0)
    assert value_of(MAEofSpan(), prediction, target) == pytest.approx(0.02)
    assert value_of(RMSEindB(), prediction, target) == pytest.approx(np.sqrt(5 / 3))
    assert value_of(NMSECentred(), prediction, target) == pytest.approx(5 / (25 + 225 + 25))
    linear = (10**10.1 - 10**10) ** 2 + (10**10.8 - 10**11) ** 2
    assert value_of(NMSELinear(), prediction, target) == pytest.approx(linear / (10**20 + 10**22 + 10**18))
    assert value_of(NMSECentred(), np.full(3, 95.0), target) == 1.0


@pytest.mark.parametrize("task_name", ["ce", "cp", "pf", "bf", "de", "pe"])
def test_parts_add_up_to_the_whole(few_rays, task_name: str) -> None:
    task = registry.create("tasks", task_name)
    view, conditions = few_rays.view("test"), task.conditions()
    metrics = task.metrics_for(few_rays.spec, conditions)
    assert metrics[0].card.name == task.primary.card.name
    _, target = task.observe(view, np.arange(30), conditions)
    guess = task.ceiling(target) + (0.1 * complex_normal(*task.ceiling(target).shape)).real.astype(np.float32)
    whole = {m.card.name: m.accumulate(guess, target) for m in metrics}
    for rows in (np.arange(0, 7), np.arange(7, 30)):
        _, part = task.observe(view, rows, conditions)
        for metric in metrics:
            np.testing.assert_allclose(metric.accumulate(guess[rows], part), whole[metric.card.name][rows], rtol=1e-5)


def test_bootstrap_interval_matches_theory() -> None:
    terms = RNG.exponential(1.0, size=(2000, 1))
    value, low, high = interval(MAEinMetres(), terms)
    half = 1.96 * terms.std() / np.sqrt(2000)
    assert value == pytest.approx(terms.mean())
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert low < value < high
    # Paired: the same drops are drawn for every method, so a constant offset has no spread.
    difference = resampled_scores(MAEinMetres(), terms + 0.1) - resampled_scores(MAEinMetres(), terms)
    np.testing.assert_allclose(difference, 0.1, atol=1e-12)


def test_interval_is_of_the_stated_level() -> None:
    """Against percentiles of the draws, and exactly: 1,000 of them leave 25 outside on either side."""
    terms = RNG.exponential(1.0, size=(300, 1))
    draws = np.sort(resampled_scores(MAEinMetres(), terms))
    assert len(draws) == 1000
    for level, outside in ((0.95, 25), (0.8, 100)):
        value, low, high = interval(MAEinMetres(), terms, level=level)
        assert value == pytest.approx(terms.mean())
        assert draws[outside - 1] <= low <= draws[outside]
        assert draws[-outside - 1] <= high <= draws[-outside]
    assert interval(MAEinMetres(), terms) == interval(MAEinMetres(), terms, level=0.95)


def test_draws_are_the_same_everywhere() -> None:
    """Intervals in cells of one machine are compared with those of another: the first draw of three drops."""
    rng = np.random.default_rng(np.random.SeedSequence(2026, spawn_key=(3, 1000)))
    first = rng.multinomial(3, [1 / 3] * 3)
    scores = resampled_scores(MAEinMetres(), np.array([[1.0], [10.0], [100.0]]))
    assert scores[0] == pytest.approx(first @ [1, 10, 100] / 3)


# --- several cases of one drop ----------------------------------------------------------------------------------------

UNITS = np.array([7, 3, 3, 9, 7, 2**41, 3, 9, 3, 0])


def repeating_whole_units(metric: Metric, terms: np.ndarray, units: np.ndarray, resamples: int) -> np.ndarray:
    """Each resample written out: the cases of every unit as often as the unit is drawn, and their mean."""
    labels = sorted(set(units.tolist()))
    times = np.rint(_weights(len(labels), resamples) * len(labels)).astype(int)
    assert (times.sum(axis=1) == len(labels)).all()
    scores = []
    for drawn in times:
        cases = [
            row for label, count in zip(labels, drawn, strict=True) for row in terms[units == label].tolist() * count
        ]
        scores.append(float(metric.finalize(np.asarray(cases, np.float64).mean(axis=0))))
    return np.array(scores)


@pytest.mark.parametrize("metric", [NMSE(), NMSEdB(), NMSEPooled(), RMSEindB()], ids=lambda metric: metric.card.name)
def test_bootstrap_draws_whole_units(metric: Metric) -> None:
    terms = np.random.default_rng(1).exponential(1.0, (len(UNITS), 2 if metric.card.name == "nmse_pooled" else 1))
    expected = repeating_whole_units(metric, terms, UNITS, 300)
    np.testing.assert_allclose(resampled_scores(metric, terms, UNITS, 300), expected, rtol=1e-12)
    value, low, high = interval(metric, terms, UNITS, resamples=300)
    assert value == pytest.approx(float(metric.finalize(terms.mean(axis=0))), rel=1e-15)
    assert (low, high) == pytest.approx(tuple(np.percentile(expected, [2.5, 97.5])), rel=1e-12)


def test_names_and_order_of_units_do_not_matter() -> None:
    terms = np.random.default_rng(2).exponential(1.0, (len(UNITS), 1))
    reference = resampled_scores(NMSE(), terms, UNITS)
    np.testing.assert_array_equal(resampled_scores(NMSE(), terms, 2 * UNITS + 1), reference)
    order = np.random.default_rng(3).permutation(len(UNITS))
    np.testing.assert_allclose(resampled_scores(NMSE(), terms[order], UNITS[order]), reference, rtol=1e-12)


def test_units_of_one_case_are_the_plain_bootstrap() -> None:
    terms = np.random.default_rng(4).exponential(1.0, (50, 2))
    plain = resampled_scores(NMSEPooled(), terms)
    np.testing.assert_allclose(resampled_scores(NMSEPooled(), terms, np.arange(50) * 3 + 2**40), plain, rtol=1e-12)
    assert interval(NMSEPooled(), terms, np.arange(50)) == pytest.approx(interval(NMSEPooled(), terms), rel=1e-12)


def test_duplicated_cases_tell_nothing_new() -> None:
    terms = np.random.default_rng(5).exponential(1.0, (400, 1))
    fourfold, units = np.repeat(terms, 4, axis=0), np.repeat(np.arange(400), 4)
    once, as_units, as_cases = (interval(MAEinMetres(), *given) for given in ((terms,), (fourfold, units), (fourfold,)))
    assert as_units == pytest.approx(once, rel=1e-12)
    width, naive = as_units[2] - as_units[1], as_cases[2] - as_cases[1]
    assert naive == pytest.approx(width / 2, rel=0.1)  # as if there were four times as many drops
    # Units of unequal sizes count by their cases, and their interval is wider than the cases' own too.
    uneven = np.repeat(np.arange(400), np.random.default_rng(6).integers(1, 8, 400))
    low, high = interval(MAEinMetres(), terms[uneven], uneven)[1:]
    plain_low, plain_high = interval(MAEinMetres(), terms[uneven])[1:]
    assert high - low > 1.5 * (plain_high - plain_low)


def cell(condition: dict[str, object] | None = None, name: str = "nmse") -> Result:
    return Result(
        method="bi",
        title="BI",
        family="classical",
        reference="",
        task="ce",
        primary_metric=name,
        conditions=condition or {},
        seed=0,
        preset="quick",
        status="ok",
        scores={name: MetricScore(value=1.0, low=0.5, high=2.0, metric=NMSE().path)},
        num_test=10,
        train_digest="",
        test_digest="",
    )


def test_units_stand_beside_the_terms_of_a_cell(tmp_path: Path) -> None:
    terms = {"nmse": RNG.exponential(1.0, (10, 1)), "nmse_pooled": RNG.exponential(1.0, (10, 2))}
    with_units, without = cell({"snr_db": 0.0}), cell()
    write_cell(tmp_path, with_units, terms, UNITS)
    write_cell(tmp_path, without, terms)
    found = read_units(tmp_path, with_units)
    assert found is not None
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, UNITS)
    assert read_units(tmp_path, without) is None
    assert read_units(tmp_path, cell({"snr_db": 1.0})) is None, "no such cell"
    for result in (with_units, without):
        read = read_terms(tmp_path, result)
        assert set(read) == set(terms)
        for name, values in terms.items():
            np.testing.assert_array_equal(read[name], values.astype(np.float32).astype(np.float64))
