"""A rural scene out of nothing but a seed and a few numbers: hills, scattered houses and trees, one tall mast.

Sionna ships no rural scene. This one is written as Mitsuba XML with binary PLY meshes, the same bytes each time, which
``sionna.rt.load_scene`` reads. ``prepare`` makes the soil of a loaded scene follow the carrier; leaves are no part
of the file (``foliage`` says why), their loss is added to paths by ``foliage_db`` of
``Landscape.leaves_m``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from channelbench.frozen import Frozen
from channelbench.generators.raytraced.foliage import Crowns
from channelbench.generators.raytraced.houses import MATERIALS, Houses, make_houses, scatter
from channelbench.generators.raytraced.soil import LOAM
from channelbench.generators.raytraced.terrain import Terrain, make_terrain

__all__ = ["Landscape", "Rural", "landscape", "prepare"]

MAST_M = 35.0
"""Height of RMa's base station above the ground, TR 38.901, Table 7.2-3."""

_CLEAR_M = 30.0
_THICKNESS_M = {"brick": 0.3, "wood": 0.1, "concrete": 0.2}


class Rural(Frozen):
    """What can be chosen about a rural scene.

    Attributes:
        area_m: Side of the square that it fills, m; the mast stands in the middle.
        houses_per_km2: How many houses; where they do not all fit, fewer.
        trees_per_km2: How many trees.
        pitched_share: Share of houses with a pitched roof; the others' are flat.
        hill_m: Standard deviation of the ground's height, m; 0 is flat.
        hill_length_m: Length of the hills' waves, m.
        cell_m: Side of the ground's cells, each of two triangles, m.
        roughness: Scattering coefficient S of ground and houses (share of the reflected amplitude that is scattered),
            which matters where diffuse reflection is traced.
        scene_seed: Which scene of these.
    """

    area_m: float = Field(2000.0, ge=200, le=6000)
    houses_per_km2: float = Field(80.0, ge=0, le=400)
    trees_per_km2: float = Field(400.0, ge=0, le=2000)
    pitched_share: float = Field(0.8, ge=0, le=1)
    hill_m: float = Field(4.0, ge=0, le=30)
    hill_length_m: float = Field(600.0, ge=200, le=10000)
    cell_m: float = Field(50.0, ge=10, le=500)
    roughness: float = Field(0.4, ge=0, le=1)
    scene_seed: int = Field(1, ge=0, lt=2**63)


