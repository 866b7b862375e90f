"""Observations: the protocol's noise, cuts and normalisations; the same for everybody."""

import math
from pathlib import Path

import numpy as np
import pytest

from channelbench import registry
from channelbench.conditions import Conditions, condition_label
from channelbench.contracts import Task, TaskSplit
from channelbench.errors import RequestError
from channelbench.noise import noise_key, unit_noise
from channelbench.prediction import InvalidPrediction
from channelbench.results import Result
from channelbench.solvers.dft import beam_spectral_efficiency
from channelbench.spec import BandSpec
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.channel import ChannelEstimation, ChannelPrediction, Cut
from channelbench.tasks.link.conditions import CombConditions, LinkConditions, PilotConditions, SlotConditions
from channelbench.tasks.link.scalar import share_reference_power
from channelbench.testing import make_dataset, small_spec

ALL = ["ce", "cp", "pf", "bf", "de", "pe"]
EVERY = np.arange(30)


def test_unit_noise_is_circular_gaussian_of_variance_one() -> None:
    noise, uniform = unit_noise(noise_key("a"), np.arange(400), (50, 8))
    flat = noise.ravel()
    assert np.mean(np.abs(flat) ** 2) == pytest.approx(1, abs=0.01)
    assert abs(np.mean(flat**2)) < 0.01
    assert np.mean(np.abs(flat) ** 4) == pytest.approx(2, abs=0.05)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.05)


def test_unit_noise_depends_on_key_and_sample_alone() -> None:
    together, _ = unit_noise(noise_key("a"), np.arange(10), (4,))
    alone, _ = unit_noise(noise_key("a"), np.array([7, 2]), (4,))
    np.testing.assert_array_equal(alone, together[[7, 2]])
    other, _ = unit_noise(noise_key("b"), np.arange(10), (4,))
    assert not np.isclose(other, together).any()
    streams = unit_noise(noise_key("a"), np.arange(300), (64,))[0]
    correlation = np.abs(streams.conj() @ streams.T) / 64 - np.eye(300)
    assert correlation.max() < 0.75


def test_unit_noise_is_philox_advanced_to_the_sample() -> None:
    """docs/protocol.md: sample i begins at counter i·2^192 with the uniform number, then come the pairs."""
    key = noise_key("a", 1)
    noise, uniform = unit_noise(key, np.array([0, 5, 2**40]), (3, 2))
    for row, index in enumerate((0, 5, 2**40)):
        counter = np.random.Philox(key=int(key[0]) + (int(key[1]) << 64))
        stream = np.random.Generator(counter.advance(index << 192))
        assert uniform[row] == stream.random()
        pairs = stream.standard_normal((3, 2, 2), dtype=np.float32) * math.sqrt(0.5)
        np.testing.assert_allclose(noise[row], pairs[..., 0] + 1j * pairs[..., 1], rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_same_draws_for_every_batch(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    view, conditions = few_rays.view("test"), task.conditions()
    whole, target = task.observe(view, EVERY, conditions)
    for rows in (np.array([11]), np.array([29, 0, 3])):
        part, part_target = task.observe(view, rows, conditions)
        np.testing.assert_array_equal(part.h, whole.h[rows])
        np.testing.assert_array_equal(part_target.value, target.value[rows])


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "bf"])  # DE and PE are scaled by the training split's mean power
def test_same_draws_in_a_larger_dataset(few_rays: ChannelDataset, name: str, tmp_path) -> None:
    larger = make_dataset(tmp_path / "larger.zarr", small_spec(train=80, val=25, test=40))
    task = registry.create("tasks", name)
    ours, theirs = (task.observe(d.view("test"), EVERY, task.conditions())[0] for d in (few_rays, larger))
    np.testing.assert_array_equal(ours.h, theirs.h)


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "bf"])
@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_noise_has_the_stated_variance(few_rays: ChannelDataset, name: str, snr_db: float) -> None:
    task = registry.create("tasks", name)
    view = few_rays.view("test")
    observation, _ = task.observe(view, EVERY, task.conditions(snr_db=snr_db))
    clean, _ = task.observe(view, EVERY, task.conditions(snr_db=100.0))
    noise = np.mean(np.abs(observation.h - clean.h) ** 2, axis=(1, 2, 3))
    power = few_rays.sample_power("sub6", "test")
    np.testing.assert_allclose(observation.noise_var, power * 10 ** (-snr_db / 10), rtol=1e-5)
    np.testing.assert_allclose(noise, observation.noise_var, rtol=0.3)
    assert noise.sum() == pytest.approx(observation.noise_var.sum(), rel=0.05)


