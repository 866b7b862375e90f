"""Groups of users: who is in them, what is seen and wanted of them, and what their bounds bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from group_cases import seen

from channelbench import registry
from channelbench.conditions import Conditions
from channelbench.contracts import Target, TaskSplit
from channelbench.errors import RequestError
from channelbench.metrics.precoding import user_sinrs
from channelbench.prediction import InvalidPrediction
from channelbench.store import open_dataset
from channelbench.store.dataset import ChannelDataset
from channelbench.store.planes import plane, plane_power
from channelbench.tasks.multiuser.conditions import DetectionConditions, PrecodingConditions
from channelbench.tasks.multiuser.groups import draws, members, training_members
from channelbench.testing import make_dataset, small_spec

PRECODING, DETECTION = ("pre_sr", "pre_mm"), ("det",)


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grouping", ["random", "near"])
@pytest.mark.parametrize("users", [2, 5, 8])
def test_test_groups_are_disjoint_and_as_many_as_there_can_be(
    group_links: ChannelDataset, grouping: Any, users: int
) -> None:
    groups = members(group_links.view("test"), PrecodingConditions(users=users, grouping=grouping))
    assert groups.shape == (64 // users, users)
    assert len(np.unique(groups)) == groups.size
    assert 0 <= groups.min() <= groups.max() < 64


def test_near_users_are_nearer_than_random_ones(group_links: ChannelDataset) -> None:
    view, spread = group_links.view("test"), {}
    direction = view.array("strongest_aod_deg_sub6").astype(float)
    for grouping in ("random", "near"):
        groups = members(view, PrecodingConditions(users=4, grouping=grouping))
        spread[grouping] = np.ptp(direction[groups], axis=1).mean()
    assert spread["near"] < spread["random"] / 3


def test_the_first_of_a_near_group_has_its_nearest_beside_it(group_links: ChannelDataset) -> None:
    """The first group of a greedy matching, by brute force; directions that differ by a turn are the same."""
    view = group_links.view("test")
    first = members(view, PrecodingConditions(users=4, grouping="near"))[0]
    direction = view.array("strongest_aod_deg_sub6").astype(float)
    apart = np.abs(np.exp(1j * np.radians(direction - direction[first[0]])) - 1)
    assert set(first) == set(np.argsort(apart, kind="stable")[:4])


@pytest.fixture
def in_areas(group_links: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> ChannelDataset:
    """The same links, of a source that says which quadrant of its cell a user is in."""

    def areas(self: Any, position: Any) -> Any:
        return 2 * (position[:, 1] > 0) + (position[:, 0] > np.median(position[:, 0])).astype(np.int64)

    dataset = open_dataset(group_links.path)  # which remembers no groups yet
    monkeypatch.setattr(type(dataset.spec.source), "areas", areas)
    return dataset


@pytest.mark.parametrize("grouping", ["random", "near"])
def test_groups_are_of_one_area_where_there_are_areas(in_areas: ChannelDataset, grouping: Any) -> None:
    for split, groups in (
        ("test", members(in_areas.view("test"), PrecodingConditions(users=5, grouping=grouping))),
        ("train", training_members(in_areas.view("train"), PrecodingConditions(users=5, grouping=grouping))),
    ):
        view = in_areas.view(split)
        area = view.spec.source.areas(view.array("ue_position"))
        assert area is not None
        assert (area[groups] == area[groups][:, :1]).all()
        assert len(np.unique(area)) == len(np.unique(area[groups[:, 0]])) == 4
        assert all(len(set(group)) == len(group) for group in groups.tolist())
        assert len(groups) == (64 // 5 if split == "test" else view.size)
    test = in_areas.view("test")
    area = test.spec.source.areas(test.array("ue_position"))
    whole = int(sum(np.bincount(area) // 5))
    assert whole < 64 // 5  # or nobody would recur
    first = members(test, PrecodingConditions(users=5, grouping=grouping))[:whole]
    assert len(np.unique(first)) == first.size


def test_more_users_than_an_area_has(in_areas: ChannelDataset) -> None:
    view = in_areas.view("test")
    most = int(np.bincount(view.spec.source.areas(view.array("ue_position"))).max())
    assert len(members(view, PrecodingConditions(users=most))) == 64 // most
    with pytest.raises(RequestError, match=f"at most {most}, the users of an area of test"):
        members(view, PrecodingConditions(users=most + 1))


def test_users_recur_in_training_but_never_twice_in_a_group(group_links: ChannelDataset) -> None:
    groups = training_members(group_links.view("train"), PrecodingConditions())
    assert groups.shape == (60, 8)
    assert all(len(set(group)) == 8 for group in groups)
    assert np.bincount(groups.ravel(), minlength=60).min() >= 5
    assert len({tuple(sorted(group)) for group in groups}) > 45  # the nearest few are often the same


def test_groups_do_not_change_between_runs_and_do_with_the_seed(tmp_path: Any, group_links: ChannelDataset) -> None:
    again = make_dataset(tmp_path / "again.zarr", group_links.spec)
    other = make_dataset(tmp_path / "other.zarr", group_links.spec, seed=1)
    of = [members(dataset.view("test"), PrecodingConditions()) for dataset in (group_links, again, other)]
    np.testing.assert_array_equal(of[0], of[1])
    assert not np.array_equal(of[0], of[2])


def test_draws_are_uniform(group_links: ChannelDataset) -> None:
    values = draws(group_links.view("train"), "a name", np.arange(60), 500, 3)
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert ((counts - 1500) ** 2 / 1500).sum() < 43.8  # chi-square of 19 degrees, one in a thousand


def test_training_sees_all_numbers_of_users_and_powers(group_links: ChannelDataset) -> None:
    task = registry.create("tasks", "pre_sr")
    split = TaskSplit(task, group_links.view("train"))
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


def test_one_fit_is_for_all_numbers_of_users_that_training_sees(group_links: ChannelDataset) -> None:
    for changes in ({"users": 5}, {"users": 8, "grouping": "near", "power_dbw": 3.0}, {"csi": "estimated"}):
        assert PrecodingConditions(**changes).of_fit() == {}
    assert PrecodingConditions(users=2).of_fit() == {"users": 2}
    assert PrecodingConditions(users=2).train_users == (2, 8)
    assert DetectionConditions(users=12, modulation="qpsk").of_fit() == {"users": 12, "modulation": "qpsk"}


def test_by_users_gives_every_group_once_and_without_absent_users(group_links: ChannelDataset) -> None:
    for name in (*PRECODING, *DETECTION):
        observation, _ = TaskSplit(registry.create("tasks", name), group_links.view("train")).observe()
        parts = list(observation.by_users())
        assert sorted(np.concatenate([groups for groups, _ in parts])) == list(range(60))
        for groups, part in parts:
            users = observation.users[groups[0]]
            assert (part.users == users).all()
            held = part.h.shape[2] if name != "det" else part.h.shape[-1]
            assert held == users


@pytest.mark.parametrize("name", [*PRECODING, *DETECTION])
def test_more_users_than_a_split_has_are_refused(group_links: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    with pytest.raises(RequestError, match="users: expected at most the 20 samples of val, got 21"):
        task.check_conditions(group_links.spec, task.conditions(users=21))
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


def test_defaults_are_where_methods_differ(group_links: ChannelDataset) -> None:
    def default(name: str, spec: Any) -> Conditions:
        return registry.create("tasks", name).default_conditions(spec)

    multiuser = small_spec(system="multiuser", test=64)
    assert default("pre_sr", group_links.spec).changes() == {"users": 8, "power_dbw": 10.0}
    assert default("pre_mm", multiuser).changes() == {"users": 8, "grouping": "near", "power_dbw": 10.0}
    assert default("det", group_links.spec).changes() == {}
    assert default("det", multiuser).changes() == {"users": 8, "grouping": "near", "snr_db": 5.0}


def test_conditions_outside_the_training_range_say_so() -> None:
    assert "20 dBW (outside the training range)" in PrecodingConditions(power_dbw=20).sentence
    assert "outside" not in PrecodingConditions(power_dbw=-10).sentence
    assert "0 dB (outside the training range)" in DetectionConditions(snr_db=0).sentence
    assert "outside" not in DetectionConditions(snr_db=5).sentence


# --- precoding --------------------------------------------------------------------------------------------------------


def test_channels_are_those_of_the_first_slot_at_the_centre(group_links: ChannelDataset) -> None:
    observation, _, task = seen(group_links, "pre_sr")
    h = group_links.array("h_sub6", "test")
    groups = members(group_links.view("test"), task.default_conditions(group_links.spec))
    np.testing.assert_array_equal(observation.h[:, 0], h[groups, 0, 3])
    whole, _, _ = seen(group_links, "pre_sr", band="all", slot="last")
    np.testing.assert_array_equal(whole.h, h[groups, 3].swapaxes(1, 2))
    np.testing.assert_allclose(observation.power, 10.0, rtol=1e-6)
    np.testing.assert_allclose(observation.noise_var, 0.1, rtol=1e-6)


@pytest.mark.parametrize("band", ["centre", "all"])
@pytest.mark.parametrize("name", PRECODING)
def test_no_precoder_exceeds_its_ceiling(group_links: ChannelDataset, name: str, band: str) -> None:
    """Every formula and thousands of random ones; the max-min optimum within the solver's tolerance."""
    observation, target, task = seen(group_links, name, band=band)
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


