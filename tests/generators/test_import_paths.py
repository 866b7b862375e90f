"""Paths of other people: the sum against its definition, their scale, and how links are shared out to splits."""

from types import SimpleNamespace

import numpy as np
import pytest

from channelbench.bands import ArraySpec, BandSpec
from channelbench.errors import RequestError
from channelbench.generators.imported.columns import check_links, columns_of
from channelbench.generators.imported.contract import BandLinks, LinkPaths, Links
from channelbench.generators.imported.opened import survey
from channelbench.generators.imported.path_sums import sum_of_paths
from channelbench.generators.imported.sharing import LEFT_OUT, share_out
from channelbench.store.schema import antenna_positions, subcarrier_hz

BAND = BandSpec(
    carrier_hz=28e9, bandwidth_hz=1e9, num_subcarriers=6, num_slots=3, slot_s=1e-3, array=ArraySpec(rows=2, columns=4)
)


def random_paths(links=5, slots=1, paths=3, antennas=None, seed=0, **fields) -> LinkPaths:
    rng = np.random.default_rng(seed)
    shape = (links, slots, paths, antennas or 1)
    direction = rng.normal(size=(links, slots, paths, 3))
    return LinkPaths(
        amplitude=1e-5 * (rng.normal(size=shape) + 1j * rng.normal(size=shape)),
        delay_s=rng.exponential(1e-8, shape if antennas else (links, slots, paths, 1)),
        direction=None if antennas else direction / np.linalg.norm(direction, axis=-1, keepdims=True),
        **{
            "doppler_hz": rng.uniform(-200, 200, (links, paths)),
            "aoa_azimuth": rng.uniform(-3, 3, (links, paths)),
            **fields,
        },
    )


def by_definition(paths: LinkPaths, *, squint: bool) -> np.ndarray:
    """The formula of ``LinkPaths``, path by path in float64."""
    f, t, x = subcarrier_hz(BAND), np.arange(BAND.num_slots) * BAND.slot_s, antenna_positions(BAND)
    h = np.zeros((len(paths.amplitude), len(t), len(f), len(x)), complex)
    for n, s, p in np.ndindex(len(h), len(t), paths.amplitude.shape[2]):
        at = min(s, paths.amplitude.shape[1] - 1)
        doppler = 0 if paths.doppler_hz is None else paths.doppler_hz[n, p]
        a = np.broadcast_to(paths.amplitude[n, at, p], len(x)) * np.exp(2j * np.pi * doppler * t[s])
        delay = np.broadcast_to(paths.delay_s[n, at, p], len(x))
        wave = np.exp(-2j * np.pi * np.outer(f - BAND.carrier_hz, delay))
        if paths.direction is not None:
            scale = f / BAND.carrier_hz if squint else np.ones_like(f)
            wave = wave * np.exp(2j * np.pi * np.outer(scale, x @ paths.direction[n, at, p]))
        h[n, s] += wave * a
    return h


@pytest.mark.parametrize(
    ("paths", "squint"),
    [
        (random_paths(), True),
        (random_paths(), False),
        (random_paths(slots=3, doppler_hz=None), True),
        (random_paths(antennas=8), False),
        (random_paths(slots=3, antennas=8, doppler_hz=None), False),
    ],
    ids=["squint", "no squint", "slot by slot", "antenna by antenna", "slots and antennas"],
)
def test_sums_are_their_definition(paths: LinkPaths, squint: bool) -> None:
    divisor = np.linspace(1e-5, 2e-5, 5)
    want = by_definition(paths, squint=squint) / divisor[:, None, None, None]
    found = sum_of_paths(paths, BAND, squint=squint, divisor=divisor)
    assert np.linalg.norm(found - want) < 1e-6 * np.linalg.norm(want)
    if squint:
        narrow = by_definition(paths, squint=False) / divisor[:, None, None, None]
        assert np.linalg.norm(narrow - want) > 1e-3 * np.linalg.norm(want), "a test that could not fail"


def test_path_gain_is_that_of_the_sum_of_powers() -> None:
    paths = random_paths(links=4000, paths=12, doppler_hz=None)
    links = Links(bands={"sub6": BandLinks(paths=paths)}, ue_position=np.tile([3.0, 4.0, 1.5], (4000, 1)))
    made = columns_of(links, {"sub6": BAND}, scale="paths", constants={}, squint=True, bs_height_m=1.5)
    power = np.abs(paths.amplitude[:, 0, :, 0]) ** 2
    np.testing.assert_allclose(made["path_gain_db_sub6"], 10 * np.log10(power.sum(axis=1)))
    np.testing.assert_allclose(made["main_path_gain_db_sub6"], 10 * np.log10(power.max(axis=1)))
    assert np.mean(np.abs(made["h_sub6"]) ** 2) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(made["distance_m"], 5)
    azimuth = np.arctan2(paths.direction[:, 0, :, 1], paths.direction[:, 0, :, 0])
    row = np.arange(4000)
    np.testing.assert_allclose(made["strongest_aod_deg_sub6"], np.degrees(azimuth[row, power.argmax(axis=1)]))
    weight, delay = power[0] / power[0].sum(), paths.delay_s[0, 0, :, 0]
    spread = np.sqrt(weight @ delay**2 - (weight @ delay) ** 2)
    assert made["delay_spread_s_sub6"][0] == pytest.approx(spread)
    assert {"asd_deg_sub6", "asa_deg_sub6"} < made.keys()
    assert "k_factor_db_sub6" not in made
    unscaled = columns_of(
        links, {"sub6": BAND}, scale="unscaled", constants={"sub6": 1e-5}, squint=True, bs_height_m=None
    )
    assert not {"path_gain_db_sub6", "main_path_gain_db_sub6", "distance_m"} & unscaled.keys()
    np.testing.assert_allclose(
        unscaled["h_sub6"][:9], by_definition(paths, squint=True)[:9] / 1e-5, rtol=1e-3, atol=1e-4
    )


