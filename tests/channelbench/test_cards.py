"""``card``: what it writes, read back by the libraries of those it is for, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from foreign_arrays import AXES, BAND, channels

from channelbench.errors import RequestError
from channelbench.generators.imported.importing import import_dataset
from channelbench.generators.raytraced.source import LandSource, RaytracedSource, StreetSource
from channelbench.published import address_in
from channelbench.spec import SPLITS
from channelbench.store import cards, layout, open_dataset
from channelbench.store.cards.licences import addresses, hub_names, spdx_names
from channelbench.store.cards.readme import size_category
from channelbench.store.cards.recipe import as_toml
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import make_dataset, small_spec

mlcroissant = pytest.importorskip("mlcroissant")

# What mlcroissant calls of rdflib and pandas is on its way out there.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning"),
]

Shell = Callable[..., tuple[int, str, str]]
FEW = {"sub6__num_subcarriers": 4, "sub6__num_slots": 2, "mmwave__num_subcarriers": 2}
VECTORS = ("ue_position", "ue_velocity")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    return make_dataset(tmp_path_factory.mktemp("card") / "few.zarr", small_spec(train=25, val=5, test=8, **FEW))


@pytest.fixture(scope="module")
def folder(drawn: ChannelDataset) -> Path:
    """Card and dataset side by side, as they are published."""
    made = cards.write_card(drawn.path, authors=("Doe, Jane", "Roe, Richard"), for_zenodo=True)
    assert made == Path(drawn.path).parent / "few-card"
    shutil.copytree(drawn.path, made / "few.zarr")
    return made


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """Channels alone, under somebody else's licence."""
    place = tmp_path_factory.mktemp("imported")
    np.save(place / "h.npy", channels())
    told = {"axes": AXES, **BAND, "licence": "CC-BY-NC-4.0", "citation": "J. Doe, Channels, 2020"}
    made = import_dataset(place / "h.npy", place / "theirs.zarr", assignments=told, remember=False)
    return open_dataset(made.path)


def read(folder: Path, caplog: pytest.LogCaptureFixture) -> Any:
    """The metadata as Croissant's own library takes them, which has nothing to say about them."""
    with caplog.at_level(logging.WARNING):
        found = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    issues = found.metadata.ctx.issues
    assert (issues.errors, issues.warnings, caplog.messages) == (set(), set(), [])
    return found


def records(found: Any, record_set: str) -> list[dict[str, Any]]:
    """Records with the plain names of their fields."""
    rows = [dict(row) for row in found.records(record_set)]
    return [{name.removeprefix(f"{record_set}/"): value for name, value in row.items()} for row in rows]


def scalars(group: zarr.Group) -> Iterator[tuple[str, np.ndarray]]:
    """What the table has to hold of the Zarr arrays: straight from zarr-python."""
    for name, array in group.arrays():
        if array.metadata.dimension_names == ("sample",) and name != "split":
            yield name, array[:]
        elif name in VECTORS:
            yield from ((f"{name}_{axis}", array[:, index]) for index, axis in enumerate("xyz"))


