"""Broken plugins: each costs one line and nobody else's run; the same from a path is an error of one line."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from third_party import Zeros

from channelbench import registry
from channelbench.contracts import Method
from channelbench.errors import RequestError


class Impostor(Zeros):
    card = Zeros.card.model_copy(update={"name": "zero"})


class Cardless(Method):
    def predict(self, task, observation):
        return None


class OfAnotherKind(Zeros):
    card = Zeros.card.model_copy(update={"family": "task"})


BROKEN = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero, "),
    "leaves": ("raise SystemExit(3)", "SystemExit: 3, "),
    "misspelt": ("def f(:", "SyntaxError: invalid syntax (misspelt.py, line 1)"),
    "refuses": ("raise BaseException", "BaseException, "),
    "lacks": ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name', "),
    "bad_card": (
        "from channelbench.card import Card\nCard(name='x', description='Answers zero.', reference='none', family='x')",
        "card.family: expected a known family, got 'x'; choices: ",
    ),
}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (code, _) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(f"{code}\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugin_costs_one_line(entry_points, name: str, caplog: pytest.LogCaptureFixture) -> None:
    entry_points(mine=f"{__name__}:Zeros", theirs=f"{name}:Method")
    assert {"third_party", "zero"} <= set(registry.names("methods"))
    registry.names("methods")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"plugin left out: theirs = {name}:Method: {BROKEN[name][1]}")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("Impostor", "card.name: expected a name that is not taken, got 'zero'"),
        ("Cardless", "method: expected a concrete subclass of Method with a card, got "),
        ("Zeros.card", "method: expected a concrete subclass of Method with a card, got "),
        ("OfAnotherKind", "card.family: expected that of a method, got 'task ("),
        ("Nobody", "AttributeError: module "),
    ],
)
def test_plugin_that_is_no_entry_costs_one_line(
    entry_points, attribute: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    entry_points(theirs=f"{__name__}:{attribute}")
    assert registry.find("methods", "zero").__module__ == "channelbench.baselines.zero"
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"plugin left out: theirs = {__name__}:{attribute}: {reason}")


def test_two_plugins_of_one_name_are_the_first(entry_points, caplog: pytest.LogCaptureFixture) -> None:
    class Again(Zeros):
        pass

    sys.modules[__name__].Again = Again
    entry_points(one=f"{__name__}:Zeros", two=f"{__name__}:Again", three=f"{__name__}:Zeros")
    assert registry.find("methods", "third_party") is Zeros
    assert len(caplog.records) == 1


def test_the_line_names_the_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As installed packages have it, and on the command line: the list is printed all the same."""
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[channelbench.tasks]\nprecoding = theirs:Precoding\n")
    (tmp_path / "theirs.py").write_text("raise SystemExit('no licence\\nfound')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from channelbench.cli import main; main()"
    made = subprocess.run([sys.executable, "-c", code, "list", "tasks"], capture_output=True, text=True)
    assert made.returncode == 0
    assert "Channel estimation" in made.stdout or "ce" in made.stdout.split()
    (line,) = made.stderr.splitlines()
    assert line.startswith("plugin left out: theirs: precoding = theirs:Precoding: SystemExit: no licence found, ")


def test_workers_do_not_say_it_again(entry_points, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr("multiprocessing.parent_process", lambda: object())
    entry_points(theirs="nowhere.at.all:X")
    with caplog.at_level(logging.DEBUG, logger="channelbench"):
        registry.names("methods")
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_a_key_press_stops_an_import(entry_points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_import.py").write_text("raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        registry.find("methods", "slow_import:X")
    entry_points(theirs="slow_import:X")
    with pytest.raises(KeyboardInterrupt):
        registry.names("methods")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("name", BROKEN)
def test_whatever_a_module_raises_is_one_line(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        registry.find("tasks", f"{name}:Task")
    message = str(caught.value)
    assert message.startswith("task: expected an importable package.module:Class, got ")
    assert f"{name}:Task (" in message
    assert BROKEN[name][1].partition("'")[0].rstrip(", ") in message
    assert "\n" not in message


def test_a_path_whose_name_is_taken_is_refused() -> None:
    registry.refuse_taken("methods", f"{__name__}:Zeros", "--methods")
    registry.refuse_taken("methods", "channelbench.baselines.zero:Zero", "--methods")
    with pytest.raises(RequestError, match=r"--methods: expected a name that is not taken, got .*Impostor"):
        registry.refuse_taken("methods", f"{__name__}:Impostor", "--methods")
