"""Several processes: the same cells as one makes, and what becomes of a run whose workers die."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from channelbench.benchmarks.runner import Reporter, run
from channelbench.errors import RequestError
from channelbench.results import Result, read_cells, read_terms

LATENCY_AND_MEMORY = {"latency_ms_batch1", "latency_ms_batch512", "peak_memory_mb"}

TOYS = '''
"""Methods that workers import by name, as they import a user's own."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from channelbench.card import Card
from channelbench.contracts import Method, Suite
from channelbench.experiment import ExperimentSpec
from channelbench.tasks.link.observations import ChannelObservation, LaterSlotsObservation, ScalarObservation


class Scales(Method):
    """The last slot, times a factor that is fitted; options change the factor."""

    card = Card(name="scales", description="Scaled hold.", reference="none", family="classical")
    observes = (ChannelObservation,)
    variants = ("timesN",)
    times = 1

    @classmethod
    def variant(cls, options):
        name = "+".join((cls.card.name, *options))
        times = int(options[0].removeprefix("times"))
        return type("Made", (cls,), {"card": cls.card.model_copy(update={"name": name}), "times": times})

    def fit(self, data, context):
        ((task, (train, _)),) = data.items()
        seen, wanted = train.observe()
        x, y = self._hold(seen), wanted.value
        self.factor = self.times * np.vdot(x, y).real / np.vdot(x, x).real

    def _hold(self, observation):
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)

    def predict(self, task, observation):
        return (self.factor * self._hold(observation)).astype(np.complex64)


