"""The dataset of a run that names none."""

from __future__ import annotations

from pathlib import Path

from channelbench.errors import RequestError
from channelbench.generation import Progress, generate, last_dataset, make_spec
from channelbench.store import open_dataset
from channelbench.suite import Suite

__all__ = ["default_dataset"]


def default_dataset(suite: Suite, progress: Progress) -> Path | str:
    """The last dataset that was generated in this folder, or a fresh quick one of the suite's scenario.

    Args:
        suite: What is to be run.
        progress: Called with (samples done, all samples) where one is made.

    Raises:
        RequestError: the last one is of another scenario than the one that the suite states, as a paper's suites do.
    """
    place = last_dataset()
    if place is None:
        return generate(make_spec(suite.scenario), progress=progress)
    scenario = open_dataset(place, allow_unfinished=True).spec.scenario
    if suite.states_scenario and scenario != suite.scenario:
        raise RequestError(
            "--data",
            expected=f"a dataset of {suite.scenario}, which suite {suite.card.name} states",
            got=f"{place} of {scenario}, the last one generated here; --data {place} takes it all the same",
        )
    return place
