"""The rural scene: the same bytes, sound geometry, soil and leaves by their recommendations."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pydantic import ValidationError
from ray_tracing import require_tracer

from channelbench.generators.evaluate.statistics import delay_spread_s
from channelbench.generators.raytraced.foliage import Crowns, foliage_db, specific_attenuation_db
from channelbench.generators.raytraced.houses import MATERIALS, make_houses
from channelbench.generators.raytraced.rural import Landscape, Rural, landscape, prepare
from channelbench.generators.raytraced.soil import LOAM, Soil, pure_water
from channelbench.generators.raytraced.terrain import make_terrain

SMALL = Rural(area_m=800, houses_per_km2=100, trees_per_km2=300)


@pytest.fixture(scope="module")
def scene() -> Landscape:
    return landscape(SMALL)


def read_ply(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles by a reader of the format's description, not by our writer."""
    header, _, body = data.partition(b"end_header\n")
    counts = {
        words[1]: int(words[2]) for line in header.decode().splitlines() if (words := line.split())[0] == "element"
    }
    vertices = np.frombuffer(body, "<f4", 3 * counts["vertex"]).reshape(-1, 3)
    faces = np.frombuffer(body, np.uint8, offset=vertices.nbytes).reshape(counts["face"], 13)
    assert (faces[:, 0] == 3).all()
    return vertices, np.ascontiguousarray(faces[:, 1:]).view("<i4")


def test_the_same_bytes_twice_and_in_a_fresh_process(scene: Landscape, tmp_path: Path) -> None:
    landscape.cache_clear()
    assert landscape(SMALL).files == scene.files
    code = (
        "import sys; from channelbench.generators.raytraced.rural import Rural, landscape\n"
        "landscape(Rural.model_validate_json(sys.argv[1])).write(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, SMALL.model_dump_json(), str(tmp_path)], check=True)
    written = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert written == scene.files


def test_every_field_of_the_spec_changes_the_scene(scene: Landscape) -> None:
    other = {"area_m": 700, "houses_per_km2": 50, "pitched_share": 0.1, "hill_m": 2, "hill_length_m": 300}
    other |= {"cell_m": 100, "roughness": 0.2, "scene_seed": 2}
    for field, value in other.items():
        assert landscape(SMALL.model_copy(update={field: value})).files != scene.files, field
    more = landscape(SMALL.model_copy(update={"trees_per_km2": 200}))
    assert more.files == scene.files, "trees are no part of the file"
    assert len(more.crowns.radius) < len(scene.crowns.radius)
    assert set(Rural.model_fields) == {*other, "trees_per_km2"}


@pytest.mark.parametrize(
    "bad", [{"area_m": 10}, {"hill_m": -1}, {"pitched_share": 1.5}, {"trees": 1}, {"scene_seed": -1}]
)
def test_a_spec_has_bounds(bad: dict) -> None:
    with pytest.raises(ValidationError):
        Rural(**bad)


def test_the_ground_is_its_triangles(scene: Landscape) -> None:
    corners = scene.terrain.triangles()
    inside = np.random.default_rng(1).dirichlet(np.ones(3), len(corners))
    point = np.einsum("tc,tcx->tx", inside, corners)
    np.testing.assert_allclose(scene.ground_m(point[:, 0], point[:, 1]), point[:, 2], atol=1e-9)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normal[:, 2] > 0).all()
    assert scene.ground_m(np.zeros(1), np.zeros(1)) == 0
    np.testing.assert_array_equal(scene.mast, [0, 0, 35])
    far = scene.ground_m(np.array([1e6, 400.0]), np.array([400.0, 1e6]))
    assert far[0] == far[1] == scene.terrain.height[-1, -1], "beyond the edge, the edge"


def test_hills_have_the_height_and_length_that_was_asked_for() -> None:
    deviation, crossing = [], []
    for seed in range(6):
        height = make_terrain(6000, 50, 5, 600, np.random.default_rng(seed)).height
        deviation.append(height.std())
        level = height - height.mean()
        crossing.append(np.mean(level[:, 1:] * level[:, :-1] < 0) / 50)  # per metre
    assert np.mean(deviation) == pytest.approx(5, rel=0.1)
    # A line cuts a level as often as a wave of the mean square wavenumber does along it (Rice): 2 per wavelength.
    wavenumber = 2 * np.pi / 600 * np.sqrt((1.5**3 - 0.5**3) / 3 / 2)
    assert np.mean(crossing) == pytest.approx(wavenumber / np.pi, rel=0.15)
    assert np.ptp(make_terrain(800, 50, 0, 600, np.random.default_rng(1)).height) == 0


