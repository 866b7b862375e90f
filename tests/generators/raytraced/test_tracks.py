"""Slots that are traced each, beside Doppler shifts of the paths of the first slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.generator import Block
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.raytraced.scenarios import TracedStreet
from channelbench.spec import ScenarioSpec
from channelbench.store.schema import variables

Make = Callable[..., ScenarioSpec]
BLOCK = Block(split="train", index=0, stop=8)


def _made(spec: ScenarioSpec) -> dict[str, NDArray[Any]]:
    return dict(TracedStreet().sample(spec, BLOCK, 0))


def _apart(traced: dict[str, NDArray[Any]], turned: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Relative deviation of each slot, in the median over users, after each side's own scale, ``[slots]``."""
    scale = 10 ** ((traced["path_gain_db_sub6"] - turned["path_gain_db_sub6"]) / 20)
    difference = traced["h_sub6"] * scale[:, None, None, None] - turned["h_sub6"]
    norm = np.linalg.norm(turned["h_sub6"], axis=(2, 3))
    return np.median(np.linalg.norm(difference, axis=(2, 3)) / norm, axis=0)


def test_in_a_short_window_doppler_shifts_are_what_tracing_each_slot_gives(street: Make) -> None:
    """9.5 ms at 30 km/h are half a wavelength of 1.9 GHz; the error grows with the way."""
    fields = {"sub6.num_slots": 4, "sub6.slot_s": 9.5e-3 / 3, "delays": "absolute"}
    turned, traced = _made(street(**fields)), _made(street(retrace=True, **fields))
    np.testing.assert_array_equal(turned["ue_position"], traced["ue_position"])
    apart = _apart(traced, turned)
    print("slots", np.arange(4) * 9.5e-3 / 3, "deviation", apart)
    assert apart[0] < 1e-6
    assert apart[-1] < 0.05
    assert (np.diff(apart) > 0).all()


def test_over_a_long_way_they_are_not(street: Make) -> None:
    fields = {"sub6.num_slots": 3, "sub6.slot_s": 0.5, "delays": "absolute"}
    turned, traced = _made(street(**fields)), _made(street(retrace=True, **fields))
    apart = _apart(traced, turned)
    print("slots", np.arange(3) * 0.5, "deviation", apart)
    assert apart[0] < 1e-6
    assert apart[1:].min() > 0.3


def test_a_track_has_a_place_and_a_path_gain_for_each_slot(street: Make) -> None:
    spec = street(**{"sub6.num_slots": 3, "sub6.slot_s": 0.5}, retrace=True)
    made, table = _made(spec), variables(spec)
    assert {"slot_position_sub6", "slot_path_gain_db_sub6", "slot_position_mmwave"} <= table.keys()
    assert not {name for name in variables(street()) if name.startswith("slot_")}
    place = made["slot_position_sub6"]
    assert place.shape == (8, 3, 3)
    np.testing.assert_allclose(place[:, 0], made["ue_position"], atol=1e-6)
    np.testing.assert_allclose(place[:, 2] - place[:, 0], made["ue_velocity"] * 1.0, atol=1e-4)
    gain = 10 ** (made["slot_path_gain_db_sub6"] / 10)
    np.testing.assert_allclose(10 * np.log10(gain.mean(axis=1)), made["path_gain_db_sub6"], atol=1e-6)
    power = np.mean(np.abs(made["h_sub6"]) ** 2, axis=(2, 3))
    assert np.corrcoef(np.log(power).ravel(), np.log(gain / gain.mean(axis=1, keepdims=True)).ravel())[0, 1] > 0.3
    assert np.ptp(made["slot_path_gain_db_sub6"], axis=1).max() > 1


def test_a_long_window_without_tracing_is_warned_of(street: Make) -> None:
    cautions = TracedStreet.cautions(street(**{"sub6.slot_s": 0.5}))
    assert any("retrace=true traces each" in line for line in cautions)
    assert not any("retrace" in line for line in TracedStreet.cautions(street()))
    assert not any(
        "retrace=true" in line for line in TracedStreet.cautions(street(**{"sub6.slot_s": 0.5}, retrace=True))
    )


@pytest.mark.parametrize("name", ["sub6", "mmwave"])
def test_doppler_shifts_are_those_of_closing_ways(name: str, street: Make) -> None:
    """By the finite difference of each traced path's length, of the line of sight."""
    from channelbench.generators.raytraced import drawing

    spec = street()
    source: Any = spec.source
    drawn, band = drawing.draw(source, spec, BLOCK, 0), spec.bands[name]
    for row, user in enumerate(drawn.users):
        away = [np.linalg.norm(user.position + t * user.velocity - drawn.world.transmitter) for t in (-1e-3, 1e-3)]
        closing = -(away[1] - away[0]) / 2e-3
        wanted = closing * band.carrier_hz / SPEED_OF_LIGHT
        np.testing.assert_allclose(drawn.paths[name].doppler_hz[row, 0], wanted, rtol=1e-5, atol=1e-3)
