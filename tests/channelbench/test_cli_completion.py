"""Help, completion and ``python -m``: what somebody types first."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from channelbench import registry
from channelbench.cli.completing import complete, complete_list, names_of
from channelbench.presets import PUBLIC_PRESETS

Shell = Callable[..., tuple[int, str, str]]
COMMANDS = (
    *("generate", "run", "report", "list", "inspect", "verify", "import"),
    *("export", "show", "compare", "reproduce", "rm", "merge"),
)


@pytest.mark.parametrize("kind", ["methods", "suites", "tasks", "generators"])
def test_names_read_off_the_sources_are_the_registrys(kind: str) -> None:
    assert names_of(kind) == registry.names(kind)


def test_what_is_completed() -> None:
    assert complete("presets")("") == list(PUBLIC_PRESETS)
    assert complete("suites")("class") == ["classical"]
    assert complete_list("methods")("lmmse,ml") == ["lmmse,ml_detector", "lmmse,mlp"]
    assert complete_list("tasks")("ce,cp,") == [
        f"ce,cp,{name}" for name in names_of("tasks") if name not in ("ce", "cp")
    ]
    assert complete_list("tasks")("xx") == []


def test_a_shell_asks_and_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """As bash does it, in a fresh process that says what it has imported."""
    script = (
        "import atexit, sys\n"
        "heavy = {'torch', 'numpy', 'rich'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "sys.argv = ['channelbench']\n"
        "from channelbench.cli import main\n"
        "main()\n"
    )
    asked = {"COMP_WORDS": "channelbench run --suite llm4wm-t", "COMP_CWORD": "3"}
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **asked, "_CHANNELBENCH_COMPLETE": "complete_bash"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == ["llm4wm-transfer"]
    assert found.stderr.strip() == "[]"


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_completion_script_is_there_for_each_shell(shell: Shell, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: (name, f"/bin/{name}"))
    code, out, _ = shell("--show-completion")
    assert code == 0
    assert f"complete_{name}" in out


def test_short_help_is_everywhere_and_no_word_is_help_too(shell: Shell) -> None:
    assert shell("-h") == shell("--help")
    code, out, err = shell()
    assert (code, err) == (0, "")
    assert out == shell("-h")[1]
    for command in COMMANDS:
        code, text, _ = shell(command, "-h")
        assert code == 0
        assert "-h, --help" in text
        assert command in out


def test_python_m_is_the_command_line(tmp_path: Path) -> None:
    for module in ("channelbench", "channelbench.cli"):
        command = [sys.executable, "-m", module, "--version"]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == __import__("channelbench").__version__
