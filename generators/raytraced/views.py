"""Pictures of a scene, of a link's rays, and of where its power comes from and when. All from plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.spec import BandSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LinkRays", "Plan", "draw_delay_angle", "draw_rays", "draw_users", "plan_of"]

Place = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_EDGE = "#5b6472"
_GROUND = "#f1f0ea"
_FLOOR_DB = -40.0
"""Below the peak: the dark end of a profile's colours."""
_WEAKEST_DB, _MOST = -70.0, 150
"""Paths that are drawn: how far below the strongest, and how many. Diffuse ones are many and weak."""
_TAPERED = 16
"""Columns of arrays whose side lobes are taken down by a Hann window."""


@dataclass(frozen=True)
class Plan:
    """What of a scene is seen from above.

    Attributes:
        ground: Triangles of the ground, m, ``[triangles, 3, xyz]``.
        objects: Triangles of all that stands on it.
        discs: Tree crowns ``(x, y, radius)``, m, ``[crowns, 3]``.
    """

    ground: NDArray[np.float64]
    objects: NDArray[np.float64]
    discs: NDArray[np.float64]


@dataclass(frozen=True)
class LinkRays:
    """Paths of one link in one band.

    Attributes:
        vertices: From the base station to the user, m, ``[paths, points, xyz]``; NaN where a path has fewer points.
        power: ``[paths]``.
        delay_s: ``[paths]``.
        azimuth: Of departure, radian, ``[paths]``.
    """

    vertices: NDArray[np.float64]
    power: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    azimuth: NDArray[np.float64]


def plan_of(scene: Any, placed: Place, discs: NDArray[np.float64]) -> Plan:
    """The plan of a loaded scene. Its ground is what covers most of its square, seen from above.

    Args:
        scene: Of ``sionna.rt``.
        placed: From the scene's coordinates to those of the plan, m, ``[..., xyz]`` each.
        discs: Tree crowns ``(x, y, radius)`` in the scene, m, ``[crowns, 3]``.
    """
    shapes = []
    for shape in scene.mi_scene.shapes():
        vertices = placed(np.array(shape.vertex_positions_buffer(), np.float64).reshape(-1, 3))
        shapes.append(vertices[np.array(shape.faces_buffer()).reshape(-1, 3)])
    every = np.concatenate(shapes).reshape(-1, 3) if shapes else np.zeros((1, 3))
    square = np.prod(np.ptp(every[:, :2], axis=0))
    flat = [_area(triangles) > 0.5 * square for triangles in shapes]
    none = np.zeros((0, 3, 3))
    crowns = placed(np.column_stack([discs[:, :2], np.zeros(len(discs))]))
    return Plan(
        ground=np.concatenate([none, *(s for s, is_flat in zip(shapes, flat, strict=True) if is_flat)]),
        objects=np.concatenate([none, *(s for s, is_flat in zip(shapes, flat, strict=True) if not is_flat)]),
        discs=np.column_stack([crowns[:, :2], discs[:, 2]]),
    )


def _area(triangles: NDArray[np.float64]) -> float:
    a, b = (triangles[:, i, :2] - triangles[:, 0, :2] for i in (1, 2))
    return float(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2)


def draw_users(ax: Axes, plan: Plan, users: NDArray[np.float64], path_gain_db: NDArray[np.float64], title: str) -> None:
    """The scene from above with the base station at (0, 0) and users by their path gain.

    Args:
        ax: To draw on.
        plan: Of the scene.
        users: m, ``[users, xyz]``.
        path_gain_db: ``[users]``.
        title: Of the picture.
    """
    reach = 1.08 * max(np.abs(users[:, :2]).max(), 30.0)
    low = np.minimum(users[:, :2].min(axis=0), 0) - 0.06 * reach
    high = np.maximum(users[:, :2].max(axis=0), 0) + 0.06 * reach
    _draw_plan(ax, plan, low, high)
    order = np.argsort(path_gain_db)
    x, y = users[order, :2].T
    dots = ax.scatter(x, y, c=path_gain_db[order], s=22, cmap="plasma", linewidths=0.4, edgecolors="white", zorder=4)
    ax.figure.colorbar(dots, ax=ax, label="path gain (dB)", shrink=0.85)
    _mark(ax, np.zeros(2), "^", "base station")
    _frame(ax, title)


