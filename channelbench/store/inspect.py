"""``inspect``: a dataset in numbers and in one sheet of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from channelbench.errors import RequestError, shorten
from channelbench.generator import View
from channelbench.paths import expanded
from channelbench.sources import makers
from channelbench.spec import SPLITS, ScenarioSpec
from channelbench.store.captions import caption, lay_out, said
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.store.location import Location
from channelbench.store.panels import panels_of, rows_of

__all__ = ["VariableFacts", "cautions", "draw", "drawn", "facts", "picture_of", "save_picture", "summary"]

_PANEL_HEIGHT = 4.7
"""Inches of a row of panels."""
_VIEW_HEIGHT = 6.5
"""Inches of a row of what a source draws of its own."""


@dataclass(frozen=True, kw_only=True)
class VariableFacts:
    """A variable of a dataset, and statistics of all its finite numbers.

    Attributes:
        name, shape, dtype, unit: Of the variable; ``shape`` over all splits.
        statistics: Mean, standard deviation, least and largest; ``None`` where it has no number.
        of_power: Whether these are of ``|h|²``, as of channels.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    unit: str
    statistics: tuple[float, float, float, float] | None
    of_power: bool


def facts(dataset: ChannelDataset) -> Iterator[VariableFacts]:
    """What there is to say of each variable."""
    for name, variable in dataset.variables.items():
        yield VariableFacts(
            name=name,
            shape=(dataset.spec.sizes.total, *variable.shape[1:]),
            dtype=str(np.dtype(variable.dtype)),
            unit=variable.unit,
            statistics=_statistics(dataset, name),
            of_power=_is_channel(dataset, name),
        )


def summary(path: str | Path) -> str:
    """Sizes, units and statistics of every variable, as a table.

    Raises:
        RequestError: there is no finished dataset at ``path``.
    """
    dataset = open_dataset(path, field="data")
    spec = dataset.spec
    lines = [
        f"{path}: {', '.join([*_titles(spec), spec.source.label])}, seed {dataset.seed}",
        "samples  " + ", ".join(f"{split} {spec.sizes.of(split)}" for split in SPLITS),
        *(_band_line(name, dataset) for name in spec.bands),
        f"digest   {dataset.digest}",
        *(f"warning  {caution}" for caution in cautions(spec)),
        "",
        f"{'variable':<26} {'shape':<20} {'unit':<7} {'mean':>11} {'std':>11} {'min':>11} {'max':>11}",
    ]
    for fact in facts(dataset):
        shape, numbers = "×".join(map(str, fact.shape)), fact.statistics
        columns = [f"{'–':>11}"] * 4 if numbers is None else [f"{number:>11.4g}" for number in numbers]
        power = "  (of |h|²)" if fact.of_power else ""
        lines.append(f"{fact.name:<26} {shape:<20} {fact.unit:<7} {' '.join(columns)}{power}")
    return "\n".join(lines)


def _titles(spec: ScenarioSpec) -> list[str]:
    """Scenario with state, and the system where that is known."""
    return [spec.title] if spec.system is None else [spec.title, spec.system]


def cautions(spec: ScenarioSpec) -> list[str]:
    """What whoever makes such datasets warns of, where that is installed."""
    maker = makers(spec.scenario).get(spec.source.name)
    return [] if maker is None else maker.cautions(spec)


def _band_line(name: str, dataset: ChannelDataset) -> str:
    band = dataset.spec.bands[name]
    return (
        f"{name:<8} {band.carrier_hz / 1e9:g} GHz, {band.bandwidth_hz / 1e6:g} MHz in {band.num_subcarriers} "
        f"subcarriers, {band.array.rows}×{band.array.columns} antennas, {band.num_slots} slots of "
        f"{band.slot_s * 1e3:g} ms"
    )


def _is_channel(dataset: ChannelDataset, name: str) -> bool:
    return np.dtype(dataset.variables[name].dtype).kind == "c"


def _statistics(dataset: ChannelDataset, name: str) -> tuple[float, float, float, float] | None:
    """Mean, standard deviation and range; of |h|² for channels, without NaN."""
    if _is_channel(dataset, name):
        return _power_statistics(dataset, name)
    values = np.concatenate([dataset.array(name, split) for split in SPLITS])
    numbers = values[np.isfinite(values)].astype(np.float64)
    if not len(numbers):
        return None
    return float(numbers.mean()), float(numbers.std()), float(numbers.min()), float(numbers.max())


