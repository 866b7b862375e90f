"""Submissions: their cards, the worked example of the page, and what a check of one finds."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from channelbench import cli
from channelbench.benchmarks.checking import chosen_cells, handed_in
from channelbench.benchmarks.runner import run
from channelbench.errors import RequestError
from channelbench.folders.finding import cells_of
from channelbench.submission import Submission
from channelbench.testing import make_dataset, small_spec

PAGE = Path(__file__).parents[2] / "docs" / "challenge.md"
PUBLIC = "memory://challenge/public.zarr"
CARD = {
    "organisation": "University of Examples",
    "authors": ["Alice Adams"],
    "code": "https://example.org/alice",
    "licence": "MIT",
    "weights_licence": "CC-BY-4.0",
}

LEARNS = '''
import numpy as np

from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.tasks.link.observations import ScalarObservation


class Guesses(Method):
    """A number of its seed, which it keeps."""

    card = Card(name="guesses", description="A number of its seed.", reference="none", family="small")
    observes = (ScalarObservation,)
    learned = True

    def fit(self, data, context):
        context.workdir.mkdir(parents=True, exist_ok=True)
        note = context.workdir / "number"
        if not note.exists():
            note.write_text(str(np.random.default_rng(context.seed).normal()))
        self.number = float(note.read_text())

    def predict(self, task, observation):
        return np.full(len(observation), self.number, np.float32)

    def costs(self, task):
        return {"trainable_parameters": 1, "total_parameters": 1}
'''


@pytest.fixture(scope="module", autouse=True)
def public() -> str:
    make_dataset(PUBLIC, small_spec(train=60, val=20, test=40, sub6__num_subcarriers=8, mmwave=None))
    return PUBLIC


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of submissions are forgotten after each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("alice", "guessing")):
            del sys.modules[name]


def _toml(**fields: object) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items() if value is not None)


def _submission(folder: Path, method: str = "guessing:Guesses", code: str = LEARNS, **changes: object) -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "submission.toml").write_text(_toml(**{**CARD, "method": method, **changes}))
    (folder / "code" / f"{method.partition(':')[0]}.py").write_text(code)
    return folder


def _call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["channelbench", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0), *capsys.readouterr()


def test_the_pages_example_is_a_challenge_from_beginning_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text()
    for name, content in re.findall(r"^```(?:toml|python)\n# (\S+)\n(.*?)^```", text, re.M | re.S):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "secret.txt").write_text("0123456789abcdef" * 4)
    monkeypatch.chdir(tmp_path)
    said = []
    for command in re.findall(r"^\$ channelbench (.*)$", text, re.M):
        if not command.startswith("generate"):
            code, out, err = _call(monkeypatch, capsys, *command.replace("public.zarr", PUBLIC).split())
            assert code == 0, f"{command}: {err}"
            said.append((command.split()[0], out))
    digests = [out.strip() for name, out in said if name == "hidden-digest"]
    assert len(digests) == 2
    assert digests[0] == digests[1]
    checks = [out for name, out in said if name == "check-submission"]
    assert "University of Examples: https://example.org/alice/decay under Apache-2.0" in checks[0]
    assert "1 of 1 cells agree, of 2 that were handed in" in checks[0]
    assert "2 of 2 cells agree, of 2 that were handed in" in checks[1]
    challenge, again = (tmp_path / name / f"hidden-{digests[0][:12]}" for name in ("challenge", "again"))
    scores = [{c.name: c.scores["nmse"].value for c in cells_of(folder)} for folder in (challenge, again)]
    assert scores[0] == scores[1]
    board = pd.read_csv(challenge / "leaderboard.csv")
    rows = board[board["method"] == "alice_decay"]
    assert set(rows["organisation"]) == {"University of Examples"}
    assert set(rows["code_address"]) == {"https://example.org/alice/decay"}
    assert "weights_licence" not in board.columns  # nobody has weights
    assert board[board["method"] == "hold"]["organisation"].isna().all()
    page = (challenge / "leaderboard.html").read_text()
    assert '<a href="https://example.org/alice/decay" rel="noopener noreferrer">example.org/alice/decay</a>' in page
    assert ">Organisation<" in page
    assert ">Weights<" not in page
    assert "hidden test" in page
    code, out, _ = _call(monkeypatch, capsys, "compare", str(challenge), str(again))
    assert code == 0
    assert "no difference shown" in out
    assert _call(monkeypatch, capsys, "reproduce", "alice_decay/cp/default/0", "--results", str(challenge))[
        2
    ].startswith("error: CELL: expected one that was not scored on a hidden test")


@pytest.fixture
def handed(tmp_path: Path) -> Path:
    """A learned method with three seeds on two conditions."""
    folder = _submission(tmp_path / "handed")
    done = run(data=PUBLIC, submissions=[folder], tasks=["pe"], out=folder / "results", seeds=3)
    assert not done.failed
    return folder


def test_a_check_finds_scores_that_do_not_come_out_again(
    handed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = ("check-submission", str(handed), "--data", PUBLIC)
    code, out, _ = _call(monkeypatch, capsys, *check, "--cells", "100")
    assert code == 0, out
    assert "6 of 6 cells agree, of 6 that were handed in" in out
    assert "weights under CC-BY-4.0" in out
    # The fit of one seed is another than the code makes: with the fits all agree, without them one does not.
    number = handed / "results" / "checkpoints" / "guesses__pe__default__seed1" / "number"
    number.write_text("0.5")
    shutil.rmtree(handed / "results" / "cells")
    run(data=PUBLIC, submissions=[handed], tasks=["pe"], out=handed / "results", seeds=3)
    code, out, _ = _call(monkeypatch, capsys, *check, "--cells", "100")
    assert code == 1
    assert "4 of 6 cells agree" in out
    assert "guesses__pe__default__seed1 does not agree" in out
    code, out, _ = _call(monkeypatch, capsys, *check, "--cells", "100", "--with-fits")
    assert code == 0, out
    assert "6 of 6 cells agree" in out


def test_a_check_says_which_cells_are_not_what_they_say(
    handed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = handed / "results" / "cells" / "guesses__pe__default__seed0.json"
    cell = json.loads(file.read_text())
    cell["scores"]["rmse_db"]["value"] /= 2
    file.write_text(json.dumps(cell))
    code, out, err = _call(monkeypatch, capsys, "check-submission", str(handed), "--data", PUBLIC, "--cells", "1")
    assert code == 1
    assert "not what it says: cells/guesses__pe__default__seed0.json: scores.rmse_db.value" in err
    assert "1 of 1 cells agree, of 5 that were handed in" in out


def test_the_seed_says_which_cells(handed: Path) -> None:
    found = handed_in(handed)
    names = [[cell.result.name for cell in chosen_cells(found, 2, seed)] for seed in (0, 0, 1, 2, 3)]
    assert names[0] == names[1]
    assert len({tuple(chosen) for chosen in names}) > 1
    shutil.rmtree(handed / "results")
    with pytest.raises(RequestError, match="expected cells of guesses with scores, got 'none in"):
        chosen_cells(handed_in(handed), 2, 0)


def test_cells_say_who_entered_the_method_and_the_card_says_it_too(tmp_path: Path) -> None:
    folder = _submission(tmp_path / "one")
    done = run(data=PUBLIC, submissions=[folder], tasks=["pe"], out=tmp_path / "r", seeds=1, conditions=[{}])
    cells = {cell.method: cell for cell in done.written}
    ours = cells["guesses"]
    assert (ours.organisation, ours.code_address, ours.weights_licence) == (
        CARD["organisation"],
        CARD["code"],
        CARD["weights_licence"],
    )
    assert cells["mean"].organisation == cells["mean"].code_address == ""

    stated = LEARNS.replace('family="small"', 'family="small", organisation="Ours", weights_licence="MIT"')
    other = _submission(tmp_path / "two", "guessing_too:Guesses", stated)
    sys.path.insert(0, str(other / "code"))
    done = run(
        data=PUBLIC, methods=["guessing_too:Guesses"], tasks=["pe"], out=tmp_path / "s", seeds=1, conditions=[{}]
    )
    cell = next(cell for cell in done.written if cell.method == "guesses")
    assert (cell.organisation, cell.code_address, cell.weights_licence) == ("Ours", "", "MIT")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"licence": None}, "submission.toml, licence: "),
        ({"organisation": "x"}, "submission.toml, organisation: "),
        ({"code": "javascript:alert(1)"}, "submission.toml, code: "),
        ({"authors": []}, "submission.toml, authors: "),
        ({"method": "guesses"}, "submission.toml, method: "),
        ({"team": "A"}, "submission.toml, team: "),
    ],
)
def test_a_card_that_is_none_is_one_line(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    folder = tmp_path / "one"
    (folder / "code").mkdir(parents=True)
    (folder / "submission.toml").write_text(_toml(**{**CARD, "method": "guessing:Guesses", **changes}))
    with pytest.raises(RequestError) as error:
        Submission.read(folder)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_submission_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"submission: expected a folder with a submission\.toml"):
        Submission.read(tmp_path)
    (tmp_path / "submission.toml").write_text("organisation = ")
    with pytest.raises(RequestError, match="submission: expected a card in TOML"):
        Submission.read(tmp_path)
    (tmp_path / "submission.toml").write_text(_toml(**CARD, method="a:B"))
    with pytest.raises(RequestError, match="expected code/ or results/ beside the card"):
        Submission.read(tmp_path)


def test_submissions_whose_modules_or_methods_are_called_the_same_are_refused(tmp_path: Path) -> None:
    one, two = _submission(tmp_path / "one"), _submission(tmp_path / "two")
    with pytest.raises(RequestError, match="submission: expected modules whose names no other submission"):
        Submission.all_of([one, two])
    three = _submission(tmp_path / "three", "guessing_again:Guesses")
    with pytest.raises(RequestError, match="submission: expected methods of different names, got 'guesses in"):
        Submission.all_of([one, three])
