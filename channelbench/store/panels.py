"""The panels of ``inspect``'s sheet: those that a dataset has something to show for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.bands import BandSpec
from channelbench.generator import Panel, View
from channelbench.spec import SPLITS
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import subcarrier_hz

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["angle_spectrum", "delay_profile", "panels_of", "rows_of"]

_BAND_COLOURS = {"sub6": "#2b6cb0", "mmwave": "#c05621"}
_SPLIT_COLOURS = {"train": "#94a3b8", "val": "#2b6cb0", "test": "#c05621"}

_IN_A_ROW = 3

_PROFILED = 200
"""Links that a mean delay profile is of, at most."""


def panels_of(dataset: ChannelDataset) -> list[Panel]:
    """What draws each panel, in the order of the sheet, with a sentence on what is seen. Where a dataset does not say a
    number of its links, what its channels themselves show of it stands in: their delay profile for delay spreads, their
    power for path gains."""
    spec, link = dataset.spec, _typical_link(dataset)
    panels: list[Panel] = []
    spreads, gains, angles = (DELAY_SPREADS, PATH_GAINS, ANGLE_SPREADS) if len(spec.bands) > 1 else ("", "", "")
    if "ue_position" in dataset.variables:
        panels.append(Panel("Drops", partial(_drop_map, dataset=dataset), DROPS))
    if max(spec.sub6.num_slots, spec.sub6.num_subcarriers) > 1:
        panels.append(Panel("One link", partial(_time_frequency, dataset=dataset, link=link), ONE_LINK))
    if wide := {name: band for name, band in spec.bands.items() if band.array.columns > 1}:
        known = STRONGEST if _has_aod(dataset) else ""
        spectra = partial(_angle_spectra, dataset=dataset, link=link, bands=wide)
        panels.append(Panel("Angle spectra", spectra, ANGLES + known))
    if "delay_spread_s_sub6" in dataset.variables:
        panels.append(
            _cdf_of(dataset, "delay_spread_s", 1e9, "RMS delay spread (ns)", DELAY_SPREAD + spreads, log=True)
        )
    elif tones := {name: band for name, band in spec.bands.items() if band.num_subcarriers > 1}:
        panels.append(Panel("Mean delay profile", partial(_delay_profiles, dataset=dataset, bands=tones), PROFILE))
    if "path_gain_db_sub6" in dataset.variables:
        panels.append(_cdf_of(dataset, "path_gain_db", 1.0, "path gain (dB)", PATH_GAIN + gains))
    else:
        label = "mean |h|² of a link (dB)"
        powers = partial(_cdf, values=_power_db(dataset), bands=spec.bands, label=label)
        panels.append(Panel(label, powers, POWER))
    if "asd_deg_sub6" in dataset.variables:
        panels.append(_cdf_of(dataset, "asd_deg", 1.0, "RMS azimuth spread of departure (°)", ANGLE_SPREAD + angles))
    return panels


DROPS = (
    "Where users stand around the base station, by split: each split fills the whole area, unless the source keeps "
    "areas apart; a split in a corner of its own would be tested on ground that nobody trained on."
)
ONE_LINK = (
    "Power of the link of median delay spread over time and frequency: it changes smoothly along both, along time the "
    "more slowly the slower the user, and fades where paths cancel; noise from cell to cell would be a fault."
)
ANGLES = (
    "Power by angle of departure at the base station: lobes where paths leave, the narrower the longer the array; a "
    "flat line would be noise."
)
STRONGEST = " A lobe lies at the dotted line, the strongest path; with a line of sight it is the highest, in all bands."
DELAY_SPREAD = "Share of links with a delay spread of at most so much; a step would be the same link again and again."
DELAY_SPREADS = " The higher band lies to the left, its echoes being weaker."
PROFILE = (
    "Power by delay, mean over links: a first arrival and a tail that falls; power that does not fall towards the "
    "right edge would be echoes longer than the symbol, or noise."
)
PATH_GAIN = "Share of links with a path gain of at most so much; gains above 0 dB would be impossible."
PATH_GAINS = " The higher band lies to the left by 20 lg of the carriers' ratio and more."
POWER = (
    "Share of links with a mean power of at most so much: 0 dB is the mean; a vertical line would be channels that "
    "were each scaled to the same power, which erases how far away a user is."
)
ANGLE_SPREAD = (
    "Share of links whose departures spread by at most so much: a few degrees with a line of sight, tens without; 0 "
    "for many would be links of a single path."
)
ANGLE_SPREADS = " The bands of one environment lie near each other."


def _has_aod(dataset: ChannelDataset) -> bool:
    return "strongest_aod_deg_sub6" in dataset.variables


def rows_of(panels: Sequence[View]) -> list[list[View]]:
    """At most three in a row, and rows as alike as can be."""
    rows = -(-len(panels) // _IN_A_ROW)
    most = -(-len(panels) // rows)
    return [list(panels[start : start + most]) for start in range(0, len(panels), most)]


def _typical_link(dataset: ChannelDataset) -> int:
    """The test sample of median delay spread; of median power where that is not known."""
    known = "delay_spread_s_sub6" in dataset.variables
    number = dataset.array("delay_spread_s_sub6", "test") if known else dataset.sample_power("sub6", "test")
    return int(np.argsort(number)[len(number) // 2])


def _drop_map(ax: Axes, dataset: ChannelDataset) -> None:
    for split in SPLITS:
        x, y = dataset.array("ue_position", split)[:, :2].T
        ax.scatter(x, y, s=4, color=_SPLIT_COLOURS[split], label=f"{split} ({len(x)})", linewidths=0)
    ax.scatter([0], [0], marker="^", s=70, color="black", zorder=3, label="base station")
    ax.set(title="Drops", xlabel="x (m)", ylabel="y (m)", aspect="equal")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=1.5)


def _time_frequency(ax: Axes, dataset: ChannelDataset, link: int) -> None:
    """A map; or a line, where there is one slot or one subcarrier."""
    band = dataset.spec.sub6
    h = dataset.rows("h_sub6", "test", np.array([link]))[0, :, :, 0]
    power = np.abs(h.astype(np.complex128)) ** 2
    # Channels with a path gain of their own have unit mean power; of others this link's may be anything.
    unit = 1.0 if "path_gain_db_sub6" in dataset.variables else float(power.mean()) or 1.0
    level = 10 * np.log10(np.maximum(power / unit, 1e-12))
    offset = (subcarrier_hz(band) - band.carrier_hz) / 1e6
    step = band.bandwidth_hz / band.num_subcarriers / 1e6
    what = "|h|² (dB)" if unit == 1 else "|h|² over its mean (dB)"
    time, frequency = "time (ms)", "frequency from carrier (MHz)"
    if min(level.shape) == 1:
        along, label = (offset, frequency) if band.num_slots == 1 else (_time_ms(band)[:-1], time)
        ax.plot(along, level.ravel(), color=_BAND_COLOURS["sub6"], lw=1.4)
        ax.set(xlabel=label, ylabel=what)
        ax.grid(alpha=0.3)
    else:
        edges = np.append(offset, offset[-1] + step) - step / 2
        mesh = ax.pcolormesh(_time_ms(band), edges, level.T, cmap="viridis", vmin=-25, vmax=10)
        ax.figure.colorbar(mesh, ax=ax, label=what, extend="both")
        ax.set(xlabel=time, ylabel=frequency)
    ax.set_title(f"Test link {link} at {band.carrier_hz / 1e9:g} GHz, antenna 1")


def _time_ms(band: BandSpec) -> NDArray[np.float64]:
    """Borders of the slots, ``[slots + 1]``."""
    return np.arange(band.num_slots + 1, dtype=np.float64) * band.slot_s * 1e3


def angle_spectrum(
    h: NDArray[Any], spacing_wavelengths: float, num_angles: int = 721
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Azimuth in degrees and Bartlett power ``[angles]``, peak 1, of channels ``[..., antennas]`` of a ULA."""
    angle = np.linspace(-90, 90, num_angles)
    element = np.arange(h.shape[-1]) * spacing_wavelengths
    steering = np.exp(2j * np.pi * np.outer(np.sin(np.deg2rad(angle)), element))
    power = (np.abs(h.reshape(-1, h.shape[-1]) @ steering.conj().T) ** 2).mean(axis=0)
    return angle, power / power.max()


