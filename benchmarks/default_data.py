"""The dataset of a run that names none."""

from __future__ import annotations

from pathlib import Path

from channelbench.errors import RequestError
from channelbench.generation import Progress, generate, last_dataset, make_spec
from channelbench.store import open_dataset
from channelbench.suite import Suite

__all__ = ["default_dataset"]


def default_dataset(suite: Suite, progress: Progress) -> Path | str:
    """The last dataset that was generated in this folder, or a fresh quick one of the suite's scenario and system.

    Args:
        suite: What is to be run.
        progress: Called with (samples done, all samples) where one is made.

    Raises:
        RequestError: the last one is of another scenario or system than the suite states, as a paper's suites do.
    """
    place = last_dataset()
    if place is None:
        return generate(make_spec(suite.scenario, system=suite.system), progress=progress)
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
