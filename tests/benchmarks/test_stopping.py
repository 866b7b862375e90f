"""``--debug`` stops at a method's failure."""

from __future__ import annotations

import pdb
import sys
from pathlib import Path

import pytest

from channelbench import cli
from channelbench.benchmarks.runner import run
from channelbench.benchmarks.stopping import Stopped
from channelbench.errors import RequestError
from channelbench.testing import make_dataset, small_spec

FAILS = """
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.tasks.link.observations import LaterSlotsObservation

class Fails(Method):
    card = Card(name="fails", description="Fails when it is asked.", reference="none", family="classical")
    observes = (LaterSlotsObservation,)

    def predict(self, task, observation):
        culprit = observation.h.shape[0]
        raise SystemExit(f"no {task}")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("stopping") / "few.zarr"
    return str(make_dataset(path, small_spec(sub6__num_subcarriers=4, mmwave=None)).path)


@pytest.fixture(autouse=True)
def _written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "failing", raising=False)
    Path("failing.py").write_text(FAILS)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["channelbench", "run", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_from_python_the_methods_own_error_is_the_cause(data: str) -> None:
    with pytest.raises(Stopped, match="stopped at the failure of fails on cp, seed 0") as stopped:
        run(data=data, methods=["failing:Fails"], tasks=["cp"], conditions=[{}], debug=True)
    assert isinstance(stopped.value.__cause__, SystemExit)
    assert not list(Path("results/cells").glob("fails*")), "it is no result"


def test_at_a_terminal_the_debugger_is_where_it_failed(
    data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", data, "--methods", "failing:Fails", "--tasks", "cp", "--debug"]
    entered = []
    monkeypatch.setattr(pdb, "post_mortem", entered.append)
    assert call(monkeypatch, *arguments) == 1
    assert not entered, "nobody is there to answer"
    err = capsys.readouterr().err
    assert "SystemExit: no cp" in err
    assert err.rstrip().endswith("stopped at the failure of fails on cp, seed 0")
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert call(monkeypatch, *arguments) == 1
    frame = entered[0]
    while frame.tb_next is not None:
        frame = frame.tb_next
    assert frame.tb_frame.f_locals["culprit"] > 0
    monkeypatch.undo()


def test_workers_cannot_stop(data: str) -> None:
    with pytest.raises(RequestError, match="--debug: expected one process, which can stop at a failure, got '2 work"):
        run(data=data, methods=["failing:Fails"], tasks=["cp"], debug=True, workers=2)