class Learns(Scales):
    """A layer of torch, of both tasks: with one thread its weights do not depend on where it is fitted."""

    card = Scales.card.model_copy(update={"name": "learns", "family": "multi-task"})
    learned = joint = True

    def fit(self, data, context):
        import torch

        torch.manual_seed(context.seed)
        layer = torch.nn.Linear(200, 1)
        features = torch.randn(300, 200)
        optimiser = torch.optim.SGD(layer.parameters(), lr=0.01)
        for step in range(20):
            loss = ((layer(features) - features[:, :1]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            context.progress(step + 1, 20, f"loss {loss:.3g}")
        self.factor = loss.item()
        context.workdir.mkdir(parents=True, exist_ok=True)
        (context.workdir / "threads").write_text(f"{torch.get_num_threads()} {os.environ.get('OMP_NUM_THREADS')}")
        (context.workdir / "pid").write_text(str(os.getpid()))


class Dies(Scales):
    """Kills its process, as the kernel does when memory is short, while it scores its second cell."""

    card = Scales.card.model_copy(update={"name": "dies"})
    observes = (LaterSlotsObservation,)
    learned = True
    calls = 0

    def predict(self, task, observation):
        type(self).calls += 1
        if self.calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(task, observation)


class Leaves(Dies):
    card = Dies.card.model_copy(update={"name": "leaves"})

    def fit(self, data, context):
        sys.exit(3)


class Sleeps(Dies):
    """Takes an hour, and says who it is."""

    card = Dies.card.model_copy(update={"name": "sleeps"})

    def fit(self, data, context):
        context.workdir.mkdir(parents=True, exist_ok=True)
        (context.workdir / "pid").write_text(str(os.getpid()))
        context.progress(1, 2, "asleep")
        time.sleep(3600)


class Meets(Dies):
    """Two fits that both wait until the other one is under way."""

    card = Dies.card.model_copy(update={"name": "meets"})
    observes = (LaterSlotsObservation,)

    def fit(self, data, context):
        super().fit(data, context)
        context.workdir.mkdir(parents=True, exist_ok=True)
        (context.workdir / "here").touch()
        limit = time.monotonic() + 60
        while len(list(context.workdir.parent.glob("*/here"))) < 2:
            if time.monotonic() > limit:
                raise TimeoutError("alone")
            time.sleep(0.01)

    def predict(self, task, observation):
        return Scales.predict(self, task, observation)


class Notes(Scales):
    """What it was fitted on, and what it started from, as its score."""

    card = Scales.card.model_copy(update={"name": "notes"})
    observes = (ScalarObservation,)
    learned = True

    def fit(self, data, context):
        note = context.workdir / "note"
        if not note.exists():
            before = 0.0 if context.start is None else float((context.start / "note").read_text())
            train, val = data["pe"]
            seen, _ = train.observe()
            context.workdir.mkdir(parents=True)
            note.write_text(repr(before / 2 + len(train) + len(val) + float(np.abs(seen.h).mean())))
        self.note = float(note.read_text())

    def predict(self, task, observation):
        return (self.note + np.abs(observation.h).mean(axis=(1, 2, 3))).astype(np.float32)


moves = Suite(
    card=Card(name="moves", description="A change of carrier.", reference="none", family="suite"),
    tasks=("pe",),
    methods=("mean", "worker_toys:Notes"),
    experiment=ExperimentSpec(
        name="transfer",
        parameters={"targets": {"other": {"sub6.carrier_hz": "2.4e9"}, "third": {"sub6.carrier_hz": "3e9"}}},
    ),
)
'''


class Heard(Reporter):
    """Every word, and which jobs were under way at once."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}
        self.order: list[str] = []
        self.under_way: set[str] = set()
        self.most = 0

    def started(self, job) -> None:
        self.order.append(job.method.card.name)
        self.under_way.add(job.stem)
        self.most = max(self.most, len(self.under_way))

    def fitting(self, job, done: int, total: int, message: str) -> None:
        self.steps.setdefault(job.stem, []).append(done)

    def ended(self, job) -> None:
        self.under_way.remove(job.stem)


@pytest.fixture(autouse=True)
def toys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("toys")
    (folder / "worker_toys.py").write_text(TOYS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "worker_toys", raising=False)


def named(*names: str) -> list[str]:
    return [f"worker_toys:{name}" for name in names]


def cells(folder: Path) -> dict[str, Result]:
    return {result.name: result for result in read_cells(folder)}


def test_two_workers_make_the_cells_of_one(data: Path, tmp_path: Path) -> None:
    import torch

    arguments = {"data": data, "methods": named("Scales", "Scales+times2", "Learns"), "tasks": ["cp", "pf"], "seeds": 2}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run("full", out=tmp_path / "one", **arguments)
    finally:
        torch.set_num_threads(threads)
    heard = Heard()
    outcome = run("full", out=tmp_path / "two", workers=2, reporter=heard, **arguments)
    one, two = cells(tmp_path / "one"), cells(tmp_path / "two")
    assert not outcome.failed
    assert one.keys() == two.keys()
    assert len(outcome.written) == len(two)
    for name, result in one.items():
        twin = two[name]
        assert twin.scores == result.scores, name
        a, b = read_terms(tmp_path / "one", result), read_terms(tmp_path / "two", twin)
        assert a.keys() == b.keys()
        assert all((a[key] == b[key]).all() for key in a), name
        assert result.costs.keys() - LATENCY_AND_MEMORY == twin.costs.keys(), name
        changing = {"costs", "created"}
        assert result.model_dump(exclude=changing) == twin.model_dump(exclude=changing)
    assert "latency_ms_batch1" in one["scales__cp__default__seed0"].costs
    assert two["scales__cp__default__seed0"].scores != two["scales+times2__cp__default__seed0"].scores
    assert heard.steps == {f"learns__joint__default__seed{seed}": list(range(1, 21)) for seed in (0, 1)}
    assert heard.order[:2] == ["learns", "learns"], "what takes long comes first"
    assert heard.under_way == set()
    assert heard.most == 2
    for seed in (0, 1):
        kept = tmp_path / "two" / "checkpoints" / f"learns__joint__default__seed{seed}"
        assert (kept / "threads").read_text() == "1 1"
        assert int((kept / "pid").read_text()) != os.getpid()
    again = run("full", out=tmp_path / "two", workers=2, **arguments)
    assert (again.written, again.kept) == ([], len(two))


def test_jobs_run_at_the_same_time(data: Path, tmp_path: Path) -> None:
    outcome = run("full", data=data, out=tmp_path, methods=named("Meets"), tasks=["cp"], seeds=2, workers=2)
    assert not outcome.failed, "each waited for the other"


def test_dead_workers_cost_the_cells_that_they_owed(data: Path, tmp_path: Path) -> None:
    methods = named("Dies", "Leaves", "Scales")
    outcome = run("full", data=data, out=tmp_path, methods=methods, tasks=["cp"], workers=2)
    found = cells(tmp_path)
    killed = found["dies__cp__paper_compat=true__seed0"]
    assert killed.error == ("ChildProcessError: its process was ended by signal 9 (Killed), perhaps for want of memory")
    assert found["dies__cp__default__seed0"].status == "ok", "made before it died"
    left = [found[f"leaves__cp__{label}__seed0"] for label in ("default", "paper_compat=true")]
    assert {result.error for result in left} == {"ChildProcessError: its process ended with status 3"}
    assert {result.name for result in outcome.failed} == {killed.name, *(result.name for result in left)}
    assert len(found) == len(outcome.written) == 12, "all others are there"
    assert found["scales__cp__default__seed0"].status == "ok"


def test_killing_a_worker_from_outside(data: Path, tmp_path: Path) -> None:
    class Killer(Reporter):
        def fitting(self, job, done: int, total: int, message: str) -> None:
            os.kill(int((tmp_path / "checkpoints" / job.stem / "pid").read_text()), signal.SIGKILL)

    outcome = run(
        "full", data=data, out=tmp_path, methods=named("Sleeps", "Scales"), tasks=["cp"], workers=2, reporter=Killer()
    )
    assert {result.method for result in outcome.failed} == {"sleeps"}


def test_a_worker_that_cannot_find_the_method_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that exists in this process alone, as one typed into a prompt."""
    import importlib

    monkeypatch.setitem(sys.modules, "nowhere_else", importlib.import_module("worker_toys"))
    outcome = run("full", data=data, out=tmp_path, methods=["nowhere_else:Scales"], tasks=["cp"], workers=2)
    assert {result.method for result in outcome.failed} == {"scales"}
    assert "expected an importable package.module:Class" in outcome.failed[0].error


def test_interruption_stops_the_workers_and_keeps_what_is_done(data: Path, tmp_path: Path) -> None:
    class Impatient(Reporter):
        pid, scored = 0, False

        def fitting(self, job, done: int, total: int, message: str) -> None:
            self.pid = int((tmp_path / "checkpoints" / job.stem / "pid").read_text())
            self.interrupt()

        def finished(self, result: Result) -> None:
            self.scored |= result.method == "scales"
            self.interrupt()

        def interrupt(self) -> None:
            if self.pid and self.scored:
                self.began = time.monotonic()
                raise KeyboardInterrupt

    reporter = Impatient()
    with pytest.raises(KeyboardInterrupt):
        run(
            "full",
            data=data,
            out=tmp_path,
            methods=named("Sleeps", "Scales"),
            tasks=["cp"],
            workers=2,
            reporter=reporter,
        )
    assert time.monotonic() - reporter.began < 4, "2 on a machine that is not busy"
    with pytest.raises(ProcessLookupError):
        os.kill(reporter.pid, 0)
    kept = cells(tmp_path)
    assert any(result.method == "scales" for result in kept.values())
    assert not any(result.method == "sleeps" for result in kept.values())


def test_workers_end_with_a_run_that_is_killed(data: Path, tmp_path: Path) -> None:
    """A killed process cannot say goodbye."""
    (tmp_path / "worker_toys.py").write_text(TOYS)
    command = [sys.executable, "-m", "channelbench.cli", "run", "--data", str(data), "--methods", "worker_toys:Sleeps"]
    process = subprocess.Popen([*command, "--tasks", "cp", "--workers", "2"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    note = tmp_path / "results" / "checkpoints" / "sleeps__cp__default__seed0" / "pid"
    while not (note.exists() and note.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    for _ in range(100):
        try:
            os.kill(int(note.read_text()), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the worker goes on")


def test_transfer_suite_with_workers(data: Path, tmp_path: Path) -> None:
    """Targets are observed on the scale of their source in workers too, and fits start from the source's."""
    folders = ("", "other/zero-shot", "other/transfer", "third/zero-shot", "third/transfer")
    for name, workers in (("one", 1), ("two", 2)):
        outcome = run("worker_toys:moves", data=data, out=tmp_path / name, workers=workers)
        assert not any(part.failed for part in (outcome, *outcome.stages.values()))
    scores = set()
    for folder in folders:
        one, two = cells(tmp_path / "one" / folder), cells(tmp_path / "two" / folder)
        assert {key: result.scores for key, result in one.items()} == {key: r.scores for key, r in two.items()}
        assert {r.test_digest for r in one.values()} == {r.test_digest for r in two.values()}
        assert "fit_s" in two["notes__pe__default__seed0"].costs or "zero-shot" in folder
        scores.add(two["notes__pe__default__seed0"].scores["rmse_db"].value)
    assert len(scores) == len(folders)


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"workers": 0}, "--workers: expected an integer of at least 1, got 0"),
        ({"workers": 2, "device": "cuda"}, "--workers: expected 1 with --device cuda"),
    ],
)
def test_wrong_requests_write_nothing(data: Path, tmp_path: Path, arguments: dict, fragment: str) -> None:
    with pytest.raises(RequestError, match=fragment):
        run("full", data=data, out=tmp_path / "results", **arguments)
    assert not (tmp_path / "results").exists()


def test_workers_leave_a_gpu_alone(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    outcome = run("full", data=data, out=tmp_path, methods=named("Learns"), tasks=["cp"], workers=2, device="auto")
    assert not outcome.failed
    assert {result.device for result in outcome.written} == {"cpu"}


def test_a_script_without_a_guard_is_told_about_it(data: Path, tmp_path: Path) -> None:
    """Each worker imports the script that started it, which then starts workers in its turn, and so on."""
    call = f"run('classical', data={str(data)!r}, out={{!r}}, tasks=['cp'], workers=2)"
    head = "from channelbench.benchmarks.runner import run\n"
    (tmp_path / "bare.py").write_text(head + call.format("bare"))
    (tmp_path / "guarded.py").write_text(f"{head}if __name__ == '__main__':\n    {call.format('guarded')}\n")
    bare, guarded = (
        subprocess.run([sys.executable, f"{name}.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        for name in ("bare", "guarded")
    )
    assert bare.returncode == 1
    assert bare.stderr.splitlines()[-1].startswith("RuntimeError: no worker could start: its process ended with status")
    assert (guarded.returncode, guarded.stderr) == (0, "")
    assert json.loads((tmp_path / "guarded" / "run.json").read_text())["suite"] == "classical"
