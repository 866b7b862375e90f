"""Fig. 6: how alike the tasks' combinations of experts are, before and after training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.benchmarks.exhibits.cells import csv_text
from channelbench.benchmarks.exhibits.charts import heatmaps
from channelbench.benchmarks.exhibits.paper import KINDS
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import LLM
from channelbench.leaderboard.numbers import fixed
from channelbench.leaderboard.pictures import Picture
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run
from channelbench.results import read_artefact

__all__ = ["Experts", "ExpertsPicture", "correlations", "read_experts"]


@dataclass(frozen=True)
class Experts:
    """The gate of one fit.

    Attributes:
        seed: The fit's seed.
        layers: Names, ``[layers]``.
        tasks: Names, ``[tasks]``.
        initial, final: Weights of the experts before and after training, ``[layers, tasks, experts]``.
    """

    seed: int
    layers: tuple[str, ...]
    tasks: tuple[str, ...]
    initial: NDArray[np.float64]
    final: NDArray[np.float64]


def read_experts(run: Run) -> list[Experts]:
    """The gates of all fits of plain LLM4WM that left them beside their cells, by seed; artefacts that cannot be read
    are passed over.

    Only one condition is looked at: a fit to other observations (another pilot spacing, say) is a second gate.
    """
    by_seed: dict[int, dict[str, Mapping[str, NDArray[Any]]]] = {}
    for result in run.views[0].results(["llm4wm"]) if run.views else ():
        with suppress(KeyError, ValueError):
            by_seed.setdefault(result.seed, {})[result.task] = read_artefact(run.folder, result, "experts")
    found = (_gate(seed, parts) for seed, parts in sorted(by_seed.items()))
    return [experts for experts in found if experts is not None]


def _gate(seed: int, parts: Mapping[str, Mapping[str, NDArray[Any]]]) -> Experts | None:
    """The gate of one seed from what each of its tasks left; ``None`` where these do not fit together."""
    try:
        layers = {tuple(str(name) for name in arrays["layers"]) for arrays in parts.values()}
        initial, final = (
            np.stack([np.asarray(arrays[when], np.float64) for arrays in parts.values()], axis=1)
            for when in ("initial", "final")
        )
    except (KeyError, ValueError):
        return None
    names = layers.pop()
    if layers or initial.shape != final.shape or final.ndim != 3 or len(final) != len(names):
        return None
    return Experts(seed, names, tuple(parts), initial, final)


def correlations(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of every two tasks over their experts' weights, ``[tasks, experts]`` to ``[tasks, tasks]``.

    NaN where a task weighs all experts alike: a constant correlates with nothing.
    """
    centred = weights - weights.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1)
    usable = norm > 1e-7 * np.linalg.norm(weights, axis=1)
    scaled = np.where(usable[:, None], centred / np.where(usable, norm, 1.0)[:, None], np.nan)
    return np.clip(scaled @ scaled.T, -1, 1)


class ExpertsPicture(Exhibit):
    """Heatmaps of the first and last feed-forward layer of the first seed; a line per layer of all seeds."""

    card = Card(
        name="experts",
        description="Fig. 6: how alike the tasks' combinations of experts are, before and after training.",
        reference="LLM4WM, Fig. 6",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        return [_section(read_experts(run))]


def _section(found: list[Experts]) -> Section:
    text = (
        "Pearson correlation between tasks of the weights with which the gate mixes the experts (LLM4WM, Fig. 6, which "
        "shows two of the layers and reads low correlations as distinct mixtures). A gate that has learnt nothing has "
        "scattered correlations too, so the same gate before training stands beside it: only what differs from it was "
        "learnt. The paper prints no numbers."
    )
    if not found:
        text += (
            " No cell of LLM4WM in this folder has its experts’ weights beside it; where one is from an earlier "
            "version, remove it and run again: its fit is loaded, not made anew."
        )
        return Section(name="experts", title="Fig. 6: which experts each task uses", text=text)
    rows = tuple(
        SectionRow(title=layer, family=LLM, detail=f"seed {e.seed}", cells=_cells(e, i))
        for e in found
        for i, layer in enumerate(e.layers)
    )
    return Section(
        name="experts",
        title="Fig. 6: which experts each task uses",
        text=f"{text} The picture is of seed {found[0].seed}.",
        columns=tuple(
            SectionColumn(label=label, unit=when, better="high")
            for label in ("Same kind", "Different kind")
            for when in ("before training", "after training")
        ),
        groups=(
            SectionGroup(rows=rows, title="Mean correlation", note="same kind: CE, CP, PF with each other; DE with PE"),
        ),
        picture=_picture(found[0]),
        csv=csv_text([item for e in found for item in _records(e)]),
        first="Layer",
    )


def _cells(experts: Experts, layer: int) -> tuple[SectionCell, ...]:
    before, after = (correlations(weights[layer]) for weights in (experts.initial, experts.final))
    return tuple(_cell(_mean(matrix, experts.tasks, alike)) for alike in (True, False) for matrix in (before, after))


def _cell(value: float) -> SectionCell:
    note = "" if np.isfinite(value) else "the gate weighs all experts alike, or the tasks are not there"
    return SectionCell(text=fixed(value, 2), value=value, note=note)


def _mean(matrix: NDArray[np.float64], tasks: tuple[str, ...], alike: bool) -> float:
    """Mean over pairs of tasks of the same kind, or of different kinds, that have a correlation."""
    pairs = [
        matrix[i, j]
        for i in range(len(tasks))
        for j in range(i)
        if any(tasks[i] in kind and tasks[j] in kind for kind in KINDS) == alike
    ]
    known = [value for value in pairs if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _records(experts: Experts) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for i, layer in enumerate(experts.layers):
        before, after = correlations(experts.initial[i]), correlations(experts.final[i])
        found += [
            {
                "seed": experts.seed,
                "layer": layer,
                "task": one,
                "other": other,
                "initial": float(before[j, k]),
                "final": float(after[j, k]),
            }
            for j, one in enumerate(experts.tasks)
            for k, other in enumerate(experts.tasks)
        ]
    return found


def _picture(experts: Experts) -> Picture:
    labels = [task.upper() for task in experts.tasks]
    grid = [
        [
            (f"{experts.layers[i]}, {when}", correlations(weights[i]))
            for when, weights in (("before training", experts.initial), ("after training", experts.final))
        ]
        for i in dict.fromkeys((0, len(experts.layers) - 1))
    ]
    return heatmaps(grid, labels, "Fig. 6: correlation of the tasks’ expert weights, before and after training")
