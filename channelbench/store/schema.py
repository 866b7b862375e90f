"""The dataset's variables: one table that writing, opening, generating and verifying all read.

See docs/protocol.md. A band's variables carry its name as suffix; ``{band}`` stands for it below.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.spec import SPLITS, BandSpec, ScenarioSpec
from channelbench.variables import NanRule, Variable

__all__ = [
    "OPTIONAL",
    "OPTIONAL_OF_USER",
    "SCHEMA_VERSION",
    "Variable",
    "antenna_positions",
    "coordinates",
    "core_variables",
    "optional",
    "recorded_variables",
    "slot_dim",
    "slot_times",
    "subcarrier_hz",
    "variables",
]

SCHEMA_VERSION = "1"

OPTIONAL = (
    *("path_gain_db", "main_path_gain_db", "delay_spread_s", "asd_deg", "asa_deg", "k_factor_db"),
    "strongest_aod_deg",
)
"""Variables of each band that a source may do without."""

OPTIONAL_OF_USER = ("ue_position", "ue_velocity", "distance_m", "los")
"""Variables of the user that a source may do without."""

NAN_ATTRIBUTE = "nan_where"
"""Of a variable that is none of the core: where NaN may stand, if it may."""

SPLIT_FLAGS = {"flag_values": [0, 1, 2], "flag_meanings": " ".join(SPLITS)}


def slot_dim(band: str) -> str:
    """The anchor band's slots are plain ``slot``."""
    return "slot" if band == "sub6" else f"slot_{band}"


def subcarrier_hz(band: BandSpec) -> NDArray[np.float64]:
    """Absolute subcarrier frequencies in Hz, ``[subcarriers]``: carrier + (k − K//2)·spacing, as Sionna counts."""
    k = np.arange(band.num_subcarriers) - band.num_subcarriers // 2
    return (band.carrier_hz + k * (band.bandwidth_hz / band.num_subcarriers)).astype(np.float64)


def slot_times(band: BandSpec) -> NDArray[np.float64]:
    """Slot times in s from the first, ``[slots]``."""
    return np.arange(band.num_slots, dtype=np.float64) * band.slot_s


def antenna_positions(band: BandSpec) -> NDArray[np.float64]:
    """Element positions in carrier wavelengths, ``[antennas, 3]``, centred, in the y–z plane.

    Elements count along the rows' +y first, so that element n of a ULA has the phase n·2π·d·sin(AoD) of LLM4WM
    Eq. 2 up to the common phase of the centre.
    """
    array = band.array
    y = (np.arange(array.columns) - (array.columns - 1) / 2) * array.spacing_wavelengths
    z = (np.arange(array.rows) - (array.rows - 1) / 2) * array.spacing_wavelengths
    zz, yy = np.meshgrid(z, y, indexing="ij")
    return np.stack([np.zeros(array.num_antennas), yy.ravel(), zz.ravel()], axis=-1)


def variables(spec: ScenarioSpec) -> dict[str, Variable]:
    """What the spec's source makes of each sample, in writing order.

    Raises:
        RequestError: the source leaves out what every dataset has, has it in another form (it may say more of what it
            is), or what it adds is not one row per sample.
    """
    core = core_variables(spec)
    table = spec.source.variables(core)
    spare = optional(spec)
    wrong = [name for name, variable in core.items() if not _stands_for(table.get(name), variable, name in spare)]
    wrong += [name for name, variable in table.items() if variable.dims[:1] != ("sample",) or variable.shape[0] != -1]
    if wrong:
        expected = "variables of one row per sample, and all those of the core that are not optional, as they are"
        raise RequestError("source", expected=expected, got=f"{spec.source.name}: {', '.join(wrong)}")
    return table


def _stands_for(variable: Variable | None, core: Variable, may_be_absent: bool) -> bool:
    """Whether a variable is one of the core, perhaps with a description of its own."""
    return may_be_absent if variable is None else replace(variable, long_name=core.long_name) == core


def optional(spec: ScenarioSpec) -> set[str]:
    """The core variables that a source may do without."""
    return {f"{name}_{band}" for name in OPTIONAL for band in spec.bands} | set(OPTIONAL_OF_USER)