def draw_rays(ax: Axes, plan: Plan, rays: LinkRays, title: str) -> None:
    """The scene from above with the strongest paths of one link, by their power."""
    from matplotlib.collections import LineCollection

    shown, level = _drawn(rays)
    points = rays.vertices[shown, :, :2]
    low, high = np.nanmin(points, axis=(0, 1)), np.nanmax(points, axis=(0, 1))
    side = max(float(np.max(high - low)) * 1.25, 60.0)  # a square around all of them
    middle = (low + high) / 2
    _draw_plan(ax, plan, middle - side / 2, middle + side / 2)
    lines = LineCollection(
        [path[~np.isnan(path[:, 0])] for path in points],
        cmap="plasma",
        linewidths=0.4 + 2 * (1 - level / _WEAKEST_DB) ** 2,
    )
    lines.set_array(level)
    lines.set_clim(min(level.min(), -10), 0)
    lines.set_zorder(4)
    ax.add_collection(lines)
    bounces = points[:, 1:-1].reshape(-1, 2)
    x, y = bounces[~np.isnan(bounces[:, 0])].T
    ax.scatter(x, y, s=5, color="black", linewidths=0, zorder=5)
    ax.figure.colorbar(lines, ax=ax, label="power below the strongest path (dB)", shrink=0.85)
    user = points[-1][~np.isnan(points[-1][:, 0])][-1]
    _mark(ax, points[-1][0], "^", "base station")
    _mark(ax, user, "o", "user")
    _frame(ax, f"{title}: the strongest {len(shown)} of {np.count_nonzero(rays.power)}")


def draw_delay_angle(ax: Axes, band: BandSpec, channel: NDArray[Any], rays: LinkRays, title: str) -> None:
    """Power of one channel over delay and azimuth of departure, with the paths that it is the sum of.

    The picture of the channel itself is its Bartlett spectrum over the middle row of the array (with a Hann window
    from 16 columns on) and its inverse Fourier transform over subcarriers (Hann window, eight times as many delays),
    turned so that its peak is at the strongest path: where channels begin is their source's convention.

    Args:
        ax: To draw on.
        band: The band.
        channel: ``[subcarriers, antennas]``.
        rays: Its paths.
        title: Of the picture.
    """
    row = band.array.rows // 2
    columns = channel[:, row * band.array.columns : (row + 1) * band.array.columns]
    sine = np.linspace(-1, 1, 361)
    steering = np.exp(-2j * np.pi * np.outer(np.arange(columns.shape[1]) * band.array.spacing_wavelengths, sine))
    many = columns.shape[1] >= _TAPERED  # a short array's beam is wide enough
    taper = np.hanning(columns.shape[1] + 2)[1:-1, None] if many else np.ones((columns.shape[1], 1))
    size = 8 * band.num_subcarriers
    profile = np.fft.ifft(
        (columns @ (taper * steering)) * np.hanning(band.num_subcarriers + 2)[1:-1, None], size, axis=0
    )
    power = np.abs(profile) ** 2
    bin_s = band.num_subcarriers / band.bandwidth_hz / size

    excess = rays.delay_s - rays.delay_s[rays.power > 0].min()
    strongest = int(rays.power.argmax())
    shown, level = _drawn(rays)
    span = min(max(1.15 * excess[shown].max(), 12 / band.bandwidth_hz), band.num_subcarriers / band.bandwidth_hz)
    before = span / 8
    peak = int(power.max(axis=1).argmax())
    shift = peak - round((excess[strongest] + before) / bin_s)
    keep = min(size, round((span + before) / bin_s) + 1)
    turned = np.roll(power, -shift, axis=0)[:keep]
    delay_ns = (np.arange(keep) * bin_s - before) * 1e9
    mesh = ax.pcolormesh(
        delay_ns,
        np.degrees(np.arcsin(sine)),
        10 * np.log10(np.maximum(turned / power.max(), 1e-9)).T,
        cmap="magma",
        vmin=_FLOOR_DB,
        vmax=0,
        shading="nearest",
        rasterized=True,
    )
    ax.figure.colorbar(mesh, ax=ax, label="power below the peak (dB)", shrink=0.85)
    azimuth = np.degrees(np.arcsin(np.clip(np.sin(rays.azimuth), -1, 1)))  # behind a line of antennas is before it
    ax.scatter(
        excess[shown] * 1e9,
        azimuth[shown],
        s=4 + 100 * (1 - level / _WEAKEST_DB) ** 2,
        facecolors="none",
        edgecolors="#7dd3fc",
        linewidths=0.9,
        label="strongest paths",
    )
    ax.set(
        title=title,
        xlabel="delay after the first path (ns)",
        ylabel="azimuth of departure (°)",
        xlim=(delay_ns[0], delay_ns[-1]),
        ylim=(-90, 90),
    )
    ax.legend(fontsize=8, loc="lower right", framealpha=0.85)


