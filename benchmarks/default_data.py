"""The dataset of a run that names none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from channelbench.errors import RequestError
from channelbench.generation import Progress, default_path, generate, last_dataset, make_spec
from channelbench.spec import ScenarioSpec
from channelbench.store import open_dataset
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import variables
from channelbench.suite import Suite
from channelbench.variables import Variable

__all__ = ["Unmade", "default_dataset", "planned_dataset"]


@dataclass(frozen=True)
class Unmade:
    """A dataset that a run would make, as far as a plan asks; it has no content, and so no digest."""

    path: str
    spec: ScenarioSpec
    seed: int = 0
    digest: str = ""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the packages that made it: none have."""
        return {}

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What it will have."""
        return variables(self.spec)


def planned_dataset(suite: Suite, data: str | Path | None) -> ChannelDataset | Unmade:
    """The dataset that a run would take, opened and not read through; nothing is made.

    Args:
        suite: What would be run.
        data: What was named; by default as ``default_dataset``.

    Raises:
        RequestError: there is none at ``data``, it is not finished, or as ``default_dataset``.
    """
    place = _last(suite) if data is None else data
    if place is not None:
        return open_dataset(place)
    spec = _fresh(suite)
    return Unmade(str(default_path(spec)), spec)


def _fresh(suite: Suite) -> ScenarioSpec:
    return make_spec(suite.scenario, system=suite.system)


def default_dataset(suite: Suite, progress: Progress) -> Path | str:
    """The last dataset that was generated in this folder, or a fresh quick one of the suite's scenario and system.

    Args:
        suite: What is to be run.
        progress: Called with (samples done, all samples) where one is made.

    Raises:
        RequestError: the last one is of another scenario or system than the suite states, as a paper's suites do.
    """
    place = _last(suite)
    return generate(_fresh(suite), progress=progress) if place is None else place


def _last(suite: Suite) -> Path | str | None:
    """The last dataset that was generated in this folder, if it is one for the suite."""
    place = last_dataset()
    if place is None:
        return None
    spec = open_dataset(place, allow_unfinished=True).spec
    stated = [name for name, is_so in (("scenario", suite.states_scenario), ("system", suite.states_system)) if is_so]
    found, wanted = (" ".join(getattr(of, name) for name in stated) for of in (spec, suite))
    if found != wanted:
        raise RequestError(
            "--data",
            expected=f"a dataset of {wanted}, which suite {suite.card.name} states",
            got=f"{place} of {found}, the last one generated here; --data {place} takes it all the same",
        )
    return place