def test_snr_reference_set_gives_everybody_the_same_noise(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "ce")
    observation, _ = task.observe(few_rays.view("test"), EVERY, task.conditions(snr_reference="set"))
    expected = few_rays.sample_power("sub6", "train").mean() / 10
    np.testing.assert_allclose(observation.noise_var, expected, rtol=1e-6)


def test_cuts_are_those_of_the_paper(few_rays: ChannelDataset) -> None:
    h = few_rays.array("h_sub6", "test")
    cuts = {
        "ce": (h[:, :16, ::8], h[:, :16]),
        "cp": (h[:, :16], h[:, 16:]),
        "pf": (h[:, :16, :32], h[:, :16, 32:]),
    }
    for name, (seen, wanted) in cuts.items():
        task = registry.create("tasks", name)
        observation, target = task.observe(few_rays.view("test"), EVERY, task.conditions(snr_db=100.0))
        np.testing.assert_allclose(observation.h, seen, atol=1e-3)
        np.testing.assert_array_equal(target.value, wanted)
        assert observation.h.shape[1:3] == (len(observation.grid.slot_s), len(observation.grid.subcarrier_hz))
        assert wanted.shape[1:3] == (len(observation.grid.target_slot_s), len(observation.grid.target_subcarrier_hz))


def test_pilot_conditions(few_rays: ChannelDataset) -> None:
    view, ce = few_rays.view("test"), registry.create("tasks", "ce")
    dense, _ = ce.observe(view, EVERY, ce.conditions(pilot_spacing=4))
    assert dense.h.shape == (30, 16, 16, 8)
    for name, shape in (("cp", (30, 16, 8, 8)), ("bf", (30, 1, 8, 8)), ("de", (30, 1, 8, 8))):
        task = registry.create("tasks", name)
        sparse, _ = task.observe(view, EVERY, task.conditions(pilots_only=True))
        assert sparse.h.shape == shape
        denser, _ = task.observe(view, EVERY, task.conditions(pilots_only=True, pilot_spacing=4))
        assert denser.h.shape == (*shape[:2], 16, 8)


@pytest.mark.parametrize("name", ALL)
def test_grids_say_where_coefficients_lie(few_rays: ChannelDataset, name: str) -> None:
    """With a number for each, in the dataset's own coordinates."""
    task, band = registry.create("tasks", name), few_rays.spec.sub6
    conditions = [task.conditions()]
    if "pilots_only" in task.conditions.model_fields:
        conditions.append(task.conditions(pilots_only=True, pilot_spacing=5))
    for given in conditions:
        observation, _ = task.observe(few_rays.view("test"), EVERY[:2], given)
        grid, shape = observation.grid, observation.h.shape
        assert shape == (2, len(grid.slot_s), len(grid.subcarrier_hz), len(grid.antenna_position))
        assert grid.carrier_hz == band.carrier_hz
        np.testing.assert_allclose(grid.slot_s, few_rays.xarray["slot"].values[: shape[1]], rtol=1e-12)
        spacing = {"ce": 8}.get(name, 5 if given.label != "default" else 1)
        expected = few_rays.xarray["subcarrier_sub6"].values[: shape[2] * spacing : spacing]
        np.testing.assert_allclose(grid.subcarrier_hz, expected, rtol=1e-12)
        np.testing.assert_array_equal(grid.antenna_position, few_rays.xarray["antenna_position_sub6"].values)


class Middle(ChannelEstimation):
    """Slots 5 to 7 from slots 3 to 6: neither begins with the first."""

    def cut(self, band: BandSpec, conditions: CombConditions) -> Cut:
        return Cut(
            slots=slice(3, 8),
            seen_slots=slice(3, 7),
            wanted_slots=slice(5, 8),
            seen_subcarriers=np.arange(0, 64, 4),
            wanted_subcarriers=np.array([1, 60]),
        )