def _angle_spectra(ax: Axes, dataset: ChannelDataset, link: int, bands: Mapping[str, BandSpec]) -> None:
    for name, band in bands.items():
        row = band.array.rows // 2
        columns = slice(row * band.array.columns, (row + 1) * band.array.columns)
        h = dataset.rows(f"h_{name}", "test", np.array([link]), 0)[0][:, columns]
        angle, power = angle_spectrum(h, band.array.spacing_wavelengths)
        label = f"{band.carrier_hz / 1e9:g} GHz, {band.array.columns} antennas"
        ax.plot(angle, 10 * np.log10(np.maximum(power, 1e-6)), color=_BAND_COLOURS[name], label=label, lw=1.4)
    if "strongest_aod_deg_sub6" in dataset.variables:
        strongest = float(dataset.array("strongest_aod_deg_sub6", "test")[link])
        if abs(strongest) <= 90:
            ax.axvline(strongest, color="black", lw=0.8, ls=":", label="strongest path")
    ax.set(
        title=f"Angle spectra of test link {link}",
        xlabel="azimuth of departure (°)",
        ylabel="power (dB)",
        xlim=(-90, 90),
        ylim=(-40, 2),
    )
    ax.legend(fontsize=8, loc="lower left")


def delay_profile(h: NDArray[Any]) -> NDArray[np.float64]:
    """Mean power over delays n/bandwidth, ``[subcarriers]``, peak 1, of channels ``[links, subcarriers, antennas]``:
    each link counts as much as the others. A Hann window over the band keeps its edges out."""
    window = np.hanning(h.shape[1] + 2)[1:-1]
    power = (np.abs(np.fft.ifft(h * window[:, None], axis=1)) ** 2).sum(axis=2)
    total = power.sum(axis=1, keepdims=True)
    mean = np.divide(power, total, out=np.zeros_like(power), where=total > 0).mean(axis=0)
    return np.asarray(mean / mean.max(), np.float64)


