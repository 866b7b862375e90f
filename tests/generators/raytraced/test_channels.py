"""Traced channels against Sionna's own, against sums over paths in float64, and against arrays that are traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.generator import Block
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.raytraced import drawing
from channelbench.generators.raytraced.links import paths_of
from channelbench.generators.raytraced.scenarios import TracedStreet
from channelbench.generators.raytraced.users import User
from channelbench.generators.raytraced.worlds import World, world_of
from channelbench.spec import BandSpec, ScenarioSpec
from channelbench.store.schema import antenna_positions, slot_times, subcarrier_hz, variables

BLOCK = Block(split="train", index=0, stop=8)


@pytest.fixture(scope="module")
def drawn(street: Callable[..., ScenarioSpec]) -> tuple[ScenarioSpec, drawing.Drawn, dict[str, NDArray[Any]]]:
    spec = street(delays="absolute", squint=False)
    source: Any = spec.source
    return spec, drawing.draw(source, spec, BLOCK, 0), drawing.columns(source, spec, BLOCK, 0)


def _solve(world: World, users: list[User], spec: ScenarioSpec, band: BandSpec, *, synthetic: bool = True) -> Any:
    """Sionna's own solver on the same users, its array as ours; the scene is left as it was."""
    import sionna.rt as rt

    scene, source, array = world.scene, spec.source, band.array
    scene.frequency = band.carrier_hz
    spacing = {"vertical_spacing": array.spacing_wavelengths, "horizontal_spacing": array.spacing_wavelengths}
    scene.tx_array = rt.PlanarArray(
        num_rows=array.rows, num_cols=array.columns, pattern="iso", polarization="V", **spacing
    )
    scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    scene.add(
        rt.Transmitter(
            "tx", position=world.transmitter.tolist(), orientation=[float(np.radians(world.azimuth_deg)), 0.0, 0.0]
        )
    )
    for number, user in enumerate(users):
        scene.add(rt.Receiver(f"rx{number}", position=user.position.tolist(), velocity=user.velocity.tolist()))
    try:
        settings = source.settings
        return rt.PathSolver(deterministic=True)(
            scene,
            max_depth=settings.max_depth,
            samples_per_src=settings.samples,
            synthetic_array=synthetic,
            refraction=False,
            seed=settings.seed,
        )
    finally:
        for name in [*scene.transmitters, *scene.receivers]:
            scene.remove(name)


def _response(paths: Any, band: BandSpec) -> NDArray[np.complex64]:
    """Sionna's ``cfr``, ``[users, slots, subcarriers, antennas]`` in our order of antennas."""
    import mitsuba as mi

    offsets = mi.Float((subcarrier_hz(band) - band.carrier_hz).astype(np.float32))
    h = paths.cfr(
        frequencies=offsets,
        sampling_frequency=1 / band.slot_s,
        num_time_steps=band.num_slots,
        normalize_delays=False,
        out_type="numpy",
    )
    return np.transpose(h[:, 0, 0], (0, 2, 3, 1))[..., _order(paths, band)]


def _order(paths: Any, band: BandSpec) -> NDArray[np.int64]:
    """Sionna's element of each of ours, by where they are."""
    theirs = np.array(paths.tx_array.normalized_positions).T[: band.array.num_antennas]
    ours = antenna_positions(band)
    distance = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    assert distance.min(axis=1).max() < 1e-3
    return distance.argmin(axis=1)


def _errors(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """Relative deviation of each link after the best common complex factor."""
    ours, theirs = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1).astype(np.complex128)
    factor = np.vecdot(theirs, ours) / np.vecdot(theirs, theirs).real
    return np.linalg.norm(ours - factor[:, None] * theirs, axis=1) / np.linalg.norm(ours, axis=1)


@pytest.mark.parametrize("name", ["sub6", "mmwave"])
def test_without_squint_channels_are_sionnas(name: str, drawn: Any) -> None:
    """Slots too: their Doppler shifts are ours."""
    spec, block, made = drawn
    band = spec.bands[name]
    theirs = _response(_solve(block.world, block.users, spec, band), band)
    errors = _errors(made[f"h_{name}"], theirs)
    print(f"{name}: median deviation from Sionna's cfr {np.median(errors):.2g}, largest {errors.max():.2g}")
    assert np.median(errors) < 0.01
    gain = np.sqrt(block.gain[name])[:, None, None, None]
    assert np.median(np.abs(made[f"h_{name}"] * gain - theirs) / gain) < 0.02  # with no factor at all


