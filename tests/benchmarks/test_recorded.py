"""What users have stays: digests of datasets, noise keys and scores, held against values recorded in `recorded.json`.

The values were written by the version before the contracts were rebuilt. `python tests/benchmarks/test_recorded.py`
writes them anew, which is right only where a change of bytes or scores is meant and announced.
"""

from __future__ import annotations

import atexit
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from channelbench import registry
from channelbench.benchmarks import scoring
from channelbench.benchmarks.suites import GROUP_ROWS, SIX_TASKS, full, llm4wm_ablation
from channelbench.cli import app
from channelbench.conditions import DEFAULT, condition_label
from channelbench.contracts import FitContext, TaskSplit
from channelbench.generation import generate, make_spec
from channelbench.results import Result, cell_name
from channelbench.spec import ScenarioSpec, SizesSpec
from channelbench.store import open_dataset
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import make_dataset

FILE = Path(__file__).with_name("recorded.json")
RESULTS = Path(__file__).parents[2] / "docs" / "results"
SIZES = {"train": 20, "val": 15, "test": 10}

DATASETS: dict[str, dict[str, Any]] = {
    "uma": {"scenario": "uma"},
    "uma, Sionna's classes": {"scenario": "uma", "engine": "sionna"},
    "uma nlos": {"scenario": "uma", "state": "nlos"},
    "uma random": {"scenario": "uma", "state": "random"},
    "uma, one band": {"scenario": "uma", "assignments": {"mmwave": None}},
    "uma, newer tables": {"scenario": "uma", "assignments": {"table_version": "19.2", "rho_z": 0.5}},
    "uma, true carrier": {"scenario": "uma", "assignments": {"uma_fc_clip": False, "sub6.carrier_hz": 2.4e9}},
    "uma, no squint": {"scenario": "uma", "assignments": {"squint": False}},
    "umi": {"scenario": "umi"},
    "umi nlos": {"scenario": "umi", "state": "nlos"},
    "rma": {"scenario": "rma"},
    "rma nlos, faster": {
        "scenario": "rma",
        "state": "nlos",
        "assignments": {"speed_min_mps": 5.0, "speed_max_mps": 30.0, "max_distance_m": 1500},
    },
    "multiuser": {"scenario": "uma", "system": "multiuser"},
    "multiuser umi los": {"scenario": "umi", "system": "multiuser", "state": "los"},
}

NEWER = ("sparse", *GROUP_ROWS)
"""Methods that came after the record."""

FORMULAS = tuple(n for n in full.methods if not registry.find("methods", n).learned and n not in NEWER)
LEARNED = tuple(
    dict.fromkeys(
        name
        for name in (*full.methods, *llm4wm_ablation.methods, "llm4wm+raw")
        if registry.find("methods", name).learned and name not in NEWER
    )
)
CONDITIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "formulas": ({}, {"paper_compat": True}, {"pilot_spacing": 4}, {"pilots_only": True}, {"snr_db": 0.0}),
    "learned": ({}, {"paper_compat": True}),
}


KERNELS = "Haswell"
"""Of OpenBLAS: the last bits of channels are those of the kernels that it chooses by the processor."""


def dataset_record(name: str, folder: Path) -> dict[str, Any]:
    """Spec, keys and digests of a dataset, made anew, with the kernels that this process has."""
    dataset = open_dataset(generate(recorded_spec(name), folder / f"{name}.zarr", seed=7, remember=False))
    return {
        "attributes": dataset.record.spec,
        "canonical": dataset.spec.canonical(),
        "identity": dataset.spec.identity(),
        "digest": dataset.digest,
        "test_digest": dataset.split_digest("test"),
    }


def recorded_spec(name: str) -> ScenarioSpec:
    return make_spec(**DATASETS[name], sizes=SizesSpec(**SIZES))


