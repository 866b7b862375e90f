"""From one dataset to a site, and from that site to the next: as the fits are, and after training on a share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from channelbench.benchmarks.experiments.transfer import target_spec
from channelbench.card import Card
from channelbench.experiment import DATA, Experiment, Plan, PlannedDataset, Stage
from channelbench.spec import ScenarioSpec

__all__ = ["Sites"]


class Sites(Experiment):
    """A run on its own dataset, then along the sites. ``<site>/zero-shot`` scores the fits of the dataset before on the
    site's test split, ``<site>/transfer`` those that went on from them on a share of its training split, and
    ``<site>/own``, but for the last, those of the site's own, from which the next site's come."""

    card = Card(
        name="sites",
        description="From one dataset to a site and from there to the next, as fits are and after a share of its data.",
        reference="the protocol's own",
        family="experiment",
    )

    sites: Mapping[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")], Mapping[str, str]] = Field(min_length=1)
    """The sites in order, by name: what differs from the run's spec, as ``--set`` takes it."""
    share: float = Field(0.1, gt=0, le=1)
    """Share of a site's training and validation splits that a transferred fit sees."""

    def plan(self, spec: ScenarioSpec, seed: int) -> Plan:
        """Raises: RequestError: a site that cannot be made from this dataset's spec."""
        return Plan(
            stages=(Stage(), *self._stages()),
            datasets={
                _dataset(site): PlannedDataset(spec=target_spec(spec, overrides))
                for site, overrides in self.sites.items()
            },
        )

    def _stages(self) -> Iterator[Stage]:
        before, whose, last = "", DATA, list(self.sites)[-1]
        for site in self.sites:
            there = _dataset(site)
            yield Stage(folder=f"{site}/zero-shot", fits=before, test=there, setting=f"zero-shot from {whose}")
            yield Stage(
                folder=f"{site}/transfer",
                train=there,
                test=there,
                share=self.share,
                start=before,
                setting=f"transfer {100 * self.share:g} % from {whose}",
            )
            if site != last:
                yield Stage(folder=f"{site}/own", train=there, test=there, setting="trained on all of it")
                before, whose = f"{site}/own", there


def _dataset(site: str) -> str:
    return f"at-{site}"
