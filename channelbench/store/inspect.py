"""``inspect``: a dataset in numbers and in one sheet of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError, shorten
from channelbench.generator import View
from channelbench.paths import expanded
from channelbench.sources import makers
from channelbench.spec import SPLITS, ScenarioSpec
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.store.location import Location
from channelbench.store.schema import subcarrier_hz

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["angle_spectrum", "draw", "summary"]

_BAND_COLOURS = {"sub6": "#2b6cb0", "mmwave": "#c05621"}
_VIEW_HEIGHT = 5.8
"""Inches of a row of what a source draws of its own."""
_SPLIT_COLOURS = {"train": "#94a3b8", "val": "#2b6cb0", "test": "#c05621"}


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
        *(f"warning  {caution}" for caution in _cautions(spec)),
        "",
        f"{'variable':<26} {'shape':<20} {'unit':<7} {'mean':>11} {'std':>11} {'min':>11} {'max':>11}",
    ]
    for name, variable in dataset.variables.items():
        values = np.concatenate([dataset.array(name, split) for split in SPLITS])
        shape = "×".join(map(str, values.shape))
        lines.append(f"{name:<26} {shape:<20} {variable.unit:<7} {_statistics(values)}")
    return "\n".join(lines)


def _titles(spec: ScenarioSpec) -> list[str]:
    """Scenario with state, and the system where that is known."""
    return [spec.title] if spec.system is None else [spec.title, spec.system]


def _cautions(spec: ScenarioSpec) -> list[str]:
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


def _statistics(values: NDArray[Any]) -> str:
    """Mean, standard deviation and range; of |h|² for channels, without NaN."""
    if values.dtype.kind == "c":
        pairs = values.view(np.float32).reshape(-1, 2)
        numbers = np.einsum("ij,ij->i", pairs, pairs, dtype=np.float64)
        note = "  (of |h|²)"
    else:
        numbers, note = values[np.isfinite(values)].astype(np.float64), ""
    if not len(numbers):
        return f"{'–':>11} {'–':>11} {'–':>11} {'–':>11}"
    columns = (numbers.mean(), numbers.std(), numbers.min(), numbers.max())
    return " ".join(f"{number:>11.4g}" for number in columns) + note


def draw(path: str | Path, picture: str | Path | None = None) -> Path:
    """Draw the picture sheet as PNG; beside the dataset, or here if that is remote, unless told otherwise.

    Raises:
        RequestError: there is no finished dataset at ``path``, or the picture cannot be written.
    """
    from matplotlib.figure import Figure

    dataset = open_dataset(path, field="data")
    target = expanded(picture, field="--picture") if picture else _picture_of(path)
    link = _typical_link(dataset)
    views, missing = _views(dataset)
    rows = -(-len(views) // 2)
    figure = Figure(figsize=(14, 8 + _VIEW_HEIGHT * rows), layout="constrained")
    sheet: Any = figure.subfigures(2, 1, height_ratios=[8, _VIEW_HEIGHT * rows]) if rows else [figure]
    axes = sheet[0].subplots(2, 3)
    _drop_map(axes[0, 0], dataset)
    _time_frequency(axes[0, 1], dataset, link)
    _angle_spectra(axes[0, 2], dataset, link)
    _cdf(axes[1, 0], dataset, "delay_spread_s", 1e9, "RMS delay spread (ns)", log=True)
    _cdf(axes[1, 1], dataset, "path_gain_db", 1.0, "path gain (dB)")
    _cdf(axes[1, 2], dataset, "asd_deg", 1.0, "RMS azimuth spread of departure (°)")
    spec = dataset.spec
    figure.suptitle(
        f"{' · '.join(_titles(spec))} · {spec.sizes.total} samples · seed {dataset.seed} · "
        f"digest {dataset.digest[:12]}" + (f"\n{missing}" if missing else ""),
        fontsize=13,
    )
    if rows:
        places = sheet[1].subplots(rows, 2, squeeze=False).ravel()
        for view, ax in zip(views, places, strict=False):
            view(ax)
        for ax in places[len(views) :]:
            ax.set_axis_off()
    try:
        figure.savefig(target, dpi=110)
    except OSError as error:
        raise RequestError("--picture", expected="a file that can be written", got=f"{target} ({error})") from None
    return target


def _picture_of(path: str | Path) -> Path:
    place = Location.of(path, field="data")
    return (place.folder or Path(Path(str(place)).name)).with_suffix(".png")


def _typical_link(dataset: ChannelDataset) -> int:
    """The test sample of median delay spread; the first one where that is not known."""
    if "delay_spread_s_sub6" not in dataset.variables:
        return 0
    spread = dataset.array("delay_spread_s_sub6", "test")
    return int(np.argsort(spread)[len(spread) // 2])


def _views(dataset: ChannelDataset) -> tuple[list[View], str]:
    """What whoever makes such datasets draws of them, where that is installed; and why not, where it cannot here."""
    maker = makers(dataset.spec.scenario).get(dataset.spec.source.name)
    try:
        return ([] if maker is None else maker.views(dataset)), ""
    except RequestError as error:
        return [], f"no more pictures here: {shorten(str(error), 120)}"


def _drop_map(ax: Axes, dataset: ChannelDataset) -> None:
    if "ue_position" not in dataset.variables:
        _say_absent(ax, "positions")
        return
    for split in SPLITS:
        x, y = dataset.array("ue_position", split)[:, :2].T
        ax.scatter(x, y, s=4, color=_SPLIT_COLOURS[split], label=f"{split} ({len(x)})", linewidths=0)
    ax.scatter([0], [0], marker="^", s=70, color="black", zorder=3, label="base station")
    ax.set(title="Drops", xlabel="x (m)", ylabel="y (m)", aspect="equal")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=1.5)


def _time_frequency(ax: Axes, dataset: ChannelDataset, link: int) -> None:
    band = dataset.spec.sub6
    h = dataset.rows("h_sub6", "test", np.array([link]))[0, :, :, 0]
    level = 20 * np.log10(np.maximum(np.abs(h), 1e-6))
    offset = (subcarrier_hz(band) - band.carrier_hz) / 1e6
    time_ms = np.arange(band.num_slots + 1) * band.slot_s * 1e3
    step = band.bandwidth_hz / band.num_subcarriers / 1e6
    mesh = ax.pcolormesh(
        time_ms, np.append(offset, offset[-1] + step) - step / 2, level.T, cmap="viridis", vmin=-25, vmax=10
    )
    ax.figure.colorbar(mesh, ax=ax, label="|h|² (dB)", extend="both")
    ax.set(
        title=f"Test link {link} at {band.carrier_hz / 1e9:g} GHz, antenna 1",
        xlabel="time (ms)",
        ylabel="frequency from carrier (MHz)",
    )


def angle_spectrum(
    h: NDArray[Any], spacing_wavelengths: float, num_angles: int = 721
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Azimuth in degrees and Bartlett power ``[angles]``, peak 1, of channels ``[..., antennas]`` of a ULA."""
    angle = np.linspace(-90, 90, num_angles)
    element = np.arange(h.shape[-1]) * spacing_wavelengths
    steering = np.exp(2j * np.pi * np.outer(np.sin(np.deg2rad(angle)), element))
    power = (np.abs(h.reshape(-1, h.shape[-1]) @ steering.conj().T) ** 2).mean(axis=0)
    return angle, power / power.max()


