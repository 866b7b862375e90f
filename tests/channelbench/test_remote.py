"""Datasets at URLs: on a real S3 server, in memory, and wherever there is nothing to be had."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from datasets_by_hand import forget_connections, s3_settings

from channelbench.errors import RequestError
from channelbench.generation import generate, last_dataset
from channelbench.spec import ScenarioSpec
from channelbench.store import files, open_dataset, verify
from channelbench.store.location import Location
from channelbench.store.verify import CHECKS
from channelbench.testing import small_spec

FEW_RAYS = "channelbench.testing.factories:FewRays"
TINY = {"sub6__num_subcarriers": 4, "mmwave__num_subcarriers": 2, "mmwave__array__columns": 8}
SMALL = [
    "--scenario",
    FEW_RAYS,
    "--samples",
    "60",
    "--set",
    "sub6.num_subcarriers=4",
    "--set",
    "mmwave.array.columns=8",
]
RUN = ["run", "--suite", "classical", "--tasks", "cp", "--methods", "hold,zero"]
SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
"""It is bound to a port that the system gives before it says which."""
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server of its own process, with one bucket."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline()  # or nothing, where it ends without one
            assert port, "no server"
            url = f"http://127.0.0.1:{int(port)}"
            _ask(f"{url}/bucket", "PUT")
            yield url
        finally:
            process.kill()


def _ask(url: str, method: str, data: bytes = b"") -> None:
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "text/plain"})
    urllib.request.urlopen(request).close()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings that a user makes, and a place in the bucket."""
    for name, value in s3_settings(server).items():
        monkeypatch.setenv(name, value)
    return "s3://bucket"


def test_from_generate_to_scores_on_s3(shell: Shell, s3: str, tmp_path: Path) -> None:
    place = f"{s3}/few.zarr"
    code, out, err = shell("generate", *SMALL, "--out", place)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == place
    digest = out.splitlines()[-2]
    assert digest == shell("generate", *SMALL, "--out", "local.zarr")[1].splitlines()[-2], "the same bytes"
    assert "nothing to do" in shell("generate", *SMALL, "--out", place)[1]
    code, out, _ = shell("verify", place)
    assert code == 0
    assert out.count("ok ") == len(CHECKS)
    code, out, _ = shell("inspect", place)
    assert code == 0
    assert out.splitlines()[-1] == "few.png", "the picture is here, not there"
    assert Path("few.png").exists()
    code, _, err = shell(*RUN, "--data", place)
    assert code == 0, err
    scores = Path("results/leaderboard.csv").read_text().splitlines()
    assert len(scores) > 2
    code, _, err = shell("generate", *SMALL, "--out", place, "--seed", "1")
    assert code == 2
    assert "which differs in seed: 0 → 1" in err
    # `run` without --data takes it, wherever it is.
    assert last_dataset() == place
    assert "0 cells made" in shell(*RUN)[1]


def test_xarray_opens_it_and_a_lost_object_is_found(s3: str) -> None:
    import fsspec
    import xarray as xr

    place = f"{s3}/x.zarr"
    assert generate(small_spec(**TINY), place, remember=False) == place
    dataset = open_dataset(place)
    assert dataset.path == place
    rows = dataset.xarray["distance_m"].values
    assert (rows == xr.open_zarr(place)["distance_m"].values).all()
    assert (rows[:60] == dataset.array("distance_m", "train")).all()
    assert all(finding.ok for finding in verify(place))
    fsspec.filesystem("s3").rm("bucket/x.zarr/los/c/0")
    assert [finding.check for finding in verify(place) if not finding.ok] == ["chunks", "digests"]


@pytest.fixture(scope="module")
def spec() -> ScenarioSpec:
    """Three units."""
    return small_spec(train=341, val=68, test=103, **TINY)


