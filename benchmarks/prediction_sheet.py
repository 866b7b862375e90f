"""``inspect --results``: one sample's predictions against the truth, in lines and in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from channelbench.benchmarks.predicted import Place, Predicted, place_of, predicted
from channelbench.benchmarks.prediction_panels import panels_for, score_words
from channelbench.folders.finding import results_folder
from channelbench.paths import expanded
from channelbench.store.captions import lay_out, said
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.store.inspect import picture_of, save_picture
from channelbench.store.panels import rows_of

__all__ = ["show_sample"]

_HEIGHT, _WIDTH = 4.6, 15.0
"""Inches of a row of panels, and of the sheet."""


def show_sample(
    data: str | Path,
    results: str | Path,
    sample: int | None = None,
    *,
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    picture: str | Path | None = None,
) -> tuple[list[str], Path]:
    """Draw what methods of a results folder predict for one sample beside the truth.

    Args:
        data: The dataset that the results are of.
        results: The results folder.
        sample: Row of the dataset; the first of the test split by default. One of another split is shown with a mark.
        methods: These; by default the best three of each task, without floors and references.
        tasks: Of these; by default of all that the folder has.
        picture: PNG to write; beside a local dataset by default.

    Returns:
        Lines that say what is in the picture, and the picture.

    Raises:
        RequestError: see ``predicted.predicted``; or the picture cannot be written.
    """
    dataset, folder = open_dataset(data, field="data"), results_folder(results)
    place, remarks = place_of(dataset, sample), list[str]()
    found = predicted(dataset, folder, place, methods=methods, tasks=tasks, heard=remarks.append)
    place_said = _place_said(place)
    lines = [f"{data}: {place_said}", *(line for one in found for line in _lines(one, place)), *remarks]
    default = picture_of(data).with_stem(f"{picture_of(data).stem}-sample{place.sample}")
    target = default if picture is None else expanded(picture, field="--picture")
    return lines, save_picture(_drawn(found, dataset, place_said), target)


def _place_said(place: Place) -> str:
    split = f"{place.split} {place.position}"
    mark = "" if place.split == "test" else "; NOT of the test split, and methods that learn may have been fitted to it"
    return f"sample {place.sample} ({split}{mark})"


def _lines(one: Predicted, place: Place) -> list[str]:
    first = place.sample - place.position
    users = ", ".join(str(first + int(member)) for member in one.members)
    group = f", with the samples {users}" if len(one.members) > 1 else ""
    lines = ["", f"{one.task.card.name}, conditions {one.conditions.label}{group}"]
    width = max(len(answer.cell.method) for answer in one.answers)
    for answer in one.answers:
        whole = answer.cell.scores[answer.cell.primary_metric].value
        lines.append(
            f"  {answer.cell.method:<{width}}  {score_words(answer)} here, {whole:.3g} over the test split, "
            f"seed {answer.cell.seed}"
        )
    return [*lines, *(f"    {line}" for line in said(panels_for(one)))]


def _drawn(found: Sequence[Predicted], dataset: ChannelDataset, place_said: str) -> Any:
    from matplotlib.figure import Figure

    rows = [rows_of(panels_for(one)) for one in found]
    heights = [_HEIGHT * len(own) + 0.5 for own in rows]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.6), layout="constrained")
    figure.suptitle(f"{dataset.spec.title} · {place_said} · digest {dataset.digest[:12]}", fontsize=13)
    parts = figure.subfigures(len(found), 1, height_ratios=heights, squeeze=False)[:, 0]
    for one, own, part in zip(found, rows, parts, strict=True):
        part.suptitle(f"{one.task.card.label} · {one.conditions.sentence}", fontsize=11, fontweight="bold")
        lay_out(part, own, _WIDTH)
    return figure