def _angle_spectra(ax: Axes, dataset: ChannelDataset, link: int) -> None:
    for name, band in dataset.spec.bands.items():
        row = band.array.rows // 2
        columns = slice(row * band.array.columns, (row + 1) * band.array.columns)
        h = dataset.rows(f"h_{name}", "test", np.array([link]), 0)[0][:, columns]
        angle, power = angle_spectrum(h, band.array.spacing_wavelengths)
        label = f"{band.carrier_hz / 1e9:g} GHz, {band.array.columns} antennas"
        ax.plot(angle, 10 * np.log10(np.maximum(power, 1e-6)), color=_BAND_COLOURS[name], label=label, lw=1.4)
    if "strongest_aod_deg_sub6" in dataset.variables:
        strongest = float(dataset.array("strongest_aod_deg_sub6", "test")[link])
        ax.axvline(strongest, color="black", lw=0.8, ls=":", label="strongest path")
    ax.set(
        title=f"Angle spectra of test link {link}",
        xlabel="azimuth of departure (°)",
        ylabel="power (dB)",
        xlim=(-90, 90),
        ylim=(-40, 2),
    )
    ax.legend(fontsize=8, loc="lower left")


def _cdf(ax: Axes, dataset: ChannelDataset, variable: str, scale: float, label: str, *, log: bool = False) -> None:
    if f"{variable}_sub6" not in dataset.variables:
        _say_absent(ax, label)
        return
    for name, band in dataset.spec.bands.items():
        values = np.sort(np.concatenate([dataset.array(f"{variable}_{name}", split) for split in SPLITS])) * scale
        median = f"{np.median(values):.4g}"
        text = f"{band.carrier_hz / 1e9:g} GHz, median {median}"
        ax.plot(values, np.arange(1, len(values) + 1) / len(values), color=_BAND_COLOURS[name], label=text, lw=1.6)
    if log:
        ax.set_xscale("log")
    ax.set(title=label[0].upper() + label[1:], xlabel=label, ylabel="share of links below", ylim=(0, 1))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="lower right")


def _say_absent(ax: Axes, what: str) -> None:
    ax.set_axis_off()
    ax.text(0.5, 0.5, f"no {what}\nfrom this source", ha="center", va="center", transform=ax.transAxes)
