"""``--json``: one object for each command, of the schema that ``list schemas`` has, and enough to work with."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from json_schema import complaints

from channelbench.cli.answers import ANSWERS, ErrorAnswer, EstimateModel
from channelbench.results import read_cells
from channelbench.testing import make_dataset, small_spec

FEW = {"sub6__num_subcarriers": 8, "mmwave__num_subcarriers": 2, "mmwave__num_beams": 8}
Asks = Callable[..., dict[str, Any]]
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset."""
    folder = tmp_path_factory.mktemp("json")
    make_dataset(folder / "few.zarr", small_spec(**FEW))
    return folder


CP = ("run", "--debug", "--data", "few.zarr", "--suite", "classical", "--tasks", "cp")


@pytest.fixture
def asks(place: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Asks:
    """A program that asks: of each call the one object, which is of its schema."""
    monkeypatch.chdir(place)

    def ask(*arguments: str, code: int = 0) -> dict[str, Any]:
        found, out, err = shell(*arguments, "--json")
        assert found == code, err
        document = json.loads(out)
        assert out.count("\n") == 1, "one line, and nothing else"
        name = document["schema"].removeprefix("channelbench.")
        schema = ANSWERS[name].model_json_schema(by_alias=True)
        assert list(complaints(document, schema, schema)) == []
        ask.calls += 1  # type: ignore[attr-defined]
        return document

    ask.calls = 0  # type: ignore[attr-defined]
    return ask


def test_a_program_finds_the_cheapest_method_within_five_percent_of_the_best(asks: Asks, place: Path) -> None:
    """What an agent does who knows nothing of the package: no more than ten calls."""
    kinds = {entry["name"] for entry in asks("list", "schemas")["entries"]}
    assert {"list", "run", "report", "error"} <= kinds
    assert "cp" in [task["name"] for task in asks("list", "tasks")["entries"]]
    formulas = [
        method["name"]
        for method in asks("list", "methods")["entries"]
        if "cp" in method["tasks"] and method["family"] == "classical" and method["name"] != "sparse"
    ]
    assert len(formulas) >= 3
    arguments = (
        *CP,
        "--methods",
        ",".join(formulas),
    )
    plan = asks(*arguments, "--dry-run")["plan"]
    assert plan["cells"] > len(formulas)
    ran = asks(*arguments)
    assert (ran["made"], ran["failed"], ran["plan"]["cells"]) == (plan["cells"], [], plan["cells"])
    report = asks("report", "results")["report"]
    assert report == ran["report"]
    table = report["tables"][0]
    (task,) = table["tasks"]
    ranked = {method["method"] for method in table["methods"] if method["ranked"]}
    scores = {s["method"]: s for s in table["scores"] if s["method"] in ranked and s["state"] == "ok"}
    assert task["higher_is_better"] is False
    best = min(score["score"]["value"] for score in scores.values())
    good = [name for name, score in scores.items() if score["score"]["value"] <= 1.05 * best]
    cheapest = min(good, key=lambda name: scores[name]["costs"]["predict_s"])
    assert asks.calls <= 10  # type: ignore[attr-defined]

    # The same from the files, by another way.
    cells = [cell for cell in read_cells(place / "results") if cell.method in formulas]
    values = {cell.method: cell.scores[cell.primary_metric].value for cell in cells}
    within = [cell for cell in cells if values[cell.method] <= 1.05 * min(values.values())]
    assert cheapest == min(within, key=lambda cell: cell.costs["predict_s"]).method
    assert {"predict_s", "fit_s", "latency_ms_batch1"} <= report["cost_units"].keys()


def test_the_sentence_at_the_end_is_that_of_the_page(asks: Asks, shell: Shell) -> None:
    arguments = (
        *CP,
        "--methods",
        "bi",
        "--out",
        "v",
    )
    said = asks(*arguments)["report"]["verdict"]
    assert "hold" not in said.lower()
    assert "BI is the only method in CP: NMSE" in said
    for call in (arguments, ("report", "v")):
        code, out, _ = shell(*call)
        assert (code, said in out.splitlines()) == (0, True)
    words = "".join(Path("v/leaderboard.html").read_text().split())
    number = said.partition("NMSE ")[2].partition(";")[0]
    assert number in words
    assert asks("report", "v")["report"]["tables"][0]["tasks"][0]["verdict"] == said


def test_every_command_answers_by_its_schema(asks: Asks) -> None:
    for kind in ("scenarios", "methods", "metrics", "suites", "experiments", "exhibits"):
        assert asks("list", kind)["kind"] == kind
    found = asks("inspect", "few.zarr")
    channels = next(variable for variable in found["variables"] if variable["name"] == "h_sub6")
    assert (channels["of"], channels["dtype"], channels["shape"][0]) == ("power", "complex64", 110)
    assert found["samples"] == {"train": 60, "val": 20, "test": 30}
    assert Path(found["picture"]).exists()
    assert asks("verify", "few.zarr")["ok"] is True
    asks(
        *CP,
        "--methods",
        "bi,hold",
        "--out",
        "s",
    )
    shown = asks("show", "bi/cp", "--results", "s")
    assert (shown["cell"]["method"], shown["code"], shown["problems"]) == ("bi", "same", [])
    (difference,) = asks("compare", "bi", "hold", "--results", "s")["differences"]
    assert difference["difference"]["value"] == pytest.approx(difference["a"] - difference["b"])


def test_what_is_wrong_is_an_object_too(asks: Asks) -> None:
    error = asks("run", "--methods", "lmmmse", code=2)["error"]
    assert error["field"] == "--methods"
    assert (error["expected"], error["got"]) == ("a known method", "lmmmse")
    assert "lmmse_genie" in error["choices"]
    assert error["suggestion"] == "lmmse"
    assert error["remedy"] == "`channelbench list methods` says what each is"
    assert error["message"].startswith("--methods: expected a known method, got 'lmmmse'; did you mean lmmse?")
    for wrong in (
        ("report", "nowhere"),
        ("list", "thing"),
        ("inspect",),
        ("run", "--sets"),
        ("verify", "nowhere.zarr"),
    ):
        assert asks(*wrong, code=2)["error"]["exit_code"] == 2
    # Of what happens on the way there is the message alone.
    assert ErrorAnswer.of("disk full", 1).document()["error"]["field"] is None


def test_a_failed_check_and_a_cell_that_is_left_out_are_answers_with_exit_code_one(asks: Asks, place: Path) -> None:
    make_dataset(place / "broken.zarr")
    next(path for path in (place / "broken.zarr" / "los" / "c").rglob("*") if path.is_file()).unlink()
    checks = {check["check"]: check for check in asks("verify", "broken.zarr", code=1)["checks"]}
    assert checks["chunks"]["problems"] == ["los: 1 of 1 files are missing"]
    asks(
        "run", "--debug", "--data", "few.zarr", "--suite", "classical", "--tasks", "cp", "--methods", "bi", "--out", "d"
    )
    (place / "d" / "cells" / "zero__cp__default__seed0.npz").write_bytes(b"")
    (line,) = asks("report", "d", code=1)["report"]["left_out"]
    assert line.startswith("cells/zero__cp__default__seed0.json: terms: expected a readable")


def test_numbers_that_are_none_are_null() -> None:
    score = EstimateModel(value=-math.inf, low=math.nan, high=1.5)
    assert score.model_dump(mode="json") == {"value": None, "low": None, "high": 1.5}
    json.dumps(score.model_dump(mode="json"), allow_nan=False)


def test_the_checker_of_schemas_sees_what_is_wrong() -> None:
    schema = ANSWERS["error"].model_json_schema(by_alias=True)
    good = ErrorAnswer.of("m", 2).document()
    assert list(complaints(good, schema, schema)) == []
    for wrong in (
        {**good, "schema": "channelbench.list"},
        {**good, "more": 1},
        {"schema": good["schema"]},
        {**good, "error": {**good["error"], "exit_code": "2"}},
        {**good, "error": {**good["error"], "choices": [1]}},
    ):
        assert list(complaints(wrong, schema, schema))


def test_a_hidden_test_says_where_its_cells_are(asks: Asks, place: Path) -> None:
    (place / "secret").write_text("sixteen characters at least")
    report = asks(*CP, "--methods", "bi", "--out", "h", "--test-seed-file", "secret")["report"]
    assert report["folder"].startswith("h/hidden-")
    assert (place / report["csv"]).parent == place / report["folder"]