def test_rates_by_brute_force(group_links: ChannelDataset) -> None:
    observation, target, task = seen(group_links, "pre_sr")
    w = registry.create("methods", "rzf").predict("pre_sr", observation)
    sinrs = user_sinrs(w, target)
    h = observation.h[:, 0].astype(complex)
    for group, k in ((0, 0), (3, 5), (7, 7)):
        heard = [abs(np.vdot(h[group, k], w[group, 0, j])) ** 2 for j in range(8)]
        wanted = heard[k] / (sum(heard) - heard[k] + 0.1)
        assert sinrs[group, 0, k] == pytest.approx(wanted, rel=1e-5)
    rates = np.log2(1 + sinrs[:, 0]).sum(axis=1)
    np.testing.assert_allclose(task.primary.accumulate(w, target)[:, 0], rates, rtol=1e-12)


def test_wideband_rates_are_means_over_subcarriers(group_links: ChannelDataset) -> None:
    observation, target, task = seen(group_links, "pre_sr", band="all")
    w = registry.create("methods", "zf").predict("pre_sr", observation)
    whole = task.primary.accumulate(w, target)[:, 0]
    each = []
    for s in range(6):
        part = Target(value=target.value, context={**target.context, "h": target.context["h"][:, s : s + 1]})
        each.append(task.primary.accumulate(w[:, s : s + 1], part)[:, 0])
    np.testing.assert_allclose(whole, np.mean(each, axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", PRECODING)
def test_too_much_power_is_refused(group_links: ChannelDataset, name: str) -> None:
    observation, target, task = seen(group_links, name)
    w = registry.create("methods", "rzf").predict(name, observation)
    task.check(w, observation, target)
    with pytest.raises(InvalidPrediction, match=r"exceed P_max, e\.g\. 12\.1 W of 10 W"):
        task.check(1.1 * w, observation, target)


def test_estimated_channels_have_noise_of_their_snr_and_are_scored_on_the_true_ones(
    group_links: ChannelDataset,
) -> None:
    observation, target, task = seen(group_links, "pre_sr", csi="estimated", csi_snr_db=10.0, band="all")
    clean, _, _ = seen(group_links, "pre_sr", slot="last", band="all")
    np.testing.assert_array_equal(target.context["h"], clean.h)
    error = np.abs(observation.h - clean.h) ** 2
    np.testing.assert_allclose((error / observation.error_var[:, None, :, None]).mean(), 1, atol=0.03)
    power = plane_power(group_links.view("test"), "sub6", 3)
    groups = members(group_links.view("test"), PrecodingConditions(users=8))
    np.testing.assert_allclose(observation.error_var, power[groups] / 10, rtol=1e-5)
    np.testing.assert_allclose(
        power, (np.abs(group_links.array("h_sub6", "test")[:, 3]) ** 2).mean(axis=(1, 2)), rtol=1e-5
    )
    poor = task.primary.accumulate(registry.create("methods", "rzf").predict("pre_sr", observation), target).mean()
    best = task.primary.accumulate(registry.create("methods", "rzf").predict("pre_sr", clean), target).mean()
    assert poor < 0.8 * best


def test_predicted_channels_without_predictions_are_one_line(group_links: ChannelDataset) -> None:
    with pytest.raises(RequestError, match=r"predictions of sparse at 10 dB \(channelbench run --suite phy-csi"):
        seen(group_links, "pre_sr", csi="predicted:sparse")


def test_planes_are_read_in_pieces(group_links: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import channelbench.store.dataset as module

    monkeypatch.setattr(module, "PIECE_BYTES", 1)
    fresh = module.open_dataset(group_links.path)
    view = fresh.view("test")
    np.testing.assert_array_equal(plane(view, "sub6", 2, (1, 4)), group_links.array("h_sub6", "test")[:, 2, [1, 4]])
    assert len(list(view.pieces("h_sub6", 0))) == -(-64 // fresh.group["h_sub6"].chunks[0])


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PRECODING, *DETECTION])
def test_channels_of_zero_and_equal_users_give_answers(group_links: ChannelDataset, name: str) -> None:
    """Two users in the same place, and one, or all, of whom nothing is heard."""
    observation, target, task = seen(group_links, name)
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
