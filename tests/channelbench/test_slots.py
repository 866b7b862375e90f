"""Prediction from and of any number of slots."""

import numpy as np
import pytest

from channelbench.conditions import Conditions
from channelbench.contracts import Task
from channelbench.errors import RequestError
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.channel import ChannelPrediction
from channelbench.tasks.link.conditions import SlotConditions
from channelbench.testing import make_dataset, small_spec

EVERY = np.arange(30)


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