@cache
def few_rays() -> ChannelDataset:
    """The dataset that the scores were recorded on."""
    folder = Path(tempfile.mkdtemp(prefix="channelbench-recorded-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_dataset(folder / "few.zarr")


@contextmanager
def one_thread() -> Iterator[None]:
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def scores_of(method: str, conditions: tuple[dict[str, Any], ...]) -> dict[str, dict[str, float]]:
    """Every metric of a method's cells, after a few steps of training where it is learned."""
    dataset, kind = few_rays(), registry.find("methods", method)
    found: dict[str, dict[str, float]] = {}
    with one_thread():
        for wanted in conditions:
            for name in _tasks(kind):
                task = registry.create("tasks", name)
                condition = task.conditions.of(wanted if task.conditions.has(wanted) else {})
                instance = _fitted(kind, condition_label(condition.of_fit()))
                answer = scoring.answer_of(instance, name)
                scored, _ = scoring.score(task, dataset, condition, answer)
                found[cell_name(method, name, condition_label(wanted), 0)] = {
                    metric.card.name: float(metric.finalize(scored.terms[metric.card.name].mean(axis=0)))
                    for metric in task.metrics_for(dataset.spec, condition)
                }
    return found


def _tasks(kind: Any) -> list[str]:
    """Of those that there were."""
    return [name for name in registry.tasks_of(kind) if name in SIX_TASKS]


@cache
def _fitted(kind: Any, training: str) -> Any:
    dataset, instance = few_rays(), kind()
    wanted = dict(item.split("=") for item in training.split(",")) if training != DEFAULT else {}
    splits = {}
    for name in _tasks(kind):
        task = registry.create("tasks", name)
        conditions = task.conditions.of(wanted if task.conditions.has(wanted) else {})
        splits[name] = tuple(TaskSplit(task, dataset.view(part), conditions) for part in ("train", "val"))
    for group in [splits] if kind.joint else [{name: pair} for name, pair in splits.items()]:
        instance.fit(group, FitContext(preset="smoke"))
    return instance


def command_line() -> dict[str, list[str]]:
    """The options of every command."""
    group = typer.main.get_command(app)
    return {
        name: sorted(option for parameter in command.params for option in parameter.opts)
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }


def where() -> dict[str, str]:
    """One model of processor may have its widest instructions hidden from a virtual machine, so they are named too."""
    return {
        "processor": scoring.hardware("cpu").rpartition(",")[0],
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": version("torch"),
    }


@cache
def recorded() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def datasets_with_the_recorded_kernels() -> dict[str, Any]:
    """The records of all datasets, made by a process whose OpenBLAS takes them, whatever the processor."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": KERNELS}
    command = [sys.executable, __file__, "datasets"]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="session")
def made_datasets() -> dict[str, Any]:
    return datasets_with_the_recorded_kernels()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the bytes were recorded with x86 kernels")
@pytest.mark.parametrize("name", DATASETS)
def test_datasets_keep_their_bytes(name: str, made_datasets: dict[str, Any]) -> None:
    made, before = made_datasets[name], recorded()["datasets"][name]
    assert made["identity"] == before["identity"], "noise hangs on it"
    assert made == before


@pytest.mark.parametrize("name", DATASETS)
def test_specs_of_old_datasets_are_read_as_what_they_were(name: str) -> None:
    before = recorded()["datasets"][name]
    read = ScenarioSpec(**before["attributes"])
    assert read == recorded_spec(name)
    assert (read.canonical(), read.identity()) == (before["canonical"], before["identity"])


@pytest.mark.parametrize("method", FORMULAS)
def test_formulas_keep_their_scores(method: str) -> None:
    compare(scores_of(method, CONDITIONS["formulas"]), recorded()["cells"][method], rtol=1e-5)


@pytest.mark.parametrize("method", LEARNED)
def test_learned_methods_keep_their_scores(method: str) -> None:
    """To rounding on the processor and torch of the record. Elsewhere other kernels add up in another order, and a few
    steps of training carry that on: there the cells have the same names and metrics, and scores of the same size."""
    same = where() == recorded()["where"]
    compare(scores_of(method, CONDITIONS["learned"]), recorded()["cells"][method], rtol=1e-5 if same else 0.3)


def test_the_command_line_takes_what_it_took() -> None:
    now = command_line()
    for command, options in recorded()["command line"].items():
        assert set(options) <= set(now[command]), command


@pytest.mark.parametrize("folder", sorted(path.name for path in RESULTS.iterdir()))
def test_committed_cells_are_read_as_what_they_were(folder: str) -> None:
    paths = sorted(RESULTS.glob(f"{folder}/cells/*.json"))
    assert paths
    for path in paths:
        result, written = Result(**json.loads(path.read_text())), json.loads(path.read_text())
        assert result.name == path.stem
        assert {name: score.value for name, score in result.scores.items()} == {
            name: float(score["value"]) for name, score in written["scores"].items()
        }


def compare(made: dict[str, dict[str, float]], before: dict[str, dict[str, float]], *, rtol: float) -> None:
    assert set(made) == set(before)
    for cell, scores in before.items():
        assert list(made[cell]) == list(scores), cell
        np.testing.assert_allclose(list(made[cell].values()), list(scores.values()), rtol=rtol, atol=1e-9, err_msg=cell)


if __name__ == "__main__" and sys.argv[1:] == ["datasets"]:
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps({name: dataset_record(name, Path(scratch)) for name in DATASETS}))
    sys.exit(0)

if __name__ == "__main__":
    record = {
        "where": where(),
        "command line": command_line(),
        "datasets": datasets_with_the_recorded_kernels(),
        "cells": {
            name: scores_of(name, CONDITIONS[kind])
            for kind, names in (("formulas", FORMULAS), ("learned", LEARNED))
            for name in names
        },
    }
    FILE.write_text(json.dumps(record, indent=1) + "\n")
    sys.exit(0)
