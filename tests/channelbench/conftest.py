"""What tests of the command line share, and those of streaming."""

import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import zarr

from channelbench import cli, discovery, registry
from channelbench.store import layout
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import make_dataset, small_spec


class Shell:
    """Calls the command line in this process, inside an empty folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["channelbench", *map(str, arguments)])
        self.monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = self.capsys.readouterr()
        return int(stop.value.code or 0), out, err


@pytest.fixture(scope="session")
def group_links(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """64 test users of eight antennas, four slots."""
    spec = small_spec(train=60, val=20, test=64, sub6__num_slots=4, sub6__num_subcarriers=6)
    return make_dataset(tmp_path_factory.mktemp("group-links") / "few.zarr", spec)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(capsys, monkeypatch)


TINY = {"sub6__num_subcarriers": 4, "sub6__num_slots": 2, "mmwave__num_subcarriers": 4, "mmwave__array__columns": 4}
LAYOUTS = {"chunks-of-25": (25, None), "shards-of-100": (20, 100), "one-chunk": (512, None)}


def _stored_as(source: str | Path, target: Path, chunk: int, shard: int | None) -> Path:
    shutil.copytree(source, target)
    with layout.quiet_zarr():
        group = zarr.open_group(str(target), mode="r+", use_consolidated=False)
        for name, times in (("h_sub6", 1), ("h_mmwave", 2)):
            old = group[name]
            values, tail = old[:], old.shape[1:]
            array = group.create_array(
                name,
                shape=values.shape,
                chunks=(min(chunk * times, len(values)), *tail),
                shards=None if shard is None else (shard * times, *tail),
                dtype=values.dtype,
                dimension_names=old.metadata.dimension_names,
                compressors=None,
                attributes=dict(old.attrs),
                overwrite=True,
            )
            array[:] = values
        zarr.consolidate_metadata(str(target))
    return target


@pytest.fixture(scope="session")
def tiny_bands() -> dict[str, int]:
    return TINY


@pytest.fixture(scope="session")
def stored_as() -> Callable[[str | Path, Path, int, int | None], Path]:
    """``stored_as(dataset, target, chunk, shard)``: a copy whose channels lie in other pieces, h_mmwave's twice as
    long as h_sub6's."""
    return _stored_as


@pytest.fixture(scope="session")
def stream_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """341 train, 68 val, 103 test: no split but the first begins at a border of storage."""
    spec = small_spec(train=341, val=68, test=103, **TINY)
    return Path(make_dataset(tmp_path_factory.mktemp("stream") / "d.zarr", spec).path)


@pytest.fixture(scope="session", params=LAYOUTS)
def stream_path(request: pytest.FixtureRequest, stream_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same dataset in several layouts."""
    return _stored_as(stream_master, tmp_path_factory.mktemp("layout") / "d.zarr", *LAYOUTS[request.param])


@pytest.fixture(scope="session")
def small_pieces(stream_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same dataset in many pieces of 20 rows."""
    return _stored_as(stream_master, tmp_path_factory.mktemp("pieces") / "d.zarr", 10, None)


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Pretend that an installed package declares these entry points."""

    def install(kind: str = "methods", **values: str) -> None:
        found = [EntryPoint(name, value, f"channelbench.{kind}") for name, value in values.items()]
        monkeypatch.setattr(discovery, "entry_points", lambda group: [e for e in found if e.group == group])
        registry.refresh()

    yield install
    registry.refresh()