def test_houses_stand_on_the_ground_apart_from_each_other(scene: Landscape) -> None:
    houses, corners = scene.houses, scene.footprints
    assert len(houses) == round(100 * 0.8**2)
    side = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=-1)
    assert side[:, :2].min() > 6.9
    assert side[:, :2].max() < 16.1
    share = np.linspace(0, 1, 5)
    u, v = (w.ravel() for w in np.meshgrid(share, share))
    along, across = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]
    floor = corners[:, None, 0] + u[:, None] * along[:, None] + v[:, None] * across[:, None]
    ground = scene.ground_m(floor[..., 0], floor[..., 1])
    assert (houses.base[:, None] < ground).all(), "no gap below a wall"
    assert (houses.eaves[:, None] > ground + 2).all(), "no house below ground"
    assert ((houses.ridge >= houses.eaves) & (houses.ridge < houses.eaves + 5.1)).all()
    for house in range(len(houses)):
        others = np.delete(floor, house, axis=0)
        distance = np.linalg.norm(others.reshape(-1, 1, 2) - floor[house][None], axis=-1).min()
        assert distance > 4.5, house
    middle = corners.mean(axis=1)
    assert np.linalg.norm(middle, axis=-1).min() > 30, "none at the mast"
    assert np.abs(corners).max() < 400
    assert scene.inside_house(middle[:, 0], middle[:, 1]).all()
    outside = middle + 1.01 * (corners[:, 0] - middle)
    assert not scene.inside_house(outside[:, 0], outside[:, 1]).any()


def test_statistics_of_houses_and_trees_are_those_of_the_spec() -> None:
    many = landscape(Rural(area_m=3000, houses_per_km2=200, trees_per_km2=500, pitched_share=0.7))
    assert len(many.houses) == 1800
    assert len(many.crowns.radius) == pytest.approx(4500, rel=0.01)
    assert np.mean(many.houses.ridge > many.houses.eaves) == pytest.approx(0.7, abs=0.04)
    shares = np.bincount(many.houses.material, minlength=len(MATERIALS)) / len(many.houses)
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.04)
    counts = np.histogram2d(*many.footprints.mean(axis=1).T, bins=3)[0]
    assert counts.min() > 150
    assert counts.max() < 250
    middle = many.footprints.mean(axis=1)
    roof = (many.houses.eaves + many.houses.ridge) / 2 - many.ground_m(middle[:, 0], middle[:, 1])
    assert 4 < np.mean(roof) < 7.5, "RMa's buildings are 5 m high on average"
    crowns = many.crowns
    bottom = crowns.centre[:, 2] - crowns.half_height - many.ground_m(crowns.centre[:, 0], crowns.centre[:, 1])
    np.testing.assert_allclose(bottom, 2.5, atol=1e-9)


def test_more_houses_than_fit_are_fewer() -> None:
    crowded = make_houses(
        500, 0.5, make_terrain(200, 50, 0, 600, np.random.default_rng(1)), np.zeros((0, 3)), np.random.default_rng(2)
    )
    assert 20 < len(crowded) < 80
    assert len(landscape(Rural(houses_per_km2=0, trees_per_km2=0, area_m=200)).houses) == 0


def test_meshes_are_closed_and_face_outwards(scene: Landscape) -> None:
    triangles = 0
    for material in MATERIALS:
        vertices, faces = read_ply(scene.files[f"meshes/houses-{material}.ply"])
        triangles += len(faces)
        corner = vertices[faces].astype(float)
        normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        assert (np.linalg.norm(normal, axis=-1) > 1).all()
        sided = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        once, counts = np.unique(sided, axis=0, return_counts=True)
        assert (counts == 1).all(), "each edge is gone along once in each direction at most"
        alone = {tuple(edge) for edge in once} - {tuple(edge[::-1]) for edge in once}
        bottom = [vertices[list(edge), 2] for edge in alone]
        assert len(alone) == 4 * (scene.houses.material == MATERIALS.index(material)).sum(), "open below, nowhere else"
        assert np.ptp(bottom, axis=1).max() == 0
        # The volume below a closed surface that faces outwards is positive: 0 is the floor that is missing.
        corner -= corner.reshape(-1, 3).min(axis=0)
        assert np.sum(corner[:, 0] * normal) > 0
    assert triangles == sum(14 if pitched else 10 for pitched in scene.houses.ridge > scene.houses.eaves)


