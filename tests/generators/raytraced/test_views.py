"""Pictures of ray-traced datasets show what they say: by the artists on their axes."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure

from channelbench.generators.raytraced.views import LinkRays, Plan, draw_delay_angle, draw_rays, draw_users, plan_of
from channelbench.spec import ArraySpec, BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

BAND = BandSpec(
    carrier_hz=28e9,
    bandwidth_hz=500e6,
    num_subcarriers=64,
    num_slots=1,
    slot_s=1e-3,
    array=ArraySpec(rows=2, columns=32, spacing_wavelengths=0.5),
)
GROUND = np.array([[(-90, -90, 0), (90, -90, 0), (90, 90, 2)], [(-90, -90, 0), (90, 90, 2), (-90, 90, 0)]], float)
ROOF = np.array([[(10, 10, 8), (20, 10, 8), (20, 20, 8)], [(10, 10, 8), (20, 20, 8), (10, 20, 8)]], float)
PLAN = Plan(ground=GROUND, objects=ROOF, discs=np.array([(-5.0, 3.0, 2.0)]))


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def rays_of(excess_s: list[float], azimuth_deg: list[float], power: list[float]) -> LinkRays:
    count = len(power)
    vertices = np.full((count, 3, 3), np.nan)
    vertices[:, 0], vertices[:, 1] = (0, 0, 25), (40, 0, 1.5)
    vertices[1:, 2], vertices[1:, 1] = (40, 0, 1.5), [(20, 10 * i, 3) for i in range(1, count)]
    return LinkRays(vertices, np.array(power), 3e-7 + np.array(excess_s), np.radians(azimuth_deg))


def test_the_ground_is_what_covers_the_square() -> None:
    def shape(triangles: np.ndarray) -> SimpleNamespace:
        faces = np.arange(triangles.size // 3).reshape(-1, 3)
        return SimpleNamespace(vertex_positions_buffer=lambda: triangles.ravel(), faces_buffer=lambda: faces.ravel())

    scene = SimpleNamespace(mi_scene=SimpleNamespace(shapes=lambda: [shape(ROOF), shape(GROUND)]))
    plan = plan_of(scene, lambda points: points[..., [1, 0, 2]] - [1, 0, 0], np.array([(7.0, 8.0, 3.0)]))
    np.testing.assert_array_equal(plan.ground, GROUND[..., [1, 0, 2]] - [1, 0, 0])
    np.testing.assert_array_equal(plan.objects, ROOF[..., [1, 0, 2]] - [1, 0, 0])
    np.testing.assert_array_equal(plan.discs, [(7, 7, 3)])


def test_users_are_where_they_are_and_have_their_colour(ax: Axes) -> None:
    users = np.random.default_rng(1).uniform(-80, 80, (30, 3))
    gain = np.linspace(-120, -60, 30)[::-1]
    draw_users(ax, PLAN, users, gain, "users")
    dots = next(artist for artist in ax.collections if artist.get_array() is not None and len(artist.get_array()) == 30)
    order = np.argsort(gain)
    np.testing.assert_array_equal(dots.get_offsets(), users[order, :2])
    np.testing.assert_array_equal(dots.get_array(), gain[order])
    low, high = np.transpose([ax.get_xlim(), ax.get_ylim()])
    assert (users[:, :2] > low).all()
    assert (users[:, :2] < high).all()


def test_strong_rays_are_drawn_to_the_user(ax: Axes) -> None:
    rays = rays_of([0, 1e-8, 2e-8, 3e-8], [0, 10, 20, 30], [1e-9, 1e-10, 1e-11, 0.9e-16])
    draw_rays(ax, PLAN, rays, "rays")
    (lines,) = (artist for artist in ax.collections if isinstance(artist, LineCollection))
    segments = lines.get_segments()
    assert [len(points) for points in segments] == [3, 3, 2], "the strongest is on top, and the weakest left out"
    for points in segments:
        np.testing.assert_array_equal(points[[0, -1]], [(0, 0), (40, 0)])
    np.testing.assert_allclose(lines.get_array(), [-20, -10, 0])
    assert "strongest 3 of 4" in ax.get_title()


@pytest.mark.parametrize("convention_s", [0.0, 3e-7])
def test_power_is_at_the_delays_and_angles_of_the_paths(ax: Axes, convention_s: float) -> None:
    """Two paths that the band tells apart: the picture has its peaks where the paths are marked, and as strong."""
    rays = rays_of([0.0, 20e-9], [-20.0, 35.0], [1.0, 0.25])
    frequency, position = subcarrier_hz(BAND), antenna_positions(BAND)
    channel = np.zeros((64, 64), complex)
    for power, delay, azimuth in zip(rays.power, rays.delay_s - 3e-7 + convention_s, rays.azimuth, strict=True):
        along = position @ np.array([np.cos(azimuth), np.sin(azimuth), 0])
        phase = np.exp(-2j * np.pi * (frequency - BAND.carrier_hz) * delay)
        channel += np.sqrt(power) * phase[:, None] * np.exp(2j * np.pi * along)
    draw_delay_angle(ax, BAND, channel, rays, "profile")
    (mesh,) = (artist for artist in ax.collections if isinstance(artist, QuadMesh))
    corners = mesh.get_coordinates()
    middle = (corners[:-1, :-1] + corners[1:, 1:]) / 2  # [angles, delays, (delay, angle)]
    level = mesh.get_array().reshape(middle.shape[:2])
    for azimuth, delay_ns, expected in ((-20, 0, 0), (35, 20, -6)):
        near = (np.abs(middle[..., 1] - azimuth) < 4) & (np.abs(middle[..., 0] - delay_ns) < 4)
        peak = np.where(near, level, -np.inf).argmax()
        assert level.ravel()[peak] == pytest.approx(expected, abs=0.5)
        found = middle.reshape(-1, 2)[peak]
        assert found[1] == pytest.approx(azimuth, abs=1)
        assert found[0] == pytest.approx(delay_ns, abs=0.5)
    marks = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(marks, [(20, 35), (0, -20)], atol=1e-6)
