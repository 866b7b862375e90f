"""A loaded scene with its base station: heights, walls, and the two systems of coordinates."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.raytraced.files import file_of, is_recorded
from channelbench.generators.raytraced.foliage import foliage_db
from channelbench.generators.raytraced.llvm import usable
from channelbench.generators.raytraced.rural import Rural, landscape, prepare
from channelbench.generators.raytraced.sites import SITES, Site
from channelbench.generators.raytraced.tracing import Rays, Settings, trace

if TYPE_CHECKING:
    from channelbench.generators.raytraced.source import RaytracedSource
    from channelbench.spec import ScenarioSpec

__all__ = ["World", "load_world", "world_of"]

SAME_M = 0.1
"""What is seen from above and what lies lowest are one surface within this, m: there is no roof."""

NEAREST_M = 0.3
"""Surfaces nearer to the base station than this are walls that it stands in."""

MOST_LAYERS = 64
"""Of surfaces above each other."""


@dataclass(frozen=True, eq=False)
class World:
    """A scene and a base station in it.

    A dataset's coordinates have the base station at (0, 0, its height above the ground) and face +x; the scene's are
    turned by ``azimuth_deg`` and shifted by ``origin``.

    Attributes:
        scene: Sionna's.
        origin: The ground below the base station, in the scene, m, ``[3]``.
        height_m: Of the base station above it.
        azimuth_deg: Where it faces in the scene.
        lowest, highest: Corners of the scene, m, ``[3]``.
        extra: What else is done with traced rays; see ``trace``.
    """

    scene: Any
    origin: NDArray[np.float64]
    height_m: float
    azimuth_deg: float
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    extra: Any = field(default=None)

    @property
    def transmitter(self) -> NDArray[np.float64]:
        """The base station in the scene, m, ``[3]``."""
        return self.origin + np.array([0.0, 0.0, self.height_m])

    def turned(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions of the scene in the dataset's coordinates, ``[..., 3]``."""
        cosine, sine = np.cos(np.radians(self.azimuth_deg)), np.sin(np.radians(self.azimuth_deg))
        x, y, z = np.moveaxis(vectors, -1, 0)
        return np.stack([cosine * x + sine * y, cosine * y - sine * x, z], axis=-1)

    def placed(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the scene in the dataset's coordinates, m, ``[..., 3]``."""
        return self.turned(points - self.origin)

    def surfaces(self, xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Heights of the highest and the lowest surface, m, ``[points]`` each; NaN where there is none.

        Args:
            xy: In the scene, m, ``[points, 2]``.
        """
        import drjit as dr
        import mitsuba as mi

        x, y = (mi.Float(np.ascontiguousarray(column, dtype=np.float32)) for column in xy.T)
        height = np.full(len(xy), self.highest[2] + 10.0, np.float32)
        highest, lowest = np.full(len(xy), np.nan), np.full(len(xy), np.nan)
        active = np.full(len(xy), True)
        for _ in range(MOST_LAYERS):
            ray = mi.Ray3f(mi.Point3f(x, y, mi.Float(height)), mi.Vector3f(0, 0, -1))
            found = self.scene.mi_scene.ray_intersect(ray, active=mi.Bool(active))
            hit, here = found.is_valid(), found.p.z
            dr.eval(hit, here)
            active = active & np.array(hit)
            if not active.any():
                break
            here = np.array(here, np.float32)
            highest = np.where(active & np.isnan(highest), here, highest)
            lowest = np.where(active, here, lowest)
            height = np.where(active, here - np.float32(1e-2), height).astype(np.float32)
        return highest, lowest

    def ground(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of the ground under the open sky, m, ``[points]``; NaN in and under buildings, and where no ground
        is."""
        highest, lowest = self.surfaces(xy)
        return np.where(highest - lowest < SAME_M, lowest, np.nan)

    def clear(self, start: NDArray[np.float64], stop: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether no surface lies between points of the scene, ``[points, 3]`` each."""
        import mitsuba as mi

        way = stop - start
        length = np.linalg.norm(way, axis=-1)
        along = way / np.maximum(length, 1e-9)[:, None]
        origin, direction = (
            [mi.Float(np.ascontiguousarray(column, dtype=np.float32)) for column in each.T] for each in (start, along)
        )
        ray = mi.Ray3f(mi.Point3f(*origin), mi.Vector3f(*direction))
        ray.maxt = _numbers(np.maximum(length - 1e-2, 0))
        return ~np.array(self.scene.mi_scene.ray_test(ray)) | (length == 0)

    def trace(self, receivers: NDArray[np.float64], carriers_hz: Mapping[str, float], settings: Settings) -> Rays:
        """Paths to receivers in the scene, ``[receivers, 3]``; see ``tracing.trace``."""
        rays = trace(self.scene, self.transmitter, receivers, carriers_hz, settings)
        return rays if self.extra is None else self.extra(rays, carriers_hz)


def world_of(spec: ScenarioSpec) -> World:
    """The world of a spec, the same one as long as its scene, site and carriers are the same.

    Raises:
        RequestError: no LLVM is good for it, the scene cannot be loaded or has materials that are unknown or have no
            value at a carrier, or the base station stands in a building.
    """
    source = cast("RaytracedSource", spec.source)
    carriers = tuple(band.carrier_hz for band in spec.bands.values())
    rough = source.scattering_coefficient if source.scattering else 0.0
    site = source.bs_position_m, source.bs_azimuth_deg
    return load_world(source.scene, *site, spec.bs_height_m, carriers, rough, source.rural)


@lru_cache(maxsize=2)
def load_world(
    scene: str,
    position: tuple[float, float] | None,
    azimuth_deg: float | None,
    height_m: float,
    carriers_hz: tuple[float, ...],
    rough: float,
    land: Rural,
) -> World:
    """See ``world_of``."""
    site = SITES.get(scene)
    if position is None and site is None:
        raise RequestError("bs_position_m", expected="x and y of the base station in your scene", got="none")
    usual = site or Site(0.0, 0.0, 0.0)
    xy = np.array([usual.x, usual.y] if position is None else position)
    facing = usual.azimuth_deg if azimuth_deg is None else azimuth_deg
    loaded, extra = _load(scene, land)
    _set_materials(scene, loaded, carriers_hz)
    for material in loaded.radio_materials.values() if rough else ():
        if not np.any(np.array(material.scattering_coefficient)):
            material.scattering_coefficient = rough
    corners = [np.array(corner, np.float64) for corner in (loaded.mi_scene.bbox().min, loaded.mi_scene.bbox().max)]
    if not np.isfinite(corners).all():
        raise RequestError("scene", expected="a scene with something in it", got=scene)
    base = World(loaded, np.array([*xy, 0.0]), height_m, facing, corners[0], corners[1], extra)
    _, lowest = base.surfaces(xy[None])
    if not np.isfinite(lowest[0]):
        got = f"({xy[0]:g}, {xy[1]:g}) in {scene}, below which nothing is"
        raise RequestError("bs_position_m", expected="a place in the scene", got=got)
    world = World(loaded, np.array([*xy, lowest[0]]), height_m, facing, corners[0], corners[1], extra)
    _check_site(scene, world)
    return world


def _check_site(scene: str, world: World) -> None:
    """Whether the base station is in the open.

    Raises:
        RequestError: it is below a roof or in a wall.
    """
    import mitsuba as mi

    where = world.transmitter
    highest, _ = world.surfaces(where[None, :2])
    got = f"({where[0]:g}, {where[1]:g}) in {scene}, {world.height_m:g} m above the ground"
    if highest[0] > where[2] - SAME_M:
        got += f", where a roof is at {highest[0] - world.origin[2]:.3g} m"
        raise RequestError("bs_position_m", expected="a base station in the open", got=got)
    index = np.arange(500) + 0.5
    zenith, turn = np.arccos(1 - index / 250), np.pi * (1 + 5**0.5) * index
    around = np.stack([np.cos(turn) * np.sin(zenith), np.sin(turn) * np.sin(zenith), np.cos(zenith)])
    ray = mi.Ray3f(mi.Point3f(*map(float, where)), mi.Vector3f(*[mi.Float(each.astype(np.float32)) for each in around]))
    ray.maxt = _numbers(np.full(500, NEAREST_M))
    if np.array(world.scene.mi_scene.ray_test(ray)).any():
        raise RequestError("bs_position_m", expected="a base station in the open", got=f"{got}, in a wall")


def _load(scene: str, land: Rural) -> tuple[Any, Any]:
    """Sionna's scene, and what else is done with its rays.

    Raises:
        RequestError: it cannot be loaded.
    """
    usable()  # before anything of the ray tracer is imported
    import drjit as dr
    import mitsuba as mi

    mi.set_variant("llvm_ad_mono_polarized")  # a GPU, where there is one, would make other bytes
    import sionna.rt as rt

    dr.set_thread_count(1)  # workers are processes
    if scene == "rural":
        return _load_rural(rt, land)
    file = str(file_of(scene)) if is_recorded(scene) else getattr(rt.scene, scene)
    try:
        return rt.load_scene(file), None
    except Exception as error:  # whatever Mitsuba and Sionna raise about somebody's file
        raise RequestError("scene", expected="a scene that Sionna RT loads", got=f"{scene} ({_said(error)})") from None


def _load_rural(rt: Any, spec: Rural) -> tuple[Any, Any]:
    land = landscape(spec)
    with tempfile.TemporaryDirectory() as folder:
        loaded = rt.load_scene(str(land.write(Path(folder))))
    prepare(loaded)

    def through_leaves(rays: Rays, carriers_hz: Mapping[str, float]) -> Rays:
        length_m = land.leaves_m(rays.vertices)
        amplitude = {
            band: each * 10 ** (-foliage_db(length_m, carriers_hz[band]) / 20) for band, each in rays.amplitude.items()
        }
        return Rays(receiver=rays.receiver, vertices=rays.vertices, interactions=rays.interactions, amplitude=amplitude)

    return loaded, through_leaves


def _set_materials(scene: str, loaded: Any, carriers_hz: tuple[float, ...]) -> None:
    """Whether all materials have values at all carriers.

    Raises:
        RequestError: one has not.
    """
    for carrier_hz in carriers_hz:
        try:
            loaded.frequency = carrier_hz
        except Exception as error:  # of Sionna's materials
            got = f"{scene} ({_said(error)})"
            expected = f"materials that have values at {carrier_hz / 1e9:g} GHz"
            raise RequestError("scene", expected=expected, got=got) from None


def _numbers(values: NDArray[np.float64]) -> Any:
    import mitsuba as mi

    return mi.Float(np.ascontiguousarray(values, dtype=np.float32))


def _said(error: Exception) -> str:
    """What is wrong, without the traceback that Mitsuba puts before it."""
    lines = [line.strip() for line in str(error).splitlines() if re.match(r"\s*\w*(Error|Exception): ", line)]
    return " ".join((lines[-1] if lines else str(error)).split())[:300] or type(error).__name__