def test_the_scene_names_its_meshes_and_materials(scene: Landscape) -> None:
    root = ElementTree.fromstring(scene.files["scene.xml"])
    meshes = {node.get("value") for node in root.findall("shape/string[@name='filename']")}
    assert meshes == set(scene.files) - {"scene.xml"}
    used = {node.get("id") for node in root.findall("shape/ref")}
    assert used == {"soil", *MATERIALS} == {node.get("id") for node in root.findall("bsdf")}


@pytest.fixture(scope="module")
def loaded(scene: Landscape, tmp_path_factory: pytest.TempPathFactory) -> Any:
    require_tracer()
    import sionna.rt as rt

    return rt.load_scene(str(scene.write(tmp_path_factory.mktemp("rural"))))


def test_sionna_loads_it_with_materials_for_all_bands(scene: Landscape, loaded: Any) -> None:
    prepare(loaded)
    assert set(loaded.radio_materials) == {"soil", *MATERIALS}
    for carrier_hz in (1.9e9, 2.4e9, 28e9):
        loaded.frequency = carrier_hz
        soil = loaded.radio_materials["soil"]
        permittivity, conductivity = LOAM.electrical(carrier_hz)
        assert float(soil.relative_permittivity[0]) == pytest.approx(permittivity, rel=1e-5)
        assert float(soil.conductivity[0]) == pytest.approx(conductivity, rel=1e-5)
        brick = loaded.radio_materials["brick"]
        assert float(brick.conductivity[0]) == pytest.approx(0.0238 * (carrier_hz / 1e9) ** 0.16, rel=1e-4)


