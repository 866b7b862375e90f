"""Jobs on a cluster that is there already: the same cells, and workers that cannot do them are refused by name."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dask
import psutil
import pytest
from distributed import LocalCluster

from channelbench import cluster, registry
from channelbench.benchmarks import on_worker, pool, remote_pool, scoring
from channelbench.benchmarks.limits import Limits
from channelbench.benchmarks.remote_pool import RemotePool
from channelbench.benchmarks.runner import Reporter, run
from channelbench.code import code_of
from channelbench.contracts import FitContext
from channelbench.errors import RequestError
from channelbench.results import Result, read_cells
from channelbench.store import open_dataset
from channelbench.store.location import Location
from channelbench.testing import make_dataset, small_spec

PATIENCE_S = 60


@pytest.fixture(scope="module")
def somebodys(toys: Path, somebodys: LocalCluster) -> LocalCluster:
    """One that finds our methods, because they can be found before it starts."""
    return somebodys


@pytest.fixture
def address(somebodys: LocalCluster) -> str:
    """Of the scheduler, once both workers are there."""
    wait_until(lambda: len(somebodys.scheduler_info["workers"]) == 2)
    return somebodys.scheduler_address


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def pids(somebodys: LocalCluster) -> set[int | None]:
    """As the nannies know them: a worker may be dead."""
    return {nanny.pid for nanny in somebodys.workers.values()}


def named(*names: str) -> list[str]:
    return [f"toy_methods:{name}" for name in names]


def cells(folder: Path) -> dict[str, Result]:
    return {result.name: result for result in read_cells(folder)}


def test_cells_do_not_depend_on_where_they_are_made(
    data: Path, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same number of threads, which each cell has."""
    monkeypatch.chdir(tmp_path)
    arguments = {"data": data, "methods": [*named("Scales+times2", "Learns"), "lmmse"], "tasks": ["ce", "cp"]}
    outcome = run("full", out="there", scheduler=address, **arguments)
    assert not outcome.failed
    with monkeypatch.context() as alone:
        alone.setenv("OMP_NUM_THREADS", "1")
        run("full", out="here", **arguments)
    there, here = cells(Path("there")), cells(Path("here"))
    assert "learns__cp__default__seed0" in there
    assert "lmmse__ce__default__seed0" in there
    changing = {"costs", "created"}
    assert {name: result.model_dump(exclude=changing) for name, result in there.items()} == {
        name: result.model_dump(exclude=changing) for name, result in here.items()
    }
    assert {result.threads for result in there.values()} == {1}
    lmmse = there["lmmse__ce__default__seed0"]
    assert here[lmmse.name].costs.keys() - lmmse.costs.keys() == {"latency_ms_batch1", "peak_memory_mb"}


def test_what_dies_there_costs_the_cells_that_it_owed(
    data: Path, tmp_path: Path, address: str, somebodys: LocalCluster
) -> None:
    class Killer(Reporter):
        """Both workers, as soon as one sleeps."""

        def fitting(self, job, done: int, total: int, message: str) -> None:
            for pid in pids(somebodys) - {None}:
                psutil.Process(pid).kill()

    methods = named("Sleeps", "Exits")
    outcome = run("full", data=data, out=tmp_path, methods=methods, tasks=["cp"], scheduler=address, reporter=Killer())
    found = {name: result.error for name, result in cells(tmp_path).items()}
    gone = "ChildProcessError: its worker is gone; was it killed, perhaps for want of memory?"
    assert found["sleeps__cp__default__seed0"] == gone
    assert found["exits__cp__default__seed0"] in (gone, "SystemExit: enough")
    assert len(found) == len(outcome.written) == 10, "every cell has its line"


def test_a_hang_there_ends_with_the_limit(
    data: Path, tmp_path: Path, address: str, somebodys: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"now": 0.0}
    monkeypatch.setattr(pool._Clock, "now", lambda clock: times["now"])
    before = pids(somebodys)

    class Later(Reporter):
        def fitting(self, job, done: int, total: int, message: str) -> None:
            (tmp_path / "checkpoints" / job.stem / "heard").touch()
            wait_until((tmp_path / "checkpoints" / job.stem / "spinning").exists)
            times["now"] += 601

    outcome = run(
        "full", data=data, out=tmp_path, methods=named("Spins"), tasks=["cp"], scheduler=address, reporter=Later()
    )
    assert {result.method for result in outcome.failed} == {"spins"}
    assert {result.error for result in outcome.failed} == {"TimeoutError: no progress for 600 s (--timeout)"}
    wait_until(lambda: not before <= pids(somebodys))


def test_leaving_ends_what_is_under_way(data: Path, tmp_path: Path, address: str, somebodys: LocalCluster) -> None:
    """Nothing asks the method that sleeps there."""
    before = pids(somebodys)

    class Impatient(Reporter):
        def fitting(self, job, done: int, total: int, message: str) -> None:
            raise KeyboardInterrupt

    arguments = {"methods": named("Sleeps"), "tasks": ["cp"], "scheduler": address, "reporter": Impatient()}
    with pytest.raises(KeyboardInterrupt):
        run("full", data=data, out=tmp_path, **arguments)
    wait_until(lambda: len(before & pids(somebodys)) == 1)


@contextmanager
def elsewhere(**_: object) -> Iterator[str]:
    yield "/elsewhere/results"


REAL_VERSIONS = scoring.versions()

LATECOMER = """
from toy_methods import Scales

class Mine(Scales):
    card = Scales.card.model_copy(update={"name": "mine"})
"""


def other_versions(monkeypatch: pytest.MonkeyPatch, _: Path) -> str:
    monkeypatch.setattr(scoring, "versions", lambda: {**REAL_VERSIONS, "scipy": "1.0"})
    return "--scheduler: expected workers with scipy 1.0, as here, got 'tcp://.* with scipy"


