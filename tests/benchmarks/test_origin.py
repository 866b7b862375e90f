"""Commits and command lines of cells, and code that is another where the work is done."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from channelbench import registry
from channelbench.benchmarks import on_worker
from channelbench.benchmarks.fits import code_of_fit
from channelbench.benchmarks.jobs import Job
from channelbench.benchmarks.origin import Origin, command_line, commit_of

NAME = "checked_out_plugin"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package in a repository of its own."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "__init__.py").write_text("ONE = 1\n")
    (tmp_path / "notes.txt").write_text("x")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(NAME)
    yield tmp_path
    del sys.modules[NAME]
    commit_of.cache_clear()


def commit() -> str:
    commit_of.cache_clear()
    return commit_of(NAME)


def test_the_commit_of_a_checkout(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD").strip()
    assert commit() == head
    (checkout / "notes.txt").write_text("y")
    (checkout / "new.py").write_text("")
    assert commit() == head, "neither is its code"
    (checkout / NAME / "__init__.py").write_text("ONE = 2\n")
    assert commit() == f"{head}-dirty"
    git(checkout, "rm", "--quiet", "--cached", f"{NAME}/__init__.py")
    assert commit() == "", "a package that a repository around it knows nothing of"
    shutil.rmtree(checkout / ".git")
    assert commit() == ""
    assert commit_of("no_such_package_anywhere") == ""


def test_the_command_line_is_what_a_shell_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/channelbench", "run", "--condition", "snr_db=0, 10"])
    assert command_line() == "channelbench run --condition 'snr_db=0, 10'"


def test_a_worker_refuses_a_job_of_other_code() -> None:
    hold, task = registry.find("methods", "hold"), registry.create("tasks", "cp")
    origin = Origin.of(hold, (task,), found_at="hold", suite="full", command="")
    job = Job(hold, (task,), 0, {}, (), origin)
    on_worker._check_code(job)
    on_worker._check_code(replace(job, origin=replace(origin, code="")))
    with pytest.raises(RuntimeError, match="the code of hold has changed since the run began"):
        on_worker._check_code(replace(job, origin=replace(origin, code="0" * 64)))


def test_folders_of_fits(tmp_path: Path) -> None:
    fit = tmp_path / "checkpoints" / "net__ce__default__seed0"
    assert code_of_fit(None, "a", keep=False) == "a"
    assert code_of_fit(fit, "", keep=False) == ""
    assert not fit.parent.exists()
    assert code_of_fit(fit, "a", keep=False) == "a"
    assert not fit.exists(), "a method makes its folder itself"
    fit.mkdir()
    (fit / "weights").touch()
    for keep in (False, True):
        assert code_of_fit(fit, "a", keep=keep) == "a"
    assert code_of_fit(fit, "b", keep=True) == "a"
    assert (fit / "weights").exists()
    assert code_of_fit(fit, "b", keep=False) == "b"
    assert not fit.exists()
    fit.mkdir()
    (fit / "weights").touch()
    fit.with_name(f"{fit.name}.code").unlink()
    for keep in (False, True):
        assert code_of_fit(fit, "b", keep=keep) == "", "nobody knows"
    assert (fit / "weights").exists()
