"""The leaderboard of a realistic results folder: six tasks, two conditions, one failed and several missing cells."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from channelbench import registry
from channelbench.errors import RequestError
from channelbench.leaderboard import report
from channelbench.leaderboard.table import COLUMNS
from channelbench.results import DatasetCard, MetricScore, Result, RunManifest, read_cells, split_digest, write_cell
from channelbench.spec import SYSTEMS, ScenarioSpec, SizesSpec

DROPS = 200
PRIMARY = {"ce": "nmse", "cp": "nmse", "pf": "nmse", "bf": "top1_accuracy", "de": "mae_m", "pe": "rmse_db"}
UNITS = {"mae_m": "m", "rmse_db": "dB", "nmse_db": "dB", "se": "bit/s/Hz"}
HIGHER = {"top1_accuracy", "top3_accuracy", "se"}
EXTRA = {"ce": ("nmse_db", "se"), "cp": ("nmse_db", "se"), "pf": ("nmse_db",), "bf": ("top3_accuracy",)}
MALICIOUS = '<script>alert("x")</script>'

# method: (title, family, {task: typical score})
METHODS: dict[str, tuple[str, str, dict[str, float]]] = {
    "zero": ("Zero", "floor", {"ce": 1.0, "cp": 1.0, "pf": 1.0}),
    "mean": ("Training mean", "floor", {"ce": 1.0, "cp": 1.0, "pf": 1.0, "pe": 12.1}),
    "hold": ("Hold last slot", "floor", {"cp": 0.31}),
    "repeat": ("Repeat nearest pilot", "floor", {"ce": 0.42}),
    "median": ("Training median", "floor", {"de": 96.0}),
    "common_beam": ("Most common beam", "floor", {"bf": 0.021}),
    "ceiling": ("Ceiling", "ceiling", {"ce": 0.0, "cp": 0.0, "pf": 0.0, "bf": 1.0, "de": 0.0, "pe": 0.0}),
    "lmmse_genie": ("LMMSE, true covariance", "reference", {"ce": 0.011, "cp": 0.036, "pf": 0.18}),
    "received_power": ("Received power", "reference", {"de": 41.0, "pe": 0.76}),
    "bi": ("BI", "classical", {"ce": 0.12, "cp": 0.27, "pf": 1.21}),
    "lmmse": ("LMMSE", "classical", {"ce": 0.021}),
    "wiener": ("Wiener", "classical", {"cp": 0.061}),
    "codebook": ("Codebook", "classical", {"bf": 0.41}),
    "fifs": ("FIFS", "classical", {"bf": 0.12, "de": 57.0, "pe": 7.3}),
    "mlp": (f"MLP {MALICIOUS}", "small", {"bf": 0.63, "de": 38.0, "pe": 1.9}),
    "lstm": ("LSTM", "small", {"ce": 0.071, "cp": 0.12, "pf": 0.33, "bf": 0.55, "de": 44.0, "pe": 2.6}),
    "cnn": ("CNN", "small", {"ce": 0.031, "cp": 0.09, "pf": 0.24, "bf": 0.71, "de": 36.5, "pe": 1.8}),
}
SEEDS = {"mlp": 1, "lstm": 3, "cnn": 3}
FAILED = ("fifs", "pe")
MISSING = ("mlp", "de")
BUNDLE = "BI + Codebook + FIFS"
DATASET = "3f9ac1d2" * 8
DIGEST = "0123456789ab" + 52 * "c"
WEIGHTS = f"tiny-model, SHA-256 {DIGEST}, first 3 layers, frozen"


def terms_of(method: str, task: str, name: str, typical: float, seed: int) -> NDArray[np.float64]:
    """Per-drop terms whose mean is near ``typical``; drops that are hard for one method are hard for all."""
    draws = np.random.default_rng([ord(c) for c in f"{method}{task}{seed}"])
    hard = np.random.default_rng([ord(c) for c in task]).gamma(3.0, 1 / 3, DROPS)
    worse = typical * (1 + 0.03 * draws.standard_normal()) if seed else typical
    if name in ("top1_accuracy", "top3_accuracy"):
        values = (draws.random(DROPS) < worse).astype(float)
    elif name == "rmse_db":
        values = worse**2 * hard * draws.gamma(8.0, 1 / 8, DROPS)
    elif name == "se":
        values = np.log2(1 + 80 * (1 - min(worse, 1) / 2)) * np.ones(DROPS)
    else:
        values = worse * hard * draws.gamma(8.0, 1 / 8, DROPS)
    return values[:, None]


def write(folder: Path, method: str, task: str, conditions: Mapping[str, bool], seed: int) -> None:
    title, family, scores = METHODS[method]
    noise = 0.0909 if "paper_compat" in conditions and PRIMARY[task] == "nmse" else 0.0
    failed = (method, task) == FAILED and not conditions
    names = [PRIMARY[task], *EXTRA.get(task, ())]
    terms = {name: terms_of(method, task, name, scores[task] + noise, seed) for name in names}
    scored = {}
    for name, values in terms.items():
        finalize = registry.create("metrics", name).finalize
        value = float(finalize(values.mean(axis=0)))
        spread = [float(finalize(values[i::4].mean(axis=0))) for i in range(4)]
        scored[name] = MetricScore(
            value=value,
            low=min([value, *spread]) if np.isfinite(value) else value,
            high=max([value, *spread]),
            unit=UNITS.get(name, ""),
            higher_is_better=name in HIGHER,
        )
    learned = family == "small"
    result = Result(
        method=method,
        title=title,
        family=family,
        reference="Liu et al., LLM4WM, Table IV",
        notes="Width from the parameter count." if learned else "",
        task=task,
        primary_metric=PRIMARY[task],
        conditions=conditions,
        seed=seed,
        preset="quick",
        status="failed" if failed else "ok",
        error="ValueError: no fingerprint within 40 m & <none> beyond" if failed else "",
        scores={} if failed else scored,
        num_test=DROPS,
        train_digest="t" * 64,
        test_digest=split_digest(DATASET, "test"),
        costs={
            "trainable_parameters": 1_170_000 if learned else 0,
            "total_parameters": 1_170_000 if learned else 0,
            "fit_s": 31.4 if learned else 0.02,
            "predict_s": 0.61,
            "latency_ms_batch1": 1.93,
            "latency_ms_batch512": 88.0,
            "peak_memory_mb": 812.0,
        },
        weights=WEIGHTS if method == "lstm" else "",
        hardware="2-core CPU",
        versions={"channelbench": "0.1.0", "torch": "2.11"},
        created=f"2025-06-0{1 + seed}T10:00:00Z",
    )
    write_cell(folder, result, {} if failed else terms)


def synthesise(folder: Path) -> Path:
    """A results folder as a run leaves it."""
    spec = ScenarioSpec(
        scenario="uma",
        bs_height_m=25,
        min_distance_m=35,
        max_distance_m=500,
        sizes=SizesSpec(train=2000, val=400, test=600),
        **SYSTEMS["dualband"],
    )
    for conditions in ({}, {"paper_compat": True}):
        for method, (_, _, scores) in METHODS.items():
            for task in scores:
                if (method, task) != MISSING:
                    for seed in range(SEEDS.get(method, 1)):
                        write(folder, method, task, conditions, seed)
    manifest = RunManifest(
        suite="full",
        preset="quick",
        dataset=DatasetCard(digest=DATASET, spec=spec.model_dump(mode="json"), seed=0, versions={"sionna": "2.2.0"}),
        tasks=tuple(PRIMARY),
        methods=tuple(METHODS),
        seeds=SEEDS,
        method_tasks={method: tuple(scores) for method, (_, _, scores) in METHODS.items()},
        bundles={BUNDLE: ("bi", "codebook", "fifs"), "BI + LMMSE": ("lmmse", "wiener", "bi", "mlp")},
    )
    (folder / "run.json").write_text(manifest.model_dump_json())
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = synthesise(tmp_path_factory.mktemp("results"))
    report(folder)
    return folder


@pytest.fixture(scope="module")
def frame(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "leaderboard.csv")


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "leaderboard.html").read_text()


class Tables(HTMLParser):
    """The main tables as ``{panel: {method: {column: text}}}``, the way a reader without scripts meets them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.panels: list[list[list[str]]] = []
        self.external: list[str] = []
        self.links: list[str] = []
        self.scripts = 0
        self._board = self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.scripts += tag == "script"
        loads = ("src", "data", "poster", "srcset", "action") if tag == "a" else ("src", "href", "data", "poster")
        self.external += [v for k, v in attrs if k in loads and v]
        self.links += [v for k, v in attrs if k == "href" and v]
        if tag == "table":
            self._board = "board" in (given.get("class") or "").split()
            if self._board:
                self.panels.append([])
        if self._board and tag == "tr":
            self.panels[-1].append([])
        if self._board and tag in ("td", "th"):
            self._cell = True
            self.panels[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._board = self._board and tag != "table"
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._board and self._cell:
            self.panels[-1][-1][-1] += f" {data.strip()}" if data.strip() else ""

    def cell(self, panel: int, method: str, task: str) -> str:
        """Text of one cell of a panel's main table."""
        head = self.panels[panel][0]
        column = next(i for i, text in enumerate(head) if text.split()[0] == task)
        row = next(row for row in self.panels[panel] if len(row) == len(head) and row[1].startswith(f" {method}"))
        return " ".join(row[column].split())


def test_table_is_tidy(frame: pd.DataFrame, folder: Path) -> None:
    assert list(frame.columns) == list(COLUMNS)
    key = ["method", "task", "conditions", "metric", "seed"]
    assert not frame.duplicated(key).any()
    assert frame[key].notna().all().all()
    assert set(frame.status) == {"ok", "failed", "not run"}


def test_table_round_trips_the_cells(frame: pd.DataFrame, folder: Path) -> None:
    indexed = frame.set_index(["method", "task", "conditions", "metric", "seed"])
    cells = [result for result in read_cells(folder) if result.status == "ok"]
    for result in cells:
        for name, score in result.scores.items():
            row = indexed.loc[(result.method, result.task, result.condition, name, result.seed)]
            assert (row.value, row.low, row.high) == (score.value, score.low, score.high)
            assert row.title == result.title
            assert row.primary == (name == result.primary_metric)
            assert row.fit_s == result.costs["fit_s"]
            assert json.loads(row.versions) == dict(result.versions)
    assert (frame.status == "ok").sum() == sum(len(result.scores) for result in cells)


def test_skill_of_every_row_follows_from_its_own_columns(frame: pd.DataFrame) -> None:
    rows = frame[frame.primary & (frame.status == "ok")]
    expected = (rows.floor - rows.value) / (rows.floor - rows.ceiling)
    assert rows.skill.notna().all()
    np.testing.assert_allclose(rows.skill, expected, rtol=1e-9)
    assert frame[~frame.primary].skill.isna().all()
    np.testing.assert_allclose(frame[frame.family == "ceiling"].skill.dropna(), 1, rtol=1e-12)


def test_floor_is_the_best_of_the_trivial_answers(frame: pd.DataFrame) -> None:
    rows = frame[frame.primary & (frame.status == "ok")]
    for (task, _), group in rows.groupby(["task", "conditions"]):
        trivial = group[group.family == "floor"].value
        assert (group.floor == (trivial.max() if task == "bf" else trivial.min())).all()


def test_only_contestants_have_ranks(frame: pd.DataFrame) -> None:
    rows = frame[frame.primary & (frame.status == "ok")]
    contestants = rows.family.isin(["classical", "small"])
    assert rows.rank_low.notna().equals(contestants)
    assert rows.rank_high.notna().equals(contestants)
    assert (rows.rank_low <= rows.rank_high)[contestants].all()
    best = rows[contestants].groupby(["task", "conditions"])
    assert best.rank_low.min().eq(1).all()
    assert best.rank_high.max().le(best.method.nunique()).all()


def test_failed_and_missing_cells_stand_in_the_table(frame: pd.DataFrame) -> None:
    failed = frame[frame.status == "failed"]
    assert list(zip(failed.method, failed.task, failed.conditions, strict=True)) == [(*FAILED, "default")]
    assert failed.value.isna().all()
    assert failed.error.iloc[0].startswith("ValueError: no fingerprint")
    missing = frame[frame.status == "not run"]
    assert sorted(zip(missing.method, missing.task, missing.conditions, strict=True)) == [
        (*MISSING, "default"),
        (*MISSING, "paper_compat=true"),
    ]


def test_failed_and_missing_cells_stand_on_the_page(page: str) -> None:
    tables = Tables(page)
    assert tables.cell(0, "FIFS", "PE") == "✗ failed ValueError: no fingerprint within 40 m & <none> beyond"
    assert tables.cell(0, "MLP", "DE") == "not run"
    assert tables.cell(0, "LMMSE", "BF") == "– not supported"
    assert "1 failed" in page
    assert "2 not run" in page


def test_incomplete_rows_say_their_coverage_and_have_no_place(page: str, frame: pd.DataFrame) -> None:
    tables = Tables(page)
    assert tables.cell(0, "FIFS", "Overall") == "2/6 tasks"
    assert tables.cell(0, BUNDLE, "Overall") == "5/6 tasks"
    assert tables.cell(0, BUNDLE, "#") == ""
    assert tables.cell(0, "CNN", "#") == "1"
    # The failure is of the default condition alone: with paper_compat the bundle is complete.
    assert re.match(r"0\.\d{3} ", tables.cell(1, BUNDLE, "Overall"))
    assert frame[frame.method == "fifs"].overall_skill.isna().all()
    assert set(frame[frame.method == "fifs"].tasks_covered) == {2, 3}


def test_bundle_takes_its_first_supporting_member_and_no_replacement(page: str) -> None:
    """``BI + LMMSE`` names mlp for DE, whose cell is missing: nothing else may fill it."""
    tables = Tables(page)
    assert tables.cell(0, "BI + LMMSE", "DE") == "not run"
    # Its CE is LMMSE's, not BI's, with LMMSE's rank.
    assert tables.cell(0, "BI + LMMSE", "CE") == tables.cell(0, "LMMSE", "CE")


def test_paper_compat_has_its_own_table_and_a_drawn_floor(page: str, frame: pd.DataFrame) -> None:
    tables = Tables(page)
    assert len(tables.panels) == 2
    assert tables.cell(0, "CNN", "CE") != tables.cell(1, "CNN", "CE")
    default, compat = page.split('id="condition-1"')
    assert "noise floor" not in default
    assert compat.count(">noise floor 0.0") == 3
    ceiling = frame[(frame.method == "ceiling") & frame.paper_compat & (frame.metric == "nmse") & (frame.task == "ce")]
    assert f"{ceiling.value.iloc[0]:.4f} (CE)" in compat


def test_page_loads_nothing(page: str) -> None:
    tables = Tables(page)
    assert tables.external == []
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    within = {link[1:] for link in tables.links if link.startswith("#")}
    assert within
    assert within <= ids
    assert all(link.startswith(("#", "https://")) for link in tables.links)
    assert not re.search(r"url\s*\(|@import|\bfetch\s*\(|XMLHttpRequest|<link|<base|<iframe", page)
    assert "default-src 'none'" in page


def test_page_escapes_what_results_say(page: str) -> None:
    assert Tables(page).scripts == 1
    assert MALICIOUS not in page
    assert "&lt;script&gt;alert(" in page


def test_page_is_accessible(page: str) -> None:
    heads = re.findall(r"<th\b[^>]*>", page)
    assert heads
    assert all("scope=" in head for head in heads)
    sortable = re.findall(r'<th scope="col" class="[^"]*" aria-sort="none"><button type="button"', page)
    assert len(sortable) >= 2 * (9 + len(PRIMARY) * 2)
    assert len(re.findall(r'<svg[^>]* role="img" aria-label="', page)) == 2 * len(PRIMARY)
    assert "title=" not in page, "what needs saying is said on the page"
    assert page.count('role="tab"') == 2


def test_columns_sort_by_the_exact_numbers(page: str, frame: pd.DataFrame) -> None:
    default = page.split('id="condition-1"')[0]
    keys = {float(key) for key in re.findall(r'<td class="num[^"]*" data-sort="([^"]+)"', default)}
    single = frame[(frame.status == "ok") & ~frame.paper_compat & ~frame.method.isin(["lstm", "cnn"])]
    assert set(single.value) <= keys


def test_rows_say_their_seeds_and_backbone_weights(page: str, frame: pd.DataFrame) -> None:
    tables = Tables(page)
    assert tables.cell(0, "LSTM", "Method") == "LSTM Small network · 3 seeds"
    assert tables.cell(0, "CNN", "Method") == "CNN Small network · 3 seeds"
    assert tables.cell(0, "MLP", "Method").endswith("Small network 1 seed")
    assert tables.cell(0, "Wiener", "Method") == "Wiener Classical"
    assert page.count(f"Backbone weights: {WEIGHTS}") == 1
    used = frame[frame.status == "ok"].groupby("method").weights
    assert used.apply(lambda w: set(w.dropna())).to_dict() == {m: {WEIGHTS} if m == "lstm" else set() for m in METHODS}


def test_methods_that_never_ran_are_listed(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    manifest["methods"].append("later")
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    (tmp_path / "cells").symlink_to(folder / "cells")
    csv, html = report(tmp_path, csv=tmp_path / "out" / "a.csv", html=tmp_path / "out" / "b.html")
    assert Tables(html.read_text()).cell(0, "later", "CE") == "not run"
    later = pd.read_csv(csv).query("method == 'later'")
    assert len(later) == 2 * len(PRIMARY)
    assert set(later.status) == {"not run"}


def test_a_run_without_cells_makes_an_empty_page(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((folder / "run.json").read_bytes())
    csv, html = report(tmp_path)
    assert "No cell has been written yet" in html.read_text()
    assert pd.read_csv(csv).empty


@pytest.mark.parametrize("content", [None, "", "{}", '{"suite": 1}', "[]"])
def test_other_folders_are_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RequestError, match=r"results: expected a folder with a run\.json"):
        report(tmp_path)
    assert not list(tmp_path.glob("leaderboard*"))


def test_broken_cells_and_unwritable_files_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((folder / "run.json").read_bytes())
    with pytest.raises(RequestError, match="csv: expected a file that can be written"):
        report(tmp_path, csv=tmp_path)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "a.json").write_text("{")
    with pytest.raises(RequestError, match=r"results: expected a folder with a cell that is .*cells/a\.json: file"):
        report(tmp_path)
    assert not list(tmp_path.glob("leaderboard*"))
