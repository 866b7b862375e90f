"""Which LLVM compiles the ray tracer's kernels here: chosen and proved before Mitsuba is imported.

With LLVM older than 17 the ray tracer can be imported and loads scenes, and then the first solve ends the process,
which no ``except`` catches. So a process of its own solves a tiny scene first; what it found is kept in the user's
cache folder for the same library and packages.
"""

from __future__ import annotations

import ctypes.util
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from channelbench.errors import RequestError

__all__ = ["HINT", "OLDEST", "VARIABLE", "Proved", "candidates", "prove", "usable"]

OLDEST = 17
"""Major version of the oldest LLVM that compiles the kernels."""

VARIABLE = "DRJIT_LIBLLVM_PATH"
"""The environment variable that Dr.Jit takes its library from, and that comes before any other here."""

PACKAGES = ("drjit", "mitsuba", "sionna-rt")

HINT = f"LLVM {OLDEST} or newer: `apt-get install libllvm19` on Debian, `brew install llvm` on macOS, or {VARIABLE}"

PATTERNS = {
    "linux": (
        "/usr/lib/*/libLLVM*.so*",
        "/usr/lib/llvm-*/lib/libLLVM*.so*",
        "/usr/lib/llvm*/lib*/libLLVM*.so*",
        "/usr/lib64/libLLVM*.so*",
        "/usr/lib/libLLVM*.so*",
        "/usr/local/lib/libLLVM*.so*",
    ),
    "darwin": (
        "/opt/homebrew/opt/llvm*/lib/libLLVM*.dylib",
        "/usr/local/opt/llvm*/lib/libLLVM*.dylib",
        "/opt/local/libexec/llvm-*/lib/libLLVM*.dylib",
    ),
}
"""Where libraries lie, by what ``sys.platform`` begins with."""

TIMEOUT_S = 300.0
"""Of the proof: it imports the ray tracer from a cold disk on a busy machine."""

PROOF = """
import ctypes, json, sys

library = ctypes.CDLL(sys.argv[1])
try:
    numbers = [ctypes.c_uint() for _ in range(3)]
    library.LLVMGetVersion(*map(ctypes.byref, numbers))
    found = [number.value for number in numbers]
except AttributeError:  # it came with LLVM 16
    found = [0, 0, 0]
library.LLVMGetHostCPUName.restype = ctypes.c_char_p
print(json.dumps({"version": found, "processor": library.LLVMGetHostCPUName().decode()}), flush=True)
if found[0] < int(sys.argv[2]):
    sys.exit(3)
import mitsuba
mitsuba.set_variant("llvm_ad_mono_polarized")
import sionna.rt as rt
scene = rt.load_scene(rt.scene.simple_reflector)
scene.tx_array = scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
scene.add(rt.Transmitter("tx", position=[-1.0, 0.0, 2.0]))
scene.add(rt.Receiver("rx", position=[1.0, 0.0, 2.0]))
paths = rt.PathSolver(deterministic=True)(scene, max_depth=1, samples_per_src=1000)
assert paths.tau.numpy().size >= 1
print("solved", flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Proved:
    """A library that has solved a scene here.

    Attributes:
        path: Of the library.
        version: ``major.minor.patch``.
        processor: The processor that it compiles for, as LLVM calls it.
    """

    path: str
    version: str
    processor: str


@cache
def usable() -> Proved:
    """The library that this process is to use; ``DRJIT_LIBLLVM_PATH`` leads to it from now on.

    Raises:
        RequestError: there is none, or the one that the variable names is none.
    """
    named, refused = os.environ.get(VARIABLE, ""), []
    for path in [Path(named)] if named else candidates():
        found = prove(path)
        if isinstance(found, Proved):
            os.environ[VARIABLE] = found.path
            return found
        refused.append(f"{path} ({found})")
    field = VARIABLE if named else "--source raytraced"
    raise RequestError(field, expected=HINT, got="; ".join(refused) or "no LLVM library on this machine")


def candidates() -> list[Path]:
    """The libraries that their names say are new enough, newest first, else the newest of the others, which is then
    what the complaint names."""
    by_file: dict[Path, tuple[int, Path]] = {}
    for path in _found():
        with suppress(OSError):
            real = path.resolve(strict=True)
            if (number := max(_number(path), _number(real))) >= by_file.get(real, (-1, path))[0]:
                by_file[real] = (number, path)
    ordered = sorted(by_file.values(), key=lambda each: (-each[0], len(str(each[1])), str(each[1])))
    return [path for number, path in ordered if number >= OLDEST] or [path for _, path in ordered[:1]]


def _found() -> Iterator[Path]:
    for system, patterns in PATTERNS.items():
        if sys.platform.startswith(system):
            for pattern in patterns:
                anchor = Path(pattern).anchor
                yield from Path(anchor).glob(pattern.removeprefix(anchor))
    if (named := ctypes.util.find_library("LLVM")) and os.path.isabs(named):
        yield Path(named)


def _number(path: Path) -> int:
    """The major version that a library's name or folder has; 0 where neither says."""
    text = re.sub(r"lib(32|64)/", "lib/", str(path))
    named = re.search(r"libLLVM(?:-|\.so\.|\.)(\d+)", text) or re.search(r"llvm(?:@|-)?(\d+)/", text)
    return int(named.group(1)) if named else 0


def prove(path: Path, *, fresh: bool = False) -> Proved | str:
    """Whether a library solves a scene, by the cache or by a process of its own; otherwise what is wrong with it.

    Args:
        path: Of the library.
        fresh: Whether to solve whatever the cache says.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        return error.strerror or "cannot be read"
    missing = [package for package in PACKAGES if _version(package) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    key = "\n".join([str(path), str(changed), *(f"{package} {_version(package)}" for package in PACKAGES)])
    kept = _cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    if not fresh and (known := _read(kept)) is not None:
        return known
    found = _solve(path)
    if found != TIMED_OUT:  # a busy machine is no property of the library
        _write(kept, found)
    return found


TIMED_OUT = f"a first solve took more than {TIMEOUT_S:g} s"


def _solve(path: Path) -> Proved | str:
    command = [sys.executable, "-c", PROOF, str(path), str(OLDEST)]
    try:
        ended = subprocess.run(
            command, env={**os.environ, VARIABLE: str(path)}, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    except OSError as error:
        return str(error)
    lines = ended.stdout.splitlines()
    said: dict[str, object] = {}
    with suppress(IndexError, ValueError):
        said = json.loads(lines[0])
    if not said:
        return "no LLVM library"
    numbers = said["version"]
    assert isinstance(numbers, list)
    major = int(numbers[0])
    words = ".".join(map(str, numbers)) if major else f"older than {OLDEST - 1}"
    if major < OLDEST:
        return f"LLVM {words}"
    if ended.returncode or lines[-1] != "solved":
        return f"LLVM {words}, a first solve ended with status {ended.returncode}"
    return Proved(path=str(path), version=words, processor=str(said["processor"]))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cache_folder() -> Path:
    if sys.platform == "darwin":
        usual = Path("~/Library/Caches").expanduser()
    else:
        usual = Path("~/.cache").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "channelbench" / "llvm"


def _read(kept: Path) -> Proved | str | None:
    try:
        known = json.loads(kept.read_text())
        return Proved(**known) if isinstance(known, dict) else str(known)
    except (OSError, ValueError, TypeError):
        return None


def _write(kept: Path, found: Proved | str) -> None:
    """A folder that cannot be written goes without."""
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(asdict(found) if isinstance(found, Proved) else found))
        partial.replace(kept)
