"""Work on clusters: the same bytes whoever does it and whoever dies of it, and wrong addresses in one line."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import pytest
from distributed import Client, LocalCluster

from channelbench import cluster
from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.spec import ScenarioSpec
from channelbench.store import layout, open_dataset
from channelbench.store.files import Files
from channelbench.testing import small_spec

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers need not find the tests

FEW_RAYS = "channelbench.testing.factories:FewRays"
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def spec() -> ScenarioSpec:
    """Ten units."""
    return small_spec(
        train=1400, val=100, test=500, sub6__num_subcarriers=4, mmwave__num_subcarriers=2, mmwave__array__columns=8
    )


@pytest.fixture(autouse=True)
def versions_read_anew() -> Iterator[None]:
    """They are remembered, and one test changes them."""
    yield
    layout.versions.cache_clear()


@pytest.fixture
def client(somebodys: LocalCluster) -> Iterator[Client]:
    with Client(somebodys, set_as_default=False) as ours:
        ours.wait_for_workers(2)
        yield ours


def wait_until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once that is true."""
    limit = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found


def pid_of_some_worker(there: LocalCluster) -> int | None:
    """As its nanny knows it: a worker that has been killed answers no question."""
    return next((nanny.pid for nanny in there.workers.values() if nanny.pid is not None), None)


def test_workers_killed_during_the_run_cost_only_their_blocks(
    client: Client, somebodys: LocalCluster, tmp_path: Path, spec: ScenarioSpec
) -> None:
    alone = open_dataset(generate(spec, tmp_path / "alone.zarr", remember=False)).digest
    counts: list[int] = []

    def kill(done: int, total: int) -> None:
        """A worker process, with the signal that nobody can catch, while it has work."""
        counts.append(done)
        if done in (400, 800):
            os.kill(wait_until(lambda: pid_of_some_worker(somebodys)), signal.SIGKILL)

    path = generate(
        spec,
        tmp_path / "shared.zarr",
        scheduler=somebodys.scheduler_address,
        file_samples=200,
        progress=kill,
        remember=False,
    )
    assert open_dataset(path).digest == alone
    assert counts == [200 * unit for unit in range(11)]


def dies_first(folder: Path, times: int, item: int) -> None:
    """Take the worker along, so many times per item."""
    lives = len(list(folder.glob(f"{item}-*")))
    if lives < times:
        (folder / f"{item}-{lives}").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_an_item_goes_back_to_the_cluster_after_dask_gave_it_up(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
    try:
        assert list(cluster.spread(client, partial(dies_first, tmp_path, 1), [7])) == [7]
        monkeypatch.setattr(cluster, "RESUBMISSIONS", 1)
        with pytest.raises(OSError, match="die of one block again and again"):
            list(cluster.spread(client, partial(dies_first, tmp_path, 9), [8]))
    finally:
        client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 3))
    assert len(list(tmp_path.glob("7-*"))) == 1
    # An item also counts as lost where its worker died before beginning it.
    assert len(list(tmp_path.glob("8-*"))) <= 2


def fails_at(bad: int, item: int) -> None:
    if item == bad:
        raise RequestError("field", expected="another item", got=item, choices=["a", "b"])


def test_an_exception_stops_the_work_and_arrives_whole(client: Client) -> None:
    done: list[int] = []
    with pytest.raises(RequestError, match=r"^field: expected another item, got 20; choices: a, b$") as caught:
        done.extend(cluster.spread(client, partial(fails_at, 20), range(10_000)))
    assert caught.value.got == 20
    assert len(done) < 1000


def test_items_are_taken_as_there_is_room(client: Client) -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(200):
            taken.append(item)
            yield item

    for count, _ in enumerate(cluster.spread(client, abs, items()), 1):
        assert len(taken) <= count + cluster.AHEAD * 2
    assert count == 200


def test_leaving_takes_back_what_is_not_done(client: Client, somebodys: LocalCluster) -> None:
    def left(dask_scheduler) -> int:
        return len(dask_scheduler.tasks)

    with cluster.connect(somebodys.scheduler_address, ()) as ours:
        next(cluster.spread(ours, time.sleep, [0.01, *[0.5] * 100]))
        assert client.run_on_scheduler(left) > 0
    wait_until(lambda: client.run_on_scheduler(left) == 0)