def test_rays_from_above_meet_the_ground_and_the_roofs_that_we_say(scene: Landscape, loaded: Any) -> None:
    import mitsuba as mi

    rng = np.random.default_rng(2)
    x, y = rng.uniform(-395, 395, (2, 500))
    middle = scene.footprints.mean(axis=1)
    x[: len(middle)], y[: len(middle)] = (middle + 0.01).T
    down = mi.Ray3f(mi.Point3f(mi.Float(x), mi.Float(y), mi.Float(np.full(500, 200.0))), mi.Vector3f(0, 0, -1))
    height = 200 - np.array(loaded.mi_scene.ray_intersect(down).t, float)
    inside = scene.inside_house(x, y)
    assert inside[: len(middle)].all()
    np.testing.assert_allclose(height[~inside], scene.ground_m(x, y)[~inside], atol=2e-3)
    np.testing.assert_allclose(height[: len(middle)], scene.houses.ridge, atol=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("carrier_hz", [1.9e9, 28e9])
def test_delay_spread_in_line_of_sight_is_about_that_of_rma(carrier_hz: float, tmp_path: Path) -> None:
    """TR 38.901, Table 7.5-6: a median of 10^−7.49 s, 32 ns, and a Rician factor of 7 dB."""
    require_tracer()
    import sionna.rt as rt

    land = landscape(Rural())
    scene = rt.load_scene(str(land.write(tmp_path)))
    prepare(scene)
    scene.frequency = carrier_hz
    scene.tx_array = scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    rng = np.random.default_rng(1)
    radius, turn = np.sqrt(rng.uniform(35**2, 1000**2, 200)), rng.uniform(-np.pi, np.pi, 200)
    x, y = radius * np.cos(turn), radius * np.sin(turn)
    free = np.flatnonzero(~land.inside_house(x, y))[:60]
    x, y = x[free], y[free]
    scene.add(rt.Transmitter("tx", position=land.mast.tolist()))
    for index, place in enumerate(np.stack([x, y, land.ground_m(x, y) + 1.5], axis=-1)):
        scene.add(rt.Receiver(f"rx{index}", position=place.tolist()))
    paths = rt.PathSolver(deterministic=True)(
        scene, max_depth=1, samples_per_src=100_000, diffuse_reflection=True, refraction=False
    )
    valid = np.array(paths.valid).reshape(60, -1)
    power = np.where(valid, sum(np.array(part, float).reshape(60, -1) ** 2 for part in paths.a), 0)
    delay = np.where(valid, np.array(paths.tau, float).reshape(60, -1), 0)
    direct = valid & (np.array(paths.interactions).reshape(-1, 60, valid.shape[1])[0] == 0)
    sighted = direct.any(axis=1)
    spread = delay_spread_s(power[sighted], delay[sighted])
    line = np.where(direct, power, 0)[sighted].sum(axis=1)
    factor = 10 * np.log10(line / (power[sighted].sum(axis=1) - line))
    low, median, high = np.percentile(spread * 1e9, [10, 50, 90])
    print(
        f"{carrier_hz / 1e9:g} GHz: {sighted.mean():.0%} in line of sight, delay spread {median:.1f} ns "
        f"({low:.1f} to {high:.1f}), K {np.median(factor):.1f} dB"
    )
    assert 0.6 < sighted.mean() < 1
    assert 32 / 3 < median < 32 * 3
    assert 2 < np.median(factor) < 12


def test_soil_is_that_of_p527() -> None:
    # Table 1 prints these densities beside the shares of sand and clay.
    for sand, clay, density in (
        (51.52, 13.42, 1.6006),
        (41.96, 8.53, 1.5781),
        (30.63, 13.48, 1.5750),
        (5.02, 47.38, 1.4758),
    ):
        assert Soil(sand=sand, clay=clay, specific_gravity=2.7, water=0.2).bulk_density == pytest.approx(
            density, abs=2e-4
        )
    # Water: static permittivity 80.1 at 20 °C and 78.3 at 25 °C (CRC Handbook), relaxation near 17 GHz at 20 °C
    # (Kaatze 1989: 9.36 ps).
    assert pure_water(1e6, 20).real == pytest.approx(80.1, abs=0.3)
    assert pure_water(1e6, 25).real == pytest.approx(78.3, abs=0.3)
    losses = [-pure_water(f, 20).imag for f in np.linspace(10e9, 25e9, 301)]
    assert np.linspace(10, 25, 301)[np.argmax(losses)] == pytest.approx(1e3 / (2 * np.pi * 9.36), abs=0.6)


def test_soil_meets_p2040_where_both_hold() -> None:
    """Medium dry ground of P.2040, Table 3, holds from 1 to 10 GHz; soil of a quarter water is about that."""
    ground = Soil(sand=41.96, clay=8.53, specific_gravity=2.70, water=0.25)
    for f in (1e9, 1.9e9, 2.4e9, 5e9, 10e9):
        permittivity, conductivity = ground.electrical(f)
        assert permittivity == pytest.approx(15 * (f / 1e9) ** -0.1, rel=0.25)
        assert 0.5 < conductivity / (0.035 * (f / 1e9) ** 1.63) < 5
    values = np.array([LOAM.electrical(f) for f in np.geomspace(1e9, 100e9, 200)])
    assert np.abs(np.diff(np.log(values), axis=0)).max() < 0.1, "no jump anywhere"
    assert (values[:, 0] > 1).all()
    assert (values[:, 1] > 0).all()


def test_soil_is_the_formula_written_out() -> None:
    """P.527-4 step by step for loam at 1.9 GHz and 15 °C, in real numbers."""
    f, t = 1.9, 300 / 288.15 - 1
    s, f1 = 77.66 + 103.3 * t, 20.2 - 146.4 * t + 316 * t * t
    e1, einf, f2 = 0.0671 * s, 3.52 - 7.52 * t, 39.8 * f1
    real = (s - e1) / (1 + (f / f1) ** 2) + (e1 - einf) / (1 + (f / f2) ** 2) + einf
    lost = f / f1 * (s - e1) / (1 + (f / f1) ** 2) + f / f2 * (e1 - einf) / (1 + (f / f2) ** 2)
    b = 1.5781
    s1, s2 = (
        0.0467 + 0.2204 * b - 0.004111 * 41.96 - 0.006614 * 8.53,
        -1.645 + 1.939 * b - 0.0225622 * 41.96 + 0.01594 * 8.53,
    )
    between = (s1 - s2) / (1 + (f / 1.35) ** 2)
    share = 18 / f * (2.7 - b) / (2.7 * 0.2)
    real, lost = real + f / 1.35 * between * share, lost + (s2 + between) * share
    solid = ((1.01 + 0.44 * 2.7) ** 2 - 0.062) ** 0.65
    expected = 1 + b / 2.7 * (solid - 1) + 0.2 ** (1.2748 - 0.00519 * 41.96 - 0.00152 * 8.53) * real**0.65 - 0.2
    assert LOAM.permittivity(1.9e9).real == pytest.approx(expected ** (1 / 0.65), rel=1e-3)
    expected = 0.2 ** ((1.33797 - 0.00603 * 41.96 - 0.00166 * 8.53) / 0.65) * lost
    assert -LOAM.permittivity(1.9e9).imag == pytest.approx(expected, rel=1e-3)
    permittivity = LOAM.permittivity(1.9e9)
    assert LOAM.electrical(1.9e9)[1] == pytest.approx(-permittivity.imag * 1.9 / 17.98, rel=1e-3)  # σ = ε″ f/18


def test_leaves_are_those_of_p833() -> None:
    # Table 1 of P.833-9: 0.17 dB/m at 949 MHz, 0.30 at 1852 MHz, 0.34 at 2117.5 MHz; Figure 2: 6 dB/m at 30 GHz.
    for mhz, gamma in ((949, 0.17), (1852.2, 0.30), (2117.5, 0.34), (30e3, 6.0)):
        assert specific_attenuation_db(mhz * 1e6) == pytest.approx(gamma, rel=0.26)
    short = foliage_db(np.array([0.0, 0.01]), 28e9)
    np.testing.assert_allclose(short, [0, 0.01 * specific_attenuation_db(28e9)], rtol=1e-3)
    assert foliage_db(np.array([1e6]), 1.9e9) == pytest.approx(34.1)


def test_lengths_in_crowns_are_those_of_many_points() -> None:
    rng = np.random.default_rng(3)
    crowns = Crowns(rng.uniform(0, 60, (40, 3)) * [1, 1, 0.2], rng.uniform(2, 5, 40), rng.uniform(2, 6, 40))
    start, end = (rng.uniform(0, 60, (50, 3)) * [1, 1, 0.2] for _ in range(2))
    end[0], end[1, :2] = start[0], start[1, :2]  # a point, and a vertical line
    step = (np.arange(4000) + 0.5) / 4000
    point = start[:, None] + step[:, None] * (end - start)[:, None]
    scale = np.stack([crowns.radius, crowns.radius, crowns.half_height], -1)
    inside = sum(np.sum(((point - c) / s) ** 2, -1) < 1 for c, s in zip(crowns.centre, scale, strict=True))
    expected = inside.mean(axis=1) * np.linalg.norm(end - start, axis=-1)
    assert (expected > 1).sum() > 20
    np.testing.assert_allclose(crowns.length_m(start, end), expected, atol=0.15)
    np.testing.assert_array_equal(Crowns(np.zeros((0, 3)), np.zeros(0), np.zeros(0)).length_m(start, end), 0)


def test_leaves_weaken_paths_through_them_and_no_others(scene: Landscape) -> None:
    crown = scene.crowns.centre[0]
    through = crown + 50.0 * np.array([(-1, 0, 0), (0, 0, 0), (1, 0, 0)])
    above = through + np.array([0.0, 0.0, 40.0])
    loss = {f: foliage_db(scene.leaves_m(np.stack([through, above])), f) for f in (1.9e9, 28e9)}
    assert loss[1.9e9][0] > 0.38 * 2 * scene.crowns.radius[0] * 0.9
    assert loss[28e9][0] > loss[1.9e9][0]
    assert loss[1.9e9][1] == loss[28e9][1] == 0
    padded = np.concatenate([through, np.full((2, 3), np.nan)])
    np.testing.assert_array_equal(foliage_db(scene.leaves_m(padded[None]), 1.9e9), loss[1.9e9][:1])
