"""The choice of an LLVM library: none, an old one, a good one, and what is remembered of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_tracing import require_tracer

from channelbench.errors import RequestError
from channelbench.generators.raytraced import llvm

OLD = [Path(f"/usr/lib/x86_64-linux-gnu/libLLVM-{number}.so.1") for number in (14, 15)]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of nothing, and nothing asked before in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    llvm.usable.cache_clear()
    yield tmp_path
    llvm.usable.cache_clear()


def _no_process(*command: object, **options: object) -> None:
    raise AssertionError(f"a process was started: {command}")


def _said(error: RequestError) -> str:
    text = str(error)
    assert "\n" not in text
    assert "libllvm19" in text
    assert "brew install llvm" in text
    return text


def test_no_library_is_one_line(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(llvm.VARIABLE, raising=False)
    monkeypatch.setattr(llvm, "_found", lambda: iter(()))
    with pytest.raises(RequestError) as caught:
        llvm.usable()
    assert "no LLVM library on this machine" in _said(caught.value)


@pytest.mark.parametrize("name", ["missing.so", "no-library.so"])
def test_a_named_file_that_is_no_library_is_one_line(name: str, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty / "no-library.so").write_text("words")
    monkeypatch.setenv(llvm.VARIABLE, str(empty / name))
    with pytest.raises(RequestError) as caught:
        llvm.usable()
    assert name in _said(caught.value)
    assert caught.value.field == llvm.VARIABLE


@pytest.mark.parametrize("library", OLD, ids=lambda path: path.name)
def test_an_old_library_is_refused_before_it_ends_the_process(
    library: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not library.exists():
        pytest.skip(f"{library} is not here")
    monkeypatch.delenv(llvm.VARIABLE, raising=False)
    monkeypatch.setattr(llvm, "_found", lambda: iter([library]))
    with pytest.raises(RequestError) as caught:
        llvm.usable()
    assert f"{library} (LLVM older than 16)" in _said(caught.value)

    llvm.usable.cache_clear()
    monkeypatch.setattr(subprocess, "run", _no_process)  # the answer is kept
    with pytest.raises(RequestError):
        llvm.usable()


def test_a_good_library_is_proved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks later reads what the first has found: no process solves again."""
    require_tracer()
    found = llvm.usable()
    assert int(found.version.split(".")[0]) >= llvm.OLDEST
    assert found.processor
    monkeypatch.setattr(subprocess, "run", _no_process)
    assert llvm.prove(Path(found.path)) == found


def test_what_was_found_holds_for_the_file_and_the_packages(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file in its place, or another package, is asked anew."""
    library, asked = empty / "libLLVM-99.so", list[Path]()
    library.write_text("one")
    good = llvm.Proved(path=str(library), version="99.0.0", processor="somebody's")

    def solve(path: Path) -> llvm.Proved:
        asked.append(path)
        return good

    monkeypatch.setattr(llvm, "_solve", solve)
    assert llvm.prove(library) == llvm.prove(library) == good
    assert len(asked) == 1
    library.touch()
    llvm.prove(library)
    assert len(asked) == 2
    monkeypatch.setattr(llvm, "_version", lambda package: f"another {package}")
    llvm.prove(library)
    assert len(asked) == 3
    for kept in empty.rglob("*.json"):
        kept.write_text("{cut")
    llvm.prove(library)
    assert len(asked) == 4
    assert json.loads(next(p for p in empty.rglob("*.json") if p.read_text() != "{cut").read_text())["version"]


def test_the_newest_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file under several names is one library; old ones are not tried where there are others."""
    for name in ("libLLVM-15.so.1", "libLLVM-17.so.1", "libLLVM.so.19.1"):
        (tmp_path / name).write_text(name)
    (tmp_path / "libLLVM-19.so").symlink_to("libLLVM.so.19.1")
    monkeypatch.setattr(llvm, "_found", lambda: iter(sorted(tmp_path.iterdir())))
    assert [path.resolve().name for path in llvm.candidates()] == ["libLLVM.so.19.1", "libLLVM-17.so.1"]
    for name in ("libLLVM-17.so.1", "libLLVM-19.so", "libLLVM.so.19.1"):
        (tmp_path / name).unlink()
    assert [path.name for path in llvm.candidates()] == ["libLLVM-15.so.1"]


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/usr/lib/x86_64-linux-gnu/libLLVM.so.19.1", 19),
        ("/usr/lib/x86_64-linux-gnu/libLLVM-14.0.6.so.1", 14),
        ("/usr/lib/llvm-18/lib/libLLVM.so", 18),
        ("/opt/homebrew/opt/llvm@17/lib/libLLVM.dylib", 17),
        ("/usr/lib64/libLLVM.so", 0),
    ],
)
def test_a_name_says_which_version(path: str, number: int) -> None:
    assert llvm._number(Path(path)) == number


def test_nothing_asks_for_it_before_rays_are_traced() -> None:
    """Listing scenarios and making a spec import no ray tracer."""
    code = (
        "import sys; from channelbench import registry; from channelbench.generation import make_spec\n"
        "registry.names('generators'); make_spec('uma')\n"
        "assert not {'mitsuba', 'drjit', 'sionna'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
