"""What a cell is, in lines: of what, on what, by which command, commit and code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from channelbench.costs import COSTS
from channelbench.folders.finding import Found
from channelbench.leaderboard.audit import Problem, audit
from channelbench.leaderboard.provenance import CodeState, code_states
from channelbench.results import DatasetCard, MetricScore, Result

__all__ = ["judged", "said"]

CODE: Mapping[CodeState, str] = {
    "same": "what is installed here",
    "changed": "another than is installed here; `run` makes the cell again",
    "not installed": "its method is not installed here",
    "unknown": "the cell does not say",
}


def judged(found: Found) -> tuple[CodeState, list[Problem]]:
    """Whether a cell's code is the one that is here, and what of the cell is not what it says."""
    audited = audit(found.folder)
    code = code_states(audited.manifest, [found.result])[found.result.name]
    return code, [problem for problem in audited.problems if problem.cell == found.result.name]


def said(found: Found) -> Iterator[str]:
    """Lines about a cell; its code is looked at and its scores are worked out again."""
    cell = found.result
    audited = audit(found.folder)
    manifest = audited.manifest
    code = code_states(manifest, [cell])[cell.name]
    problems = [problem for problem in audited.problems if problem.cell == cell.name]
    yield _line("cell", str(found.path))
    yield _line("method", f"{cell.title} ({cell.method}, {cell.family}): {cell.reference}")
    yield _line("task", f"{cell.task}, conditions {cell.condition}, seed {cell.seed}, preset {cell.preset}")
    yield _line("suite", f"{cell.suite or manifest.suite}{f', {manifest.setting}' if manifest.setting else ''}")
    names = [cell.primary_metric, *(name for name in cell.scores if name != cell.primary_metric)]
    for name in (name for name in names if name in cell.scores):
        yield _line("score", f"{name} {_score(cell.scores[name])}")
    if cell.status == "failed":
        yield _line("failed", cell.error)
    for problem in problems:
        yield _line("wrong", f"{problem.field}: {problem.text}")
    if not problems and cell.scores:
        checked = "cannot be: a metric is not installed here" if cell.name in audited.unchecked else "from its terms"
        yield _line("checked", checked)
    yield _line("dataset", f"{cell.dataset or 'unknown'}, {cell.num_test} test cases")
    if cell.dataset == manifest.dataset.digest and "scenario" in manifest.dataset.spec:
        yield _line("", f"{manifest.dataset.spec['scenario']}, {_drawn(manifest.dataset)}")
    yield _line("command", cell.command or "unknown")
    for package, commit in cell.commits.items():
        yield _line("commit", f"{package} {commit}")
    yield _line("code", f"{cell.code_digest or 'unknown'}: {CODE[code]}")
    yield _line("found at", ", ".join(f"{kind} {place}" for kind, place in cell.found_at.items()) or "unknown")
    versions = ", ".join(f"{name} {version}" for name, version in cell.versions.items())
    where = ", ".join(part for part in (cell.device, cell.hardware, cell.arithmetic, versions) if part)
    yield _line("made", f"{cell.created or 'unknown'}, {cell.threads or 'unknown'} threads, {where}")
    yield from _training(cell)
    if cell.costs:
        yield _line("costs", ", ".join(_cost(key, value) for key, value in cell.costs.items()))
    if cell.weights:
        yield _line("weights", cell.weights)
    for line in cell.traceback.rstrip().splitlines():
        yield _line("traceback" if line.startswith("Traceback") else "", line)


def _drawn(card: DatasetCard) -> str:
    return f"seed {card.seed}" if not card.fitted else f"hidden test, fits on dataset {card.fitted[:12]}"


def _training(cell: Result) -> Iterator[str]:
    training = cell.training
    if training is None:
        return
    if training.budget_steps:
        best = f", the best after {training.best_step}" if training.best_step is not None else ""
        yield _line("training", f"{training.steps or 0} of {training.budget_steps} steps{best}")
    for name, curve in (("loss", training.losses), ("validation", training.validation)):
        if curve:
            first, last = min(curve), max(curve)
            text = (
                f"{curve[first]:.4g} at step {first}, {curve[last]:.4g} at step {last}, least {min(curve.values()):.4g}"
            )
            yield _line(name, text)


def _score(score: MetricScore) -> str:
    return f"{score.value:.6g}{f' {score.unit}' if score.unit else ''} [{score.low:.4g}, {score.high:.4g}]"


def _cost(key: str, value: float) -> str:
    column = COSTS.get(key)
    return f"{key} {value:.6g}" if column is None else f"{column.title} {value:.6g} {column.unit}"


def _line(name: str, text: str) -> str:
    return f"{name:<10} {text}"
