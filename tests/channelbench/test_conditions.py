"""Conditions of tasks: their labels, their text, what a fit sees of them."""

import pytest

from channelbench import registry
from channelbench.conditions import Conditions, condition_label
from channelbench.contracts import TaskSplit
from channelbench.errors import RequestError
from channelbench.results import Result
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.conditions import CombConditions, LinkConditions, PilotConditions, SlotConditions
from channelbench.testing import small_spec

ALL = ["ce", "cp", "pf", "bf", "de", "pe"]


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
        (
            {"snr": 3},
            "snr: expected a known field, got 'snr'; did you mean snr_db?; choices: paper_compat, snr_db",
        ),
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