def _drawn(rays: LinkRays) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The paths that are drawn, the strongest last, and their power below it in dB."""
    level = 10 * np.log10(np.maximum(rays.power, 1e-300) / rays.power.max())
    order = np.argsort(level, kind="stable")[-_MOST:]
    order = order[level[order] >= _WEAKEST_DB]
    return order, level[order]


def _draw_plan(ax: Axes, plan: Plan, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    from matplotlib.collections import EllipseCollection, PolyCollection

    ax.set_facecolor(_GROUND)
    ground, objects = (_within(triangles, low, high) for triangles in (plan.ground, plan.objects))
    if len(ground) > 2 and np.ptp(ground[..., 2]) > 1:
        x, y, z = ground.reshape(-1, 3).T
        corners = np.arange(len(x)).reshape(-1, 3)
        ax.tricontourf(x, y, corners, z, levels=12, cmap="YlGn", alpha=0.3, zorder=1)
    if len(objects):
        height = objects[..., 2].max(axis=1)
        order = np.argsort(height, kind="stable")
        faces = PolyCollection(list(objects[order, :, :2]), cmap="Greys", linewidths=0.15, zorder=2)
        base, top = np.percentile(height, [1, 99])
        faces.set_array(height[order])
        faces.set_clim(base - 0.5 * (top - base) - 1, top + 1.2 * (top - base) + 1)
        faces.set_edgecolor(_EDGE)
        ax.add_collection(faces)
    if len(plan.discs):
        width = 2 * plan.discs[:, 2]
        crowns = EllipseCollection(
            width, width, np.zeros(len(width)), units="xy", offsets=plan.discs[:, :2], transOffset=ax.transData
        )
        crowns.set(facecolor="#5f8f5f", alpha=0.35, linewidth=0, zorder=3)
        ax.add_collection(crowns)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _within(triangles: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = triangles[..., :2]
    return triangles[np.all((flat.max(axis=1) >= low) & (flat.min(axis=1) <= high), axis=-1)]


def _mark(ax: Axes, place: NDArray[np.float64], marker: str, label: str) -> None:
    x, y = place[:2]
    ax.scatter(x, y, marker=marker, label=label, s=90, color="#dc2626", edgecolors="white", linewidths=1.0, zorder=6)


def _frame(ax: Axes, title: str) -> None:
    ax.set(title=title, xlabel="x (m)", ylabel="y (m)", aspect="equal")
    ax.legend(fontsize=8, loc="upper right", framealpha=0.9)