@pytest.fixture(scope="module")
def digest(spec: ScenarioSpec, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of that dataset in a folder."""
    return open_dataset(generate(spec, tmp_path_factory.mktemp("local") / "x.zarr", remember=False)).digest


def test_interrupted_generation_continues_on_s3(
    s3: str, spec: ScenarioSpec, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, real, calls = f"{s3}/broken.zarr", files.put, []

    def failing(store, images):
        """Between a unit's data and its digests, in the second unit."""
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(store, images)

    monkeypatch.setattr(files, "put", failing)
    with pytest.raises(KeyboardInterrupt):
        generate(spec, place, remember=False)
    monkeypatch.setattr(files, "put", real)
    with pytest.raises(RequestError, match="1 of 3 blocks written"):
        open_dataset(place)
    counts: list[int] = []
    generate(spec, place, remember=False, progress=lambda done, total: counts.append(done))
    assert counts == [200, 400, 512]
    assert open_dataset(place).digest == digest


def test_a_dataset_grows_on_s3(s3: str, spec: ScenarioSpec, digest: str) -> None:
    place = f"{s3}/grown.zarr"
    generate(spec.replace({"sizes": {"train": 150, "val": 68, "test": 40}}), place, remember=False)
    assert generate(spec, place, remember=False) == place
    assert open_dataset(place).digest == digest
    assert not [key for key in Location(place).files() if "growing" in key or "unfinished" in key]
    assert all(finding.ok for finding in verify(place))


@pytest.mark.slow
def test_worker_processes_write_to_s3(s3: str, spec: ScenarioSpec, digest: str) -> None:
    there = generate(spec, f"{s3}/two.zarr", workers=2, remember=False)
    assert open_dataset(there).digest == digest
    assert all(finding.ok for finding in verify(there)), "a listing from before the workers wrote is not believed"


def one_line(result: tuple[int, str, str], field: str, fragment: str) -> None:
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {field}: expected ")
    assert fragment in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "writing", "reading"),
    [
        ("s3://nobucket/x.zarr", "The specified bucket does not exist", "The specified bucket does not exist"),
        ("s3://bucket/absent.zarr", "", "a Zarr dataset, got 's3://bucket/absent.zarr (nothing there)'"),
        ("s3://bucket/foreign", "(no Zarr group)", "(no Zarr group)"),
        ("s3://", "a URL with a path", "a URL with a path"),
        ("fly://bucket/x.zarr", "Protocol not known: fly", "a URL that fsspec can open"),
        ("http://127.0.0.1:1/x.zarr", "a place that can be written", "a readable Zarr dataset"),
    ],
)
def test_wrong_urls(shell: Shell, s3: str, tmp_path: Path, place: str, writing: str, reading: str) -> None:
    import fsspec

    fsspec.filesystem("s3").pipe_file("bucket/foreign/note", b"x")
    if writing:
        one_line(shell("generate", *SMALL, "--out", place), "--out", writing)
    one_line(shell(*RUN, "--data", place), "--data", reading)
    for command in ("verify", "inspect"):
        one_line(shell(command, place), "data", reading)
    assert not list(tmp_path.iterdir())


def test_wrong_credentials(shell: Shell, s3: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"{s3}/few.zarr"
    _ask(f"{server}/moto-api/reset-auth", "POST", b"0")  # from the next request on, keys are checked
    try:
        forget_connections()
        one_line(shell("generate", *SMALL, "--out", place), "--out", "AWS Access Key Id you provided does not exist")
        one_line(shell(*RUN, "--data", place), "--data", "a readable Zarr dataset")
    finally:
        _ask(f"{server}/moto-api/reset-auth", "POST", b"inf")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    forget_connections()
    try:
        one_line(shell("generate", *SMALL, "--out", place), "--out", "Unable to locate credentials")
    finally:
        forget_connections()


def test_missing_package_names_the_extra(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    one_line(shell("verify", "s3://bucket/x.zarr"), "data", "pip install 'channelbench[s3]'")
    one_line(shell("verify", "gs://bucket/x.zarr"), "data", "Install s3fs")


def test_memory_is_of_one_process(shell: Shell) -> None:
    place = generate(small_spec(**TINY), "memory://here/x.zarr")
    assert all(finding.ok for finding in verify(place))
    assert last_dataset() is None
    one_line(shell("generate", *SMALL, "--out", place, "--workers", "2"), "--out", "a place that all workers share")
    one_line(shell(*RUN, "--data", place, "--workers", "2"), "--data", "a place that all workers share")


def test_url_of_a_folder_is_that_folder(tmp_path: Path) -> None:
    made = generate(small_spec(**TINY), f"file://{tmp_path}/x.zarr", remember=False)
    assert made == tmp_path / "x.zarr"
    assert open_dataset(f"file://{tmp_path}/x.zarr").path == str(made)
    with pytest.raises(RequestError, match="a URL as a string"):
        Location.of(Path("s3://bucket/x.zarr"), field="--out")


def test_results_stay_local(shell: Shell) -> None:
    one_line(shell(*RUN, "--out", "s3://bucket/results"), "--out", "a folder of this machine")


def test_network_that_fails_midway_is_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    botocore = pytest.importorskip("botocore.exceptions")

    def failing(*_: object) -> None:
        raise botocore.EndpointConnectionError(endpoint_url="http://there")

    monkeypatch.setattr(files.UnitFiles, "write", failing)
    code, _, err = shell("generate", *SMALL)
    assert code == 1
    assert (
        err == 'error: the store: Could not connect to the endpoint URL: "http://there"; the same command continues\n'
    )
