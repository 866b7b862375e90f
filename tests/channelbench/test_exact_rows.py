"""What ``verify`` says of channels that were made wrongly, and how often it looks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_by_hand import signed_anew

from channelbench.generation import generate
from channelbench.spec import SPLITS, ScenarioSpec
from channelbench.store import Finding, exact_rows, layout, open_dataset, verify
from channelbench.store.power import power_problems
from channelbench.testing import FewRays, small_spec

TINY = {"sub6__num_subcarriers": 8, "sub6__num_slots": 3, "mmwave__num_subcarriers": 4, "mmwave__array__columns": 16}


@pytest.fixture(scope="module")
def spec() -> ScenarioSpec:
    return small_spec(train=341, val=68, test=103, test_speeds_mps=[3.0, 30.0], **TINY)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, spec: ScenarioSpec) -> Path:
    return Path(generate(spec, tmp_path_factory.mktemp("exact") / "master.zarr", remember=False))


@pytest.fixture
def made(tmp_path: Path, master: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(master, tmp_path / "made.zarr"))


def found(path: Path, **options: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in verify(path, **options)}


def test_right_channels_pass_and_are_not_drawn_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = found(made, again=False)["paths"]
    assert paths == Finding("paths", paths.question, ())
    drawn: list[int] = []
    original = FewRays.channels
    monkeypatch.setattr(FewRays, "channels", lambda self, *args: drawn.append(1) or original(self, *args))
    again = found(made, again=False)["paths"]
    assert again.ok
    assert again.notes == ("this content has passed before",)
    assert not drawn
    assert found(made)["paths"].notes == ()
    assert len(drawn) == 3 * exact_rows.ROWS


def test_a_pass_is_of_the_content(made: Path) -> None:
    assert found(made, again=False)["paths"].ok
    signed_anew(made, "h_mmwave", lambda h: h * np.exp(1j * np.linspace(0, 0.1, h.shape[-1])).astype(np.complex64))
    assert not found(made, again=False)["paths"].ok
    assert not found(made, again=False)["paths"].ok, "what has failed is looked at again"


@pytest.mark.parametrize("split", SPLITS)
def test_slightly_wrong_channels_are_found_in_any_split(made: Path, spec: ScenarioSpec, split: str) -> None:
    """A tenth of a percent, with the power that it should have."""
    rows = layout.split_rows(spec)[split]

    def change(h: Any) -> Any:
        h[rows] *= np.exp(1j * 1e-3).astype(np.complex64)
        return h

    signed_anew(made, "h_sub6", change)
    findings = found(made)
    assert [check for check, finding in findings.items() if not finding.ok] == ["paths"]
    assert len(findings["paths"].problems) == exact_rows.ROWS
    assert all(f"({split}) is " in text and "at most 0.0006 expected" in text for text in findings["paths"].problems)


def test_what_is_wrong_with_fast_users_is_found(made: Path, spec: ScenarioSpec) -> None:
    """Also where they are few."""
    speed = np.linalg.norm(open_dataset(made).array("ue_velocity", "test"), axis=1)
    fastest = layout.split_rows(spec)["test"].start + np.argsort(-speed, kind="stable")[:4]

    def change(h: Any) -> Any:
        h[fastest] *= np.exp(0.01j).astype(np.complex64)
        return h

    signed_anew(made, "h_sub6", change)
    assert not found(made)["paths"].ok


@pytest.mark.parametrize("size", [1, 7, 8, 9, 200, 1003])
def test_rows_are_different_and_as_many_as_there_can_be(size: int) -> None:
    speed = np.random.default_rng(0).uniform(0, 30, size)
    rows = exact_rows._chosen(speed)
    assert len(set(rows)) == len(rows) == min(size, exact_rows.ROWS)
    assert {0, size - 1, int(np.argmax(speed))} <= set(rows)
    assert rows.max() < size


def test_not_checked_says_why(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def note() -> str:
        finding = found(made, again=False)["paths"]
        assert finding.ok
        (text,) = finding.notes
        assert not list(exact_rows.PASSED.glob("*")), "what is not checked has not passed"
        return text

    with monkeypatch.context() as patch:
        patch.setattr(FewRays, "channels", super(FewRays, FewRays).channels)
        assert note() == "not checked: few_rays keeps no paths"
    with monkeypatch.context() as patch:
        patch.setattr(FewRays, "channels", lambda *_: 1 / 0)
        assert note() == "not checked: ZeroDivisionError('division by zero')"
    with monkeypatch.context() as patch:
        patch.setattr(exact_rows, "makers", lambda scenario: {})
        assert "its source, stochastic of channelbench.testing.factories:FewRays, is not installed" in note()
    installed = exact_rows._installed
    for package, here in (("numpy", "1.0"), ("channelbench", "none")):
        found_here = {package: here, "zarr": "0"}  # which only writes
        with monkeypatch.context() as patch:
            patch.setattr(exact_rows, "_installed", lambda name, known=found_here: known.get(name, installed(name)))
            assert note() == f"not checked: made with {package} {installed(package)} ({here} here)"
    assert installed("no-such-package") == "none"
    signed_anew(made, "h_sub6", lambda h: h * np.float32(3))
    assert found(made)["paths"].notes == ("not checked: something else is wrong",)


def test_folders_that_cannot_be_written_go_without(made: Path) -> None:
    exact_rows.PASSED.parent.write_text("a file")
    assert found(made, again=False)["paths"] == found(made, again=False)["paths"]
    assert found(made, again=False)["paths"].notes == ()


def test_looking_leaves_nothing_behind(made: Path) -> None:
    assert found(made)["paths"].ok
    assert not exact_rows.PASSED.parent.exists()


def power(spec: ScenarioSpec, values: Any) -> list[str]:
    values = np.asarray(values, float)
    return list(power_problems(spec, "h_sub6", [(0, values[:200]), (200, values[200:])]))


def test_power_has_bounds_that_do_not_grow(spec: ScenarioSpec) -> None:
    """As the powers of a Rayleigh channel of one number: the widest that there is. Then with faults."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        assert power(spec, rng.exponential(size=spec.sizes.total)) == []
    right = rng.gamma(9, 1 / 9, spec.sizes.total)
    wild = right.copy()
    wild[350] = 5e8  # of val
    assert power(spec, wild) == [
        "h_sub6: 1 samples of val have a mean power above 100, up to 5e+08 in sample 350",
        f"h_sub6: mean power of val {wild[341:409].mean():.3g}, expected 1 ± 0.626",
    ]
    in_one_split = right.copy()
    in_one_split[-103:] *= 1.4
    (text,) = power(spec, in_one_split)
    assert "mean power of test 1.4" in text
    assert any("nan" in text for text in power(spec, np.full(spec.sizes.total, np.nan)))
