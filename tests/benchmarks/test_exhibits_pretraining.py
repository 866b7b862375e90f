"""Does pretraining help? On synthetic cells whose numbers are worked out by hand, and the correction by brute force."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from channelbench.benchmarks.exhibits.pretraining import Comparison, Key, Verdict, compare, judge
from channelbench.benchmarks.exhibits.rows import paper_views
from channelbench.leaderboard.contrast import Contrast, contrast, holm
from channelbench.leaderboard.estimate import Errors, Estimate, Spread
from channelbench.leaderboard.views import Run

DROPS = 40


def closed_testing(p_values: list[float]) -> list[float]:
    """Holm by its definition: a hypothesis falls if every set of hypotheses that holds it falls by Bonferroni."""
    everything = range(len(p_values))
    sets = [s for size in range(1, len(p_values) + 1) for s in combinations(everything, size)]
    return [max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in sets if i in s) for i in everything]


@pytest.mark.parametrize("number", range(1, 9))
def test_holm_is_closed_testing_of_all_subsets(number: int) -> None:
    rng = np.random.default_rng(number)
    for power in (1, 3, 6):  # from evenly spread to many small ones
        p = list(rng.random(number) ** power)
        assert holm(p) == pytest.approx(closed_testing(p), rel=1e-12)
    ties = [0.01, 0.01, 0.5, 0.5, 1.0, 0.0, 0.0, 0.02][:number]
    assert holm(ties) == pytest.approx(closed_testing(ties), rel=1e-12)
    assert holm([]) == []


@pytest.mark.parametrize("freedom", [2, 6, 20, 500])
@pytest.mark.parametrize("level", [0.05, 0.05 / 18])
def test_the_detectable_effect_is_shown_in_four_of_five_repeats(freedom: int, level: float) -> None:
    """Drawn: a normal difference of that size over an error that is known with so many degrees of freedom."""
    tested = Contrast(value=0.0, error=0.3, freedom=freedom)
    rng = np.random.default_rng(freedom)
    differences = tested.detectable(level) + 0.3 * rng.standard_normal(100_000)
    errors = 0.3 * np.sqrt(rng.chisquare(freedom, 100_000) / freedom)
    shown = 2 * stats.t.sf(np.abs(differences) / errors, freedom) <= level
    assert shown.mean() == pytest.approx(0.8, abs=0.006)
    many = Contrast(value=0.0, error=1.0, freedom=math.inf).detectable(level)
    assert many == pytest.approx(stats.norm.ppf(1 - level / 2) + stats.norm.ppf(0.8), rel=1e-4)


def test_a_contrast_is_the_paired_t_test_of_the_drops() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.gamma(2.0, 0.5, 60), rng.gamma(2.0, 0.5, 60)
    signs = 2.0 * rng.integers(0, 2, (200_000, 60)) - 1

    def scored(terms: np.ndarray) -> Estimate:
        draws = signs @ (terms - terms.mean()) / math.sqrt(60 * 59)
        value = float(terms.mean())
        return Estimate(value=value, low=0, high=0, errors=Errors(draws=draws, by_seed={0: draws}, units=60))

    found, reference = contrast(scored(x), scored(y)), stats.ttest_rel(x, y)
    assert found is not None
    assert found.freedom == pytest.approx(59)
    assert found.value / found.error == pytest.approx(reference.statistic, rel=0.01)
    assert found.p_value == pytest.approx(reference.pvalue, rel=0.05)


def test_a_contrast_of_seeds_alone_is_welchs() -> None:
    a, b = [0.10, 0.13, 0.12, 0.11], [0.20, 0.15, 0.25]
    nothing = np.zeros(10)

    def trained(values: list[float]) -> Estimate:
        return Estimate(
            value=float(np.mean(values)),
            low=0,
            high=0,
            errors=Errors(draws=nothing, by_seed={}, units=9),
            seeds=len(values),
            spread=Spread(variance=float(np.var(values, ddof=1)), freedom=len(values) - 1),
        )

    found = contrast(trained(a), trained(b))
    assert found is not None
    assert found.p_value == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=1e-9)
    unknown = Estimate(value=1.0, low=0, high=2, errors=Errors(draws=nothing, by_seed={}, units=9), seeds=1)
    assert contrast(trained(a), unknown) is None
    assert contrast(trained(a), Estimate(value=1.0, low=0, high=2)) is None


def test_no_error_is_certain_and_no_difference_is_none() -> None:
    assert Contrast(value=0.1, error=0.0, freedom=9).p_value == 0
    assert Contrast(value=0.0, error=0.0, freedom=9).p_value == 1
    assert Contrast(value=0.1, error=math.nan, freedom=9).p_value == 1


def judged(*p_like: float) -> list[Verdict]:
    """Verdicts on comparisons that are this many standard errors from nought."""
    comparisons: dict[Key, Comparison] = {
        ("default", "llm4wm", "none", str(i)): Comparison(
            gain=Estimate(value=z, low=z - 1.96, high=z + 1.96),
            tested=Contrast(value=z, error=1.0, freedom=math.inf),
        )
        for i, z in enumerate(p_like)
    }
    return list(judge(comparisons).values())


def test_words_are_corrected_over_all_comparisons() -> None:
    """2.3 standard errors are 2.1 %: enough alone, and not as the best of three."""
    assert [v.word for v in judged(2.3)] == ["helps"]
    alone = judged(2.3, 0.1, -0.2)
    assert [v.word for v in alone] == ["no difference shown"] * 3
    assert alone[0].comparison.gain.low > 0, "its own interval does not hold nought"
    assert alone[0].p_value == pytest.approx(3 * 2 * stats.norm.sf(2.3))
    assert [v.word for v in judged(2.3, -9.0, 9.0)] == ["helps", "hurts", "helps"], "what falls first frees the others"


def test_the_detectable_effect_is_of_the_hurdle_that_was_not_taken() -> None:
    found = judged(9.0, 0.1, -0.2)
    assert math.isnan(found[0].detectable)
    expected = stats.norm.ppf(1 - 0.05 / 2 / 2) + stats.norm.ppf(0.8)
    assert [v.detectable for v in found[1:]] == pytest.approx([expected] * 2, rel=1e-5)


def test_equal_rows_show_a_difference_in_one_section_of_twenty() -> None:
    """Of 18 comparisons each, independent: Bonferroni of them is 4.9 %."""
    rng = np.random.default_rng(0)
    sections = 2000
    shown = sum(any(p <= 0.05 for p in holm(list(2 * stats.norm.sf(abs(z))))) for z in rng.normal(size=(sections, 18)))
    assert stats.binom.ppf(5e-5, sections, 0.049) <= shown <= stats.binom.ppf(1 - 5e-5, sections, 0.049)


def test_pretraining_is_paired_and_oriented(lab: Any, folder: Path) -> None:
    """The drops' difficulty is common and far larger than the difference, which pairing brings out."""
    for seed in range(3):
        for task in ("ce", "bf"):
            lab.put(folder, "llm4wm", task, 0.20, seed=seed, spread=0.9)
            lab.put(folder, "llm4wm+random", task, 0.25, seed=seed, spread=0.9)
            lab.put(folder, "llm4wm+none", task, 0.20, seed=seed, spread=0.9)
    view = paper_views(Run.read(folder))[0]
    keys = [(control, task) for control in ("random", "none", "scratch") for task in ("ce", "bf")]
    found = {key: compare(view, "llm4wm", *key) for key in keys}
    error, accuracy, same = found["random", "ce"], found["random", "bf"], found["none", "ce"]
    assert error is not None
    assert accuracy is not None
    assert same is not None
    assert found["scratch", "ce"] is None
    assert error.gain.value == pytest.approx(0.05)
    # Every drop's difference is 0.05·(1 ± 0.9); its mean over 40 drops has a standard error of 0.045/√40.
    assert error.gain.low == pytest.approx(0.05 - 1.96 * 0.045 / math.sqrt(DROPS), abs=2.5e-3)
    assert accuracy.gain.value == pytest.approx(0.05)
    verdicts = judge({("default", "llm4wm", *key): c for key, c in found.items() if c is not None})
    words = {key[2:]: verdict.word for key, verdict in verdicts.items()}
    assert words["random", "ce"] == "helps"
    assert (same.gain.value, words["none", "ce"]) == (0, "no difference shown")