def test_cuts_may_begin_anywhere(few_rays: ChannelDataset) -> None:
    h, view = few_rays.array("h_sub6", "test"), few_rays.view("test")
    observation, target = Middle().observe(view, EVERY, CombConditions(snr_db=100.0))
    np.testing.assert_allclose(observation.h, h[:, 3:7, ::4], atol=1e-3)
    np.testing.assert_array_equal(target.value, h[:, 5:8][:, :, [1, 60]])
    slot_s, subcarriers = (few_rays.xarray[name].values for name in ("slot", "subcarrier_sub6"))
    np.testing.assert_allclose(observation.grid.slot_s, slot_s[3:7], rtol=1e-12)
    np.testing.assert_allclose(observation.grid.target_slot_s, slot_s[5:8], rtol=1e-12)
    np.testing.assert_allclose(observation.grid.target_subcarrier_hz, subcarriers[[1, 60]], rtol=1e-12)
    _, noisy = Middle().observe(view, EVERY, CombConditions(paper_compat=True))
    np.testing.assert_array_equal(noisy.context["h_clean"], target.value)


def test_tasks_say_which_datasets_they_can_be_cut_from() -> None:
    pf, bf = registry.create("tasks", "pf"), registry.create("tasks", "bf")
    assert [pf.supports(small_spec(sub6__num_subcarriers=number)) for number in (1, 2, 3)] == [False, True, True]
    assert bf.supports(small_spec())
    assert not bf.supports(small_spec(mmwave__array__rows=2)), "its beams are not those of one row"
    assert not bf.supports(small_spec(system="multiuser")), "it has no second band"