@pytest.mark.parametrize("name", ["sub6", "mmwave"])
def test_path_gain_is_sionnas_sum_of_powers(name: str, drawn: Any) -> None:
    spec, block, made = drawn
    paths = _solve(block.world, block.users, spec, spec.bands[name])
    real, imaginary = (np.asarray(part)[:, 0, 0, 0] for part in paths.a)
    power = np.sum(real.astype(np.float64) ** 2 + imaginary.astype(np.float64) ** 2, axis=-1)
    np.testing.assert_allclose(made[f"path_gain_db_{name}"], 10 * np.log10(power), atol=1e-4)


def test_with_squint_channels_are_the_sum_over_paths(street: Callable[..., ScenarioSpec]) -> None:
    """In float64 from the vertices alone: e^{−j2πfτ} of each element's own way, up to the first delay."""
    spec = street()
    source: Any = spec.source
    block, made = drawing.draw(source, spec, BLOCK, 0), drawing.columns(source, spec, BLOCK, 0)
    for name, band in spec.bands.items():
        assert band.bandwidth_hz / band.carrier_hz > 0.01
        for row, user in enumerate(block.users):
            np.testing.assert_allclose(
                made[f"h_{name}"][row], _brute(block, row, user, name, band), atol=2e-5, err_msg=f"{name} {row}"
            )


def _brute(block: drawing.Drawn, row: int, user: User, name: str, band: BandSpec) -> NDArray[np.complex128]:
    frequency, time = subcarrier_hz(band), slot_times(band)
    elements = antenna_positions(band) * SPEED_OF_LIGHT / band.carrier_hz
    first = block.reference_s[row]
    h = np.zeros((len(time), len(frequency), len(elements)), np.complex128)
    for path in range(len(user.rays.receiver)):
        corners = user.rays.vertices[path][: 2 + user.rays.interactions[path]]
        legs = np.diff(corners, axis=0)
        length = np.linalg.norm(legs, axis=1).sum()
        away, back = legs[0] / np.linalg.norm(legs[0]), -legs[-1] / np.linalg.norm(legs[-1])
        turn = np.radians(-block.world.azimuth_deg)
        away = np.array(
            [away[0] * np.cos(turn) - away[1] * np.sin(turn), away[0] * np.sin(turn) + away[1] * np.cos(turn), away[2]]
        )
        nearer = elements @ away  # of a plane wave, element by element, m
        closing = back @ user.velocity
        phase = -2 * np.pi * band.carrier_hz * length / SPEED_OF_LIGHT
        phase = phase - 2 * np.pi * (frequency - band.carrier_hz)[None, :, None] * (length / SPEED_OF_LIGHT - first)
        phase = phase + 2 * np.pi * (frequency[None, :, None] / SPEED_OF_LIGHT) * nearer[None, None]
        phase = phase + 2 * np.pi * (band.carrier_hz / SPEED_OF_LIGHT) * closing * time[:, None, None]
        h += user.rays.amplitude[name][path] * np.exp(1j * phase)
    return h / np.sqrt(block.gain[name][row])


def test_at_the_carrier_a_small_array_is_what_traced_elements_are(street: Callable[..., ScenarioSpec]) -> None:
    """Two by two elements, each a transmitter of its own: waves are plane at this distance."""
    spec = street(**{"sub6.array": {"rows": 2, "columns": 2}, "sub6.num_slots": 1}, delays="absolute")
    band, source = spec.sub6, spec.source
    assert isinstance(source.squint, bool)
    block = drawing.draw(source, spec, BLOCK, 0)
    made = drawing.columns(source, spec, BLOCK, 0)["h_sub6"]
    carrier = int(np.flatnonzero(subcarrier_hz(band) == band.carrier_hz)[0])
    theirs = _response(_solve(block.world, block.users, spec, band, synthetic=False), band)
    errors = _errors(made[:, :, carrier], theirs[:, :, carrier])
    assert np.median(errors) < 0.02


