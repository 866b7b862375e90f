"""Specs and flags that nobody should send, and somebody will: each is refused in one line, before anything is written.

What a case starts from is a small valid dataset of ``FewRays``; ``fields`` and ``flags`` are its hostile part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["BASE", "Case", "cases"]

BASE = (
    *("--set", "scenario=channelbench.testing.factories:FewRays", "--samples", "15"),
    *("--set", "sub6.num_subcarriers=4", "--set", "sub6.num_slots=2"),
    *("--set", "mmwave.num_subcarriers=4", "--set", "mmwave.array.columns=4"),
)
"""Of a valid command that takes no time."""

BIG = "1" + 26 * "0"
DEEP = 5000


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        name: For the test's report.
        arguments: Of ``channelbench``.
        files: What stands in the folder beforehand, by name; a folder where the content is ``None``.
        field: How the complaint begins; empty where the option parser's own words do.
    """

    name: str
    arguments: tuple[str, ...]
    files: dict[str, bytes | None] = field(default_factory=dict)
    field: str = ""


def cases() -> list[Case]:
    """All of them."""
    return [*_fields(), *_assignments(), *_flags(), *_files()]


def _set(name: str, *assignments: str, field: str = "") -> Case:
    words = tuple(word for assignment in assignments for word in ("--set", assignment))
    return Case(name, ("generate", *BASE, *words), field=field)


BANDS = ("sub6", "mmwave")
FLOATS = (
    *(f"{band}.{name}" for band in BANDS for name in ("carrier_hz", "bandwidth_hz", "slot_s")),
    *(f"{band}.array.spacing_wavelengths" for band in BANDS),
    *("bs_height_m", "ue_height_m", "min_distance_m", "max_distance_m", "sector_deg", "speed_min_mps", "speed_max_mps"),
    "rho_z",
)
NO_FLOAT = ("nan", "inf", "-inf", "1e300", "-1", "true", "'x'", "[1]", "{a = 1}")
INTS = (
    *(f"{band}.{name}" for band in BANDS for name in ("num_subcarriers", "num_slots", "num_beams")),
    *(f"{band}.array.{name}" for band in BANDS for name in ("rows", "columns")),
    *("sizes.train", "sizes.val", "sizes.test"),
)
NO_INT = ("0", "-1", "1.5", "nan", "1e12", BIG, "true", "'x'")
WORDS = ("scenario", "system", "state", "source", "engine", "table_version")
NO_WORD = ("''", "5", "[]", "true", "'x'", "{a = 1}")


def _fields() -> Iterator[Case]:
    """A value of each wrong kind in each field."""
    for names, values in ((FLOATS, NO_FLOAT), (INTS, NO_INT), (WORDS, NO_WORD)):
        for name in names:
            for value in values:
                yield _set(f"{name}={value}", f"{name}={value}")
    for value in ("[nan]", "[inf]", "[1e300]", "[-20.0]", "[true]", "['x']", "[[1.0]]", "5", "'x'", "{a = 1}"):
        yield _set(f"test_speeds_mps={value}", f"test_speeds_mps={value}", field="test_speeds_mps")
    for name in ("uma_fc_clip", "squint"):
        for value in ("'x'", "5", "[]", "nan"):
            yield _set(f"{name}={value}", f"{name}={value}", field=name)


def _assignments() -> Iterator[Case]:
    """Assignments that are none."""
    for text in (
        *("=", "=1", "state", "state=", " = ", "", ".=1", "..=1", "sub6.=1", ".sub6=1", "sub6..carrier_hz=1e9"),
        *("sub6.carrier_hz.deep=1", "state.deep=1", "sizes.train.x=1", "source.source.name='x'", "source.=1"),
        *("source.state='nlos'", "nowhere=1", "sub6.array.nowhere=1", "sub6=5", "sub6=[]", "sizes=5", "sizes=[1,2,3]"),
        *("sub6.array=5", "source=[]", "source=5", "source={name=5}", "source={name=[]}"),
        *("state='los'\nsystem='multiuser'", "state='los'\n[sub6]", "state=\x00", "\x00=1", "stäte='los'"),
        *("sub6.num_subcarriers=0x" + 4000 * "f", "sub6.num_subcarriers=" + 5000 * "9", "state=" + 100_000 * "x"),
        *("test_speeds_mps=" + DEEP * "[", "test_speeds_mps=" + DEEP * "[" + DEEP * "]"),
        *(DEEP * "a." + "a=1", DEEP * "source." + "a=1", "state='''x", "state='\\ud800'", "sub6.num_slots=1979-05-27"),
        *("min_distance_m=600.0", "max_distance_m=20.0", "speed_min_mps=100.0", "sub6.bandwidth_hz=1.9e9"),
        *("sub6.array={rows=0}", "mmwave={carrier_hz=1.0}", "seed=5", "preset='paper'", "complete=true"),
    ):
        yield _set(repr(text[:40]), text)
    yield _set("squares", "sub6.num_subcarriers=1000000", "sub6.num_slots=1000000", "sub6.array.rows=1000")
    yield _set("a unit that no memory holds", "sub6.num_subcarriers=1000000", "sub6.num_slots=10000")
    yield _set("more than any disk", "sizes.train=900000000", "sub6.num_slots=2000", "sub6.num_subcarriers=100")