def test_one_seed_that_nobody_lends_to_is_not_tested(lab: Any, folder: Path) -> None:
    lab.put(folder, "llm4cp", "ce", 0.3)
    assert "No control has been run" in lab.named(folder, "pretraining").text
    lab.put(folder, "llm4cp+scratch", "ce", 0.1)
    part = lab.named(folder, "pretraining")
    found = lab.cell_of(part, "against a trained trunk of equal size", "CE")
    assert found.text.startswith("−0.2")
    assert found.remark == "not tested: seed spread unknown (1 seed)"
    dash = lab.cell_of(part, "against no trunk", "CE")
    assert (dash.text, dash.remark) == ("–", "")
    assert dash.note == "llm4cp+none: not run"
    assert [group.title for group in part.groups] == ["LLM4CP"]


def test_one_seed_borrows_and_pretraining_that_hurts_says_so(lab: Any, folder: Path) -> None:
    """Three seeds of a third row show how far trainings lie apart: .01, so that .2 is seen and .03 is not."""
    for seed, loss in enumerate((0.29, 0.30, 0.31)):
        lab.put(folder, "llm4cp", "ce", loss, seed=seed)
    lab.put(folder, "llm4cp+scratch", "ce", 0.1)
    lab.put(folder, "llm4cp+none", "ce", 0.33)
    part = lab.named(folder, "pretraining")
    assert lab.cell_of(part, "against a trained trunk of equal size", "CE").remark == "hurts (1 seed)"
    nothing = lab.cell_of(part, "against no trunk", "CE").remark
    assert nothing.startswith("no difference shown (1 seed); detectable: ±0.0")
    line = next(row for row in part.csv.splitlines() if "llm4cp+none,ce" in row).split(",")
    heads = part.csv.splitlines()[0].split(",")
    values = {head: float(v) for head, v in zip(heads, line, strict=True) if head in ("p_holm", "detectable")}
    # Seeds alone: 0.01·√(1/3 + 1) with 2 degrees of freedom. The drops add little, and one of two tests is left.
    at_least = Contrast(value=0.0, error=0.01 * math.sqrt(4 / 3), freedom=2).detectable(0.05)
    assert values["detectable"] == pytest.approx(at_least, rel=0.05)
    assert 0.05 < values["p_holm"] < 1


def test_a_backbone_of_random_weights_says_nothing_about_pretraining(lab: Any, tmp_path: Path) -> None:
    folder = lab.claim(tmp_path, "llm4wm", backbone="random:minilm")
    lab.put(folder, "llm4wm", "ce", 0.1)
    lab.put(folder, "llm4wm+none", "ce", 0.3)
    part = lab.named(folder, "pretraining")
    assert "random:minilm, has random weights itself" in part.text
    assert (part.groups, part.csv) == ((), "")
