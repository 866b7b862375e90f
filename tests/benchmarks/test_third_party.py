"""Somebody else's suite: experiment, exhibit and a method with artefacts in one file, named by path or installed."""

import importlib
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from channelbench import discovery, registry
from channelbench.benchmarks.exhibits import report, sections
from channelbench.benchmarks.runner import run
from channelbench.errors import RequestError
from channelbench.results import read_artefact, read_cells
from channelbench.store import open_dataset
from channelbench.testing import make_dataset, small_spec

FILE = '''
from pathlib import Path

import numpy as np
from pydantic import Field

from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.suite import Suite
from channelbench.exhibit import Exhibit
from channelbench.experiment import Experiment, ExperimentSpec, Plan, PlannedDataset, Stage
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.results import read_artefact, read_cells
from channelbench.tasks.link.observations import LaterSlotsObservation, ScalarObservation


class PartThenAll(Experiment):
    card = Card(name="part-then-all", description="Part, then all.", reference="none", family="experiment")
    first: float = Field(0.5, gt=0, lt=1)

    def plan(self, spec, seed):
        return Plan(
            stages=(
                Stage(share=self.first, setting=f"first {self.first:g}"),
                Stage(folder="all", start="", setting=f"all after {self.first:g}"),
            )
        )


class Elsewhere(Experiment):
    """Fits of its own on another draw, and these back on the run's data; the latter looked at on a third draw."""

    card = Card(name="elsewhere", description="From scratch on other draws.", reference="none", family="experiment")

    def plan(self, spec, seed):
        other = PlannedDataset(spec=spec.replace({"max_distance_m": 60.0}), seed=seed + 1)
        third = PlannedDataset(spec=spec, seed=seed + 2)
        return Plan(
            stages=(
                Stage(),
                Stage(folder="scratch", train="other", test="other", setting="from scratch"),
                Stage(folder="across", train="other", test="third", setting="across"),
                Stage(folder="back", fits="scratch", setting="back"),
            ),
            datasets={"other": other, "third": third},
        )


class Counts(Method):
    """Keeps a note of what it was fitted on, and from where."""

    card = Card(name="counts", description="Notes its fits.", reference="none", family="small")
    observes = (LaterSlotsObservation, ScalarObservation)
    learned = True

    def fit(self, data, context):
        ((_, (train, val)),) = data.items()
        before = 0 if context.start is None else int((context.start / "note").read_text())
        note = context.workdir / "note"
        if not note.exists():
            context.workdir.mkdir(parents=True)
            note.write_text(str(len(train) + 1000 * before))
        self.note = int(note.read_text())
        seen, _ = train.observe(np.arange(2))
        self.level = float(np.abs(seen.h).mean())

    def predict(self, task, observation):
        if task == "pe":
            return (np.abs(observation.h).mean(axis=(1, 2, 3)) + self.level).astype(np.float32)
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)

    def artefacts(self, task):
        return {"note": {"samples": np.array([self.note]), "task": np.array(task)}}


class Objects(Counts):
    card = Counts.card.model_copy(update={"name": "objects"})

    def artefacts(self, task):
        return {"note": {"samples": np.array([object()])}}


class Misnamed(Counts):
    card = Counts.card.model_copy(update={"name": "misnamed"})

    def artefacts(self, task):
        return {"../note": {}}


class Notes(Exhibit):
    card = Card(name="notes", description="How many samples each fit saw.", reference="none", family="exhibit")

    def sections(self, run):
        rows = []
        for folder in (run.folder, run.folder / "all"):
            for result in read_cells(folder):
                if "note" in result.artefacts:
                    count = int(read_artefact(folder, result, "note")["samples"][0])
                    rows.append(SectionRow(title=folder.name, cells=(SectionCell(text=str(count), value=count),)))
        columns = (SectionColumn(label="Samples"),)
        return [Section(name="notes", title="Samples seen", text="By stage.", columns=columns,
                        groups=(SectionGroup(rows=tuple(rows)),), csv="samples\\n")]


class Broken(Exhibit):
    card = Card(name="broken", description="Cannot be shown.", reference="none", family="exhibit")

    def sections(self, run):
        raise ZeroDivisionError("on purpose")


SUITE = Suite(
    card=Card(name="curriculum", description="Part of the data, then all.", reference="none", family="suite"),
    tasks=("cp",),
    methods=("third_file:Counts",),
    conditions=({},),
    experiment=ExperimentSpec(name="third_file:PartThenAll", parameters={"first": 0.25}),
    exhibits=("third_file:Notes", "third_file:Broken", "no_such_module:Table", "nobody"),
)

ELSEWHERE = SUITE.model_copy(update={
    "tasks": ("pe",),
    "experiment": ExperimentSpec(name="third_file:Elsewhere"),
    "exhibits": (),
})
'''


@pytest.fixture(autouse=True)
def third_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file on the Python path, as in a user's own folder."""
    (tmp_path / "third_file.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "third_file", raising=False)
    return importlib.import_module("third_file")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "few.zarr", small_spec(sub6__num_subcarriers=8), seed=3)
    return tmp_path / "few.zarr"


