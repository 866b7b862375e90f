"""Suites: what is run together, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from channelbench.card import Card
from channelbench.experiment import ExperimentSpec
from channelbench.presets import preset_of

__all__ = ["Suite"]


class Suite(BaseModel):
    """Names of tasks, methods, conditions, an experiment and exhibits that go together. Strings and numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: Card
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    conditions: tuple[Mapping[str, bool | int | float | str], ...] = ({},)
    """What is varied, each as the fields that differ; a task takes those that it has all fields of."""
    scenario: str = "uma"
    """Of the dataset that is made where there is none. A suite that states one, such as a paper's, takes no other
    scenario's dataset unless somebody names it."""
    system: str = "dualband"
    """Likewise."""
    overall: tuple[str, ...] = ()
    """The tasks whose mean skill is the overall one; all by default. A suite of problems of different kinds names those
    of one kind: few methods answer all of them."""
    bundles: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Named sets of methods that together cover these tasks, as the papers' tables combine them."""
    seeds: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """How many seeds learned methods have, by preset, where it is not the preset's own number."""
    once: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Methods that a preset runs under the tasks' own conditions alone, by preset, unless somebody asks for them or for
    conditions: those that take long."""
    experiment: ExperimentSpec = ExperimentSpec()
    """What is fitted on what; by default every method once, on the dataset that the run is given."""
    exhibits: tuple[str, ...] = ()
    """What its report shows beside the leaderboard: names from ``channelbench list exhibits``, or
    ``package.module:Class``."""

    @field_validator("seeds")
    @classmethod
    def _presets_are_known(cls, seeds: Mapping[str, int]) -> Mapping[str, int]:
        return {preset_of(name, public=True).name: number for name, number in seeds.items()}

    @property
    def states_scenario(self) -> bool:
        """Whether the suite itself says of which scenario its dataset is."""
        return "scenario" in self.model_fields_set

    @property
    def states_system(self) -> bool:
        """Whether it says of which system."""
        return "system" in self.model_fields_set

    def num_seeds(self, preset: str) -> int:
        """Seeds of learned methods at a preset."""
        return self.seeds.get(preset, preset_of(preset, public=True).seeds)