def _flags() -> Iterator[Case]:
    """Flags of every command."""

    def generate(*words: str) -> Case:
        return Case(f"generate {' '.join(words)[:60]!r}", ("generate", *BASE, *words))

    for flag in ("--samples", "--seed", "--workers", "--file-samples", "--chunk-samples"):
        for value in ("", "-1", "1.5", "nan", "x", BIG, "1e3", 5000 * "9", "٣x"):
            yield generate(flag, value)
    yield generate("--seed", str(2**63))
    yield generate("--seed", str(2**64))
    for value in (
        "",
        "x",
        "../x:Y",
        ":",
        "x:",
        ":x",
        "os:path",
        "os:getcwd",
        ".:x",
        "x" * 5000,
        "a\nb",
        "..:..",
        "uma:",
    ):
        yield Case(f"scenario {value[:20]!r}", ("generate", "--scenario", value, "--samples", "15"), field="scenario")
    for flag in ("--state", "--source", "--system", "--engine", "--preset"):
        for value in ("", "x", "LOS"):
            yield generate(flag, value)
    for value in ("", "tcp://", "nowhere", "x" * 5000):
        yield generate("--scheduler", value)
    for value in ("", "/dev/null", "/proc/nowhere/x", "x" * 5000, "nosuch://x", "s3://", "memory://", "a\x00b", "://"):
        yield generate("--out", value)
    for value in ("", ".", "nowhere.toml", "/dev/null/x", "/dev/zero", "a\x00b"):
        yield generate("--spec", value)
    run = ("run", "--data", "nowhere.zarr")
    for value in (
        "",
        ",",
        "../x:Y",
        ":",
        "x:",
        ":x",
        "os:path",
        "bi+",
        "+",
        "bi++",
        "bi+random",
        ".:x",
        "x" * 5000,
        "..x:Y",
    ):
        yield Case(f"methods {value[:20]!r}", ("run", "--methods", value))
    for flag in ("--tasks", "--suite", "--preset", "--device"):
        for value in ("", "x", "../x:Y", ","):
            yield Case(f"run {flag} {value!r}", (*run, flag, value))
    for flag in ("--seeds", "--workers"):
        for value in ("0", "-1", BIG, "x", "", "1.5"):
            yield Case(f"run {flag} {value!r}", (*run, flag, value))
    for flag in ("--timeout", "--max-time"):
        for value in ("", "x", "nan", "-5s", "0s", "inf", "1e999h", "9" * 400 + "h", "infs"):
            yield Case(f"run {flag} {value[:20]!r}", (*run, flag, value))
    for value in ("", "=", "snr_db", "snr_db=", "snr_db=x", "snr_db=nan", "snr_db=inf", "snr_db=1e400", "x=1"):
        yield Case(f"run --condition {value!r}", (*run, "--condition", value))
    for command in ("inspect", "verify", "report"):
        for value in ("", "nowhere", "/dev/null", "a\x00b", "x" * 5000):
            yield Case(f"{command} {value[:20]!r}", (command, value))
        yield Case(f"{command} without a word", (command,))
    for value in ("", "things", "../x"):
        yield Case(f"list {value!r}", ("list", value))
    yield Case("unknown option", ("generate", "--nowhere"))
    yield Case("unknown command", ("fly",))
    yield Case("an argument too many", ("generate", "x"))


def _files() -> Iterator[Case]:
    """TOML files that are none, and places that are something else."""

    def spec(name: str, content: bytes | None) -> Case:
        return Case(f"spec {name}", ("generate", *BASE, "--spec", "s.toml"), {"s.toml": content})

    text = "state = 'nlos'  # größer\n"
    yield spec("in Latin-1", text.encode("latin-1"))
    yield spec("in UTF-16", text.encode("utf-16"))
    yield spec("in UTF-8 with a mark", b"\xef\xbb\xbf" + text.encode())
    yield spec("of zeros", bytes(1000))
    yield spec("of deep arrays", b"x = " + DEEP * b"[")
    yield spec("of deep tables", b"[" + DEEP * b"a." + b"a]\nb = 1\n")
    yield spec("of deep keys", DEEP * b"a." + b"a = 1\n")
    yield spec("of deep inline tables", b"x = " + DEEP * b"{a = " + b"1" + DEEP * b"}")
    yield spec("twice the same key", b"state = 'los'\nstate = 'nlos'\n")
    yield spec("a table and a value", b"sub6 = 5\n[sub6]\nnum_slots = 2\n")
    yield spec("an array of tables", b"[[sub6]]\nnum_slots = 2\n")
    yield spec("an empty key", b"'' = 1\n")
    yield spec("a dotted key in quotes", b"'sub6.nowhere' = 1\n")
    yield spec("nan", b"test_speeds_mps = [nan]\n")
    yield spec("a long number", b"sub6.num_slots = " + 5000 * b"9" + b"\n")
    yield spec("a date", b"state = 1979-05-27\n")
    yield spec("a folder", None)
    yield spec("of 20 MB", b"# " + 20_000_000 * b"x")
    yield spec("of carriage returns", b"state = 'los'\rsystem = 'x'\r")
    yield Case("spec of mars", ("generate", "--spec", "s.toml"), {"s.toml": b"scenario = 'mars'\n"}, "scenario")
    yield spec("an unknown system", b"system = 'six'\n")
    yield spec("a source table without a name that is one", b"[source]\nname = 5\n")
    yield Case("out is a file", ("generate", *BASE, "--out", "f"), {"f": b""})
    yield Case("out is below a file", ("generate", *BASE, "--out", "f/x"), {"f": b""})
    yield Case("out holds something", ("generate", *BASE, "--out", "d"), {"d": None, "d/x": b"1"})
    yield Case("results are a file", ("report", "f"), {"f": b""})
    yield Case("data is a file", ("inspect", "f"), {"f": b"x"})
    yield Case("data is a folder", ("verify", "d"), {"d": None})
    yield Case("csv is a folder", ("report", "d", "--csv", "d"), {"d": None})