def notes(folder: Path) -> dict[str, int]:
    return {
        result.method: int(read_artefact(folder, result, "note")["samples"][0])
        for result in read_cells(folder)
        if result.artefacts
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_a_suite_by_path_brings_its_experiment_and_exhibits(data: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "results"
    outcome = run("third_file:SUITE", data=data, out=out, workers=workers)
    assert list(outcome.stages) == ["all"]
    assert not outcome.failed
    assert notes(out) == {"counts": 15}, "a quarter of 60"
    assert notes(out / "all") == {"counts": 60 + 1000 * 15}, "all of them, from there on"
    _, page = report(out)
    (shown,) = (part for part in sections(out) if part.name == "notes")
    assert [cell.text for group in shown.groups for row in group.rows for cell in row.cells] == ["15", "15060"]
    assert (out / "notes.csv").exists()
    text = page.read_text()
    assert "Samples seen" in text
    lines = [part.text for part in sections(out) if part.name.startswith("missing-")]
    assert len(lines) == 3
    assert lines[0] == "Not shown: ZeroDivisionError: on purpose"
    assert "no_such_module:Table" in lines[1]
    assert "expected a known exhibit, got 'nobody'" in lines[2]


def test_other_parameters_are_another_run(data: Path, tmp_path: Path, third_file: ModuleType) -> None:
    run("third_file:SUITE", data=data, out=tmp_path / "results")
    stated = third_file.SUITE.experiment.model_copy(update={"parameters": {"first": 0.5}})
    third_file.SUITE = third_file.SUITE.model_copy(update={"experiment": stated})
    with pytest.raises(RequestError, match=r"setting: first 0\.25 → first 0\.5"):
        run("third_file:SUITE", data=data, out=tmp_path / "results")
    stated = stated.model_copy(update={"parameters": {"first": "half"}})
    third_file.SUITE = third_file.SUITE.model_copy(update={"experiment": stated})
    with pytest.raises(RequestError, match="experiment third_file:PartThenAll, first: expected a valid number"):
        run("third_file:SUITE", data=data, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_installed_experiments_and_exhibits_are_listed_and_found(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, third_file: ModuleType
) -> None:
    found = {"experiments": "PartThenAll", "exhibits": "Notes", "suites": "SUITE"}
    entries = [EntryPoint(kind, f"third_file:{name}", f"channelbench.{kind}") for kind, name in found.items()]
    monkeypatch.setattr(discovery, "entry_points", lambda group: [e for e in entries if e.group == group])
    registry.refresh()
    third_file.SUITE = third_file.SUITE.model_copy(
        update={"experiment": third_file.ExperimentSpec(name="part-then-all"), "exhibits": ("notes",)}
    )
    try:
        assert "part-then-all" in registry.names("experiments")
        assert "notes" in registry.names("exhibits")
        run("curriculum", data=data, out=tmp_path / "results")
        assert [part.name for part in sections(tmp_path / "results")] == ["notes"]
    finally:
        registry.refresh()
    assert notes(tmp_path / "results" / "all") == {"counts": 60 + 1000 * 30}


def test_a_plan_may_have_fits_of_its_own_on_other_datasets(data: Path, tmp_path: Path) -> None:
    """Datasets that some stages share are made once, and are on one scale of power wherever a job runs."""
    outs = [tmp_path / "one", tmp_path / "two"]
    for out, workers in zip(outs, (1, 2), strict=True):
        outcome = run("third_file:ELSEWHERE", data=data, out=out, workers=workers)
        assert not [r.error for part in (outcome, *outcome.stages.values()) for r in part.failed]
    own, other, third = (open_dataset(tmp_path / f"few{name}.zarr") for name in ("", "-other", "-third"))
    assert (own.seed, other.seed, third.seed) == (3, 4, 5)
    assert other.spec.max_distance_m == 60
    for folder, train, test in (("scratch", other, other), ("across", other, third), ("back", other, own)):
        cells = [{r.name: r for r in read_cells(out / folder)} for out in outs]
        assert {name: r.scores for name, r in cells[0].items()} == {name: r.scores for name, r in cells[1].items()}
        counts = cells[0]["counts__pe__default__seed0"]
        assert counts.train_digest == train.split_digest("train")
        assert counts.test_digest == test.split_digest("test")
        assert ("fit_s" in counts.costs) == (folder != "back")


def test_artefacts_come_back_as_they_were_given(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    run("full", data=data, out=out, methods=["third_file:Counts", "hold"], tasks=["cp"], conditions=[{}])
    cells = {result.method: result for result in read_cells(out)}
    assert cells["counts"].artefacts == ("note",)
    assert cells["hold"].artefacts == ()
    found = read_artefact(out, cells["counts"], "note")
    assert (found["samples"].tolist(), found["task"].item()) == ([60], "cp")
    with pytest.raises(KeyError, match="has no artefact 'note'; it has none"):
        read_artefact(out, cells["hold"], "note")
    path = out / "cells" / f"{cells['counts'].name}.note.npz"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"note\.npz cannot be read"):
        read_artefact(out, cells["counts"], "note")
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        read_artefact(out, cells["counts"], "note")


@pytest.mark.parametrize(
    ("name", "fragment"), [("Objects", "array of objects"), ("Misnamed", "an artefact is called '../note'")]
)
def test_artefacts_that_cannot_be_kept_cost_their_cell(data: Path, tmp_path: Path, name: str, fragment: str) -> None:
    out = tmp_path / "results"
    outcome = run("full", data=data, out=out, methods=[f"third_file:{name}"], tasks=["cp"], conditions=[{}])
    assert [fragment in result.error for result in outcome.failed] == [True]
    assert not list(out.rglob("*note*.npz"))
    assert np.isfinite(next(r for r in read_cells(out) if r.method == "hold").scores["nmse"].value)