def _power_statistics(dataset: ChannelDataset, name: str) -> tuple[float, float, float, float]:
    """Of all |h|², some rows at a time: channels need not fit into memory."""
    count, mean, squares, lowest, highest = 0, 0.0, 0.0, np.inf, 0.0
    for piece in (piece for split in SPLITS for piece in dataset.pieces(name, split)):
        pairs = np.ascontiguousarray(piece).view(np.float32).reshape(-1, 2)
        power = np.einsum("ij,ij->i", pairs, pairs, dtype=np.float64)
        off = float(power.mean()) - mean  # T. Chan, G. Golub and R. LeVeque, 1979: of parts, what is of the whole
        together = count + len(power)
        squares += float(power.var()) * len(power) + off**2 * count * len(power) / together
        mean, count = mean + off * len(power) / together, together
        lowest, highest = min(lowest, float(power.min())), max(highest, float(power.max()))
    return mean, float(np.sqrt(squares / count)), lowest, highest


def draw(path: str | Path, picture: str | Path | None = None) -> Path:
    """See ``drawn``: the picture alone."""
    return drawn(path, picture)[0]


def drawn(path: str | Path, picture: str | Path | None = None) -> tuple[Path, list[str]]:
    """Draw the picture sheet as PNG; beside the dataset, or here if that is remote, unless told otherwise.

    Returns:
        The picture, and lines with a sentence for each of its panels: what is seen, and what would be wrong.

    Raises:
        RequestError: there is no finished dataset at ``path``, or the picture cannot be written.
    """
    from matplotlib.figure import Figure

    dataset = open_dataset(path, field="data")
    target = expanded(picture, field="--picture") if picture else picture_of(path)
    panels, (views, missing) = panels_of(dataset), _views(dataset)
    rows, more = rows_of(panels), -(-len(views) // 2)
    heights = [_PANEL_HEIGHT * len(rows), _VIEW_HEIGHT * more]
    figure = Figure(figsize=(14 if len(panels) > 1 or more else 9, sum(heights)), layout="constrained")
    sheet: Any = figure.subfigures(2, 1, height_ratios=heights) if more else [figure]
    lay_out(sheet[0], rows, figure.get_figwidth())
    spec = dataset.spec
    figure.suptitle(
        f"{' · '.join(_named(spec))} · {spec.sizes.total} samples · seed {dataset.seed} · "
        f"digest {dataset.digest[:12]}" + (f"\n{missing}" if missing else ""),
        fontsize=13,
        wrap=True,
    )
    if more:
        places = sheet[1].subplots(more, 2, squeeze=False).ravel()
        for view, ax in zip(views, places, strict=False):
            view(ax)
            caption(ax, view, figure.get_figwidth() / 2)
        for ax in places[len(views) :]:
            ax.set_axis_off()
    return save_picture(figure, target), list(said([*panels, *views]))


def save_picture(figure: Any, target: Path) -> Path:
    """Write a matplotlib figure.

    Raises:
        RequestError: it cannot be written there.
    """
    try:
        figure.savefig(target, dpi=110)
    except OSError as error:
        raise RequestError("--picture", expected="a file that can be written", got=f"{target} ({error})") from None
    return target


def picture_of(path: str | Path) -> Path:
    """Where a dataset's picture is written by default: beside it, or here if that is remote."""
    place = Location.of(path, field="data")
    return (place.folder or Path(Path(str(place)).name)).with_suffix(".png")


def _named(spec: ScenarioSpec) -> list[str]:
    """Titles; what it was made of, where no system says that."""
    return [spec.source.label] if spec.system is None else _titles(spec)


def _views(dataset: ChannelDataset) -> tuple[list[View], str]:
    """What whoever makes such datasets draws of them, where that is installed; and why not, where it cannot here."""
    maker = makers(dataset.spec.scenario).get(dataset.spec.source.name)
    try:
        return ([] if maker is None else maker.views(dataset)), ""
    except RequestError as error:
        return [], f"no more pictures here: {shorten(str(error), 120)}"