@dataclass(frozen=True)
class Landscape:
    """A rural scene. The ground under the mast is at (0, 0, 0)."""

    spec: Rural
    terrain: Terrain
    houses: Houses
    crowns: Crowns

    @property
    def mast(self) -> NDArray[np.float64]:
        """Where the base station is, m, ``[xyz]``."""
        return np.array([0.0, 0.0, MAST_M])

    def ground_m(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of the ground in m, of the shape of ``x`` and ``y``."""
        return self.terrain.at(x, y)

    @property
    def footprints(self) -> NDArray[np.float64]:
        """Corners of the houses, m, ``[houses, 4, xy]``."""
        return self.houses.footprint

    def inside_house(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points have a roof above them, of the shape of ``x`` and ``y``."""
        return self.houses.contain(x, y)

    def leaves_m(self, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far paths run through leaves, m, ``[paths]``.

        Args:
            vertices: Points of each path from one end to the other, m, ``[paths, points, xyz]``; a path with fewer
                repeats one, or has NaN after its end.
        """
        paths, points = vertices.shape[:2]
        start, end = vertices[:, :-1].reshape(-1, 3), vertices[:, 1:].reshape(-1, 3)
        return self.crowns.length_m(start, end).reshape(paths, points - 1).sum(axis=-1)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The scene's files by name, ``scene.xml`` and its meshes."""
        from channelbench.generators.raytraced.meshes import ply

        corners = self.terrain.triangles()  # no shared vertices: slopes that meet are no wedge to diffract at
        ground = np.arange(corners.size // 3, dtype=np.int32).reshape(-1, 3)
        files = {"meshes/ground.ply": ply(corners.reshape(-1, 3), ground)}
        parts = [_shape("ground", "soil")]
        for index, material in enumerate(MATERIALS):
            vertices, triangles = self.houses.mesh(index)
            if len(triangles):
                files[f"meshes/houses-{material}.ply"] = ply(vertices, triangles)
                parts.append(_shape(f"houses-{material}", material))
        materials = [_soil(self.spec.roughness), *(_itu(name, self.spec.roughness) for name in MATERIALS)]
        text = "\n".join(['<scene version="2.1.0">', *materials, *parts, "</scene>\n"])
        return {"scene.xml": text.encode(), **files}

    def write(self, folder: str | Path) -> Path:
        """Write the files into ``folder``, and say where the one is that ``load_scene`` takes."""
        for name, data in self.files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return Path(folder) / "scene.xml"


@lru_cache(maxsize=4)
def landscape(spec: Rural) -> Landscape:
    """The scene of a spec, by numbers that hang on the spec alone."""
    hills, homes, woods = (
        np.random.default_rng(np.random.SeedSequence(spec.scene_seed, spawn_key=(i,))) for i in range(3)
    )
    terrain = make_terrain(spec.area_m, spec.cell_m, spec.hill_m, spec.hill_length_m, hills)
    km2 = (spec.area_m / 1000) ** 2
    mast = np.array([[0.0, 0.0, _CLEAR_M]])
    houses = make_houses(round(spec.houses_per_km2 * km2), spec.pitched_share, terrain, mast, homes)
    middle = houses.footprint.mean(axis=1)
    reach = np.linalg.norm(houses.footprint - middle[:, None], axis=-1).max(axis=1, initial=0.0)
    clear = np.concatenate([mast, np.column_stack([middle, reach])])
    return Landscape(spec, terrain, houses, _make_crowns(round(spec.trees_per_km2 * km2), terrain, clear, woods))


def _make_crowns(count: int, terrain: Terrain, clear: NDArray[np.float64], rng: np.random.Generator) -> Crowns:
    """Crowns 4 to 8 m wide that begin 2.5 m above the ground, above people, and end 6 to 14 m above it."""
    radius, half_height = 2 + 2 * rng.random(count), (3.5 + 8 * rng.random(count)) / 2
    place = scatter(radius, terrain.axis[-1], clear, rng)
    kept = ~np.isnan(place[:, 0])
    place, radius, half_height = place[kept], radius[kept], half_height[kept]
    centre = np.column_stack([place, terrain.at(*place.T) + 2.5 + half_height])
    return Crowns(centre=centre, radius=radius, half_height=half_height)


def prepare(scene: Any) -> None:
    """Let the soil of a loaded scene follow ``scene.frequency``; the file alone has its values at 1.9 GHz.

    Args:
        scene: Of ``sionna.rt``; one without a material called ``soil`` is left as it is.
    """
    soil = scene.radio_materials.get("soil")
    if soil is not None:
        soil.frequency_update_callback = lambda frequency: LOAM.electrical(float(frequency[0]))


def _soil(roughness: float) -> str:
    permittivity, conductivity = LOAM.electrical(1.9e9)
    return _bsdf(
        "radio-material",
        "soil",
        {
            "relative_permittivity": permittivity,
            "conductivity": conductivity,
            "thickness": 2.0,
            "scattering_coefficient": roughness,
        },
    )


def _itu(material: str, roughness: float) -> str:
    return _bsdf(
        "itu-radio-material",
        material,
        {"type": material, "thickness": _THICKNESS_M[material], "scattering_coefficient": roughness},
    )


def _bsdf(kind: str, name: str, values: dict[str, float | str]) -> str:
    lines = "".join(
        f'    <string name="{key}" value="{value}"/>\n'
        if isinstance(value, str)
        else f'    <float name="{key}" value="{value:.6g}"/>\n'
        for key, value in values.items()
    )
    return f'  <bsdf type="{kind}" id="{name}">\n{lines}  </bsdf>'


def _shape(name: str, material: str) -> str:
    return (
        f'  <shape type="ply" id="{name}">\n'
        f'    <string name="filename" value="meshes/{name}.ply"/>\n'
        f'    <boolean name="face_normals" value="true"/>\n'
        f'    <ref id="{material}" name="bsdf"/>\n'
        f"  </shape>"
    )