def recorded_variables(group: Any, names: list[str], spec: ScenarioSpec) -> dict[str, Variable]:
    """What a dataset holds of each sample, in writing order, by what it says itself: its source need not be here.

    Args:
        group: The Zarr group.
        names: Of its variables, in writing order.
        spec: Of the dataset.

    Raises:
        KeyError: a variable that is not there, or without unit or description.
        ValueError: dimensions or a rule for NaN that no variable has.
    """
    core = core_variables(spec)
    return {name: core[name] if name in core else _recorded(group[name]) for name in names}


def _recorded(array: Any) -> Variable:
    dims, nan = array.metadata.dimension_names or (), array.attrs.get(NAN_ATTRIBUTE, "never")
    if len(dims) != array.ndim or dims[:1] != ("sample",):
        raise ValueError(f"{array.name}: expected a dimension for each length, sample the first, got {dims}")
    if nan not in get_args(NanRule):
        raise ValueError(f"{array.name}: expected {' or '.join(get_args(NanRule))} as {NAN_ATTRIBUTE}, got {nan!r}")
    return Variable(
        dims=tuple(dims),
        dtype=str(array.dtype),
        unit=str(array.attrs["units"]),
        long_name=str(array.attrs["long_name"]),
        shape=(-1, *array.shape[1:]),
        nan=nan,
    )


def core_variables(spec: ScenarioSpec) -> dict[str, Variable]:
    """The per-sample variables that tasks, checks and pictures know, in writing order."""
    scalar, table = Variable.scalar, dict[str, Variable]()
    for name, band in spec.bands.items():
        table[f"h_{name}"] = Variable(
            dims=("sample", slot_dim(name), f"subcarrier_{name}", f"antenna_{name}"),
            shape=(-1, band.num_slots, band.num_subcarriers, band.array.num_antennas),
            dtype="complex64",
            unit="1",
            long_name="small-scale channel coefficient, unit mean power over the ensemble",
        )
    for name in spec.bands:
        table |= {
            f"path_gain_db_{name}": scalar("float32", "dB", "minus path loss and shadow fading"),
            f"main_path_gain_db_{name}": scalar("float32", "dB", "path gain with the strongest path's share of power"),
            f"delay_spread_s_{name}": scalar("float32", "s", "realised RMS delay spread"),
            f"asd_deg_{name}": scalar("float32", "degree", "realised RMS azimuth spread of departure"),
            f"asa_deg_{name}": scalar("float32", "degree", "realised RMS azimuth spread of arrival"),
            f"k_factor_db_{name}": scalar("float32", "dB", "Rician K-factor; NaN without line of sight", nan="nlos"),
            f"strongest_aod_deg_{name}": scalar("float32", "degree", "azimuth of departure of the strongest path"),
        }
    table |= {
        "ue_position": Variable(dims=("sample", "xyz"), shape=(-1, 3), dtype="float32", unit="m", long_name="position"),
        "ue_velocity": Variable(
            dims=("sample", "xyz"), shape=(-1, 3), dtype="float32", unit="m s-1", long_name="velocity"
        ),
        "distance_m": scalar("float32", "m", "3-D distance from the base station"),
        "los": scalar("bool", "1", "line of sight"),
        "drop": scalar("int64", "1", "drop identifier, unique in the dataset"),
        "block": scalar("int64", "1", "index of the 200-sample block within the split"),
        "split": scalar("int8", "1", "train, val or test"),
    }
    return table


def coordinates(spec: ScenarioSpec) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64], dict[str, str]]]:
    """Coordinate arrays ``{name: (dims, values, attributes)}``."""
    coords: dict[str, tuple[tuple[str, ...], NDArray[np.float64], dict[str, str]]] = {}
    for name, band in spec.bands.items():
        slots = slot_times(band)
        coords[slot_dim(name)] = ((slot_dim(name),), slots, {"units": "s", "long_name": "slot time"})
        coords[f"subcarrier_{name}"] = (
            (f"subcarrier_{name}",),
            subcarrier_hz(band),
            {"units": "Hz", "long_name": "absolute subcarrier frequency"},
        )
        coords[f"antenna_position_{name}"] = (
            (f"antenna_{name}", "xyz"),
            antenna_positions(band),
            {"units": "1", "long_name": "element position in carrier wavelengths"},
        )
    return coords
