"""Processes of this machine that do the jobs: what each way to fail costs, and what is left when the command ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dask
import psutil
import pytest
import torch

from channelbench import cluster
from channelbench.benchmarks import placement, pool
from channelbench.benchmarks.limits import Limits
from channelbench.benchmarks.local_pool import LocalPool
from channelbench.benchmarks.runner import Reporter, run
from channelbench.errors import RequestError
from channelbench.results import Result, read_cells, read_terms

pytestmark = pytest.mark.usefixtures("toys")

LATENCY_AND_MEMORY = {"latency_ms_batch1", "latency_ms_batch512", "peak_memory_mb"}
PATIENCE_S = 60


class Heard(Reporter):
    """Every word, and which jobs were under way at once."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}
        self.order: list[str] = []
        self.remarks: list[str] = []
        self.under_way: set[str] = set()
        self.most = 0

    def remarked(self, text: str) -> None:
        self.remarks.append(text)

    def started(self, job) -> None:
        self.order.append(job.method.card.name)
        self.under_way.add(job.stem)
        self.most = max(self.most, len(self.under_way))

    def fitting(self, job, done: int, total: int, message: str) -> None:
        self.steps.setdefault(job.stem, []).append(done)

    def ended(self, job) -> None:
        self.under_way.remove(job.stem)


def named(*names: str) -> list[str]:
    return [f"toy_methods:{name}" for name in names]


def cells(folder: Path) -> dict[str, Result]:
    return {result.name: result for result in read_cells(folder)}


def test_two_workers_make_the_cells_of_one(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"data": data, "methods": named("Scales", "Scales+times2", "Learns"), "tasks": ["cp", "pf"], "seeds": 2}
    with monkeypatch.context() as alone:
        alone.setenv("OMP_NUM_THREADS", "1")
        run("full", out=tmp_path / "one", **arguments)
        assert os.environ["OMP_NUM_THREADS"] == "1"
    heard, before = Heard(), dict(os.environ)
    outcome = run("full", out=tmp_path / "two", workers=2, reporter=heard, **arguments)
    assert os.environ == before
    one, two = cells(tmp_path / "one"), cells(tmp_path / "two")
    assert not outcome.failed
    assert one.keys() == two.keys()
    assert {result.name: result.scores for result in outcome.written} == {key: r.scores for key, r in two.items()}
    for name, result in one.items():
        twin = two[name]
        a, b = read_terms(tmp_path / "one", result), read_terms(tmp_path / "two", twin)
        assert a.keys() == b.keys()
        assert all((a[key] == b[key]).all() for key in a), name
        assert result.costs.keys() - LATENCY_AND_MEMORY == twin.costs.keys(), name
        changing = {"costs", "created"}
        assert result.model_dump(exclude=changing) == twin.model_dump(exclude=changing)
    assert {result.threads for result in two.values()} == {1}
    assert "latency_ms_batch1" in one["scales__cp__default__seed0"].costs
    assert two["scales__cp__default__seed0"].scores != two["scales+times2__cp__default__seed0"].scores
    assert [heard.steps[f"learns__joint__default__seed{seed}"][-1] for seed in (0, 1)] == [20, 20]
    assert heard.order[:2] == ["learns", "learns"], "what takes long comes first"
    assert heard.under_way == set()
    assert heard.most == 2
    assert heard.remarks == []
    again = run("full", out=tmp_path / "two", workers=2, **arguments)
    assert (again.written, again.kept) == ([], len(two))


def test_jobs_run_at_the_same_time(data: Path, tmp_path: Path) -> None:
    outcome = run("full", data=data, out=tmp_path, methods=named("Meets"), tasks=["cp"], seeds=2, workers=2)
    assert not outcome.failed, "each waited for the other"


def test_one_worker_has_all_cores(data: Path, tmp_path: Path) -> None:
    run("full", data=data, out=tmp_path, methods=named("Scales", "Learns"), tasks=["cp"], seeds=1)
    found = cells(tmp_path)
    learned = found["learns__cp__default__seed0"].threads
    assert learned == torch.get_num_threads()
    assert (tmp_path / "checkpoints" / "learns__joint__default__seed0" / "threads").read_text() == f"{learned}"
    assert {result.threads for result in found.values() if result.method != "learns"} == {1}