def test_both_bands_have_the_same_delays_and_angles(drawn: Any) -> None:
    """What differs is amplitude and phase, and Doppler shifts go with the carrier."""
    spec, block, _ = drawn
    low, high = block.paths["sub6"], block.paths["mmwave"]
    np.testing.assert_array_equal(low.delay_s, high.delay_s)
    np.testing.assert_array_equal(low.direction, high.direction)
    ratio = spec.mmwave.carrier_hz / spec.sub6.carrier_hz
    np.testing.assert_allclose(high.doppler_hz, ratio * low.doppler_hz, rtol=1e-12)
    assert np.abs(low.power - high.power).max() > 1e-3  # materials
    assert np.abs(low.doppler_hz).max() > 1


def test_power_is_one_and_path_0_is_the_line_of_sight(drawn: Any) -> None:
    _, block, made = drawn
    for name, paths in block.paths.items():
        np.testing.assert_allclose(paths.power.sum(axis=1), 1)
        length = np.linalg.norm(made["ue_position"] - [0, 0, 10.0], axis=1)
        np.testing.assert_allclose(paths.delay_s[:, 0] * SPEED_OF_LIGHT, length, rtol=1e-6)
        azimuth = np.degrees(np.arctan2(made["ue_position"][:, 1], made["ue_position"][:, 0]))
        np.testing.assert_allclose(made[f"strongest_aod_deg_{name}"], azimuth, atol=1e-3)
    free_space = 20 * np.log10(SPEED_OF_LIGHT / 1.9e9 / (4 * np.pi * made["distance_m"]))
    np.testing.assert_allclose(made["main_path_gain_db_sub6"], free_space, atol=0.02)


def test_rows_are_the_same_however_many_are_asked_for(street: Callable[..., ScenarioSpec]) -> None:
    """And in whatever order: 12 users are of two solves."""
    from channelbench.generators.raytraced import users

    spec, generator = street(), TracedStreet()
    whole = generator.sample(spec, Block(split="test", index=1, stop=12), 3)
    users._block.cache_clear()
    part = generator.sample(spec, Block(split="test", index=1, start=7, stop=10), 3)
    for name, variable in variables(spec).items():
        np.testing.assert_array_equal(part[name], whole[name][7:10], err_msg=name)
        assert np.can_cast(part[name].dtype, variable.dtype, "same_kind"), name
        assert part[name].shape == (3, *variable.shape[1:]), name
    other = generator.sample(spec, Block(split="test", index=1, stop=1), 4)
    assert not np.array_equal(other["ue_position"], whole["ue_position"][:1])


def test_phases_of_long_ways_keep_their_digits(drawn: Any) -> None:
    """A wavelength at 28 GHz is 1 cm: another metre of reference moves no phase at the carrier."""
    spec, block, _ = drawn
    rays = [user.rays for user in block.users]
    moved = paths_of(
        rays,
        block.world,
        "mmwave",
        spec.mmwave.carrier_hz,
        block.velocity,
        block.reference_s + 1e-8,
        block.gain["mmwave"],
    )
    np.testing.assert_array_equal(moved.phase, block.paths["mmwave"].phase)


@pytest.mark.parametrize("way", ["scattering", pytest.param("diffraction", marks=pytest.mark.slow)])
def test_scattering_and_diffraction_find_further_paths(
    way: str, drawn: Any, street: Callable[..., ScenarioSpec]
) -> None:
    """Of the same users, at both carriers; Sionna's materials scatter nothing by themselves."""
    _, block, _ = drawn
    where = np.array([user.position for user in block.users])
    before = sum(len(user.rays.receiver) for user in block.users)
    spec = street(**{way: True})
    carriers = {each: band.carrier_hz for each, band in spec.bands.items()}
    found = world_of(spec).trace(where, carriers, spec.source.settings)  # type: ignore[attr-defined]
    assert len(found.receiver) > before
    assert all((np.abs(each) > 0).any() for each in found.amplitude.values())
    again = world_of(street())  # another spec's roughness does not stay
    materials = again.scene.radio_materials.values()
    assert not any(np.any(np.array(each.scattering_coefficient)) for each in materials)


def test_the_first_band_is_the_same_without_the_second(street: Callable[..., ScenarioSpec]) -> None:
    """Users are those whom paths of all bands reach: where they reach in one, they do in the other."""
    both, generator = street(), TracedStreet()
    alone = generator.sample(both.replace({"mmwave": False}), BLOCK, 0)
    together = generator.sample(both, BLOCK, 0)
    for name in variables(both.replace({"mmwave": False})):
        np.testing.assert_array_equal(np.asarray(alone[name]), np.asarray(together[name]), err_msg=name)
