"""What ``--json`` writes: one object on standard output for each command, whose form these models are.

Every object has ``schema``, its name, and ``version``, which grows when a field goes or means something else; further
fields may come without. Numbers that are not finite, or not known, are ``null``. ``channelbench list schemas --json``
has the JSON schemas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from channelbench.errors import RequestError

__all__ = [
    "ANSWERS",
    "Answer",
    "BoardModel",
    "CompareAnswer",
    "ErrorAnswer",
    "InspectAnswer",
    "ListAnswer",
    "ReportAnswer",
    "RunAnswer",
    "ShowAnswer",
    "VerifyAnswer",
]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""``null`` where it is not finite or not known."""


class Model(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, from_attributes=True)


class Answer(Model):
    """What all answers have."""

    name: ClassVar[str]
    schema_name: str = Field(alias="schema", description="channelbench.<command>")
    version: Literal[1] = 1

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return self.model_dump(mode="json", by_alias=True)


class ErrorModel(Model):
    """What is wrong, in parts. A request that cannot be carried out has all of them; what happened on the way has the
    message alone."""

    field: str | None = None
    expected: str | None = None
    got: str | None = None
    choices: list[str] = []
    suggestion: str | None = Field(default=None, description="the one of the choices that was perhaps meant")
    remedy: str | None = None
    message: str = Field(description="all of it in one line, as on standard error")
    exit_code: int


class ErrorAnswer(Answer):
    """What every command answers where it cannot do as it is told; the exit code is as without ``--json``."""

    name = "error"
    schema_name: Literal["channelbench.error"] = Field(default="channelbench.error", alias="schema")
    error: ErrorModel

    @classmethod
    def of(cls, message: str, code: int, error: RequestError | None = None) -> ErrorAnswer:
        """Of a line that is told on standard error."""
        parts: dict[str, Any] = {}
        if error is not None:
            parts = {
                "field": error.field,
                "expected": error.expected,
                "got": str(error.got),
                "choices": list(error.choices),
                "suggestion": error.suggestion or None,
                "remedy": error.remedy or None,
            }
        return cls(error=ErrorModel(message=message, exit_code=code, **parts))


# --- list ------------------------------------------------------------------------------------------------------------


class EntryModel(Model):
    """One name. What its kind does not have is left out."""

    name: str
    title: str
    description: str
    reference: str
    family: str | None = Field(default=None, description="of a method: how the leaderboard treats it")
    tasks: list[str] | None = Field(default=None, description="that a method understands, or a suite is about")
    variants: list[str] | None = Field(default=None, description="options of a method, name+option")
    needs: str | None = Field(default=None, description="pip install channelbench[…], or the like")
    methods: list[str] | None = Field(default=None, description="of a suite")
    sources: list[str] | None = Field(default=None, description="of a scenario")
    conditions: dict[str, Any] | None = Field(default=None, description="of a task: what can be varied, with defaults")
    unit: str | None = Field(default=None, description="of a metric; 1 where it has none")
    higher_is_better: bool | None = Field(default=None, description="of a metric")
    document: dict[str, Any] | None = Field(default=None, description="of a schema: itself")