def test_a_failure_costs_its_own_cells(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a method does, the run goes on with a new worker where the old one is gone."""
    monkeypatch.chdir(tmp_path)
    methods = named("Dies", "Leaves", "Exits", "Interrupts", "Mumbles", "Wanders", "Scales")
    outcome = run("full", data=data, out="results", methods=methods, tasks=["cp"])
    found = cells(tmp_path / "results")
    labels = ("default", "paper_compat=true")

    def errors(method: str) -> set[str]:
        return {found[f"{method}__cp__{label}__seed0"].error for label in labels}

    assert errors("dies") == {
        "",  # made before it died
        "ChildProcessError: its process was ended by signal 9 (Killed), perhaps for want of memory",
    }
    assert found["dies__cp__default__seed0"].status == "ok"
    assert errors("leaves") == {"ChildProcessError: its process ended with status 3"}
    assert errors("exits") == {"SystemExit: enough"}
    assert errors("interrupts") == {"KeyboardInterrupt:"}
    assert errors("mumbles") == {"Mumbled: its message cannot be had (RuntimeError)"}
    assert errors("wanders") == errors("scales") == {""}
    assert len(found) == len(outcome.written) == 20, "all others are there"
    assert len(outcome.failed) == 9
    assert {(result.threads, bool(result.hardware)) for result in found.values()} == {(1, True)}


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 0.0
        monkeypatch.setattr(pool._Clock, "now", lambda clock: self.time)


def test_limits_end_a_job_and_nothing_else(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    class Later(Reporter):
        """An hour passes whenever a method says something, or two once it says no more."""

        def fitting(self, job, done: int, total: int, message: str) -> None:
            clock.time += {"asleep": 7201, "about to spin": 7201}.get(message, 7000)
            if message == "about to spin":
                (tmp_path / "checkpoints" / job.stem / "heard").touch()

    arguments = {"data": data, "out": tmp_path, "tasks": ["cp"], "seeds": 1, "reporter": Later()}
    outcome = run("full", methods=named("Sleeps", "Spins", "Plods", "Scales"), timeout="2h", **arguments)
    assert {result.method for result in outcome.failed} == {"sleeps", "spins"}
    assert {result.error for result in outcome.failed} == {"TimeoutError: no progress for 7200 s (--timeout)"}
    assert cells(tmp_path)["plods__cp__default__seed0"].status == "ok", "each step set the clock back"
    outcome = run("full", methods=named("Sleeps", "Plods"), max_time=7100, timeout="9h", **arguments)
    assert {result.method for result in outcome.failed} == {"sleeps"}
    assert {result.error for result in outcome.failed} == {"TimeoutError: not done after 7100 s (--max-time)"}


def test_limits() -> None:
    from channelbench import registry

    ours, theirs = registry.find("methods", "lmmse"), registry.find("methods", "toy_methods:Scales")
    day = 24 * 3600
    assert [Limits.of(preset, None, None).silence_s for preset in ("quick", "standard", "paper")] == [600, 3600, 21600]
    limits = Limits.of("quick", "1.5m", None)
    assert limits.exceeded(ours, silent_s=90, lasted_s=9 * day) is None
    assert str(limits.exceeded(ours, silent_s=91, lasted_s=91)) == "no progress for 90 s (--timeout)"
    assert limits.exceeded(theirs, silent_s=0, lasted_s=day) is None
    assert str(limits.exceeded(theirs, silent_s=0, lasted_s=day + 1)) == "not done after 86400 s (--max-time)"
    assert str(Limits.of("quick", 5, "2h").exceeded(ours, silent_s=0, lasted_s=7201)).startswith("not done after 7200")


def test_time_that_the_command_was_stopped_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 3.0, 5003.0, 5004.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    clock = pool._Clock()
    assert [clock.now(), clock.now(), clock.now()] == [3, 3 + pool.LEAP_S, 4 + pool.LEAP_S]


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"workers": 0}, "--workers: expected an integer of at least 1, got 0"),
        ({"timeout": "soon"}, "--timeout: expected seconds, or a time like 90s, 10m or 6h, got 'soon'"),
        ({"timeout": 0}, "--timeout: expected seconds"),
        ({"timeout": float("nan")}, "--timeout: expected seconds"),
        ({"max_time": "-3h"}, "--max-time: expected seconds"),
        ({"max_time": "10 days"}, "--max-time: expected seconds"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "--scheduler: expected no --workers beside it"),
    ],
)
def test_wrong_requests_write_nothing(data: Path, tmp_path: Path, arguments: dict, fragment: str) -> None:
    with pytest.raises(RequestError, match=fragment):
        run("full", data=data, out=tmp_path / "results", **arguments)
    assert not (tmp_path / "results").exists()


def test_gpus_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many as there are workers each has its own, with fewer none has any."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    devices = [placement.Placement(workers=workers).device_here for workers in (1, 2, 3)]
    assert devices == ["auto", "cuda", "cpu"]
    assert placement.Placement(workers=2, device="cuda").device_here == "cuda"
    with pytest.raises(RequestError, match="--workers: expected at most 2 with --device cuda, a GPU each, got 3"):
        placement.Placement(workers=3, device="cuda")
    with LocalPool(Limits(9), {}, 2, placement._gpus()) as workers:
        seen = workers.client.run(os.getenv, "CUDA_VISIBLE_DEVICES")
    assert sorted(seen.values()) == ["4", "7"]


def test_a_method_of_this_process_alone_runs_in_it(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is typed into a prompt."""
    import importlib

    monkeypatch.setitem(sys.modules, "nowhere_else", importlib.import_module("toy_methods"))
    heard = Heard()
    arguments = {"data": data, "methods": ["nowhere_else:Wanders", "nowhere_else:Exits"], "tasks": ["cp"]}
    monkeypatch.chdir(tmp_path)
    outcome = run("full", out="results", reporter=heard, **arguments)
    assert {result.error for result in outcome.failed} == {"SystemExit: enough"}
    assert cells(tmp_path / "results")["wanders__cp__default__seed0"].status == "ok"
    assert heard.remarks == [
        "nowhere_else:Wanders is of this process alone: the jobs run here, where nothing can end one that hangs"
    ]
    with pytest.raises(RequestError, match="expected classes of modules that workers can import, got 'nowhere_else:"):
        run("full", out="other", workers=2, **arguments)
    assert not Path("other").exists()


def test_a_killed_worker_costs_its_cell(data: Path, tmp_path: Path) -> None:
    class Killer(Reporter):
        def fitting(self, job, done: int, total: int, message: str) -> None:
            for child in psutil.Process().children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()

    methods = named("Sleeps", "Scales")
    outcome = run("full", data=data, out=tmp_path, methods=methods, tasks=["cp"], reporter=Killer())
    assert {result.method for result in outcome.failed} == {"sleeps"}


def test_what_a_dead_worker_had_written_counts(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell is on the disk before anybody hears of it."""
    lost: list[str] = []
    handle = pool.Pool._handle

    def losing(self, number, event, *rest):
        if isinstance(event, dict) and event["kind"] == "cell" and "dies" in event["cell"]:
            lost.append(event["cell"])
            return iter(())
        return handle(self, number, event, *rest)

    monkeypatch.setattr(pool.Pool, "_handle", losing)
    outcome = run("full", data=data, out=tmp_path, methods=named("Dies"), tasks=["cp"])
    assert len(lost) == 1
    found = {result.name: result.status for result in outcome.written if result.method == "dies"}
    assert found == {"dies__cp__default__seed0": "ok", "dies__cp__paper_compat=true__seed0": "failed"}


def test_a_folder_that_cannot_be_written_ends_the_run(data: Path, tmp_path: Path) -> None:
    class Breaks(Reporter):
        def started(self, job) -> None:
            if (tmp_path / "cells").is_dir():
                (tmp_path / "cells").rename(tmp_path / "before")
                (tmp_path / "cells").touch()

    with pytest.raises(OSError, match="cells"):
        run("full", data=data, out=tmp_path, methods=["hold"], tasks=["cp"], reporter=Breaks())


def test_an_interruption_keeps_what_is_done(data: Path, tmp_path: Path) -> None:
    class Impatient(Reporter):
        children: list[psutil.Process]
        asleep = scored = False

        def fitting(self, job, done: int, total: int, message: str) -> None:
            self.asleep = True
            self.interrupt()

        def finished(self, result: Result) -> None:
            self.scored |= result.method == "scales"
            self.interrupt()

        def interrupt(self) -> None:
            if self.asleep and self.scored:
                self.children = psutil.Process().children(recursive=True)
                raise KeyboardInterrupt

    reporter = Impatient()
    arguments = {"methods": named("Sleeps", "Scales"), "tasks": ["cp"], "workers": 2, "reporter": reporter}
    with pytest.raises(KeyboardInterrupt):
        run("full", data=data, out=tmp_path, **arguments)
    workers = [child for child in reporter.children if "resource_tracker" not in command_of(child)]
    assert not psutil.wait_procs(workers, timeout=PATIENCE_S)[1]
    kept = {result.method for result in cells(tmp_path).values()}
    assert "scales" in kept
    assert "sleeps" not in kept


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_workers_end_with_a_command_that_is_killed(data: Path, tmp_path: Path, toys: Path) -> None:
    """A killed process cannot say goodbye, and a method that hangs in a library hears nothing."""
    shutil.copy(toys / "toy_methods.py", tmp_path)
    options = ["--data", str(data), "--methods", "toy_methods:Spins", "--tasks", "cp", "--workers", "2"]
    command = [sys.executable, "-m", "channelbench.cli", "run", *options]
    checkpoints = tmp_path / "results" / "checkpoints" / "spins__cp__default__seed0"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(checkpoints.exists, process)
        (checkpoints / "heard").touch()
        wait_until((checkpoints / "spinning").exists, process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(children) >= 2
    left = psutil.wait_procs(children, timeout=PATIENCE_S)[1]
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


def test_a_transfer_suite_with_workers(data: Path, tmp_path: Path) -> None:
    """Targets are observed on the scale of their source in workers too, and fits start from the source's."""
    folders = ("", "other/zero-shot", "other/transfer", "third/zero-shot", "third/transfer")
    for name, workers in (("one", 1), ("two", 2)):
        outcome = run("toy_methods:moves", data=data, out=tmp_path / name, workers=workers)
        assert not any(part.failed for part in (outcome, *outcome.stages.values()))
    scores = set()
    for folder in folders:
        one, two = cells(tmp_path / "one" / folder), cells(tmp_path / "two" / folder)
        assert {key: result.scores for key, result in one.items()} == {key: r.scores for key, r in two.items()}
        assert {r.test_digest for r in one.values()} == {r.test_digest for r in two.values()}
        assert "fit_s" in two["notes__pe__default__seed0"].costs or "zero-shot" in folder
        scores.add(two["notes__pe__default__seed0"].scores["rmse_db"].value)
    assert len(scores) == len(folders)


def test_a_script_needs_no_guard(data: Path, tmp_path: Path) -> None:
    """Its workers do not import it."""
    call = f"run('classical', data={str(data)!r}, out='results', tasks=['cp'], methods=['hold'])"
    (tmp_path / "bare.py").write_text(f"from channelbench.benchmarks.runner import run\nprint('once')\n{call}\n")
    made = subprocess.run([sys.executable, "bare.py"], cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert (made.returncode, made.stdout, made.stderr) == (0, "once\n", "")
    assert cells(tmp_path / "results").keys() > {"hold__cp__default__seed0"}


def test_a_worker_may_go_again_and_again(eventually: Callable[..., None]) -> None:
    """dask would close the nanny of one that is just coming back when it looks for an earlier loss."""
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "100ms"}), cluster.start(1) as client:
        for _ in range(6):
            client.wait_for_workers(1)
            (address,) = client.nthreads()
            client.run(cluster.end_process, workers=[address], nanny=True)
            time.sleep(0.08)  # then it looks, about when the next one goes
            eventually(lambda address=address: address not in client.nthreads())
        client.wait_for_workers(1, timeout=PATIENCE_S)


def test_workers_do_not_hear_ctrl_c(eventually: Callable[..., None]) -> None:
    """Also those that take the place of others."""
    exits: dict[str, int] = {}
    with cluster.start(1, exits=exits) as client:
        for _ in range(2):
            client.wait_for_workers(1)
            blocked = client.run(signal.pthread_sigmask, signal.SIG_BLOCK, [])
            assert all(signal.SIGINT in signals for signals in blocked.values())
            (address,) = blocked
            (nanny,) = client.cluster.workers.values()
            eventually(lambda nanny=nanny, address=address: nanny.worker_address == address)  # else it cannot say whose
            client.run(cluster.end_process, workers=[address], nanny=True)
            eventually(lambda address=address: address in exits and address not in client.nthreads())
            assert exits[address] == -signal.SIGKILL