def test_the_main_path_is_the_specular_one_where_that_is_known() -> None:
    paths = random_paths(links=2, specular=True)
    links = Links(bands={"sub6": BandLinks(paths=paths)}, los=np.array([True, False]))
    made = columns_of(links, {"sub6": BAND}, scale="paths", constants={}, squint=True, bs_height_m=None)
    power = np.abs(paths.amplitude[:, 0, :, 0]) ** 2
    np.testing.assert_allclose(made["main_path_gain_db_sub6"], 10 * np.log10([power[0, 0], power[1].max()]))


def test_several_antennas_need_directions_or_amplitudes_of_each() -> None:
    paths = random_paths(antennas=1, doppler_hz=None)
    with pytest.raises(RequestError, match="array: expected paths with directions, or with amplitudes at 8 antennas"):
        sum_of_paths(paths, BAND, squint=True, divisor=np.ones(5))


@pytest.mark.parametrize("name", ["amplitude", "delay_s", "direction", "doppler_hz"])
def test_paths_that_are_no_numbers_are_refused_with_their_place(name: str) -> None:
    paths = random_paths()
    getattr(paths, name)[2, ..., -1] = np.nan
    links = Links(bands={"sub6": BandLinks(paths=paths)})
    with pytest.raises(RequestError, match=rf"file: {name}_sub6 of link 32.* is .?nan"):
        check_links(links, {"sub6": BAND}, np.arange(30, 35), "file")


def test_a_survey_reads_every_link_once_and_finds_the_empty_ones() -> None:
    paths = random_paths(links=450)
    paths.amplitude[[0, 77, 449]] = 0
    seen: list[int] = []

    def links(rows, bands):
        seen.extend(rows if len(rows) > 1 else ())
        part = LinkPaths(amplitude=paths.amplitude[rows], delay_s=paths.delay_s[rows], direction=paths.direction[rows])
        return Links(bands={"sub6": BandLinks(paths=part)}, los=rows % 2 == 0)

    found = survey(SimpleNamespace(links=links, path="x"), {"sub6": BAND}, 450, lambda done, total: None)
    assert seen == list(range(450))
    assert list(np.flatnonzero(~found.usable)) == [0, 77, 449]
    assert len(found.first.los) == 1
    assert found.position is None
    np.testing.assert_array_equal(found.los, np.arange(450) % 2 == 0)


def test_splits_by_the_seed_are_as_large_as_they_are_to_be() -> None:
    usable = np.ones(1500, bool)
    usable[100:110] = False
    found = share_out("seed", usable, 3)
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == pytest.approx([993, 199, 298], abs=1)
    assert (found.split[100:110] == LEFT_OUT).all()
    np.testing.assert_array_equal(found.split, share_out("seed", usable, 3).split)
    assert (found.split != share_out("seed", usable, 4).split).any()
    groups = np.arange(1500) // 7
    together = share_out("seed", usable, 3, groups=groups)
    for group in range(groups.max() + 1):
        assert len({*together.split[(groups == group) & usable]}) <= 1
    assert 0.6 < (together.split == 0).mean() < 0.73


def test_users_at_one_place_are_never_in_two_splits() -> None:
    place = np.random.default_rng(0).integers(0, 12, (600, 3)).astype(float)
    found = share_out("seed", np.ones(600, bool), 0, position=place)
    of = [{tuple(row) for row in place[found.split == code]} for code in range(3)]
    assert sum(map(len, of)) == len(set.union(*of))


def test_areas_keep_their_distance() -> None:
    position = np.random.default_rng(1).uniform([0, -300, 0], [200, 300, 2], (3000, 3))
    found = share_out("area", np.ones(3000, bool), 0, position=position, guard_m=40, unit_m=50)
    ground = [position[found.split == code, :2] for code in range(3)]
    for one in range(3):
        for other in range(one):
            apart = np.linalg.norm(ground[one][:, None] - ground[other][None], axis=-1).min()
            assert apart >= 40
    assert 0.08 < (found.split == LEFT_OUT).mean() < 0.2
    kept = found.split >= 0
    squares = np.floor(position[:, :2] / 50)
    for unit in np.unique(found.unit[kept]):
        inside = (found.unit == unit) & kept
        assert len({*found.split[inside]}) == 1
        assert len(np.unique(squares[inside], axis=0)) == 1


def test_a_files_own_splits() -> None:
    given = np.array([0] * 40 + [-1] * 40 + [2] * 20)
    found = share_out("file", np.ones(100, bool), 0, given=given)
    assert (found.split[:40] == 0).all()
    assert (found.split[40:80] == 1).all(), "what is open goes where nobody is"
    assert (found.split[80:] == 2).all()
    groups = np.arange(100)
    groups[85] = groups[3]
    with pytest.raises(RequestError, match="split: expected splits that share no track and no place"):
        share_out("file", np.ones(100, bool), 0, given=given, groups=groups)
    with pytest.raises(RequestError, match=r"no link in .*, of 2 by seed"):
        share_out("seed", np.ones(2, bool), 0)
