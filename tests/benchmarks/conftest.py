"""A small dataset, synthetic results folders for the tests of exhibits, and how to look things up in what comes out."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from channelbench import registry
from channelbench.benchmarks.exhibits import sections
from channelbench.benchmarks.exhibits.paper import TASKS
from channelbench.leaderboard.sections import Section, SectionCell, SectionRow
from channelbench.results import DatasetCard, MetricScore, Result, RunManifest, split_digest, write_cell
from channelbench.testing import make_dataset, small_spec

DROPS = 40
CLEAN: dict[str, bool] = {}
NOISY = {"paper_compat": True}
PRIMARY = {"ce": "nmse", "cp": "nmse", "pf": "nmse", "bf": "top1_accuracy", "de": "mae_m", "pe": "rmse_db"}
SPAN = 400.0
FAMILIES = {"bi": "classical", "codebook": "classical", "fifs": "classical", "ceiling": "ceiling", "start": "reference"}

# The losses of Eq. 28 that synthetic methods have, task by task.
LOSSES = {"ce": 0.10, "cp": 0.20, "pf": 0.30, "bf": 0.40, "de": 0.05, "pe": 0.15}  # their mean is 0.2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a few samples on small grids."""
    path = tmp_path_factory.mktemp("data") / "few.zarr"
    make_dataset(path, small_spec(sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8))
    return path


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the module ``toy_methods``, which this process and its workers find."""
    folder = tmp_path_factory.mktemp("toys")
    shutil.copy(Path(__file__).with_name("toys.py"), folder / "toy_methods.py")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("toy_methods", None)


def scores_of(task: str, loss: float) -> dict[str, float]:
    """All metrics of a task that the exhibits read, of a method whose term of Eq. 28 is ``loss``."""
    if task in ("ce", "cp", "pf"):
        return {"nmse": loss, "se": 6 - loss}
    if task == "bf":
        of_best = (9 - loss) / 9
        return {"top1_accuracy": 1 - loss, "within_one_beam": 1.0, "beam_se": 9 - loss, "beam_se_ratio": of_best}
    if task == "de":
        return {"mae_m": loss * SPAN, "mae_of_span": loss}
    return {"rmse_db": 10 * loss, "nmse_centred": loss}


def terms_of(metric: str, value: float, spread: float) -> np.ndarray:
    """Per-drop terms whose score is ``value``; alternate drops lie ``spread`` (relative) above and below."""
    around = 1 + spread * np.where(np.arange(DROPS) % 2, 1.0, -1.0)
    if metric == "top1_accuracy":
        return (np.arange(DROPS) < round(value * DROPS)).astype(float)[:, None]
    if metric == "rmse_db":
        return (value**2 * around)[:, None]
    if metric in ("nmse_centred", "beam_se_ratio"):
        return np.stack([value * around, np.ones(DROPS)], axis=-1)
    return (value * around)[:, None]


def put(
    folder: Path,
    method: str,
    task: str,
    loss: float,
    *,
    seed: int = 0,
    conditions: Mapping[str, bool | int] = CLEAN,
    spread: float = 0.1,
    installed: bool = True,
    status: str = "ok",
    costs: Mapping[str, float] | None = None,
    weights: str = "",
    same_as_start: int | None = None,
    artefacts: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> None:
    """One cell, scored from its own terms as a run does it; by metrics that may not be ``installed`` here."""
    values = scores_of(task, loss)
    arrays = {name: terms_of(name, value, spread) for name, value in values.items()}
    scores = {}
    for name, array in arrays.items():
        metric = registry.create("metrics", name)
        value = float(metric.finalize(array.mean(axis=0)))
        higher = metric.higher_is_better
        path = "" if installed else "nowhere:Metric"
        scores[name] = MetricScore(value=value, low=0.9 * value, high=1.1 * value, higher_is_better=higher, metric=path)
    failed = status == "failed"
    result = Result(
        method=method,
        title=method,
        family=FAMILIES.get(method, "llm" if method.startswith("llm") else "small"),
        reference="synthetic",
        task=task,
        primary_metric=PRIMARY[task],
        conditions=conditions,
        seed=seed,
        preset="quick",
        status="failed" if failed else "ok",
        error="ValueError: no" if failed else "",
        scores={} if failed else scores,
        num_test=DROPS,
        train_digest="t",
        test_digest=split_digest("d" * 64, "test"),
        costs=dict(costs or {}),
        weights=weights,
        same_as_start=same_as_start,
        artefacts=tuple(artefacts or ()),
    )
    write_cell(folder, result, {} if failed else arrays, artefacts=artefacts)


def put_all(folder: Path, method: str, factor: float = 1.0, tasks: Sequence[str] = TASKS, **more: object) -> None:
    for task in tasks:
        put(folder, method, task, factor * LOSSES[task], **more)  # type: ignore[arg-type]


def claim(folder: Path, suite: str, **more: object) -> Path:
    """``run.json`` of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = RunManifest(
        suite=suite,
        preset="quick",
        dataset=DatasetCard(digest="d" * 64, spec={"scenario": "uma"}, seed=0),
        tasks=TASKS,
        methods=(),
        **more,  # type: ignore[arg-type]
    )
    (folder / "run.json").write_text(manifest.model_dump_json())
    return folder


def named(folder: Path, name: str) -> Section:
    return next(part for part in sections(folder) if part.name == name)


def row_of(part: Section, title: str, group: int | None = None) -> SectionRow:
    chosen = part.groups if group is None else [part.groups[group]]
    return next(row for g in chosen for row in g.rows if row.title == title)


def cell_of(part: Section, title: str, label: str, unit: str | None = None, group: int | None = None) -> SectionCell:
    column = next(i for i, c in enumerate(part.columns) if c.label == label and unit in (None, c.unit))
    return row_of(part, title, group).cells[column]


def table_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def lab() -> SimpleNamespace:
    """The functions above: test modules cannot import from each other."""
    return SimpleNamespace(
        put=put,
        put_all=put_all,
        claim=claim,
        terms_of=terms_of,
        named=named,
        row_of=row_of,
        cell_of=cell_of,
        table_of=table_of,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty results folder of the suite of Table IV."""
    return claim(tmp_path / "results", "llm4wm")
