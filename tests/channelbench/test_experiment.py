"""Plans: which stages fit together, and where fits come from."""

import pytest

from channelbench.card import Card
from channelbench.errors import RequestError
from channelbench.experiment import DATA, Experiment, ExperimentSpec, Plan, PlannedDataset, Stage
from channelbench.suite import Suite
from channelbench.testing import small_spec

OTHER = {"b": PlannedDataset(spec=small_spec()), "c": PlannedDataset(spec=small_spec(), seed=9)}


def test_origins_and_trainings_follow_the_stages() -> None:
    """A chain over three datasets, each fit going on from the one before, looked back at on the first."""
    first = Stage()
    second = Stage(folder="b", train="b", test="b", start="", share=0.5)
    third = Stage(folder="c", train="c", test="c", start="b")
    back = Stage(folder="c-back", fits="c")
    alone = Stage(folder="alone/c", train="c", test="b")
    plan = Plan(stages=(first, second, third, back, alone), datasets=OTHER)
    assert [plan.training(stage) for stage in plan.stages] == [first, second, third, third, alone]
    assert [plan.origin(stage) for stage in plan.stages] == [DATA, DATA, DATA, DATA, "c"]


@pytest.mark.parametrize(
    ("stages", "fragment"),
    [
        ((), "a first stage in the run's own folder, '', got 'no stage'"),
        ((Stage(folder="a"),), "a first stage in the run's own folder, '', got 'a'"),
        ((Stage(), Stage()), "stage '': expected a folder that is in no other stage's"),
        ((Stage(), Stage(folder="a"), Stage(folder="a/b")), "stage 'a/b': expected a folder that is in no other"),
        ((Stage(), Stage(folder="a/cells")), "not cells or checkpoints, got 'a/cells'"),
        ((Stage(), Stage(folder="../up")), "expected folders like rma/zero-shot"),
        ((Stage(), Stage(folder="/abs")), "expected folders like rma/zero-shot"),
        ((Stage(train="d"),), "a dataset of the plan, got 'd'; choices: data, b, c"),
        ((Stage(test="d"),), "a dataset of the plan, got 'd'"),
        ((Stage(share=0),), "a share above 0 and up to 1, got 0"),
        ((Stage(share=1.5),), "a share above 0 and up to 1, got 1.5"),
        ((Stage(), Stage(folder="a", start="b"), Stage(folder="b")), "an earlier stage, got 'b'; choices: ''"),
        ((Stage(fits=""),), "an earlier stage, got ''"),
        ((Stage(), Stage(folder="a", fits="", share=0.5)), "fits, or what new ones are made from"),
        ((Stage(), Stage(folder="a", fits="", start="")), "fits, or what new ones are made from"),
        ((Stage(), Stage(folder="a", fits=""), Stage(folder="b", start="a")), "a stage with fits of its own, got 'a'"),
    ],
)
def test_stages_that_do_not_fit_together_are_refused(stages: tuple[Stage, ...], fragment: str) -> None:
    with pytest.raises(RequestError) as refused:
        Plan(stages=stages, datasets=OTHER)
    assert fragment in str(refused.value)


@pytest.mark.parametrize("name", [DATA, "A", "a/b", "", "-a"])
def test_names_of_datasets_are_names_of_files(name: str) -> None:
    with pytest.raises(RequestError, match="a dataset name"):
        Plan(stages=(Stage(),), datasets={name: OTHER["b"]})


def test_parameters_are_strings_and_numbers() -> None:
    stated = ExperimentSpec(name="mine", parameters={"share": 0.1, "targets": {"a": {"scenario": "rma"}}})
    card = Card(name="one", description="A suite as text.", reference="none", family="suite")
    suite = Suite(card=card, tasks=("cp",), methods=("zero",), experiment=stated, exhibits=("mine:Table",))
    assert Suite.model_validate_json(suite.model_dump_json()) == suite
    with pytest.raises(ValueError, match="valid JSON"):
        ExperimentSpec(name="mine", parameters={"when": object()})


def test_an_experiment_without_a_plan_is_none() -> None:
    class Unfinished(Experiment):
        card = Card(name="unfinished", description="Has no plan.", reference="none", family="experiment")

    with pytest.raises(TypeError, match="plan"):
        Unfinished()  # type: ignore[abstract]
