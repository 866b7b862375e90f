"""Groups of users: who is in them, what is seen and wanted of them, and what their bounds bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from channelbench import registry
from channelbench.conditions import Conditions
from channelbench.contracts import Target, Task, TaskSplit
from channelbench.errors import RequestError
from channelbench.metrics.precoding import user_sinrs
from channelbench.prediction import InvalidPrediction
from channelbench.solvers.constellation import constellation_named
from channelbench.solvers.detection import lmmse
from channelbench.store.dataset import ChannelDataset
from channelbench.store.planes import plane, plane_power
from channelbench.tasks.multiuser.answers import DetectionAnswer, detected
from channelbench.tasks.multiuser.conditions import DetectionConditions, PrecodingConditions
from channelbench.tasks.multiuser.groups import draws, members, training_members
from channelbench.testing import make_dataset, small_spec

PRECODING, DETECTION = ("pre_sr", "pre_mm"), ("det",)


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """64 test users of eight antennas, four slots."""
    spec = small_spec(train=60, val=20, test=64, sub6__num_slots=4, sub6__num_subcarriers=6)
    return make_dataset(tmp_path_factory.mktemp("links") / "few.zarr", spec)


def seen(dataset: ChannelDataset, name: str, **changes: Any) -> tuple[Any, Target, Any]:
    """All test cases of a task under its defaults with these changes."""
    task: Task = registry.create("tasks", name)
    conditions = task.default_conditions(dataset.spec).model_copy(update=changes)
    cases = np.arange(task.size(dataset.spec, "test", conditions))
    return *task.observe(dataset.view("test"), cases, conditions), task


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grouping", ["random", "near"])
@pytest.mark.parametrize("users", [2, 5, 8])
def test_test_groups_are_disjoint_and_as_many_as_there_can_be(links: ChannelDataset, grouping: Any, users: int) -> None:
    groups = members(links.view("test"), PrecodingConditions(users=users, grouping=grouping))
    assert groups.shape == (64 // users, users)
    assert len(np.unique(groups)) == groups.size
    assert 0 <= groups.min() <= groups.max() < 64


def test_near_users_are_nearer_than_random_ones(links: ChannelDataset) -> None:
    view, spread = links.view("test"), {}
    direction = view.array("strongest_aod_deg_sub6").astype(float)
    for grouping in ("random", "near"):
        groups = members(view, PrecodingConditions(users=4, grouping=grouping))
        spread[grouping] = np.ptp(direction[groups], axis=1).mean()
    assert spread["near"] < spread["random"] / 3


def test_the_first_of_a_near_group_has_its_nearest_beside_it(links: ChannelDataset) -> None:
    """The first group of a greedy matching, by brute force; directions that differ by a turn are the same."""
    view = links.view("test")
    first = members(view, PrecodingConditions(users=4, grouping="near"))[0]
    direction = view.array("strongest_aod_deg_sub6").astype(float)
    apart = np.abs(np.exp(1j * np.radians(direction - direction[first[0]])) - 1)
    assert set(first) == set(np.argsort(apart, kind="stable")[:4])


def test_users_recur_in_training_but_never_twice_in_a_group(links: ChannelDataset) -> None:
    groups = training_members(links.view("train"), PrecodingConditions())
    assert groups.shape == (60, 8)
    assert all(len(set(group)) == 8 for group in groups)
    assert np.bincount(groups.ravel(), minlength=60).min() >= 5
    assert len({tuple(sorted(group)) for group in groups}) > 45  # the nearest few are often the same


def test_groups_do_not_change_between_runs_and_do_with_the_seed(tmp_path: Any, links: ChannelDataset) -> None:
    again = make_dataset(tmp_path / "again.zarr", links.spec)
    other = make_dataset(tmp_path / "other.zarr", links.spec, seed=1)
    of = [members(dataset.view("test"), PrecodingConditions()) for dataset in (links, again, other)]
    np.testing.assert_array_equal(of[0], of[1])
    assert not np.array_equal(of[0], of[2])


def test_draws_are_uniform(links: ChannelDataset) -> None:
    values = draws(links.view("train"), "a name", np.arange(60), 500, 3)
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert ((counts - 1500) ** 2 / 1500).sum() < 43.8  # chi-square of 19 degrees, one in a thousand


def test_training_sees_all_numbers_of_users_and_powers(links: ChannelDataset) -> None:
    task = registry.create("tasks", "pre_sr")
    split = TaskSplit(task, links.view("train"))
    users, power = [], []
    for epoch in range(20):
        observation, target = split.observe(epoch=epoch)
        users.append(observation.users)
        power.append(10 * np.log10(observation.power))
        absent = np.arange(8) >= observation.users[:, None]
        assert not observation.h[:, 0][absent].any()
        assert (np.abs(observation.h[:, 0][~absent]) ** 2).sum(axis=-1).min() > 0
        np.testing.assert_array_equal(observation.h, target.context["h"])
    counts = np.bincount(np.concatenate(users), minlength=9)
    assert counts[:4].sum() == 0
    assert ((counts[4:] - 240) ** 2 / 240).sum() < 18.5  # four degrees, one in a thousand
    assert np.concatenate(power).min() >= -10
    assert np.concatenate(power).max() < 10


def test_one_fit_is_for_all_numbers_of_users_that_training_sees(links: ChannelDataset) -> None:
    for changes in ({"users": 5}, {"users": 8, "grouping": "near", "power_dbw": 3.0}, {"csi": "estimated"}):
        assert PrecodingConditions(**changes).of_fit() == {}
    assert PrecodingConditions(users=2).of_fit() == {"users": 2}
    assert PrecodingConditions(users=2).train_users == (2, 8)
    assert DetectionConditions(users=12, modulation="qpsk").of_fit() == {"users": 12, "modulation": "qpsk"}


def test_by_users_gives_every_group_once_and_without_absent_users(links: ChannelDataset) -> None:
    for name in (*PRECODING, *DETECTION):
        observation, _ = TaskSplit(registry.create("tasks", name), links.view("train")).observe()
        parts = list(observation.by_users())
        assert sorted(np.concatenate([groups for groups, _ in parts])) == list(range(60))
        for groups, part in parts:
            users = observation.users[groups[0]]
            assert (part.users == users).all()
            held = part.h.shape[2] if name != "det" else part.h.shape[-1]
            assert held == users


@pytest.mark.parametrize("name", [*PRECODING, *DETECTION])
def test_more_users_than_a_split_has_are_refused(links: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    with pytest.raises(RequestError, match="users: expected at most the 20 samples of val, got 21"):
        task.check_conditions(links.spec, task.conditions(users=21))
    with pytest.raises(RequestError, match="users"):
        task.conditions.of({"users": 0})


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("pre_sr", "power_dbw", "inf"),
        ("pre_mm", "power_dbw", "nan"),
        ("det", "snr_db", "-inf"),
        ("det", "modulation", "8psk"),
        ("pre_sr", "grouping", "far"),
        ("pre_sr", "csi", "guessed"),
        ("pre_sr", "csi", "predicted:"),
        ("pre_sr", "band", "half"),
    ],
)
def test_values_that_are_none_are_one_line(name: str, field: str, value: str) -> None:
    with pytest.raises(RequestError) as raised:
        registry.create("tasks", name).conditions.of({field: value})
    assert field in str(raised.value)
    assert "\n" not in str(raised.value)


def test_defaults_are_where_methods_differ(links: ChannelDataset) -> None:
    def default(name: str, spec: Any) -> Conditions:
        return registry.create("tasks", name).default_conditions(spec)

    multiuser = small_spec(system="multiuser", test=64)
    assert default("pre_sr", links.spec).changes() == {"users": 8, "power_dbw": 10.0}
    assert default("pre_mm", multiuser).changes() == {"users": 8, "grouping": "near", "power_dbw": 10.0}
    assert default("det", links.spec).changes() == {}
    assert default("det", multiuser).changes() == {"users": 8, "grouping": "near", "snr_db": 5.0}


def test_conditions_outside_the_training_range_say_so() -> None:
    assert "20 dBW (outside the training range)" in PrecodingConditions(power_dbw=20).sentence
    assert "outside" not in PrecodingConditions(power_dbw=-10).sentence
    assert "0 dB (outside the training range)" in DetectionConditions(snr_db=0).sentence
    assert "outside" not in DetectionConditions(snr_db=5).sentence


# --- precoding --------------------------------------------------------------------------------------------------------


def test_channels_are_those_of_the_first_slot_at_the_centre(links: ChannelDataset) -> None:
    observation, _, task = seen(links, "pre_sr")
    h = links.array("h_sub6", "test")
    groups = members(links.view("test"), task.default_conditions(links.spec))
    np.testing.assert_array_equal(observation.h[:, 0], h[groups, 0, 3])
    whole, _, _ = seen(links, "pre_sr", band="all", slot="last")
    np.testing.assert_array_equal(whole.h, h[groups, 3].swapaxes(1, 2))
    np.testing.assert_allclose(observation.power, 10.0, rtol=1e-6)
    np.testing.assert_allclose(observation.noise_var, 0.1, rtol=1e-6)


@pytest.mark.parametrize("band", ["centre", "all"])
@pytest.mark.parametrize("name", PRECODING)
def test_no_precoder_exceeds_its_ceiling(links: ChannelDataset, name: str, band: str) -> None:
    """Every formula and thousands of random ones; the max-min optimum within the solver's tolerance."""
    observation, target, task = seen(links, name, band=band)
    rng = np.random.default_rng(0)
    answers = [registry.create("methods", m).predict(name, observation) for m in registry.names("methods") if _is(m)]
    assert len(answers) >= 7
    for _ in range(200):
        w = rng.standard_normal((*observation.h.shape, 2)) @ [1, 1j]
        w = w if rng.random() < 0.3 else answers[rng.integers(len(answers))] + 0.02 * w
        used = (np.abs(w) ** 2).sum(axis=(2, 3), keepdims=True)
        answers.append(w * np.sqrt(observation.power[0] / used))
    metric = task.primary
    bound = task.ceiling_terms(metric, target)[:, 0]
    for answer in answers:
        terms = metric.accumulate(task.check(answer, observation, target), target)[:, 0]
        assert (terms <= bound * (1 + 1e-5)).all()


