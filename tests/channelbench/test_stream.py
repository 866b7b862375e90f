"""Streaming with PyTorch: the planned batches, whoever reads them; each piece once; and rests that are exact."""

import pickle
import re
import shutil
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from torch.utils.data import DataLoader
from zarr.storage import LocalStore

from channelbench.errors import RequestError
from channelbench.store import layout
from channelbench.store.dataset import open_dataset
from channelbench.stream import ChannelStream, reader
from channelbench.stream.reader import piece_rows
from channelbench.testing import make_dataset, small_spec

TINY = {"sub6__num_subcarriers": 4, "sub6__num_slots": 2, "mmwave__num_subcarriers": 4, "mmwave__array__columns": 4}
SIZES = {"train": 341, "val": 68, "test": 103}
VARIABLES = ("h_sub6", "h_mmwave", "drop", "los")
LAYOUTS = {"chunks of 25": (25, None), "shards of 100": (20, 100), "one chunk": (512, None)}


def stored_as(source: Path, target: Path, chunk: int, shard: int | None) -> Path:
    """A copy of a dataset whose channels lie in other pieces: those of h_mmwave are twice as long."""
    shutil.copytree(source, target)
    group = zarr.open_group(str(target), mode="r+", use_consolidated=False)
    for name, times in (("h_sub6", 1), ("h_mmwave", 2)):
        old = group[name]
        values, dims, attributes = old[:], old.metadata.dimension_names, dict(old.attrs)
        rows = min(chunk * times, len(values))
        tail = values.shape[1:]
        new = group.create_array(
            name,
            shape=values.shape,
            chunks=(rows, *tail),
            shards=None if shard is None else (shard * times, *tail),
            dtype=values.dtype,
            dimension_names=dims,
            compressors=None,
            attributes=attributes,
            overwrite=True,
        )
        new[:] = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(str(target))
    return target


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make_dataset(tmp_path_factory.mktemp("stream") / "d.zarr", small_spec(**SIZES, **TINY)).path)


