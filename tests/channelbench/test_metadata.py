"""What is not samples has a digest too: coordinates, dimensions, units, shapes and attributes."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.store import open_dataset, verify
from channelbench.testing import small_spec

TINY = {"sub6__num_subcarriers": 4, "sub6__num_slots": 4, "mmwave__num_subcarriers": 2, "mmwave__array__columns": 8}
COORDINATES = ("slot", "slot_mmwave", "subcarrier_", "antenna_position_")
NOT_COVERED = ("created", "versions")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 rows, so that no file has room behind the last; its channels are shards."""
    spec = small_spec(train=100, val=40, test=60, **TINY)
    return Path(generate(spec, tmp_path_factory.mktemp("metadata") / "d.zarr", chunk_samples=50, remember=False))


@pytest.fixture
def made(tmp_path: Path, master: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "d.zarr"))


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def edit_everywhere(path: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """In an array's own metadata and in the group's copy of them."""
    edit(path / name / "zarr.json", change)
    edit(path / "zarr.json", lambda root: change(root["consolidated_metadata"]["metadata"][name]))


def problems(path: Path) -> dict[str, tuple[str, ...]]:
    return {finding.check: finding.problems for finding in verify(path) if not finding.ok}


def notes(path: Path) -> list[str]:
    return [note for finding in verify(path) for note in finding.notes]


def files(path: Path, kind: str) -> list[Path]:
    """All files of a kind."""
    found = [file.relative_to(path) for file in sorted(path.rglob("*")) if file.is_file()]
    coordinates = [file for file in found if file.parts[0].startswith(COORDINATES)]
    return {
        "root": [Path("zarr.json")],
        "array metadata": [file for file in found if file.name == "zarr.json" and len(file.parts) == 2],
        "coordinates": [file for file in coordinates if "c" in file.parts],
        "digests": [file for file in found if file.parts[:2] == ("unit_digest", "c")],
        "samples": [file for file in found if "c" in file.parts[1:] and file not in coordinates],
        "indices": [file for file in found if file.parts[0].startswith("h_") and "c" in file.parts],
    }[kind]


def meaning(path: Path) -> Any:
    """What JSON says, without what no digest covers; the bytes of other files."""
    data = path.read_bytes()
    try:
        document = json.loads(data)
    except ValueError:
        return data
    for name in NOT_COVERED:
        document.get("attributes", {}).pop(name, None)
    return document


@pytest.mark.parametrize("kind", ["root", "array metadata", "coordinates", "digests", "samples", "indices"])
def test_every_flipped_bit_is_found(made: Path, kind: str) -> None:
    rng, changed = random.Random(kind), 0
    for _ in range(12):
        file = made / rng.choice(files(made, kind))
        before, was = file.read_bytes(), meaning(file)
        # A shard's index and its checksum are its last bytes: 16 of each of 4 chunks, and 4.
        position = rng.randrange(len(before) - 68 if kind == "indices" else 0, len(before))
        after = bytearray(before)
        after[position] ^= 1 << rng.randrange(8)
        file.write_bytes(after)
        if meaning(file) != was:
            changed += 1
            with suppress(RequestError):  # not even opened
                assert problems(made), (file, position)
        file.write_bytes(before)
    assert changed >= 10
    assert not problems(made)


def test_what_is_changed_in_all_places_at_once_is_found(made: Path) -> None:
    """No comparison of two copies helps here, only the digest."""
    for name, change in (
        ("subcarrier_sub6", lambda meta: meta["attributes"].update(units="GHz")),
        ("h_sub6", lambda meta: meta["attributes"].update(long_name="something else")),
        ("distance_m", lambda meta: meta["attributes"].update(scale_factor=2.0)),
        ("split", lambda meta: meta["attributes"].update(flag_values=[2, 1, 0])),
    ):
        copy = Path(shutil.copytree(made, made.parent / "copy.zarr"))
        edit_everywhere(copy, name, change)
        assert "metadata digest" in problems(copy)["metadata"][0], name
        shutil.rmtree(copy)


@pytest.mark.parametrize(("key", "value"), [("title", "other"), ("license", "none"), ("engine", "by hand")])
def test_attributes_of_the_group_are_covered(made: Path, key: str, value: str) -> None:
    edit(made / "zarr.json", lambda root: root["attributes"].update({key: value}))
    assert "metadata" in problems(made)


def test_when_and_by_which_versions_is_not_covered(made: Path) -> None:
    changes = {"created": "1970-01-01", "versions": {"numpy": "0"}, "history": "somebody looked at it"}
    edit(made / "zarr.json", lambda root: root["attributes"].update(changes))
    assert not problems(made)


def test_arrays_and_the_group_have_to_say_the_same(made: Path) -> None:
    edit(made / "los" / "zarr.json", lambda meta: meta["attributes"].update(units="m"))
    (made / "slot" / "zarr.json").unlink()
    assert problems(made)["metadata"] == (
        "los: attributes in its zarr.json and in the group's differ",
        "slot: slot/zarr.json is missing",
    )


def as_before(root: dict[str, Any]) -> None:
    """The attributes as earlier versions wrote them."""
    attributes = root["attributes"]
    for name in ("metadata_digest", "storage_digest"):
        del attributes[name]
    for name in ("spec", "versions"):
        attributes[name] = json.loads(attributes[name])
    attributes["complete"] = bool(attributes["complete"])


def test_datasets_without_the_digest_open_and_verify_says_so(made: Path) -> None:
    digest = open_dataset(made).digest
    edit(made / "zarr.json", as_before)
    edit_everywhere(
        made,
        "unit_digest",
        lambda meta: meta["attributes"].update(variables=json.loads(meta["attributes"]["variables"])),
    )
    dataset = open_dataset(made)
    assert dataset.digest == digest
    assert dataset.record.metadata_digest is None
    assert not problems(made)
    assert notes(made) == ["not compared with a digest: this dataset has none of its metadata"]
    assert "spec" in xr.open_zarr(made).attrs


def test_a_lost_digest_is_not_taken_for_an_old_dataset(made: Path) -> None:
    edit(made / "zarr.json", lambda root: root["attributes"].pop("metadata_digest"))
    assert "missing" in problems(made)["metadata"][0]


def test_the_digest_is_the_same_however_the_files_are_cut(made: Path, tmp_path: Path) -> None:
    spec = open_dataset(made).spec
    other = open_dataset(generate(spec, tmp_path / "other.zarr", remember=False)).record
    ours = open_dataset(made).record
    assert (ours.content_digest, ours.metadata_digest) == (other.content_digest, other.metadata_digest)
    assert ours.storage_digest != other.storage_digest
    seed = open_dataset(generate(spec, tmp_path / "seed.zarr", seed=1, remember=False)).record
    assert seed.metadata_digest != ours.metadata_digest