def other_place(monkeypatch: pytest.MonkeyPatch, _: Path) -> str:
    monkeypatch.setattr(Location, "absolute", lambda place: "/elsewhere/few.zarr")
    return "--data: expected a place that all workers share, got '/elsewhere/few.zarr, where tcp://"


def other_data(monkeypatch: pytest.MonkeyPatch, _: Path) -> str:
    needs = on_worker.Needs
    monkeypatch.setattr(on_worker, "Needs", lambda **fields: needs(**{**fields, "digest": "0"}))
    return "--data: expected a place that all workers share, got '.*few.zarr, which is another dataset for tcp://"


def other_folder(monkeypatch: pytest.MonkeyPatch, _: Path) -> str:
    monkeypatch.setattr(remote_pool.tempfile, "TemporaryDirectory", elsewhere)
    return "--out: expected a folder that all workers share, got '/elsewhere/results, where tcp://.* cannot write"


def other_modules(monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    (folder / "latecomer.py").write_text(LATECOMER)
    monkeypatch.syspath_prepend(folder)
    return "--methods: expected methods that all workers have, got .latecomer:Mine, of which tcp://.*No module named"


def no_gpu(monkeypatch: pytest.MonkeyPatch, _: Path) -> str:
    return "--device: expected workers that have CUDA, got 'tcp://.* without"


@pytest.mark.parametrize(
    ("lack", "more"),
    [
        (other_versions, {}),
        (other_place, {}),
        (other_data, {}),
        (other_folder, {}),
        (other_modules, {"methods": ["latecomer:Mine"]}),
        (no_gpu, {"device": "cuda"}),
    ],
)
def test_workers_are_checked_before_anything_is_written(
    data: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    lack: Callable[..., str],
    more: dict,
) -> None:
    pattern = lack(monkeypatch, tmp_path_factory.mktemp("modules"))
    arguments = {"methods": named("Scales"), "tasks": ["cp"], "scheduler": address, **more}
    with pytest.raises(RequestError, match=pattern) as caught:
        run("full", data=data, out=tmp_path / "results", **arguments)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_hang_has_to_be_ended_by_somebody(data: Path, tmp_path: Path) -> None:
    """A worker without a nanny would hang for good."""
    with (
        LocalCluster(
            n_workers=1,
            processes=False,
            dashboard_address=None,
            scheduler_kwargs=cluster.NO_DASHBOARD,
            local_directory=tmp_path / "dask",
            silence_logs=50,
        ) as there,
        pytest.raises(RequestError, match=r"--scheduler: expected workers with a nanny, .* got 'inproc://.* without"),
    ):
        run("classical", data=data, out=tmp_path / "results", tasks=["cp"], scheduler=there.scheduler_address)
    assert not (tmp_path / "results").exists()


def test_a_worker_that_comes_later_is_checked_too(data: Path, tmp_path: Path, address: str) -> None:
    needs = on_worker.Needs(
        versions=scoring.versions(),
        data=str(data),
        digest=open_dataset(data).digest,
        out=str(tmp_path / "results"),
        methods=("lmmse",),
        tasks=("ce",),
        context=FitContext(),
        codes={"lmmse": code_of(registry.find("methods", "lmmse"), [registry.create("tasks", "ce")])},
    )

    class Heard(Reporter):
        remarks: list[str] = []  # noqa: RUF012

        def remarked(self, text: str) -> None:
            self.remarks.append(text)

    heard = Heard()
    with RemotePool(Limits(60), {}, address, needs) as workers:
        worker = next(iter(workers.client.nthreads()))
        assert workers.admits(worker, heard)
        workers.needs = replace(needs, methods=("no such",))
        assert not workers.admits(worker, heard)
        workers.needs = replace(needs, codes={"lmmse": "0" * 64})
        assert not workers.admits(worker, heard)
        with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
            assert not workers.admits("tcp://127.0.0.1:1", heard), "it is gone again"
    names, code = heard.remarks
    assert names.startswith("a worker that has come is not used: --methods: expected methods that all workers have")
    assert code.startswith("a worker that has come is not used: --methods: expected the code that the command has")


def test_what_is_of_one_process(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_dataset("memory://run/few.zarr", small_spec(sub6__num_subcarriers=8, mmwave=None))
    remarks: list[str] = []

    class Heard(Reporter):
        def remarked(self, text: str) -> None:
            remarks.append(text)

    arguments = {"data": "memory://run/few.zarr", "methods": ["lmmse"], "tasks": ["ce"], "out": "results"}
    for more in ({"workers": 2}, {"scheduler": address}):
        with pytest.raises(RequestError, match="--data: expected a place that all workers share, got 'memory://run"):
            run("full", **arguments, **more)
    assert not Path("results").exists()
    outcome = run("full", reporter=Heard(), **arguments)
    assert not outcome.failed
    assert remarks == [
        "memory://run/few.zarr is of this process alone: the jobs run here, where nothing can end one that hangs"
    ]


def test_a_scheduler_that_goes_away_is_an_error_of_the_network(data: Path, tmp_path: Path) -> None:
    """Named by its file, as on Slurm; no worker ever comes, then the scheduler dies."""
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", file, "--no-dashboard"]
    command += ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as scheduler:

        class Killer(Reporter):
            def planned(self, cells: int, done: int) -> None:
                scheduler.kill()

        try:
            wait_until(lambda: file.exists() and file.read_text().endswith("}"))
            with (
                dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
                pytest.raises(OSError, match="the scheduler is gone or has dropped our work"),
            ):
                run("classical", data=data, out=tmp_path / "out", tasks=["cp"], scheduler=str(file), reporter=Killer())
        finally:
            scheduler.kill()