class ListAnswer(Answer):
    """``channelbench list KIND --json``."""

    name = "list"
    schema_name: Literal["channelbench.list"] = Field(default="channelbench.list", alias="schema")
    kind: str
    entries: list[EntryModel]

    def document(self) -> dict[str, Any]:
        """Without what a kind does not have."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


# --- datasets --------------------------------------------------------------------------------------------------------


class VariableModel(Model):
    """A variable with statistics over all its finite numbers."""

    name: str
    shape: list[int]
    dtype: str
    unit: str
    mean: Number
    std: Number
    min: Number
    max: Number
    of: Literal["values", "power"] = Field(description="power: the statistics are those of |h|²")


class InspectAnswer(Answer):
    """``channelbench inspect DATA --json``."""

    name = "inspect"
    schema_name: Literal["channelbench.inspect"] = Field(default="channelbench.inspect", alias="schema")
    path: str
    digest: str
    seed: int
    samples: dict[str, int] = Field(description="by split")
    spec: dict[str, Any] = Field(description="all fields of the spec, as `generate --spec` takes them")
    warnings: list[str]
    variables: list[VariableModel]
    picture: str


class CheckModel(Model):
    """The outcome of one check."""

    check: str
    question: str
    ok: bool
    problems: list[str]
    notes: list[str] = Field(description="what has not been looked at")


class VerifyAnswer(Answer):
    """``channelbench verify DATA --json``; exit code 1 unless ``ok``."""

    name = "verify"
    schema_name: Literal["channelbench.verify"] = Field(default="channelbench.verify", alias="schema")
    path: str
    ok: bool
    checks: list[CheckModel]


# --- leaderboards ----------------------------------------------------------------------------------------------------


class EstimateModel(Model):
    """A number with its 95 % interval."""

    value: Number
    low: Number
    high: Number


class RankModel(Model):
    """The places that drops and seeds cannot tell apart."""

    low: int
    high: int


class AnchorModel(EstimateModel):
    """A row that scores are measured against."""

    method: str


class ColumnModel(Model):
    """One task of a table, and what is known of its primary metric."""

    task: str
    metric: str
    title: str
    unit: str = Field(description="1 where it has none")
    higher_is_better: bool
    condition: str = Field(description="label of the conditions of its cells")
    floor: AnchorModel | None = Field(description="the best trivial answer: skill 0")
    ceiling: AnchorModel | None = Field(description="the ideal: skill 1")
    limit: AnchorModel | None = Field(description="the best that knows which samples it sees: what is within reach")
    verdict: str


class ScoreModel(Model):
    """One method on one task."""

    method: str
    task: str
    state: Literal["ok", "failed", "not run", "not supported"]
    detail: str = Field(description="what failed, or how many seeds there are")
    score: EstimateModel | None = Field(description="of the primary metric, the mean over seeds")
    metrics: dict[str, EstimateModel] = Field(description="of all metrics")
    skill: EstimateModel | None
    rank: RankModel | None
    seeds: list[int] = Field(description="that there are cells of")
    costs: dict[str, Number] = Field(description="medians over seeds; docs/protocol.md says what each is")


class MethodModel(Model):
    """One method over all tasks."""

    method: str
    title: str
    family: str
    ranked: bool = Field(description="whether it has a place: floors, ceilings and references have none")
    mean_skill: EstimateModel | None
    rank: RankModel | None


class TableModel(Model):
    """The leaderboard under one condition."""

    condition: str
    conditions: dict[str, Any] = Field(description="what differs from the tasks' own")
    verdict: str = Field(description="who is first, by how much over the next, and how far the reachable limit is")
    tasks: list[ColumnModel]
    methods: list[MethodModel]
    scores: list[ScoreModel]


class BoardModel(Model):
    """A leaderboard."""

    folder: str
    suite: str
    preset: str
    dataset: str = Field(description="content digest")
    verdict: str = Field(description="of the first table")
    tables: list[TableModel]
    cost_units: dict[str, str]
    left_out: list[str] = Field(description="cells that are not what they say")
    skipped: dict[str, str] = Field(description="methods of the suite that lack something, and the remedy")
    csv: str
    html: str


class ReportAnswer(Answer):
    """``channelbench report RESULTS --json``; exit code 1 where a cell is left out."""

    name = "report"
    schema_name: Literal["channelbench.report"] = Field(default="channelbench.report", alias="schema")
    report: BoardModel


class StageModel(Model):
    """One results folder of a run."""

    folder: str = Field(description="below the run's own; empty for that itself")
    dataset: str
    cells: int = Field(description="to make")
    there: int
    stale: int = Field(description="that are there and of other code than today's")
    fits: int
    learned: int = Field(description="of the fits: trainings")


class PlanModel(Model):
    """What a run is about to do."""

    suite: str
    preset: str
    dataset: str
    samples: int
    digest: str = Field(description="empty where the dataset is made first")
    device: str
    where: str
    share: str = Field(description="I/N of --shard; empty for all")
    cells: int
    stages: list[StageModel]
    makes: list[str] = Field(description="datasets that are made first")
    skipped: dict[str, str]
    seconds: Number = Field(description="at least, of the fits that such cells are known of; null: unknown")
    fits_known: int


class FailureModel(Model):
    """A cell that a method's error has cost."""

    folder: str
    cell: str
    method: str
    task: str
    error: str


class RunAnswer(Answer):
    """``channelbench run --json``; exit code 1 where a cell failed or is left out. A ``--dry-run`` has a plan alone."""

    name = "run"
    schema_name: Literal["channelbench.run"] = Field(default="channelbench.run", alias="schema")
    dry_run: bool
    plan: PlanModel
    made: int = 0
    there: int = 0
    failed: list[FailureModel] = []
    report: BoardModel | None = None


# --- cells -----------------------------------------------------------------------------------------------------------


class ShowAnswer(Answer):
    """``channelbench show CELL --json``."""

    name = "show"
    schema_name: Literal["channelbench.show"] = Field(default="channelbench.show", alias="schema")
    path: str
    cell: dict[str, Any] = Field(description="its file, as docs/results.md says")
    code: str = Field(description="same, changed, not installed, unknown: beside the code that is here")
    problems: list[str]


class DifferenceModel(Model):
    """A − B of one primary score."""

    what: str
    metric: str
    unit: str
    higher_is_better: bool
    a: Number
    b: Number
    difference: EstimateModel
    better: Literal["A", "B", ""] = Field(description="empty where no difference is shown")
    seeds: tuple[int, int]
    spread_unknown: bool


class CompareAnswer(Answer):
    """``channelbench compare A B --json``."""

    name = "compare"
    schema_name: Literal["channelbench.compare"] = Field(default="channelbench.compare", alias="schema")
    a: str
    b: str
    differences: list[DifferenceModel]


ANSWERS: Mapping[str, type[Answer]] = {
    answer.name: answer
    for answer in (
        CompareAnswer,
        ErrorAnswer,
        InspectAnswer,
        ListAnswer,
        ReportAnswer,
        RunAnswer,
        ShowAnswer,
        VerifyAnswer,
    )
}
"""By the command that gives them; ``error`` is anybody's."""