def _delay_profiles(ax: Axes, dataset: ChannelDataset, bands: Mapping[str, BandSpec]) -> None:
    links = np.arange(min(_PROFILED, dataset.spec.sizes.test))
    for name, band in bands.items():
        profile = delay_profile(dataset.rows(f"h_{name}", "test", links, 0).astype(np.complex128))
        delay_ns = np.arange(band.num_subcarriers) / band.bandwidth_hz * 1e9
        label = f"{band.carrier_hz / 1e9:g} GHz, {len(links)} test links"
        ax.plot(delay_ns, 10 * np.log10(np.maximum(profile, 1e-6)), color=_BAND_COLOURS[name], label=label, lw=1.4)
    ax.set(title="Mean delay profile", xlabel="delay, modulo one symbol (ns)", ylabel="power (dB)", ylim=(-60, 2))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="upper right")


def _cdf_of(
    dataset: ChannelDataset, variable: str, scale: float, label: str, sentence: str, *, log: bool = False
) -> Panel:
    """The panel of a variable of every band."""
    values = {
        name: scale * np.concatenate([dataset.array(f"{variable}_{name}", split) for split in SPLITS])
        for name in dataset.spec.bands
    }
    return Panel(label, partial(_cdf, values=values, bands=dataset.spec.bands, label=label, log=log), sentence)


def _power_db(dataset: ChannelDataset) -> dict[str, NDArray[np.float64]]:
    """Of every link by band."""
    power = {
        name: np.concatenate([dataset.sample_power(name, split) for split in SPLITS]) for name in dataset.spec.bands
    }
    return {name: 10 * np.log10(np.maximum(values, np.finfo(np.float32).tiny)) for name, values in power.items()}


def _cdf(
    ax: Axes, *, values: Mapping[str, NDArray[Any]], bands: Mapping[str, BandSpec], label: str, log: bool = False
) -> None:
    for name, band in bands.items():
        found = np.sort(values[name])
        text = f"{band.carrier_hz / 1e9:g} GHz, median {np.median(found):.4g}"
        ax.plot(found, np.arange(1, len(found) + 1) / len(found), color=_BAND_COLOURS[name], label=text, lw=1.6)
    if log and all((values[name] > 0).any() for name in bands):
        ax.set_xscale("log")
    ax.set(title=label[0].upper() + label[1:], xlabel=label, ylabel="share of links below", ylim=(0, 1))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="lower right")
