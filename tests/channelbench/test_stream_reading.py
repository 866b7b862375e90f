"""What streaming reads, keeps and refuses."""

import re
import shutil
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from channelbench.errors import RequestError
from channelbench.store import layout
from channelbench.store.dataset import open_dataset
from channelbench.store.direct import DirectArray
from channelbench.stream import ChannelStream, reader
from channelbench.stream.reader import piece_rows
from channelbench.testing import make_dataset, small_spec

Reads = Counter[tuple[str, str]]


@pytest.fixture(params=["direct", "zarr"])
def reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Reads:
    """How often each part of each stored object of a channel is read, past Zarr and through it."""
    counter: Reads = Counter()
    get, read_object = LocalStore.get, DirectArray._read_object

    async def counting_get(self: LocalStore, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        if re.match(r"h_\w+/c/", key):
            counter[key, repr(byte_range)] += 1
        return await get(self, key, prototype, byte_range)

    def counting_read(self: DirectArray, number: int, row: int, target: memoryview) -> bool:
        part = "None" if len(target) == self.rows * self.row_bytes else f"{row} + {len(target)} bytes"
        counter[f"{self.array.path}/c/{number}/0/0/0", part] += 1
        return read_object(self, number, row, target)

    monkeypatch.setattr(LocalStore, "get", counting_get)
    monkeypatch.setattr(DirectArray, "_read_object", counting_read)
    if request.param == "zarr":
        monkeypatch.setattr(DirectArray, "of", lambda array: None)
    return counter


def extent(array: Any) -> int:
    return int((array.shards or array.chunks)[0])


@pytest.mark.parametrize("buffer", [1, 2, 5])
@pytest.mark.parametrize("split", ["train", "val"])
def test_each_byte_is_read_once_and_pieces_whole(stream_path: Path, reads: Reads, split: str, buffer: int) -> None:
    stream = ChannelStream(stream_path, split=split, batch_size=32, buffer=buffer, lanes=1)
    plan, group = stream.reader.plan, open_dataset(stream_path).group
    list(stream)
    assert set(reads.values()) == {1}
    for name in ("h_sub6", "h_mmwave"):
        rows = extent(group[name])
        number = {int(key.split("/")[2]) for key, _ in reads if key.startswith(name)}
        assert number == set(range(plan.first_row // rows, -(-plan.last_row // rows)))
        ranges = {key: byte_range for key, byte_range in reads if key.startswith(name)}
        inside = [k for k in number if plan.first_row <= k * rows and (k + 1) * rows <= plan.last_row]
        assert all(ranges[f"{name}/c/{k}/0/0/0"] == "None" for k in inside)


def test_lanes_meet_inside_few_pieces_and_a_resumed_epoch_skips(small_pieces: Path, reads: Reads) -> None:
    stream = ChannelStream(small_pieces, variables=["h_sub6"], batch_size=16, buffer=2, lanes=3)
    list(stream)
    assert len({key for key, _ in reads}) == 35
    assert reads.total() <= 36 + 2 * 2  # 18 pieces of two chunks; two meetings
    reads.clear()
    stream.load_state_dict(stream.state_dict() | {"batch": 18})
    assert sum(len(batch["h_sub6"]) for batch in stream) == 341 - 18 * 16
    assert reads.total() <= 3 * 2 * 4  # of each lane at most two windows of two pieces of two chunks


@pytest.mark.parametrize("kind", ["plain", "sharded", "compressed", "big-endian", "lost", "cut", "half-empty"])
def test_direct_reads_are_those_of_zarr(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((50, 3, 2), dtype=np.float32).view(np.complex64)
    options: dict[str, Any] = {"chunks": (4, 3, 1), "compressors": None, "fill_value": 0}
    match kind:
        case "sharded" | "half-empty":
            options["shards"] = (12, 3, 1)
        case "compressed":
            options["compressors"] = zarr.codecs.ZstdCodec()
        case "big-endian":
            options["serializer"] = zarr.codecs.BytesCodec(endian="big")
    group = zarr.create_group(str(tmp_path / "g.zarr"))
    array = group.create_array("h", shape=values.shape, dtype=values.dtype, **options)
    if kind == "half-empty":
        values[8:20] = 0  # chunks of zeros are not stored, so that those after them are elsewhere
    array[:] = values
    file = tmp_path / "g.zarr" / "h" / "c" / "2" / "0" / "0"
    if kind == "lost":
        file.unlink()
        values[8:12] = 0
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    direct = DirectArray.of(array)
    assert (direct is None) == (kind in ("compressed", "big-endian"))
    spans = [(0, 50), (0, 12), (12, 24), (5, 7), (3, 29), (40, 50), (49, 50)]
    for first, last in spans if direct else []:
        target = np.full((last - first, 3, 1), np.nan, np.complex64)
        if direct.read(first, last, target):
            np.testing.assert_array_equal(target, values[first:last])
            assert kind in ("plain", "sharded") or last <= 8 or first >= 12
        else:
            assert kind in ("lost", "cut", "half-empty")


def test_memory_is_that_of_the_windows(tmp_path: Path, stored_as: Any, tiny_bands: dict[str, Any]) -> None:
    spec = small_spec(train=800, val=1, test=1, **tiny_bands | {"sub6__num_subcarriers": 64})
    path = stored_as(make_dataset(tmp_path / "d.zarr", spec).path, tmp_path / "pieces.zarr", 10, None)
    stream = ChannelStream(path, variables=["h_sub6"], batch_size=8, buffer=2, lanes=2)
    total, bound = 800 * 2 * 64 * 8 * 8, stream.buffer_bytes
    assert bound == 2 * 2 * 2 * 20 * 2 * 64 * 8 * 8
    list(stream)  # to the end, so that nobody is still reading when the counting begins
    tracemalloc.start()
    try:
        for _ in stream:
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < bound + 0.8e6 < total / 3  # beside the windows: chunks on their way, one batch, and the plan


def test_large_shards_are_taken_in_whole_chunks(stream_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(stream_path)
    sub6, mmwave = (dataset.group[name] for name in ("h_sub6", "h_mmwave"))
    assert piece_rows(dataset) == max(extent(sub6), extent(mmwave))
    monkeypatch.setattr(reader, "PIECE_BYTES", 1)
    assert piece_rows(dataset) == max(sub6.chunks[0], mmwave.chunks[0])
    drops = [int(drop) for batch in ChannelStream(stream_path, variables=["h_sub6", "drop"]) for drop in batch["drop"]]
    assert len(set(drops)) == len(drops) == 341


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split": "training"}, "split: expected one of the choices, got 'training'; did you mean train"),
        ({"variables": ["h"]}, "variables: expected variables of this dataset, got 'h'; choices: h_sub6"),
        ({"variables": []}, "variables: expected at least one"),
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1"),
        ({"rank": 1}, "world_size: expected rank and world_size together"),
        ({"path": "nowhere.zarr"}, "path: expected an existing dataset"),
    ],
)
def test_wrong_requests_are_refused(stream_master: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ChannelStream(**{"path": stream_master, **changed})


def test_unfinished_datasets_are_refused(stream_master: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(stream_master, tmp_path / "d.zarr"))
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