def _is(method: str) -> bool:
    found = registry.find("methods", method)
    return found.covers(registry.find("tasks", "pre_sr")) and not found.learned


def test_rates_by_brute_force(links: ChannelDataset) -> None:
    observation, target, task = seen(links, "pre_sr")
    w = registry.create("methods", "rzf").predict("pre_sr", observation)
    sinrs = user_sinrs(w, target)
    h = observation.h[:, 0].astype(complex)
    for group, k in ((0, 0), (3, 5), (7, 7)):
        heard = [abs(np.vdot(h[group, k], w[group, 0, j])) ** 2 for j in range(8)]
        wanted = heard[k] / (sum(heard) - heard[k] + 0.1)
        assert sinrs[group, 0, k] == pytest.approx(wanted, rel=1e-5)
    rates = np.log2(1 + sinrs[:, 0]).sum(axis=1)
    np.testing.assert_allclose(task.primary.accumulate(w, target)[:, 0], rates, rtol=1e-12)


def test_wideband_rates_are_means_over_subcarriers(links: ChannelDataset) -> None:
    observation, target, task = seen(links, "pre_sr", band="all")
    w = registry.create("methods", "zf").predict("pre_sr", observation)
    whole = task.primary.accumulate(w, target)[:, 0]
    each = []
    for s in range(6):
        part = Target(value=target.value, context={**target.context, "h": target.context["h"][:, s : s + 1]})
        each.append(task.primary.accumulate(w[:, s : s + 1], part)[:, 0])
    np.testing.assert_allclose(whole, np.mean(each, axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", PRECODING)
def test_too_much_power_is_refused(links: ChannelDataset, name: str) -> None:
    observation, target, task = seen(links, name)
    w = registry.create("methods", "rzf").predict(name, observation)
    task.check(w, observation, target)
    with pytest.raises(InvalidPrediction, match=r"exceed P_max, e\.g\. 12\.1 W of 10 W"):
        task.check(1.1 * w, observation, target)


def test_estimated_channels_have_noise_of_their_snr_and_are_scored_on_the_true_ones(links: ChannelDataset) -> None:
    observation, target, task = seen(links, "pre_sr", csi="estimated", csi_snr_db=10.0, band="all")
    clean, _, _ = seen(links, "pre_sr", slot="last", band="all")
    np.testing.assert_array_equal(target.context["h"], clean.h)
    error = np.abs(observation.h - clean.h) ** 2
    np.testing.assert_allclose((error / observation.error_var[:, None, :, None]).mean(), 1, atol=0.03)
    power = plane_power(links.view("test"), "sub6", 3)
    groups = members(links.view("test"), PrecodingConditions(users=8))
    np.testing.assert_allclose(observation.error_var, power[groups] / 10, rtol=1e-5)
    np.testing.assert_allclose(power, (np.abs(links.array("h_sub6", "test")[:, 3]) ** 2).mean(axis=(1, 2)), rtol=1e-5)
    poor = task.primary.accumulate(registry.create("methods", "rzf").predict("pre_sr", observation), target).mean()
    best = task.primary.accumulate(registry.create("methods", "rzf").predict("pre_sr", clean), target).mean()
    assert poor < 0.8 * best


def test_predicted_channels_without_predictions_are_one_line(links: ChannelDataset) -> None:
    with pytest.raises(RequestError, match=r"predictions of sparse at 10 dB \(channelbench run --suite phy-csi"):
        seen(links, "pre_sr", csi="predicted:sparse")


def test_planes_are_read_in_pieces(links: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import channelbench.store.dataset as module

    monkeypatch.setattr(module, "PIECE_BYTES", 1)
    fresh = module.open_dataset(links.path)
    view = fresh.view("test")
    np.testing.assert_array_equal(plane(view, "sub6", 2, (1, 4)), links.array("h_sub6", "test")[:, 2, [1, 4]])
    assert len(list(view.pieces("h_sub6", 0))) == -(-64 // fresh.group["h_sub6"].chunks[0])


# --- detection --------------------------------------------------------------------------------------------------------


def test_receptions_are_channels_times_symbols_and_noise(links: ChannelDataset) -> None:
    observation, target, _ = seen(links, "det", snr_db=7.0)
    h, x = observation.h.astype(complex), target.value.astype(complex)
    noise = observation.y - x @ h.swapaxes(1, 2)
    snr = (np.abs(h) ** 2).sum(axis=(1, 2)) / 8 / observation.noise_var
    np.testing.assert_allclose(10 * np.log10(snr), 7, atol=1e-4)
    measured = (np.abs(noise) ** 2).mean(axis=(1, 2)) / observation.noise_var
    assert abs(measured.mean() - 1) < 4 / np.sqrt(noise.size)


def test_symbols_are_of_the_constellation_and_equally_often(links: ChannelDataset) -> None:
    split = TaskSplit(registry.create("tasks", "det"), links.view("train"))
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


def test_an_answer_of_estimates_alone_is_decided_and_has_llrs(links: ChannelDataset) -> None:
    observation, target, task = seen(links, "det")
    form = task.check(target.value, observation, target)
    found = detected(form)
    np.testing.assert_array_equal(found.decisions, target.context["symbols"])
    np.testing.assert_array_equal(found.llrs > 0, target.context["bits"].astype(bool))
    scores = {m.card.name: m.finalize(m.accumulate(form, target).mean(axis=0)) for m in task.metrics}
    assert scores["ser"] == scores["uncoded_ber"] == 0
    assert scores["symbol_nmse"] < 1e-12
    assert scores["bit_mutual_information"] > 0.999


def test_the_same_decisions_are_not_the_same_answer(links: ChannelDataset) -> None:
    """Estimates and likelihood ratios are scored as well."""
    observation, target, task = seen(links, "det")
    decisions = target.context["symbols"]
    exact, near = (
        task.check(DetectionAnswer(x=target.value * scale, decisions=decisions), observation, target)
        for scale in (1, 0.99)
    )
    np.testing.assert_array_equal(exact[..., 2], near[..., 2])
    assert task.same_answers(exact, exact.copy()).all()
    assert not task.same_answers(exact, near).any()


def test_answers_state_error_decisions_and_llrs(links: ChannelDataset) -> None:
    observation, target, task = seen(links, "det")
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


def test_no_detector_is_better_than_the_posterior(links: ChannelDataset) -> None:
    """Symbol by symbol over 1,024 receptions of two users, beyond three standard errors of the paired difference."""
    observation, target, task = seen(links, "det", users=2, snr_db=8.0)
    best = task.ceiling(target)
    wrong = best[..., 2] != target.context["symbols"]
    for name in ("lmmse_detector", "zf_detector", "ml_detector", "random_symbols"):
        form = task.check(registry.create("methods", name).predict("det", observation), observation, target)
        excess = (form[..., 2] != target.context["symbols"]).astype(float) - wrong
        assert excess.mean() > -3 * excess.std() / np.sqrt(excess.size)
        gap = task.metrics[1].accumulate(form, target) - task.metrics[1].accumulate(best, target)
        assert gap.mean() > -3 * gap.std() / np.sqrt(len(gap))


def test_the_bound_of_many_users_is_each_alone(links: ChannelDataset) -> None:
    observation, target, task = seen(links, "det", users=8, snr_db=10.0)
    best = detected(task.ceiling(target))
    h, x = observation.h.astype(complex), target.value.astype(complex)
    k = 3
    alone = observation.y - np.delete(x, k, axis=2) @ np.delete(h, k, axis=2).swapaxes(1, 2)
    found = lmmse(h[:, :, k : k + 1], alone, observation.noise_var)
    nearest = np.abs(found.unbiased[..., 0][..., None] - constellation_named("16qam").points).argmin(axis=-1)
    np.testing.assert_array_equal(best.decisions[..., k], nearest)


@pytest.mark.parametrize(("snr_db", "primary"), [(10.0, "ser"), (40.0, "symbol_nmse")])
def test_few_errors_make_the_nmse_of_symbols_primary(links: ChannelDataset, snr_db: float, primary: str) -> None:
    task = registry.create("tasks", "det")
    conditions = task.default_conditions(links.spec).model_copy(update={"snr_db": snr_db})
    assert task.primary_for(links.view("test"), conditions).card.name == primary


def test_the_least_error_rate_is_half_a_symbol(links: ChannelDataset) -> None:
    observation, target, task = seen(links, "det")
    terms = task.primary.accumulate(task.check(target.value, observation, target), target)
    assert task.primary.least(terms) == 0.5 / (16 * 8 * 4)


@pytest.mark.parametrize("name", [*PRECODING, *DETECTION])
def test_channels_of_zero_and_equal_users_give_answers(links: ChannelDataset, name: str) -> None:
    """Two users in the same place, and one, or all, of whom nothing is heard."""
    observation, target, task = seen(links, name)
    observation.h[:, :, 1] = observation.h[:, :, 0]
    for rest in (False, True):
        for method in registry.names("methods"):
            found = registry.find("methods", method)
            if found.covers(task) and not found.learned:
                form = task.check(found().predict(name, observation), observation, target)
                for metric in task.metrics:
                    assert np.isfinite(metric.accumulate(form, target)).all(), (method, metric.card.name, rest)
        observation.h[:] = 0
        if name != "det":
            target.context["h"][:] = 0
