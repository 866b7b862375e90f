"""The ray tracer against closed forms, on scenes made by hand: free space, flat ground, one edge; and what is so of
any scene: both ends may be swapped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray_tracing import require_tracer
from scipy.special import fresnel

from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.raytraced.meshes import ply
from channelbench.generators.raytraced.rural import prepare
from channelbench.generators.raytraced.soil import LOAM

CARRIERS = (1.9e9, 28e9)
BSDF = {
    "soil": '<bsdf type="radio-material" id="soil"><float name="thickness" value="2"/></bsdf>',
    "metal": '<bsdf type="itu-radio-material" id="metal"><string name="type" value="metal"/></bsdf>',
    "brick": '<bsdf type="itu-radio-material" id="brick"><string name="type" value="brick"/></bsdf>',
}
MakeScene = Callable[..., Any]


@dataclass(frozen=True)
class Traced:
    """Fields of the paths between one transmitter and receivers, at the carrier, float64: the coefficient with its
    phase, ``[receivers, paths]``; delays in s; how many interactions; their first point ``[receivers, paths, xyz]``."""

    field: np.ndarray
    delay_s: np.ndarray
    depth: np.ndarray
    first: np.ndarray

    @property
    def total(self) -> np.ndarray:
        return self.field.sum(axis=-1)


@pytest.fixture(scope="module")
def rt() -> Any:
    require_tracer()
    import sionna.rt

    return sionna.rt


@pytest.fixture
def make_scene(rt: Any, tmp_path: Path) -> MakeScene:
    """A scene of rectangles ``name=(material, corner, side, side)``."""

    def make(**faces: tuple[str, Any, Any, Any]) -> Any:
        parts = [BSDF[material] for material in sorted({face[0] for face in faces.values()})]
        for name, (material, corner, a, b) in faces.items():
            corner, a, b = (np.asarray(v, float) for v in (corner, a, b))
            vertices = np.array([corner, corner + a, corner + a + b, corner + b])
            (tmp_path / f"{name}.ply").write_bytes(ply(vertices, np.array([[0, 1, 2], [0, 2, 3]], np.int32)))
            parts.append(
                f'<shape type="ply" id="{name}"><string name="filename" value="{name}.ply"/>'
                f'<boolean name="face_normals" value="true"/><ref id="{material}" name="bsdf"/></shape>'
            )
        file = tmp_path / "scene.xml"
        file.write_text(f'<scene version="2.1.0">{"".join(parts)}</scene>')
        scene = rt.load_scene(str(file))
        prepare(scene)
        return scene

    return make


def trace(
    rt: Any, scene: Any, carrier_hz: float, sender: Any, receivers: np.ndarray, *, polarisation: str = "V", **what: Any
) -> Traced:
    scene.frequency = carrier_hz
    scene.tx_array = scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization=polarisation)
    for name in (*scene.transmitters, *scene.receivers):
        scene.remove(name)
    scene.add(rt.Transmitter("tx", position=[float(v) for v in sender]))
    for index, place in enumerate(receivers):
        scene.add(rt.Receiver(f"rx{index}", position=[float(v) for v in place]))
    options = {"max_depth": 1, "samples_per_src": 20_000, "refraction": False, "seed": 1} | what
    paths = rt.PathSolver(deterministic=True)(scene, **options)
    shape = (len(receivers), -1)
    real, imaginary = (np.array(part, np.float64).reshape(shape) for part in paths.a)
    valid = np.array(paths.valid).reshape(shape)
    delay = np.where(valid, np.array(paths.tau, np.float64).reshape(shape), 0)
    kinds = np.array(paths.interactions)
    kinds = kinds.reshape(len(kinds), *valid.shape)
    points = np.array(paths.vertices, np.float64)
    points = points.reshape(len(kinds), *valid.shape, 3)
    field = np.where(valid, (real + 1j * imaginary) * np.exp(-2j * np.pi * carrier_hz * delay), 0)
    return Traced(field, delay, (kinds != 0).sum(axis=0), points[0])


def free_space(carrier_hz: float, distance: np.ndarray) -> np.ndarray:
    """The field of a wave in free space between isotropic antennas."""
    wavelength = SPEED_OF_LIGHT / carrier_hz
    return wavelength / (4 * np.pi * distance) * np.exp(-2j * np.pi * distance / wavelength)


GROUND = ("soil", (-2000, -2000, 0), (4000, 0, 0), (0, 4000, 0))


@pytest.mark.parametrize("carrier_hz", CARRIERS)
def test_free_space(rt: Any, make_scene: MakeScene, carrier_hz: float) -> None:
    rng = np.random.default_rng(1)
    sender = np.array([3.0, -4.0, 25.0])
    receivers = sender + rng.normal(size=(40, 3)) * np.geomspace(2, 100, 40)[:, None]
    receivers[:, 2] = np.abs(receivers[:, 2]) + 1
    traced = trace(rt, make_scene(ground=GROUND), carrier_hz, sender, receivers, max_depth=0)
    distance = np.linalg.norm(receivers - sender, axis=-1)
    expected = free_space(carrier_hz, distance)
    np.testing.assert_allclose(np.abs(traced.total), np.abs(expected), rtol=1e-5)
    np.testing.assert_allclose(traced.delay_s[:, 0], distance / SPEED_OF_LIGHT, rtol=3e-7)
    # Coordinates and delays are float32: a phase of 2πd/λ keeps an error of some 1e-7 of itself.
    phase_error = np.abs(np.angle(traced.total / expected))
    assert (phase_error < 3e-7 * 2 * np.pi * distance * carrier_hz / SPEED_OF_LIGHT + 1e-5).all()


def reflection(permittivity: complex, cosine: np.ndarray, polarisation: str) -> np.ndarray:
    """Fresnel's coefficient of a half-space; of the electric field across the plane of incidence (H), or of the
    magnetic field across it (V)."""
    root = np.sqrt(permittivity - 1 + cosine**2)
    first = permittivity * cosine if polarisation == "V" else cosine
    return (first - root) / (first + root)


@pytest.mark.parametrize("carrier_hz", CARRIERS)
@pytest.mark.parametrize("polarisation", ["V", "H"])
def test_two_rays_over_flat_ground(rt: Any, make_scene: MakeScene, carrier_hz: float, polarisation: str) -> None:
    height, low = 10.0, 1.5
    along = np.geomspace(8, 800, 120)
    turn = np.linspace(0, 2 * np.pi, 120)
    receivers = np.stack([along * np.cos(turn), along * np.sin(turn), np.full(120, low)], axis=-1)
    traced = trace(rt, make_scene(ground=GROUND), carrier_hz, (0, 0, height), receivers, polarisation=polarisation)
    direct, bounced = np.hypot(along, height - low), np.hypot(along, height + low)
    coefficient = reflection(LOAM.permittivity(carrier_hz), (height + low) / bounced, polarisation)
    expected = free_space(carrier_hz, direct) + coefficient * free_space(carrier_hz, bounced)
    alone = np.abs(free_space(carrier_hz, direct))
    sign = 1 if polarisation == "V" else -1  # horizontal field vectors of the two ends point against each other
    error = np.abs(sign * traced.total - expected) / alone
    print(f"{carrier_hz / 1e9:g} GHz {polarisation}: error {np.median(error):.2e}, at most {error.max():.2e}")
    level = 20 * np.log10(np.abs(expected) / alone)
    assert level.min() < -6 < 3 < level.max(), "fades and peaks are among them"
    assert np.median(error) < 1e-7 * 2 * np.pi * 100 * carrier_hz / SPEED_OF_LIGHT + 1e-3
    assert error.max() < 1e-6 * 2 * np.pi * 100 * carrier_hz / SPEED_OF_LIGHT + 5e-3
    brewster = np.abs(coefficient).min()
    assert (brewster < 0.1) == (polarisation == "V")


def knife_edge_db(v: np.ndarray) -> np.ndarray:
    """Loss behind a knife edge: P.526, equation 30, the Fresnel integral from v on."""
    sine, cosine = fresnel(v)
    return -20 * np.log10(np.abs((1 + 1j) / 2 * ((0.5 - cosine) - 1j * (0.5 - sine))))


def half_plane(
    carrier_hz: float, distance: tuple[float, float], angle: tuple[np.ndarray, np.ndarray], sign: int
) -> Any:
    """The diffracted field of a conducting half-plane in the uniform theory (Kouyoumjian and Pathak 1974) over that of
    free space along the way around the edge, for spherical waves across the edge.

    Args:
        distance: From the sender to the edge, and on to the receiver, m.
        angle: Of sender and receiver from the face that the sender is on, radian.
        sign: −1 where the electric field is along the edge, 1 where the magnetic field is.
    """
    k = 2 * np.pi * carrier_hz / SPEED_OF_LIGHT
    length = distance[0] * distance[1] / (distance[0] + distance[1])

    def term(beta: np.ndarray) -> np.ndarray:
        x = 2 * k * length * np.cos(beta / 2) ** 2
        sine, cosine = fresnel(np.sqrt(2 * x / np.pi))
        integral = np.sqrt(np.pi / 2) * ((0.5 - cosine) - 1j * (0.5 - sine))
        return 2j * np.sqrt(x) * np.exp(1j * x) * integral / np.cos(beta / 2)

    sent, received = angle
    coefficient = -np.exp(-1j * np.pi / 4) / (2 * np.sqrt(2 * np.pi * k))
    spread = np.sqrt((distance[0] + distance[1]) / (distance[0] * distance[1]))
    return coefficient * spread * (term(received - sent) + sign * term(received + sent))


@pytest.mark.parametrize("carrier_hz", CARRIERS)
def test_one_edge(rt: Any, make_scene: MakeScene, carrier_hz: float) -> None:
    """A metal screen whose edge is at height 0 stands across the way; receivers go from the light deep into shadow."""
    scene = make_scene(screen=("metal", (0, -300, 0), (0, 600, 0), (0, 0, -200)))
    before, after = 60.0, 40.0
    wavelength = SPEED_OF_LIGHT / carrier_hz
    v = np.concatenate([np.linspace(-2.5, -0.1, 20), np.linspace(0.1, 4, 30)])
    depth = v / np.sqrt(2 / wavelength * (1 / before + 1 / after))  # of the edge above the line between the ends
    fall = depth * (before + after) / before
    receivers = np.stack([np.full(50, after), np.zeros(50), -fall], axis=-1)
    traced = trace(
        rt,
        scene,
        carrier_hz,
        (-before, 0, 0),
        receivers,
        specular_reflection=False,
        diffraction=True,
        edge_diffraction=True,
        samples_per_src=200_000,
    )
    top = (traced.depth == 1) & (np.abs(traced.first[..., 1]) < 1) & (np.abs(traced.first[..., 2]) < 1e-3)
    direct = (traced.depth == 0) & (traced.field != 0)
    assert (top.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(direct.any(axis=1), v < 0)
    total = np.sum(np.where(top | direct, traced.field, 0), axis=1)
    alone = free_space(carrier_hz, np.hypot(before + after, fall))

    loss = -20 * np.log10(np.abs(total / alone))
    error = np.abs(loss - knife_edge_db(v))
    print(f"{carrier_hz / 1e9:g} GHz: loss from {loss.min():.1f} to {loss.max():.1f} dB, off by {error.max():.2f} dB")
    assert loss[v > 2].min() > 18
    assert error.max() < 1.1, "a knife edge does not conduct: at small angles it makes no difference"
    assert error[np.abs(v) < 1].max() < 0.35

    # Sionna gives the far face R = −1 for both polarisations where the wedge is sharp (after Hashimoto), so its
    # coefficient is the one for a field along the edge although this one lies across it.
    around = (before, np.hypot(after, fall))
    received = 1.5 * np.pi + np.arctan2(fall, after)  # from the face down, up and over
    ratio = half_plane(carrier_hz, around, (np.full(50, np.pi / 2), received), -1)
    expected = ratio * free_space(carrier_hz, around[0] + around[1])
    diffracted = np.sum(np.where(top, traced.field, 0), axis=1)
    off = np.abs(diffracted / expected - 1)
    print(f"uniform theory: off by {np.median(off):.2e}, at most {off.max():.2e}")
    assert off.max() < 1e-6 * 2 * np.pi * 100 * carrier_hz / SPEED_OF_LIGHT + 5e-3


ROOM = {
    "ground": GROUND,
    "wall": ("brick", (-40, 30, -1), (120, 0, 0), (0, 0, 30)),
    "screen": ("metal", (-20, -40, -1), (0, 90, 0), (0, 0, 30)),
}
FENCE = {"ground": GROUND, "screen": ("metal", (20, -300, -1), (0, 600, 0), (0, 0, 16))}


@pytest.mark.parametrize(
    ("faces", "what", "fewest"),
    [
        (ROOM, {"max_depth": 3}, 7),
        (FENCE, {"max_depth": 1, "diffraction": True, "edge_diffraction": True}, 1),
    ],
    ids=["bounces", "edges"],
)
def test_ends_may_be_swapped(rt: Any, make_scene: MakeScene, faces: dict, what: dict, fewest: int) -> None:
    """Paths of more than a ten thousandth of the power are the same in both directions. Diffraction is so over the top
    of a screen; around its sides, which the two ends meet at other angles, Sionna's coefficients may differ by a tenth:
    reflection off the faces is that at the angle of incidence."""
    ends, scene = np.array([(0.0, 0.0, 22.0), (45.0, 6.0, 1.5)]), make_scene(**faces)
    one, other = (trace(rt, scene, 1.9e9, ends[i], ends[1 - i][None], samples_per_src=200_000, **what) for i in (0, 1))
    strong = [paths_of(traced) for traced in (one, other)]
    assert len(strong[0]) == len(strong[1]) >= fewest
    apart = np.abs(strong[0][:, 1] / strong[1][:, 1] - 1)
    # Each direction's phase has the error of free space's, a bounce's length one more.
    rounding = 2 * 3e-7 * 2 * np.pi * 1.9e9 * strong[0][:, 0].real + 1e-4
    print(f"{len(apart)} paths, {apart.max():.1e} apart, {np.abs(one.total / other.total - 1)[0]:.1e} in sum")
    np.testing.assert_allclose(strong[0][:, 0].real, strong[1][:, 0].real, rtol=1e-6)
    assert (apart < rounding).all()
    assert abs(one.total - other.total)[0] < np.sum(rounding * np.abs(strong[0][:, 1]))


def paths_of(traced: Traced) -> np.ndarray:
    """Delay and field of the paths of one link that have more than 1e-4 of its power, by delay, ``[paths, 2]``."""
    field, delay = traced.field[0], traced.delay_s[0]
    kept = np.abs(field) ** 2 > 1e-4 * np.sum(np.abs(field) ** 2)
    order = np.argsort(delay[kept])
    return np.stack([delay[kept][order], field[kept][order]], axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("carrier_hz", CARRIERS)
def test_munich_loses_what_uma_does(rt: Any, carrier_hz: float) -> None:
    """Path gain over distance in line of sight, TR 38.901, Table 7.4.1-1: 28 + 22 lg d + 20 lg f."""
    scene = rt.load_scene(rt.scene.munich)
    sender = np.array([8.5, 21, 27])
    x, y = np.meshgrid(np.arange(-150, 251, 10), np.arange(-150, 251, 10))
    receivers = np.stack([x.ravel(), y.ravel(), np.full(x.size, 1.5)], axis=-1)
    receivers = receivers[np.hypot(*(receivers - sender)[:, :2].T) > 35]
    seen = (trace(rt, scene, carrier_hz, sender, receivers, max_depth=0).field != 0).any(axis=1)
    receivers = receivers[seen][:: max(1, seen.sum() // 60)]
    traced = trace(rt, scene, carrier_hz, sender, receivers, max_depth=3, samples_per_src=100_000)
    gain = 10 * np.log10(np.sum(np.abs(traced.field) ** 2, axis=1))
    distance = np.linalg.norm(receivers - sender, axis=-1)
    excess = -gain - (28 + 22 * np.log10(distance) + 20 * np.log10(carrier_hz / 1e9))
    slope = np.polyfit(np.log10(distance), -gain, 1)[0]
    print(
        f"{carrier_hz / 1e9:g} GHz: {len(gain)} receivers at {distance.min():.0f} to {distance.max():.0f} m, "
        f"{excess.mean():.1f} ± {excess.std():.1f} dB, slope {slope:.1f} dB per decade"
    )
    assert len(gain) >= 40
    assert excess.std() < 4, "shadow fading of UMa in line of sight"
    for part in np.array_split(excess[np.argsort(distance)], 3):
        assert abs(part.mean()) < 4, "at no distance further from the mean than its shadow fading"