@pytest.fixture(scope="module", params=LAYOUTS, ids=lambda name: name.replace(" ", "-"))
def path(request: pytest.FixtureRequest, master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_as(master, tmp_path_factory.mktemp("layout") / "d.zarr", *LAYOUTS[request.param])


@pytest.fixture(scope="module")
def small_pieces(master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_as(master, tmp_path_factory.mktemp("pieces") / "d.zarr", 10, None)


def same(left: list[dict[str, torch.Tensor]], right: list[dict[str, torch.Tensor]]) -> bool:
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_the_planned_rows(path: Path, split: str, shuffle: bool) -> None:
    stream = ChannelStream(path, variables=VARIABLES, split=split, batch_size=32, shuffle=shuffle, buffer=2)
    group = open_dataset(path).group
    stored = {name: group[name][:] for name in VARIABLES}
    stream.set_epoch(3)
    batches = list(stream)
    assert len(batches) == len(stream) == -(-SIZES[split] // 32)
    for batch, rows in zip(batches, stream.reader.plan.batches(3), strict=True):
        for name in VARIABLES:
            np.testing.assert_array_equal(batch[name].numpy(), stored[name][rows])
    assert batches[0]["h_sub6"].dtype == torch.complex64
    assert batches[0]["h_sub6"].shape == (32, 2, 4, 8)
    assert batches[0]["los"].dtype == torch.bool


def test_default_is_all_channels(master: Path) -> None:
    assert list(next(iter(ChannelStream(master)))) == ["h_sub6", "h_mmwave"]
    assert list(next(iter(ChannelStream(master, variables="drop")))) == ["drop"]


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("buffer", [1, 3])
def test_every_sample_once_over_ranks(path: Path, world_size: int, buffer: int) -> None:
    drops = open_dataset(path).array("drop", "train")
    for epoch in (0, 1):
        seen: list[int] = []
        for rank in range(world_size):
            stream = ChannelStream(
                path, variables=["drop"], batch_size=16, buffer=buffer, rank=rank, world_size=world_size
            )
            stream.set_epoch(epoch)
            share = [int(drop) for batch in stream for drop in batch["drop"]]
            assert len(share) == len(drops) // world_size
            seen += share
        assert len(set(seen)) == len(seen) == len(drops) - len(drops) % world_size
        assert set(seen) <= set(drops.tolist())


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing_and_see_the_epoch(small_pieces: Path, workers: int) -> None:
    stream = ChannelStream(small_pieces, variables=VARIABLES, batch_size=16, seed=5)
    alone = []
    for epoch in (0, 1):
        stream.set_epoch(epoch)
        alone.append(list(stream))
    assert not same(alone[0], alone[1])
    loader = DataLoader(stream, batch_size=None, num_workers=workers, persistent_workers=True)
    for epoch in (0, 1):
        stream.set_epoch(epoch)
        assert same(list(loader), alone[epoch])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 7, 22])
def test_resumed_epoch_is_the_exact_rest(small_pieces: Path, workers: int, done: int) -> None:
    def make() -> tuple[ChannelStream, Any]:
        stream = ChannelStream(small_pieces, variables=("h_sub6", "drop"), batch_size=16, seed=2)
        return stream, DataLoader(stream, batch_size=None, num_workers=workers) if workers else stream

    stream, loader = make()
    stream.set_epoch(4)
    whole = list(loader)
    assert len(whole) == 22
    stream, loader = make()
    stream.set_epoch(4)
    taken = [batch for _, batch in zip(range(done), loader, strict=False)]
    state = pickle.loads(pickle.dumps(stream.state_dict(len(taken) if workers else None)))
    assert state["epoch"], state["batch"] == (4, done)
    stream, loader = make()
    stream.load_state_dict(state)
    stream.set_epoch(state["epoch"])  # as the loop over epochs does
    first = [batch for _, batch in zip(range(3), loader, strict=False)]
    assert same(first, whole[done : done + 3])
    again = stream.state_dict(len(first) if workers else None)
    assert again["batch"] == done + len(first)
    stream.load_state_dict(again)
    assert same(list(loader), whole[done + 3 :])
    stream.set_epoch(5)
    assert len(list(loader)) == 22


def test_position_behind_workers_must_be_told(small_pieces: Path) -> None:
    stream = ChannelStream(small_pieces, batch_size=64)
    next(iter(DataLoader(stream, batch_size=None, num_workers=1)))
    with pytest.raises(RequestError, match="batches: expected the number of batches taken from the DataLoader"):
        stream.state_dict()
    assert stream.state_dict(1)["batch"] == 1
    with pytest.raises(RequestError, match="batch: expected at most the epoch's 6 batches, got 7"):
        stream.state_dict(7)
    stream.set_epoch(1)
    assert stream.state_dict()["batch"] == 0


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each stored object of a channel is read."""
    counter: Counter[str] = Counter()
    get = LocalStore.get

    async def counting(self: LocalStore, key: str, *arguments: Any, **named: Any) -> Any:
        if re.match(r"h_\w+/c/", key):
            counter[key] += 1
        return await get(self, key, *arguments, **named)

    monkeypatch.setattr(LocalStore, "get", counting)
    yield counter


@pytest.mark.parametrize("buffer", [1, 2, 5])
def test_each_piece_is_read_once(path: Path, reads: Counter[str], buffer: int) -> None:
    stream = ChannelStream(path, batch_size=32, buffer=buffer, lanes=1)
    stream.set_epoch(1)
    list(stream)
    expected = {
        f"{name}/c/{number}/0/0/0"
        for name in ("h_sub6", "h_mmwave")
        for number in range(-(-SIZES["train"] // (array := open_dataset(path).group[name], extent(array))[1]))
    }
    assert set(reads) == expected
    inner = {key: extent_in_chunks(path, key.split("/")[0]) for key in reads}
    for key, times in reads.items():
        last = key == max(reads, key=lambda k: int(k.split("/")[2]))
        assert times == 1 or last or times <= 1 + inner[key], (key, times)


def extent(array: Any) -> int:
    return int((array.shards or array.chunks)[0])


def extent_in_chunks(path: Path, name: str) -> int:
    array = open_dataset(path).group[name]
    return extent(array) // int(array.chunks[0])


def test_lanes_and_a_resumed_epoch_read_no_more_than_they_need(small_pieces: Path, reads: Counter[str]) -> None:
    stream = ChannelStream(small_pieces, variables=["h_sub6"], batch_size=16, buffer=2, lanes=3)
    list(stream)
    assert len(reads) == 35
    assert sum(reads.values()) <= sum(-(-341 // 20) * 2 for _ in "x") + 2 * 2
    reads.clear()
    stream.load_state_dict(stream.state_dict() | {"batch": 18})
    assert sum(len(batch["h_sub6"]) for batch in stream) == 341 - 18 * 16
    assert sum(reads.values()) <= 3 * 2 * 2 * 2  # three lanes, at most two windows of two pieces of two chunks each


def test_memory_is_that_of_the_windows(tmp_path: Path) -> None:
    spec = small_spec(train=1600, val=1, test=1, **TINY | {"sub6__num_subcarriers": 64})
    made = Path(make_dataset(tmp_path / "d.zarr", spec).path)
    path = stored_as(made, tmp_path / "pieces.zarr", 10, None)
    stream = ChannelStream(path, variables=["h_sub6"], batch_size=8, buffer=2, lanes=2)
    total, bound = 1600 * 2 * 64 * 8 * 8, stream.buffer_bytes
    assert bound == 2 * 2 * 2 * 20 * 2 * 64 * 8 * 8
    next(iter(stream))
    tracemalloc.start()
    try:
        for _ in stream:
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < bound + 1.5e6 < total / 3  # beside the windows: chunks on their way, one batch, and the plan


def test_large_shards_are_taken_in_whole_chunks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(path)
    sub6, mmwave = (dataset.group[name] for name in ("h_sub6", "h_mmwave"))
    assert piece_rows(dataset) == max(extent(sub6), extent(mmwave))
    monkeypatch.setattr(reader, "PIECE_BYTES", 45 * (2 * 4 * 8 + 4 * 4) * 8)
    piece = piece_rows(dataset)
    assert piece == max(sub6.chunks[0], mmwave.chunks[0])
    drops = [int(drop) for batch in ChannelStream(path, variables=["h_sub6", "drop"]) for drop in batch["drop"]]
    assert len(set(drops)) == len(drops) == SIZES["train"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split": "training"}, "split: expected one of the choices, got 'training'; choices: train, val, test"),
        ({"variables": ["h"]}, "variables: expected variables of this dataset, got 'h'; choices: h_sub6"),
        ({"variables": []}, "variables: expected at least one"),
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1"),
        ({"rank": 1}, "world_size: expected rank and world_size together"),
        ({"path": "nowhere.zarr"}, "path: expected an existing dataset"),
    ],
)
def test_wrong_requests_are_refused(master: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ChannelStream(**{"path": master, **changed})


def test_unfinished_datasets_are_refused(master: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(master, tmp_path / "d.zarr"))
    with layout.quiet_zarr():
        zarr.open_group(str(path), mode="r+").attrs["complete"] = False
    with pytest.raises(RequestError, match="finished dataset"):
        ChannelStream(path)


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"seed": 1}, "seed"), ({"buffer": 3}, "buffer"), ({"lanes": 1}, "lanes"), ({"split": "val"}, "split")],
)
def test_states_of_other_orders_are_refused(small_pieces: Path, changed: dict[str, Any], field: str) -> None:
    state = ChannelStream(small_pieces, **{"buffer": 2, **changed}).state_dict()
    stream = ChannelStream(small_pieces, buffer=2)
    with pytest.raises(RequestError, match=rf"state\.{field}: expected"):
        stream.load_state_dict(state)
    state["order"] = stream.state_dict()["order"] | {"digest": "0"}
    with pytest.raises(RequestError, match=r"state\.digest"):
        stream.load_state_dict(state)
    with pytest.raises(RequestError, match=r"state: expected what state_dict\(\) returned"):
        stream.load_state_dict({})
    assert stream.state_dict()["batch"] == 0


def test_rank_comes_from_the_environment(small_pieces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    plan = ChannelStream(small_pieces).reader.plan
    assert (plan.rank, plan.world_size) == (1, 2)
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(RequestError, match="RANK, WORLD_SIZE: expected whole numbers"):
        ChannelStream(small_pieces)
