"""Paths of several receivers from one transmitter, in all bands of one geometry.

Sionna RT's solver has three stages: candidates by shooting and bouncing, the image method, which makes them exact, and
the calculation of fields. Only the last depends on the carrier. It runs once for each band here, on the same paths; so
both bands have the same delays and angles whatever the solver samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError

__all__ = ["Rays", "Settings", "trace"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a solve is told beside geometry.

    Attributes:
        max_depth: Interactions of a path at most.
        samples: Rays that are shot from the transmitter.
        max_paths: What the solver has room for; more is refused.
        diffraction: Whether one interaction of a path may be a diffraction at an edge.
        scattering: Whether surfaces reflect diffusely, too.
        refraction: Whether paths lead through walls.
        seed: Of the solver.
    """

    max_depth: int
    samples: int
    max_paths: int
    diffraction: bool
    scattering: bool
    refraction: bool
    seed: int


@dataclass(frozen=True, kw_only=True)
class Rays:
    """Paths of one solve, in the order of receivers, then as the solver has found them.

    Attributes:
        receiver: Whose path it is, ``[paths]``.
        vertices: Transmitter, interactions, receiver, m, then NaN, ``[paths, 2 + max_depth, 3]``.
        interactions: How many, ``[paths]``; 0 is the line of sight.
        amplitude: By band, complex gain without the phase of the length, ``[paths]``.
    """

    receiver: NDArray[np.int64]
    vertices: NDArray[np.float64]
    interactions: NDArray[np.int64]
    amplitude: Mapping[str, NDArray[np.complex128]]

    @property
    def length_m(self) -> NDArray[np.float64]:
        """Lengths in m, ``[paths]``. Those of reflections are stationary in the vertices, so that the solver's float32
        leaves the error of the end points alone."""
        return np.nansum(np.linalg.norm(np.diff(self.vertices, axis=1), axis=-1), axis=1)

    @property
    def departure(self) -> NDArray[np.float64]:
        """Unit vectors from the transmitter, ``[paths, 3]``."""
        return _unit(self.vertices[:, 1] - self.vertices[:, 0])

    @property
    def arrival(self) -> NDArray[np.float64]:
        """Unit vectors from the receiver towards where the path comes from, ``[paths, 3]``."""
        row = np.arange(len(self.receiver))
        return _unit(self.vertices[row, self.interactions] - self.vertices[row, self.interactions + 1])


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def trace(
    scene: Any,
    transmitter: NDArray[np.float64],
    receivers: NDArray[np.float64],
    carriers_hz: Mapping[str, float],
    settings: Settings,
) -> Rays:
    """All paths between a transmitter and receivers, each with one isotropic antenna of vertical polarisation.

    Args:
        scene: Sionna's.
        transmitter: Position, m, ``[3]``.
        receivers: Positions, m, ``[receivers, 3]``.
        carriers_hz: By band.
        settings: Of the solver.

    Raises:
        RequestError: there are more candidates than ``max_paths``.
    """
    import drjit as dr
    import sionna.rt as rt
    from sionna.rt.path_solvers.field_calculator import FieldCalculator
    from sionna.rt.path_solvers.image_method import ImageMethod
    from sionna.rt.path_solvers.sb_deterministic import SBDeterministicCandidateGenerator

    sources, targets = _points(transmitter[None]), _points(receivers)
    upright, pattern = _points(np.zeros((1, 3))), _vertical(rt)
    dr.make_opaque(sources, targets, upright)
    buffer = SBDeterministicCandidateGenerator()(
        mi_scene=scene.mi_scene,
        src_positions=sources,
        tgt_positions=targets,
        samples_per_src=settings.samples,
        max_num_paths_per_src=settings.max_paths,
        max_depth=settings.max_depth,
        los=True,
        specular_reflection=True,
        diffuse_reflection=settings.scattering,
        refraction=settings.refraction,
        diffraction=settings.diffraction,
        edge_diffraction=False,
        seed=settings.seed,
    )
    buffer.schedule()
    dr.eval()
    buffer.shrink()
    if buffer.buffer_size >= settings.max_paths:
        got = f"{len(receivers)} users with at least as many paths (fewer users_per_solve or samples_per_source)"
        raise RequestError("max_paths", expected=f"room for all, more than {settings.max_paths}", got=got)
    buffer.detach_geometry()
    buffer = ImageMethod()(
        scene=scene.mi_scene,
        paths=buffer,
        src_positions=sources,
        tgt_positions=targets,
        diffraction=settings.diffraction,
        diffraction_lit_region=True,
    )
    buffer.discard_invalid()
    amplitude: dict[str, NDArray[np.complex128]] = {}
    for band, carrier_hz in carriers_hz.items():
        scene.frequency = carrier_hz
        if buffer.buffer_size == 0:
            amplitude[band] = np.zeros(0, np.complex128)
            continue
        FieldCalculator()(
            wavelength=scene.wavelength,
            paths=buffer,
            samples_per_src=settings.samples,
            diffraction=settings.diffraction,
            src_positions=sources,
            tgt_positions=targets,
            src_orientations=upright,
            tgt_orientations=_points(np.zeros((len(receivers), 3))),
            src_antenna_patterns=pattern,
            tgt_antenna_patterns=pattern,
        )
        found = buffer.a[0][0]
        amplitude[band] = np.array(found.real, np.float64) + 1j * np.array(found.imag, np.float64)
    return _in_order(buffer, transmitter, receivers, amplitude)


def _points(positions: NDArray[np.float64]) -> Any:
    import mitsuba as mi

    return mi.Point3f(*[mi.Float(np.ascontiguousarray(column, dtype=np.float32)) for column in positions.T])


def _vertical(rt: Any) -> Any:
    array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    return array.antenna_pattern.patterns


def _in_order(
    buffer: Any,
    transmitter: NDArray[np.float64],
    receivers: NDArray[np.float64],
    amplitude: Mapping[str, NDArray[np.complex128]],
) -> Rays:
    """The solver's buffer by receiver, without paths of no amplitude in any band."""
    count, depth = buffer.buffer_size, buffer.max_depth
    if count == 0 or depth == 0:
        reached = np.zeros((count, depth), np.int64)
    else:
        reached = np.array(buffer.interaction_types.array, np.int64).reshape(count, depth)
    receiver = np.array(buffer.target_indices, np.int64)[:count]
    interactions = np.count_nonzero(reached, axis=1)
    vertices = np.full((count, 2 + depth, 3), np.nan)
    vertices[:, 0] = transmitter.astype(np.float32)
    for axis, column in enumerate((buffer.vertices_x, buffer.vertices_y, buffer.vertices_z)):
        if depth and count:
            points = np.array(column.array, np.float64).reshape(count, depth)
            vertices[:, 1:-1, axis] = np.where(np.arange(depth) < interactions[:, None], points, np.nan)
    vertices[np.arange(count), 1 + interactions] = receivers.astype(np.float32)[receiver]
    kept = np.flatnonzero(sum((np.abs(each) > 0 for each in amplitude.values()), np.zeros(count, bool)))
    kept = kept[np.argsort(receiver[kept], kind="stable")]
    return Rays(
        receiver=receiver[kept],
        vertices=vertices[kept],
        interactions=interactions[kept],
        amplitude={band: each[kept] for band, each in amplitude.items()},
    )