@pytest.mark.parametrize("which", ["drawn", "imported"])
def test_records_are_the_scalars_of_the_zarr(
    which: str, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = request.getfixturevalue(which)
    rows = records(read(cards.write_card(dataset.path, tmp_path / "card"), caplog), "samples")
    with layout.quiet_zarr():
        group = zarr.open_group(dataset.path, mode="r")
    there = dict(scalars(group))
    assert set(rows[0]) == {"sample", "split", *there}
    assert [row["sample"] for row in rows] == list(range(dataset.spec.sizes.total))
    assert [row["split"].decode() for row in rows] == [SPLITS[index] for index in group["split"][:]]
    for name, values in there.items():
        # Croissant's library has None for NaN.
        read_back = np.array([np.nan if row[name] is None else row[name] for row in rows])
        np.testing.assert_array_equal(read_back.astype(values.dtype), values, err_msg=name)
    assert ("ue_position_z" in there) == (which == "drawn")


def test_variables_and_splits_are_described(
    drawn: ChannelDataset, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = read(folder, caplog)
    assert {row["name"]: row["samples"] for row in records(found, "splits")} == {"train": 25, "val": 5, "test": 8}
    described = {row["name"]: row for row in records(found, "variables")}
    with layout.quiet_zarr(), xr.open_zarr(folder / "few.zarr") as plain:
        assert set(described) == set(plain.variables)
        for name, array in plain.variables.items():
            dims = " × ".join(f"{dim}={length}" for dim, length in array.sizes.items())
            row = described[str(name)]
            assert (row["dims"], row["dtype"]) == (dims, str(array.dtype)), name
            assert row["unit"] == array.attrs.get("units", "1"), name
    for file_set in found.metadata.file_sets:
        (pattern,) = file_set.includes
        assert list(folder.glob(f"{pattern}/*")), pattern


def test_the_page_reads_the_records(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    monkeypatch.chdir(folder)
    exec(code, {})
    assert capsys.readouterr().out == "0 b'train'\n"


def test_checksums_are_those_of_the_files_and_lead_to_the_content_digest(folder: Path) -> None:
    document = json.loads((folder / "croissant.json").read_text())
    files = [entry for entry in document["distribution"] if entry["@type"] == "cr:FileObject"]
    assert [entry["@id"] for entry in files] == ["zarr.json", "samples.parquet"]
    for entry in files:
        content = (folder / entry["contentUrl"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["contentSize"] == f"{len(content)} B"
    attributes = json.loads((folder / "few.zarr" / "zarr.json").read_text())["attributes"]
    assert attributes["content_digest"] in (folder / "README.md").read_text()
    assert document["version"] == f"1.0.0+{attributes['content_digest'][:12]}"


def test_the_hub_reads_the_front_of_the_card(folder: Path, imported: ChannelDataset, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.DatasetCard((folder / "README.md").read_text()).data
    assert (data.license, data.size_categories) == ("cc-by-4.0", ["n<1K"])
    assert {"mimo", "croissant", "channelbench"} <= set(data.tags)
    assert data.pretty_name.startswith("channelbench ")
    assert data.pretty_name.endswith(" los dualband, six rays in closed form")
    (config,) = data.to_dict()["configs"]
    assert [(folder / entry["path"]).is_file() for entry in config["data_files"]] == [True]
    theirs = (cards.write_card(imported.path, tmp_path / "theirs") / "README.md").read_text()
    assert hub.DatasetCard(theirs).data.license == "cc-by-nc-4.0"
    assert "Please cite: J. Doe, Channels, 2020; " in theirs
    assert imported.spec.source.sha256 in theirs


def test_the_card_says_how_to_open_verify_and_make_the_dataset(
    shell: Shell, drawn: ChannelDataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    text = (folder / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["train"].sizes["sample"] == 25
    names["dataset"].close()
    verify, run, generate = (line.split() for line in re.findall(r"^\$ channelbench (.*)$", text, re.M))
    assert shell(*verify)[0] == 0
    assert run == ["run", "--data", "few.zarr", "--suite", "classical"]
    assert generate[-2:] == ["--out", "few.zarr"]
    code, out, err = shell(*generate[:-1], "again.zarr")
    assert code == 0, err
    assert f"digest {drawn.digest}" in out


def test_what_cannot_be_made_again_by_the_command_alone_is_said(
    imported: ChannelDataset, tmp_path: Path, few_rays: ChannelDataset
) -> None:
    text = (cards.write_card(imported.path, tmp_path / "card") / "README.md").read_text()
    assert "$ channelbench import PATH --out theirs.zarr --seed 0" in text
    assert "It needs what it was made from" in text
    assert "sha256 = " in text
    gone = few_rays.spec.model_copy(update={"scenario": "no.such:Thing"})
    recipe = cards.facts.Recipe.of(gone, 0, "few.zarr")
    assert recipe.caveat.startswith("Where this card was written the command is refused: ")


def test_a_spec_as_toml_is_the_spec_again() -> None:
    fields = {"a": 'text "with" \x7f\n', "b": {"c.d": 1e-9, "e": [1.5, 2]}, "f": None, "g": True, "h": ["x", "y"]}
    assert tomllib.loads(as_toml(fields)) == {key: value for key, value in fields.items() if key != "f"}


def test_licence_and_citation_are_those_that_travel_with_the_dataset(drawn: ChannelDataset, tmp_path: Path) -> None:
    """In the attributes of the group, which xarray copies, and not what its source would say today."""
    copy = tmp_path / "copy.zarr"
    shutil.copytree(drawn.path, copy)
    with layout.quiet_zarr():
        zarr.open_group(str(copy), mode="r+").attrs.update({"license": "ODbL-1.0", "citation": "A & B_c, 2019"})
    made = cards.write_card(copy)
    document = json.loads((made / "croissant.json").read_text())
    assert document["license"] == "https://spdx.org/licenses/ODbL-1.0.html"
    assert r"A \& B\_c, 2019" in document["citeAs"], "as BibTeX has it"
    assert 'license: "odbl"' in (made / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "spdx", "hub"),
    [
        ("CC-BY-4.0", ["CC-BY-4.0"], ["cc-by-4.0"]),
        (RaytracedSource().licence, ["CC-BY-4.0", "ODbL-1.0"], ["cc-by-4.0", "odbl"]),
        (LandSource().licence, ["CC-BY-4.0"], ["cc-by-4.0"]),
        (StreetSource().licence, ["CC-BY-4.0"], ["cc-by-4.0"]),
        ("not stated", [], ["unknown"]),
        ("for research only", [], ["other"]),
        ("cc-by-nc-4.0", ["CC-BY-NC-4.0"], ["cc-by-nc-4.0"]),
    ],
)
def test_licences_by_their_names(words: str, spdx: list[str], hub: list[str]) -> None:
    assert (spdx_names(words), hub_names(words)) == (spdx, hub)
    assert addresses(words) == [f"https://spdx.org/licenses/{name}.html" for name in spdx] or [words]


@pytest.mark.parametrize(("total", "word"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**5, "100K<n<1M"), (10**13, "n>1T")])
def test_size_categories_of_the_hub(total: int, word: str) -> None:
    assert size_category(total) == word


def test_zenodo_gets_what_it_needs(folder: Path, imported: ChannelDataset, tmp_path: Path) -> None:
    deposit = json.loads((folder / ".zenodo.json").read_text())
    assert deposit["upload_type"] == "dataset"
    assert deposit["creators"] == [{"name": "Doe, Jane"}, {"name": "Roe, Richard"}]
    assert deposit["license"] == "cc-by-4.0"
    assert "doi" not in deposit, "none before there is one"
    with pytest.raises(RequestError, match=r"--author: expected one at least with --zenodo"):
        cards.write_card(imported.path, tmp_path / "card", for_zenodo=True)
    assert not (tmp_path / "card").exists()


def test_addresses_are_there_once_they_are_given(shell: Shell, drawn: ChannelDataset) -> None:
    assert shell("card", drawn.path, "--out", "card")[0] == 0
    bare = json.loads(Path("card/croissant.json").read_text())
    assert not {"url", "sameAs", "creator"} & set(bare)
    assert "DOI: none yet" in Path("card/README.md").read_text()
    given = ("--url", "https://example.org/few", "--doi", "https://doi.org/10.1234/few", "--author", "Doe, Jane")
    code, out, err = shell("card", drawn.path, "--out", "card", *given)
    assert (code, out) == (0, "card\n"), err
    document = json.loads(Path("card/croissant.json").read_text())
    assert (document["url"], document["sameAs"]) == ("https://example.org/few", "https://doi.org/10.1234/few")
    text = Path("card/README.md").read_text()
    assert "DOI: [10.1234/few](https://doi.org/10.1234/few)" in text
    assert "author = {Doe, Jane}" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--url", "example"), "--url: expected the dataset's page"),
        (("--doi", "11.1/x"), "--doi: expected a DOI"),
        (("--author", " "), "--author: expected a name"),
        (("--zenodo",), "--author: expected one at least with --zenodo"),
        (("--out", "{data}/card"), "--out: expected a folder outside the dataset"),
        (("--out", "own"), "--out: expected a folder without a README.md of your own"),
        (("--out", "file"), "--out: expected a folder without a README.md of your own"),
    ],
)
def test_what_is_refused_is_one_line(shell: Shell, drawn: ChannelDataset, flags: tuple[str, ...], said: str) -> None:
    Path("own").mkdir()
    Path("own/README.md").write_text("# Mine\n")
    Path("file").write_text("")
    before = sorted(Path().rglob("*"))
    code, out, err = shell("card", drawn.path, "--out", "card", *(flag.format(data=drawn.path) for flag in flags))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"error: {said}"), line
    assert sorted(Path().rglob("*")) == before


def test_no_card_of_what_is_not_finished(shell: Shell) -> None:
    layout.create("half.zarr", small_spec(**FEW), 0, "fast")
    code, _, err = shell("card", "half.zarr")
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("error: data: expected a finished dataset"), line
    assert not Path("half-card").exists()


def test_without_pyarrow_the_remedy_is_said(
    shell: Shell, drawn: ChannelDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, _, err = shell("card", drawn.path, "--out", "card")
    assert code == 2
    assert "pip install 'channelbench[card]'" in err.splitlines()[-1]
    assert not Path("card").exists()


def test_a_remote_dataset_has_its_card_here(shell: Shell) -> None:
    place = make_dataset("memory://cards/far.zarr", small_spec(**FEW)).path
    code, out, err = shell("card", place)
    assert (code, out) == (0, "far-card\n"), err
    document = json.loads(Path("far-card/croissant.json").read_text())
    assert document["distribution"][0]["contentUrl"] == "far.zarr/zarr.json"


def test_the_address_of_the_project_is_that_of_the_package() -> None:
    assert address_in(["Documentation, https://example.org/d", "Repository, https://example.org/r"]) == (
        "https://example.org/r"
    )
    assert address_in(["Homepage, https://example.org"]) == ""
