"""Sources of channels: what a spec says beside system and geometry, in a model that each source declares.

A generator names its source's model in ``Generator.source``. Which model a spec has follows from scenario and source:
``uma`` may be drawn by one class and traced by another.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, ValidationError

from channelbench.bands import BandSpec
from channelbench.discovery import from_entry_points, from_packages, load
from channelbench.errors import RequestError
from channelbench.frozen import Frozen
from channelbench.variables import Variable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CITATION",
    "RecordedSource",
    "SourceSpec",
    "default_of",
    "make_source",
    "makers",
    "model_of",
    "unknown_source",
]

CITATION = "The channelbench developers, channelbench: wireless-channel datasets and benchmarks"
"""Of what is drawn here. No address: it stands in datasets for ever, wherever the project lives by then."""


class SourceSpec(Frozen):
    """What can be set about a source, and what it declares about itself.

    A source is a subclass with a ``name``. Its fields are set like all fields of a spec: by ``--set field=value``, in a
    TOML file, or in its ``[source]`` table. No field may have the name of a field of ``ScenarioSpec``.

    Attributes:
        name: What ``--source`` takes and specs record.
        default: Whether a scenario of several sources means this one where none is named.
        new: Fields of new specs that begin with another value than their default, which is what a record without
            them means.
        later: Fields that came after the first datasets. Records leave them out at their default, so that what was
            made before keeps its digests.
        licence: Of its datasets.
        citation: What to cite for them.
        may_lack: Fields of a spec that may be ``None`` with it: what is not known of channels that were not made here.
        maker: The command that makes its datasets where ``generate`` alone cannot, for the refusal.
        packages: Installed packages whose versions its bytes depend on, beside channelbench, numpy and zarr.
    """

    name: ClassVar[str]
    default: ClassVar[bool] = False
    new: ClassVar[Mapping[str, Any]] = {}
    later: ClassVar[frozenset[str]] = frozenset()
    licence: ClassVar[str] = "not stated"
    citation: ClassVar[str] = CITATION
    may_lack: ClassVar[frozenset[str]] = frozenset()
    maker: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """What people call it, with what matters of its fields."""
        return self.name

    @property
    def remark(self) -> str:
        """A few words for every row of a leaderboard: what scores on its datasets do not say. Empty if nothing."""
        return ""

    @property
    def digest_algorithm(self) -> str:
        """Of the digests in its datasets: ``blake3``, or ``blake2b``."""
        return "blake3"

    @property
    def power_slack(self) -> float:
        """By how much a split's mean power may be off 1 beside chance, infinite where it can be anything: for links
        that are not independent draws, or whose path gain is not known apart from their fading."""
        return 0.0

    def lacks(self, field: str) -> bool:
        """Whether a field of the spec may be ``None``."""
        return field in self.may_lack

    @classmethod
    def machine(cls) -> Mapping[str, str]:
        """What its bytes depend on beside ``packages``: a compiler, the kind of processor. Recorded with the versions,
        the same on every worker, and what tells a dataset made elsewhere from a damaged one.

        Raises:
            RequestError: this machine has not what it needs.
        """
        return {}

    def separation_m(self, bands: Mapping[str, BandSpec]) -> float:
        """How far apart users of different splits are at least, m, which ``verify`` holds their positions against; 0
        where the source promises nothing."""
        return 0.0

    def areas(self, position: NDArray[np.floating]) -> NDArray[np.int64] | None:
        """Which area each user of a split is in, ``[samples]``, numbered from 0: whom a base station serves at once are
        users of one area. ``None``, the default, where users are independent draws and there is no such thing.

        Args:
            position: The variable ``ue_position`` of the split, m, ``[samples, 3]``.
        """
        return None

    def variables(self, core: Mapping[str, Variable]) -> dict[str, Variable]:
        """What it makes of each sample, by name, in writing order.

        Args:
            core: The variables that every source of ours makes; see ``store.schema``. Those of ``schema.OPTIONAL`` may
                be left out, further ones may follow.
        """
        return dict(core)

    def fields(self, *, mode: str = "python") -> dict[str, Any]:
        """Its fields by name, as ``model_dump`` has them in this mode."""
        return self.model_dump(mode=mode)

    def recorded_fields(self) -> dict[str, Any]:
        """Its fields as JSON values, without ``later`` ones at their default."""
        return {
            name: value
            for name, value in self.fields(mode="json").items()
            if name not in self.later or getattr(self, name) != type(self).model_fields[name].default
        }


class RecordedSource(SourceSpec):
    """A source that is not installed here, as a dataset records it: enough to read the dataset, not to make one."""

    model_config = ConfigDict(frozen=True, extra="allow")

    recorded_name: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.recorded_name

    def lacks(self, field: str) -> bool:
        return True  # whoever recorded it knew

    @property
    def label(self) -> str:
        fields = ", ".join(f"{name} {value}" for name, value in self.recorded_fields().items())
        return f"{self.name} ({fields})" if fields else self.name

    def fields(self, *, mode: str = "python") -> dict[str, Any]:
        return self.model_dump(mode=mode, exclude={"recorded_name"})


def makers(scenario: str) -> dict[str, Any]:
    """The generators of a scenario by the name of their source, in the order in which they are found; none if there is
    no such scenario.

    Args:
        scenario: The name on their cards, or ``package.module:Class`` of one.
    """
    if ":" in scenario:
        try:
            found = [load(scenario)]
        except Exception:  # whatever somebody's module raises: a dataset that names it can be read all the same
            return {}
    else:
        known = (*from_packages("generators"), *from_entry_points("generators"))
        found = [item for _, item in known if getattr(getattr(item, "card", None), "name", None) == scenario]
    by_source: dict[str, Any] = {}
    for item in found:
        model = getattr(item, "source", None)
        if not inspect.isclass(item) or inspect.isabstract(item):
            continue
        if inspect.isclass(model) and issubclass(model, SourceSpec):
            by_source.setdefault(model.name, item)
    return by_source


def default_of(scenario: str, known: Mapping[str, Any]) -> str:
    """The source that a scenario means where none is named: its only one, or the first that says so.

    Args:
        scenario: The name, for the complaint.
        known: Its ``makers``, at least one.

    Raises:
        RequestError: it has several, and none says so.
    """
    preferred = [name for name, maker in known.items() if maker.source.default]
    if len(known) > 1 and not preferred:
        raise RequestError("source", expected=f"one of the sources of {scenario}", got="none named", choices=known)
    return (preferred or list(known))[0]


def unknown_source(scenario: str, source: str, known: Mapping[str, Any]) -> RequestError:
    """What to say of a source that a scenario does not have: where another has it that ``generate`` cannot make, the
    command that does."""
    found = (*from_packages("generators"), *from_entry_points("generators"))
    models = [getattr(item, "source", None) for _, item in found]
    commands = {
        model.maker
        for model in models
        if inspect.isclass(model) and issubclass(model, SourceSpec) and model.name == source and model.maker
    }
    instead = f" (`{commands.pop()}` makes datasets of {source})" if commands else ""
    return RequestError("source", expected=f"a source of {scenario}{instead}", got=source, choices=known)


def model_of(scenario: str, source: str | None) -> type[SourceSpec] | None:
    """The model of a scenario's source; ``None`` where that is not installed."""
    known = makers(scenario)
    if not known:
        return None
    maker: Any = known.get(default_of(scenario, known) if source is None else source)
    return None if maker is None else maker.source


def make_source(model: type[SourceSpec], fields: Mapping[str, Any]) -> SourceSpec:
    """A source with these fields.

    Raises:
        RequestError: a value that a field cannot have.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        raise RequestError.from_pydantic(error, model) from None