@pytest.mark.parametrize("name", ["ce", "cp", "pf"])
def test_paper_compat_puts_the_same_noise_on_the_target(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    conditions = task.conditions(paper_compat=True)
    observation, target = task.observe(few_rays.view("test"), EVERY, conditions)
    clean = target.context["h_clean"]
    noise = target.value - clean
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(float(observation.noise_var.mean()), rel=0.05)
    if name == "ce":  # observation and target overlap in the pilots: one noisy sample, cut twice
        np.testing.assert_array_equal(target.value[:, :, ::8], observation.h)
    floor = task.primary.finalize(task.primary.accumulate(task.ceiling(target), target).mean(axis=0))
    assert floor == pytest.approx(1 / 11, rel=0.1)
    _, training = task.observe(few_rays.view("train"), np.arange(5), conditions, epoch=0)
    np.testing.assert_array_equal(training.value, training.context["h_clean"])


def test_training_draws_snr_and_noise_anew_each_epoch(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "ce")
    rows, view, conditions = np.arange(60), few_rays.view("train"), task.conditions()
    first, second = (task.observe(view, rows, conditions, epoch=e)[0] for e in (0, 1))
    assert not np.isclose(first.h, second.h).any()
    snr_db = 10 * np.log10(few_rays.sample_power("sub6", "train") / first.noise_var)
    assert snr_db.min() >= 5
    assert snr_db.max() <= 20
    assert np.ptp(snr_db) > 10
    again, _ = task.observe(view, rows, conditions, epoch=0)
    np.testing.assert_array_equal(first.h, again.h)


def test_tasks_do_not_share_noise(few_rays: ChannelDataset) -> None:
    noises = []
    for name, changes in (("ce", {"pilot_spacing": 1}), ("pf", {})):
        task = registry.create("tasks", name)
        noisy, _ = task.observe(few_rays.view("test"), EVERY, task.conditions(**changes))
        noises.append(noisy.h[:, :, :32] - few_rays.array("h_sub6", "test")[:, :16, :32])
    assert abs(np.vdot(*noises)) / np.linalg.norm(noises[0]) / np.linalg.norm(noises[1]) < 0.01


def test_beam_target_is_the_best_by_exhaustive_search(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "bf")
    _, target = task.observe(few_rays.view("test"), np.arange(4), task.conditions())
    h = few_rays.array("h_mmwave", "test")[:4].astype(complex)
    for i in range(4):
        rates = []
        for k in range(256):
            beam = np.exp(2j * np.pi * k * np.arange(64) / 256) / 8
            per_subcarrier = [
                np.log2(1 + abs(h[i, 0, f].conj() @ beam) ** 2 / (np.sum(np.abs(h[i, 0, f]) ** 2) / 64 / 10))
                for f in range(64)
            ]
            rates.append(np.mean(per_subcarrier))
        assert target.value[i] == np.argmax(rates)
        np.testing.assert_allclose(target.context["beam_se"][i], rates, rtol=1e-3)
    np.testing.assert_allclose(
        beam_spectral_efficiency(h.astype(np.complex64), 256), target.context["beam_se"], rtol=1e-6
    )


def test_received_power_carries_the_path_gain(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "de")
    observation, target = task.observe(few_rays.view("test"), EVERY, task.conditions())
    gain_db = few_rays.array("path_gain_db_sub6", "test")
    offset = observation.power_db - gain_db
    assert offset.std() < 3  # what fading and noise leave
    np.testing.assert_array_equal(target.value, few_rays.array("distance_m", "test"))
    train, _ = task.observe(few_rays.view("train"), np.arange(60), task.conditions(snr_db=100.0))
    assert np.mean(10 ** (train.power_db / 10)) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("name", ["de", "pe"])
@pytest.mark.parametrize("shared", [False, True])
def test_noise_of_received_channels_by_hand(few_rays: ChannelDataset, name: str, shared: bool, tmp_path: Path) -> None:
    """Path gains over the mean received power of the training split, or of the one that a receiver was calibrated on;
    and the noise is relative to what is received."""
    source, dataset = few_rays, few_rays
    if shared:
        dataset = make_dataset(tmp_path / "far.zarr", small_spec(min_distance_m=600.0, max_distance_m=900.0))
        share_reference_power(source, dataset)

    def received(given: ChannelDataset, split: str) -> np.ndarray:
        power = (np.abs(given.array("h_sub6", split).astype(complex)) ** 2).mean(axis=(1, 2, 3))
        return power * 10 ** (given.array("path_gain_db_sub6", split).astype(float) / 10)

    reference = received(source, "train").mean()
    task, view = registry.create("tasks", name), dataset.view("test")
    gain = 10 ** (dataset.array("path_gain_db_sub6", "test").astype(float) / 10)
    quiet, _ = task.observe(view, EVERY, task.conditions(snr_db=100.0))
    amplitude = np.sqrt(gain / reference)[:, None, None, None]
    np.testing.assert_allclose(quiet.h / amplitude, dataset.array("h_sub6", "test")[:, :1], atol=1e-3)
    for conditions, power in (
        (task.conditions(snr_db=3.0), received(dataset, "test") / reference),
        (task.conditions(snr_db=3.0, snr_reference="set"), np.full(30, received(dataset, "train").mean() / reference)),
    ):
        noisy, _ = task.observe(view, EVERY, conditions)
        np.testing.assert_allclose(noisy.noise_var, power * 10**-0.3, rtol=1e-5)
        noise = np.abs(noisy.h - quiet.h) ** 2
        assert (noise.mean(axis=(1, 2, 3)) / noisy.noise_var).mean() == pytest.approx(1, abs=0.02)


def test_constants_of_the_training_split(few_rays: ChannelDataset) -> None:
    for name, values in (
        ("de", few_rays.array("distance_m", "train")),
        ("pe", -few_rays.array("main_path_gain_db_sub6", "train")),
    ):
        task = registry.create("tasks", name)
        _, target = task.observe(few_rays.view("test"), EVERY, task.conditions())
        wanted = {"train_mean": math.fsum(values.tolist()) / 60, "train_span": float(max(values) - min(values))}
        assert target.constants == pytest.approx(wanted, rel=1e-6)


def test_path_loss_target_is_that_of_the_main_path(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "pe")
    _, target = task.observe(few_rays.view("test"), EVERY, task.conditions())
    np.testing.assert_array_equal(target.value, -few_rays.array("main_path_gain_db_sub6", "test"))


# --- what counts as an answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_answers_of_the_right_shape_and_kind_are_taken_as_they_are(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    observation, target = task.observe(few_rays.view("test"), np.arange(6), task.conditions())
    right = np.array(task.ceiling(target))
    assert task.check(right, observation, target) is right
    np.testing.assert_array_equal(task.check(right.tolist(), observation, target), right.astype(right.dtype))
    whole = np.ones(right.shape, np.int64)
    assert task.check(whole, observation, target) is whole
    if not np.iscomplexobj(right):
        with pytest.raises(InvalidPrediction, match="dtype complex64, expected numbers"):
            task.check(right.astype(np.complex64), observation, target)


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_answer_is_refused(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    observation, target = task.observe(few_rays.view("test"), np.arange(6), task.conditions())
    right = np.array(task.ceiling(target))
    bad = [np.nan, np.inf, -np.inf]
    if np.iscomplexobj(right):
        bad += [complex(0, np.nan), complex(1, np.inf), complex(-np.inf, 2), complex(np.nan, np.inf)]
    for number in bad:
        broken = right.copy()
        broken.reshape(6, -1)[[1, 4], -1] = number
        with pytest.raises(InvalidPrediction, match="prediction is NaN or infinite for 2 of 6 samples"):
            task.check(broken, observation, target)
    for mask in (np.zeros(right.shape, bool), np.ones(right.shape, bool)):
        with pytest.raises(InvalidPrediction, match="masked array"):
            task.check(np.ma.masked_array(right, mask), observation, target)
    for words in (np.full(right.shape, "1"), np.full(right.shape, None), np.ones(right.shape, bool)):
        with pytest.raises(InvalidPrediction, match=r"has dtype .*, expected numbers"):
            task.check(words, observation, target)
    for shape in (right[:5], right[..., None], right[None], right.ravel()[:-1], np.float32(1.0), None):
        with pytest.raises(InvalidPrediction, match=r"has shape .*, expected \(6"):
            task.check(shape, observation, target)


# --- conditions -------------------------------------------------------------------------------------------------------

OWN: dict[str, type[LinkConditions]] = {
    "ce": CombConditions,
    "cp": SlotConditions,
    "pf": LinkConditions,
    "bf": PilotConditions,
    "de": PilotConditions,
    "pe": PilotConditions,
}


def test_condition_labels() -> None:
    assert LinkConditions().label == Conditions().label == "default"
    assert LinkConditions(snr_db=0, paper_compat=True).label == "snr_db=0,paper_compat=true"
    assert LinkConditions(paper_compat=True, snr_db=0).label == "snr_db=0,paper_compat=true", "whatever the order"
    assert LinkConditions(snr_db=10, snr_reference="sample").label == "default", "what is said and not changed"
    assert LinkConditions(snr_db=-2.5, snr_reference="set").label == "snr_db=-2.5,snr_reference=set"
    assert CombConditions(pilot_spacing=4).label == "pilot_spacing=4"
    assert SlotConditions(pilots_only=True, observed_slots=8).label == "pilots_only=true,observed_slots=8"
    assert condition_label({}) == "default"


@pytest.mark.parametrize("name", ALL)
def test_own_conditions_of_a_link(name: str) -> None:
    """10 dB of each sample's own power and clean targets, on all systems of one user."""
    task = registry.create("tasks", name)
    assert task.conditions is OWN[name]
    conditions = task.default_conditions(small_spec())
    assert conditions == task.conditions()
    assert (conditions.snr_db, conditions.snr_reference, conditions.paper_compat) == (10.0, "sample", False)
    assert conditions.effective_snr_reference == "sample"
    assert task.conditions(paper_compat=True).effective_snr_reference == "set"
    if name != "pf":
        assert conditions.pilot_spacing == 8
    if name not in ("ce", "pf"):
        assert conditions.pilots_only is False
    many = task.default_conditions(small_spec(system="multiuser"))
    assert many.snr_db == 20.0
    assert many.label == "snr_db=20"
    assert many.changes() == {"snr_db": 20.0}


def test_changes_and_what_a_fit_sees_of_them() -> None:
    given = SlotConditions(snr_db=0, paper_compat=True, pilots_only=True, predicted_slots=2)
    assert given.changes() == {"snr_db": 0.0, "paper_compat": True, "pilots_only": True, "predicted_slots": 2}
    assert list(given.changes()) == ["snr_db", "paper_compat", "pilots_only", "predicted_slots"]
    assert given.of_fit() == {"pilots_only": True, "predicted_slots": 2}
    assert SlotConditions.of(given.changes()) == given
    assert SlotConditions(snr_db=0, snr_reference="set", paper_compat=True).of_fit() == {}
    assert CombConditions(snr_db=0, pilot_spacing=4).of_fit() == {"pilot_spacing": 4}
    assert SlotConditions.has(["observed_slots", "pilots_only"])
    assert not PilotConditions.has(["pilots_only", "observed_slots"])
    assert LinkConditions.has([])


def test_conditions_are_read_from_text() -> None:
    texts = {"snr_db": "-5", "snr_reference": "set", "paper_compat": "true", "pilots_only": "no", "observed_slots": "3"}
    assert SlotConditions.of(texts) == SlotConditions(
        snr_db=-5.0, snr_reference="set", paper_compat=True, observed_slots=3
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"snr": 3}, "snr: expected a known field, got 'snr'; choices: paper_compat, snr_db, snr_reference"),
        ({"snr_db": "loud"}, "snr_db: expected a valid number, unable to parse string as a number, got 'loud'"),
        ({"snr_db": 101}, "snr_db: expected less than or equal to 100, got 101"),
        ({"snr_db": float("nan")}, "snr_db: expected"),
        ({"snr_reference": "all"}, "snr_reference: expected one of the choices, got 'all'; choices: sample, set"),
        ({"paper_compat": "perhaps"}, "paper_compat: expected a valid boolean"),
    ],
)
def test_wrong_conditions_are_explained(values: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        LinkConditions.of(values)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_cells_of_earlier_versions_keep_their_label() -> None:
    """They list all five fields that every task then had."""
    old = {
        "snr_db": 10.0,
        "snr_reference": "sample",
        "paper_compat": False,
        "pilot_spacing": 8,
        "pilots_only": False,
    }
    fields = {"method": "bi", "title": "BI", "family": "classical", "reference": "", "primary_metric": "nmse"}
    fields |= {"seed": 0, "preset": "quick", "status": "ok", "num_test": 1, "train_digest": "", "test_digest": ""}
    for changes in ({}, {"snr_db": 0.0}, {"snr_db": 20.0, "paper_compat": True}, {"pilots_only": True}):
        before = Result(task="cp", conditions={**old, **changes}, **fields)
        now = Result(task="cp", conditions=SlotConditions.of(changes).changes(), **fields)
        assert before.conditions == now.conditions == changes
        assert before.condition == now.condition == SlotConditions.of(changes).label
        assert before.name == now.name
    everything = {
        "snr_db": 0.0,
        "snr_reference": "set",
        "paper_compat": True,
        "pilot_spacing": 4,
        "pilots_only": True,
    }
    cell = Result(task="cp", conditions=everything, **fields)
    assert cell.condition == "snr_db=0,snr_reference=set,paper_compat=true,pilot_spacing=4,pilots_only=true"
    assert Result(**cell.model_dump()) == cell


def test_a_split_has_the_tasks_own_conditions_unless_told_others(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "ce")
    assert TaskSplit(task, few_rays.view("train")).conditions == task.conditions()
    dense = TaskSplit(task, few_rays.view("train"), task.conditions(pilot_spacing=4))
    assert dense.observe([0])[0].h.shape == (1, 16, 16, 8)
    assert len(dense) == 60
    assert dense.loss == "nmse"
    limited = TaskSplit(task, few_rays.view("val"), limit=7)
    assert len(limited) == len(limited.observe()[0]) == 7
    for cases in ([7], [-1], [0, 19]):
        with pytest.raises(IndexError, match="not within 7"):
            limited.observe(cases)
    for limit in (0, 21):
        with pytest.raises(RequestError, match="limit: expected from 1 to the 20 samples of val"):
            TaskSplit(task, few_rays.view("val"), limit=limit)


# --- any number of slots ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[5, 8, 12, 20])
def slots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """A dataset of so many slots."""
    spec = small_spec(train=6, val=2, test=4, sub6__num_slots=request.param, sub6__num_subcarriers=8)
    return make_dataset(tmp_path_factory.mktemp("slots") / "few.zarr", spec)


def predicted(task: Task, dataset: ChannelDataset, conditions: Conditions, seen: int, wanted: int) -> None:
    """What is observed and wanted are the first ``seen`` slots and the ``wanted`` after them, and each is scored."""
    view, cases = dataset.view("test"), np.arange(4)
    h = dataset.array("h_sub6", "test")
    task.check_conditions(dataset.spec, conditions)
    observation, target = task.observe(view, cases, conditions)
    assert observation.h.shape == (4, seen, 8, 8)
    np.testing.assert_array_equal(target.value, h[:, seen : seen + wanted])
    slot_s = dataset.spec.sub6.slot_s
    np.testing.assert_allclose(observation.grid.slot_s, slot_s * np.arange(seen))
    np.testing.assert_allclose(observation.grid.target_slot_s, slot_s * np.arange(seen, seen + wanted))
    loud, _ = task.observe(view, cases, conditions.model_copy(update={"snr_db": 100.0}))
    np.testing.assert_allclose(loud.h, h[:, :seen], atol=1e-3)

    names = [metric.card.name for metric in task.metrics_for(dataset.spec, conditions)]
    each = [f"nmse_slot_{number}" for number in range(1, wanted + 1)]
    assert [name for name in names if name.startswith("nmse_slot_")] == each
    assert names[0] == task.primary.card.name == "nmse"
    assert {"nmse_db", "nmse_pooled", "se", "se_link"} < set(names)
    guess = np.zeros_like(target.value)
    for number, metric in enumerate(m for m in task.metrics_for(dataset.spec, conditions) if "_slot_" in m.card.name):
        half = guess.copy()
        half[:, number] = target.value[:, number] / 2
        assert metric.finalize(metric.accumulate(half, target).mean(axis=0)) == pytest.approx(0.25)
        assert metric.finalize(metric.accumulate(guess, target).mean(axis=0)) == pytest.approx(1)


def test_prediction_of_any_number_of_slots(slots: ChannelDataset) -> None:
    task, total = ChannelPrediction(), slots.spec.sub6.num_slots
    assert task.supports(slots.spec)
    default = {5: 4, 8: 6, 12: 9, 20: 16}[total]  # four fifths, rounded down
    predicted(task, slots, task.default_conditions(slots.spec), default, total - default)
    predicted(task, slots, task.conditions(observed_slots=1), 1, total - 1)
    predicted(task, slots, task.conditions(observed_slots=total - 1), total - 1, 1)
    predicted(task, slots, task.conditions(predicted_slots=1), default, 1)
    predicted(task, slots, task.conditions(observed_slots=2, predicted_slots=3), 2, 3)
    predicted(task, slots, task.conditions(observed_slots=2, predicted_slots=total - 2), 2, total - 2)


def test_the_same_noise_however_many_slots_are_observed(few_rays: ChannelDataset) -> None:
    """Noise is drawn from the first slot on: who sees fewer sees the beginning of the same."""
    task, view = ChannelPrediction(), few_rays.view("test")
    whole, _ = task.observe(view, EVERY, task.conditions())
    for changes in ({"observed_slots": 5}, {"observed_slots": 5, "predicted_slots": 2}, {"predicted_slots": 1}):
        for cases in (EVERY, np.array([3]), np.array([9, 3])):
            part, _ = task.observe(view, cases, task.conditions(**changes))
            np.testing.assert_array_equal(part.h, whole.h[cases, : part.h.shape[1]])


def test_wrong_numbers_of_slots_are_explained(slots: ChannelDataset) -> None:
    task, total = ChannelPrediction(), slots.spec.sub6.num_slots
    seen = task.observe(slots.view("test"), np.arange(1), task.conditions())[0].h.shape[1]
    wrong = [
        (
            {"observed_slots": total},
            f"observed_slots: expected fewer than the {total} slots of the dataset, got {total}",
        ),
        (
            {"predicted_slots": total},
            f"predicted_slots: expected at most the {total - seen} slots after the {seen} observed ones, got {total}",
        ),
        (
            {"observed_slots": 3, "predicted_slots": total - 2},
            f"predicted_slots: expected at most the {total - 3} slots after the 3 observed ones, got {total - 2}",
        ),
        ({"observed_slots": 10**6}, f"observed_slots: expected fewer than the {total} slots"),
    ]
    for changes, message in wrong:
        with pytest.raises(RequestError) as caught:
            task.check_conditions(slots.spec, task.conditions.of(changes))
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["observed_slots", "predicted_slots"])
@pytest.mark.parametrize("value", [0, -1, "many", 2.5])
def test_numbers_of_slots_are_positive_integers(field: str, value: object) -> None:
    with pytest.raises(RequestError, match=rf"^{field}: expected [^\n]*$"):
        SlotConditions.of({field: value})


def test_numbers_of_slots_are_fitted_anew() -> None:
    assert SlotConditions.refits == {"pilot_spacing", "pilots_only", "observed_slots", "predicted_slots"}
    assert SlotConditions(observed_slots=4, snr_db=0).of_fit() == {"observed_slots": 4}
    assert SlotConditions(observed_slots=4, predicted_slots=1).label == "observed_slots=4,predicted_slots=1"


def test_one_slot_has_none_to_come() -> None:
    task = ChannelPrediction()
    assert not task.supports(small_spec(sub6__num_slots=1))
    assert all(task.supports(small_spec(sub6__num_slots=number)) for number in (2, 3, 4))
