"""Methods that workers import by name, as they import a user's own; tests put this file on the workers' path."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np

from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.experiment import ExperimentSpec
from channelbench.losses import Losses
from channelbench.suite import Suite
from channelbench.tasks.link.observations import LaterSlotsObservation, ScalarObservation


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 120
    while not path.exists():
        if time.monotonic() > limit:
            raise TimeoutError(f"{path} does not come")
        time.sleep(0.01)


class Scales(Method):
    """The last slot, times a factor that is fitted; options change the factor."""

    card = Card(name="scales", description="Scaled hold.", reference="none", family="classical")
    observes = (LaterSlotsObservation,)
    variants = ("timesN",)
    times = 1

    @classmethod
    def variant(cls, options):
        name = "+".join((cls.card.name, *options))
        times = int(options[0].removeprefix("times"))
        return type("Made", (cls,), {"card": cls.card.model_copy(update={"name": name}), "times": times})

    def fit(self, data, context):
        ((train, _),) = data.values()
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
            context.progress(step + 1, 20, Losses(loss.item()))
        self.factor = loss.item()
        context.workdir.mkdir(parents=True, exist_ok=True)
        (context.workdir / "threads").write_text(f"{torch.get_num_threads()}")


class Broken(Scales):
    """Comes to nothing, in ways of its own."""

    card = Scales.card.model_copy(update={"name": "broken"})

    def fit(self, data, context):
        self.factor = 1.0


class Dies(Broken):
    """Kills its process, as the kernel does when memory is short, while it scores its second cell."""

    card = Broken.card.model_copy(update={"name": "dies"})
    calls = 0

    def predict(self, task, observation):
        self.calls += 1
        if self.calls == 7:  # the first cell is scored once and timed five times
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(task, observation)


class Leaves(Broken):
    card = Broken.card.model_copy(update={"name": "leaves"})

    def fit(self, data, context):
        os._exit(3)


class Exits(Broken):
    card = Broken.card.model_copy(update={"name": "exits"})

    def fit(self, data, context):
        sys.exit("enough")


class Interrupts(Broken):
    card = Broken.card.model_copy(update={"name": "interrupts"})

    def predict(self, task, observation):
        raise KeyboardInterrupt


class Mumbles(Broken):
    card = Broken.card.model_copy(update={"name": "mumbles"})

    def predict(self, task, observation):
        class Mumbled(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        raise Mumbled


class Wanders(Broken):
    """Changes the folder, and leaves it changed."""

    card = Broken.card.model_copy(update={"name": "wanders"})

    def fit(self, data, context):
        super().fit(data, context)
        os.chdir("/")


class Sleeps(Broken):
    """Takes hours, and says so."""

    card = Broken.card.model_copy(update={"name": "sleeps"})

    def fit(self, data, context):
        context.progress(1, 2, "asleep")
        time.sleep(7200)


class Spins(Broken):
    """Hangs inside a library that keeps the interpreter to itself, once somebody has heard that it is about to."""

    card = Broken.card.model_copy(update={"name": "spins"})
    learned = True

    def fit(self, data, context):
        context.workdir.mkdir(parents=True, exist_ok=True)
        context.progress(1, 2, "about to spin")
        wait_for(context.workdir / "heard")
        (context.workdir / "spinning").touch()
        re.match("(a+)+$", "a" * 60 + "b")


class Plods(Broken):
    """Slow, but steady; slow in scoring, too."""

    card = Broken.card.model_copy(update={"name": "plods"})

    def fit(self, data, context):
        super().fit(data, context)
        for step in range(5):
            time.sleep(0.15)
            context.progress(step, 6, "on the way")


class Meets(Broken):
    """Two fits that both wait until the other one is under way."""

    card = Broken.card.model_copy(update={"name": "meets"})
    learned = True

    def fit(self, data, context):
        super().fit(data, context)
        context.workdir.mkdir(parents=True, exist_ok=True)
        (context.workdir / "here").touch()
        for other in (0, 1):
            wait_for(context.workdir.parent / f"meets__cp__default__seed{other}" / "here")


class Allocates(Broken):
    """Needs 200 MB for a moment."""

    card = Broken.card.model_copy(update={"name": "allocates"})

    def fit(self, data, context):
        super().fit(data, context)
        room = np.ones(200 * 2**20, np.uint8)
        time.sleep(0.5)  # memory is looked at now and then
        del room


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
    methods=("mean", "toy_methods:Notes"),
    experiment=ExperimentSpec(
        name="transfer",
        parameters={"targets": {"other": {"sub6.carrier_hz": "2.4e9"}, "third": {"sub6.carrier_hz": "3e9"}}},
    ),
)
