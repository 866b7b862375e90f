"""Streaming with PyTorch: the planned batches, whoever reads them, and rests that are exact."""

import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from channelbench.errors import RequestError
from channelbench.store.dataset import open_dataset
from channelbench.stream import ChannelStream

VARIABLES = ("h_sub6", "h_mmwave", "drop", "los")
SIZES = {"train": 341, "val": 68, "test": 103}


def same(left: list[dict[str, torch.Tensor]], right: list[dict[str, torch.Tensor]]) -> bool:
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_the_planned_rows(stream_path: Path, split: str, shuffle: bool) -> None:
    stream = ChannelStream(stream_path, variables=VARIABLES, split=split, batch_size=32, shuffle=shuffle, buffer=2)
    group = open_dataset(stream_path).group
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


def test_default_is_all_channels(stream_master: Path) -> None:
    assert list(next(iter(ChannelStream(stream_master)))) == ["h_sub6", "h_mmwave"]
    assert list(next(iter(ChannelStream(stream_master, variables="drop")))) == ["drop"]


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("buffer", [1, 3])
def test_every_sample_once_over_ranks(stream_path: Path, world_size: int, buffer: int) -> None:
    drops = open_dataset(stream_path).array("drop", "train")
    for epoch in (0, 1):
        seen: list[int] = []
        for rank in range(world_size):
            stream = ChannelStream(
                stream_path, variables=["drop"], batch_size=16, buffer=buffer, rank=rank, world_size=world_size
            )
            stream.set_epoch(epoch)
            share = [int(drop) for batch in stream for drop in batch["drop"]]
            assert len(share) == len(drops) // world_size
            seen += share
        assert len(set(seen)) == len(seen) == len(drops) - len(drops) % world_size
        assert set(seen) <= set(drops.tolist())


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
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


@pytest.mark.parametrize(("workers", "done"), [(0, 0), (0, 1), (0, 7), (0, 22), (2, 1), (2, 8)])
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
    assert (state["epoch"], state["batch"]) == (4, done)
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


def test_a_pickled_stream_is_the_same(small_pieces: Path) -> None:
    stream = ChannelStream(small_pieces, batch_size=64)
    stream.set_epoch(2)
    whole = list(stream)
    assert same(list(pickle.loads(pickle.dumps(stream))), whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_url_gives_the_same(small_pieces: Path, workers: int) -> None:
    fsspec.filesystem("memory").put(str(small_pieces), "/stream", recursive=True)
    try:
        stream = ChannelStream("memory://stream", variables=VARIABLES, batch_size=64)
        remote = list(DataLoader(stream, batch_size=None, num_workers=workers))
    finally:
        fsspec.filesystem("memory").rm("/stream", recursive=True)
    assert same(remote, list(ChannelStream(small_pieces, variables=VARIABLES, batch_size=64)))


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


def test_rank_comes_from_the_environment(small_pieces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    plan = ChannelStream(small_pieces).reader.plan
    assert (plan.rank, plan.world_size) == (1, 2)
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(RequestError, match="RANK, WORLD_SIZE: expected whole numbers"):
        ChannelStream(small_pieces)
