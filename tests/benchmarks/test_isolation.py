"""What a third party's method can do to others: cost its own cells, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from channelbench.benchmarks.runner import run
from channelbench.errors import RequestError
from channelbench.results import read_cells

HARMFUL = '''
import os
import sys

import numpy as np

from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.metrics.channel import NMSE
from channelbench.tasks.link.observations import LaterSlotsObservation


class Zeros(Method):
    """Answers nothing, and says in which process."""

    card = Card(name="zeros", description="Answers zero.", reference="none", family="small")
    observes = (LaterSlotsObservation,)
    learned = True  # those that learn come first

    def predict(self, task, observation):
        grid = observation.grid
        return np.zeros((len(observation), len(grid.target_slot_s), len(grid.target_subcarrier_hz), 8), np.complex64)

    def costs(self, task):
        return {"trainable_parameters": 0, "total_parameters": 0, "process": float(os.getpid())}


class Poisons(Zeros):
    """Leaves other functions behind than it found."""

    card = Zeros.card.model_copy(update={"name": "poisons"})

    def fit(self, data, context):
        NMSE.accumulate = lambda self, prediction, target: np.zeros((len(target.value), 1))
        np.linalg.solve = np.linalg.eigh = np.einsum = None


class Nothing(Zeros):
    card = Zeros.card.model_copy(update={"name": "nothing"})


class Quits(Zeros):
    card = Zeros.card.model_copy(update={"name": "quits"})

    @classmethod
    def check(cls, context):
        sys.exit("no more")


class Raises(Zeros):
    card = Zeros.card.model_copy(update={"name": "raises"})

    @classmethod
    def check(cls, context):
        raise ValueError("no such weights")


class Ceiling(Zeros):
    card = Zeros.card.model_copy(update={"name": "ceiling"})


class Bundle(Zeros):
    card = Zeros.card.model_copy(update={"name": "bundle"})


class Blind(Zeros):
    card = Zeros.card.model_copy(update={"name": "blind"})
    observes = "channels"


class Empty(Zeros):
    card = Zeros.card.model_copy(update={"name": "empty"})
    observes = ()


class Undecided(Zeros):
    card = Zeros.card.model_copy(update={"name": "undecided"})

    @classmethod
    def covers(cls, task):
        raise SystemExit(task.card.name)


class Disorderly(Zeros):
    card = Zeros.card.model_copy(update={"name": "disorderly"})

    @classmethod
    def order(cls, task):
        raise KeyError(task.card.name)
'''


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two packages of different people, which workers find."""
    folder = tmp_path_factory.mktemp("plugins")
    for name in ("harmful", "harmless"):
        (folder / f"{name}.py").write_text(HARMFUL)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    shutil.rmtree(folder)


def scores(folder: Path) -> dict[str, dict[str, float]]:
    return {r.name: {name: s.value for name, s in r.scores.items()} for r in read_cells(folder) if r.method == "wiener"}


@pytest.mark.usefixtures("plugins")
def test_what_a_method_leaves_behind_meets_nobody_else(data: Path, tmp_path: Path) -> None:
    others = ["harmful:Poisons", "harmful:Quits", "harmful:Raises", "harmless:Zeros", "harmless:Nothing"]
    arguments = {"data": data, "tasks": ["cp"], "seeds": 1}
    run("full", out=tmp_path / "alone", methods=["wiener"], **arguments)
    outcome = run("full", out=tmp_path / "beside", methods=[*others, "wiener"], **arguments)
    assert scores(tmp_path / "beside") == scores(tmp_path / "alone") != {}
    assert {result.method: result.error for result in outcome.failed} == {
        "poisons": "TypeError: 'NoneType' object is not callable",
        "quits": "SystemExit: no more",
        "raises": "ValueError: no such weights",
    }
    processes = {result.method: result.costs["process"] for result in outcome.written if "process" in result.costs}
    assert len(set(processes.values())) == 1, "one party has one process"


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Ceiling", "card.name: expected a name that is not the protocol's own, got 'harmful:Ceiling (ceiling)'"),
        ("Bundle", "card.name: expected a name that is not the protocol's own, got 'harmful:Bundle (bundle)'"),
        ("Blind", "observes: expected types of observations, got \"harmful:Blind ('channels')\""),
        ("Empty", "observes: expected types of observations, got 'harmful:Empty (())'"),
        ("Undecided", "method: expected a class that says which tasks it covers, got 'harmful:Undecided (SystemExit: "),
        ("Disorderly", 'method: expected a class that says which tasks it covers, got "harmful:Disorderly (KeyError: '),
    ],
)
def test_classes_that_would_harm_a_run_are_refused_in_one_line(
    data: Path, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        run("full", data=data, out=tmp_path / "results", methods=[f"harmful:{name}"], tasks=["cp"])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()
