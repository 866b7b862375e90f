"""Detection as a task: what is received, what an answer is, and what its bounds bound."""

from __future__ import annotations

import numpy as np
import pytest
from group_cases import seen

from channelbench import registry
from channelbench.contracts import TaskSplit
from channelbench.prediction import InvalidPrediction
from channelbench.solvers.constellation import constellation_named
from channelbench.solvers.detection import lmmse
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.multiuser.answers import DetectionAnswer, detected


def test_receptions_are_channels_times_symbols_and_noise(group_links: ChannelDataset) -> None:
    observation, target, _ = seen(group_links, "det", snr_db=7.0)
    h, x = observation.h.astype(complex), target.value.astype(complex)
    noise = observation.y - x @ h.swapaxes(1, 2)
    snr = (np.abs(h) ** 2).sum(axis=(1, 2)) / 8 / observation.noise_var
    np.testing.assert_allclose(10 * np.log10(snr), 7, atol=1e-4)
    measured = (np.abs(noise) ** 2).mean(axis=(1, 2)) / observation.noise_var
    assert abs(measured.mean() - 1) < 4 / np.sqrt(noise.size)


def test_symbols_are_of_the_constellation_and_equally_often(group_links: ChannelDataset) -> None:
    split = TaskSplit(registry.create("tasks", "det"), group_links.view("train"))
    counts = np.zeros(16)
    for epoch in range(10):
        observation, target = split.observe(epoch=epoch)
        sent = np.broadcast_to(np.arange(8) < observation.users[:, None, None], target.value.shape)
        counts += np.bincount(target.context["symbols"][sent], minlength=16)
        points = constellation_named("16qam").points
        np.testing.assert_allclose(target.value[sent], points[target.context["symbols"][sent]], rtol=1e-6)
        assert not target.value[~sent].any()
    mean = counts.mean()
    assert ((counts - mean) ** 2 / mean).sum() < 37.7  # 15 degrees, one in a thousand


def test_an_answer_of_estimates_alone_is_decided_and_has_llrs(group_links: ChannelDataset) -> None:
    observation, target, task = seen(group_links, "det")
    form = task.check(target.value, observation, target)
    found = detected(form)
    np.testing.assert_array_equal(found.decisions, target.context["symbols"])
    np.testing.assert_array_equal(found.llrs > 0, target.context["bits"].astype(bool))
    scores = {m.card.name: m.finalize(m.accumulate(form, target).mean(axis=0)) for m in task.metrics}
    assert scores["ser"] == scores["uncoded_ber"] == 0
    assert scores["symbol_nmse"] < 1e-12
    assert scores["bit_mutual_information"] > 0.999


def test_the_same_decisions_are_not_the_same_answer(group_links: ChannelDataset) -> None:
    """Estimates and likelihood ratios are scored as well."""
    observation, target, task = seen(group_links, "det")
    decisions = target.context["symbols"]
    exact, near = (
        task.check(DetectionAnswer(x=target.value * scale, decisions=decisions), observation, target)
        for scale in (1, 0.99)
    )
    np.testing.assert_array_equal(exact[..., 2], near[..., 2])
    assert task.same_answers(exact, exact.copy()).all()
    assert not task.same_answers(exact, near).any()


def test_answers_state_error_decisions_and_llrs(group_links: ChannelDataset) -> None:
    observation, target, task = seen(group_links, "det")
    x = target.value
    llrs = np.full((*x.shape, 4), -2.0)
    form = task.check(DetectionAnswer(x=x, decisions=np.zeros(x.shape, int), llrs=llrs), observation, target)
    bits = target.context["bits"]
    ber, information = (m.accumulate(form, target) for m in task.metrics[3:])
    np.testing.assert_allclose(ber[:, 0], bits.mean(axis=(1, 2, 3)))
    wanted = 1 - np.where(bits, np.log2(1 + np.exp(2)), np.log2(1 + np.exp(-2))).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(information[:, 0], wanted)
    wider = DetectionAnswer(x=x, error_var=np.full((1, 1, 4), 0.5))
    sharp = DetectionAnswer(x=x, error_var=np.full(x.shape, 0.05))
    ratio = task.check(sharp, observation, target)[..., 3:] / task.check(wider, observation, target)[..., 3:]
    np.testing.assert_allclose(ratio, 10)
    for wrong in (DetectionAnswer(x=x[:-1]), DetectionAnswer(x=x, llrs=llrs[..., :2]), DetectionAnswer(x=x * np.nan)):
        with pytest.raises(InvalidPrediction):
            task.check(wrong, observation, target)


def test_no_detector_is_better_than_the_posterior(group_links: ChannelDataset) -> None:
    """Symbol by symbol over 1,024 receptions of two users, beyond three standard errors of the paired difference."""
    observation, target, task = seen(group_links, "det", users=2, snr_db=8.0)
    best = task.ceiling(target)
    wrong = best[..., 2] != target.context["symbols"]
    for name in ("lmmse_detector", "zf_detector", "ml_detector", "random_symbols"):
        form = task.check(registry.create("methods", name).predict("det", observation), observation, target)
        excess = (form[..., 2] != target.context["symbols"]).astype(float) - wrong
        assert excess.mean() > -3 * excess.std() / np.sqrt(excess.size)
        gap = task.metrics[1].accumulate(form, target) - task.metrics[1].accumulate(best, target)
        assert gap.mean() > -3 * gap.std() / np.sqrt(len(gap))


def test_the_bound_of_many_users_is_each_alone(group_links: ChannelDataset) -> None:
    observation, target, task = seen(group_links, "det", users=8, snr_db=10.0)
    best = detected(task.ceiling(target))
    h, x = observation.h.astype(complex), target.value.astype(complex)
    k = 3
    alone = observation.y - np.delete(x, k, axis=2) @ np.delete(h, k, axis=2).swapaxes(1, 2)
    found = lmmse(h[:, :, k : k + 1], alone, observation.noise_var)
    nearest = np.abs(found.unbiased[..., 0][..., None] - constellation_named("16qam").points).argmin(axis=-1)
    np.testing.assert_array_equal(best.decisions[..., k], nearest)


@pytest.mark.parametrize(("snr_db", "primary"), [(10.0, "ser"), (40.0, "symbol_nmse")])
def test_few_errors_make_the_nmse_of_symbols_primary(group_links: ChannelDataset, snr_db: float, primary: str) -> None:
    task = registry.create("tasks", "det")
    conditions = task.default_conditions(group_links.spec).model_copy(update={"snr_db": snr_db})
    assert task.primary_for(group_links.view("test"), conditions).card.name == primary


def test_the_least_error_rate_is_half_a_symbol(group_links: ChannelDataset) -> None:
    observation, target, task = seen(group_links, "det")
    terms = task.primary.accumulate(task.check(target.value, observation, target), target)
    assert task.primary.least(terms) == 0.5 / (16 * 8 * 4)