def test_cluster_from_the_command_line(
    shell: Shell, client: Client, somebodys: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["generate", "--scenario", FEW_RAYS, "--samples", "60", "--set", "mmwave.array.columns=8"]
    code, out, _ = shell(*arguments, "--scheduler", somebodys.scheduler_address)  # a relative --out, and their cwd
    assert code == 0
    assert out.splitlines()[-1] == "data/fewrays.zarr"
    code, _, err = shell(*arguments, "--scheduler", somebodys.scheduler_address, "--workers", "2")
    assert code == 2
    assert err.startswith("error: --scheduler: expected no --workers beside it")
    # Workers of another version would write other bytes.
    monkeypatch.setattr(layout, "version", lambda package: "1.0")
    layout.versions.cache_clear()
    code, _, err = shell(*arguments, "--out", "other.zarr", "--scheduler", somebodys.scheduler_address)
    assert code == 2
    assert "expected workers with channelbench 1.0, numpy 1.0, zarr 1.0, as here, got 'tcp://" in err
    assert err.count("\n") == 1
    assert not Path("other.zarr").exists()


def test_a_worker_that_comes_later_is_checked_too(client: Client, somebodys: LocalCluster, tmp_path: Path) -> None:
    from channelbench.generation import _write

    place = tmp_path / "x.zarr"
    layout.create(place, small_spec(), 0, "test")
    (unit,) = layout.units(small_spec())
    data, files = small_spec().flat(), Files.choose(small_spec())
    with pytest.raises(RequestError, match=r"as here, got '.* with zarr"):
        _write(str(place), data, 0, files, {**layout.versions(()), "zarr": "0"}, None, unit)
    with pytest.raises(RequestError, match=r"all workers share, got '/nowhere.zarr, where .* sees nothing'"):
        _write("/nowhere.zarr", data, 0, files, layout.versions(()), None, unit)
    with pytest.raises(RequestError, match=r"all workers share, got '.*1 of 1 blocks are not there"):
        layout.finish(place, small_spec(), 0)


@pytest.mark.parametrize(
    ("address", "fragment"),
    [
        ("tcp://127.0.0.1:1", "a dask scheduler that answers, got 'tcp://127.0.0.1:1 (Timed out trying to connect"),
        ("fly://host:1", "choices: inproc, tcp, tls"),
        ("tcp://host", 'an address like tcp://host:8786, got "tcp://host (missing port number'),
        ("host:port", "an address like tcp://host:8786"),
        ("absent.json", "the file of a scheduler, got 'absent.json (not there)'"),
    ],
)
def test_wrong_addresses(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address, fragment) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_S", 1)
    code, out, err = shell("generate", "--scenario", FEW_RAYS, "--samples", "15", "--scheduler", address)
    assert (code, out) == (2, "")
    assert err.startswith("error: --scheduler: expected")
    assert fragment in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_scheduler_that_goes_away_is_an_error_of_the_network(tmp_path: Path) -> None:
    """Named by its file, as on Slurm; no worker ever comes, then the scheduler dies."""
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", file, "--no-dashboard"]
    command += ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as scheduler:
        try:
            wait_until(lambda: file.exists() and file.read_text().endswith("}"))
            killer = threading.Timer(0.5, scheduler.kill)
            with (
                dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
                pytest.raises(OSError, match="the scheduler is gone or has dropped our work"),
            ):
                generate(
                    small_spec(),
                    tmp_path / "x.zarr",
                    scheduler=str(file),
                    progress=lambda done, total: killer.start(),
                    remember=False,
                )
        finally:
            scheduler.kill()


@pytest.mark.parametrize("pid", [None, 7])
def test_a_process_that_never_was_needs_no_end(monkeypatch: pytest.MonkeyPatch, pid: int | None) -> None:
    """dask asserts that what it ends has been started; where there is no process, there is nothing to end."""
    from dask.distributed import Nanny

    async def never_started(self: Nanny, timeout: float, reason: str) -> None:
        raise AssertionError("can only join a started process")

    monkeypatch.setattr(Nanny, "kill", never_started)
    watcher = cluster._nanny((), {})
    monkeypatch.setattr(watcher, "pid", pid)
    made = watcher.kill(object.__new__(watcher))
    if pid is None:
        asyncio.run(made)
    else:
        with pytest.raises(AssertionError):
            asyncio.run(made)
