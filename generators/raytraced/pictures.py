"""What ``inspect`` adds to the sheet of a ray-traced dataset."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from channelbench.generator import Panel, View
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.raytraced.rural import landscape
from channelbench.generators.raytraced.views import LinkRays, draw_delay_angle, draw_rays, draw_users, plan_of
from channelbench.generators.raytraced.worlds import World, world_of
from channelbench.spec import SPLITS

if TYPE_CHECKING:
    from channelbench.generators.raytraced.source import RaytracedSource
    from channelbench.store.dataset import ChannelDataset

__all__ = ["views_of"]


def views_of(dataset: ChannelDataset) -> list[View]:
    """The scene from above with users by path gain and with the rays of one test link, and for each band the link's
    power over delay and angle. The link, one of much delay spread, is traced again, alone.

    Raises:
        RequestError: this machine cannot trace, or does not know the scene's file.
    """
    spread = dataset.array("delay_spread_s_sub6", "test")
    spec, link = dataset.spec, int(np.argsort(spread)[9 * len(spread) // 10])  # one with something to see
    source, world = cast("RaytracedSource", spec.source), world_of(spec)
    plan = plan_of(world.scene, world.placed, _crowns(source))
    users, gain = (
        np.concatenate([dataset.array(name, split) for split in SPLITS])
        for name in ("ue_position", "path_gain_db_sub6")
    )
    place = dataset.array("ue_position", "test")[link].astype(np.float64)
    rays = _rays_of(world, place, {name: band.carrier_hz for name, band in spec.bands.items()}, source)
    ghz = {name: f"{band.carrier_hz / 1e9:g} GHz" for name, band in spec.bands.items()}
    title, by_gain = f"Paths of test link {link} at {ghz['sub6']}", f"Users by path gain at {ghz['sub6']}"
    views: list[View] = [
        Panel(by_gain, partial(draw_users, plan=plan, users=users, path_gain_db=gain, title=by_gain), USERS),
        Panel(title, partial(draw_rays, plan=plan, rays=rays["sub6"], title=title), RAYS),
    ]
    for name, band in spec.bands.items():
        channel = dataset.rows(f"h_{name}", "test", np.array([link]), 0)[0]
        title = f"Delays and angles of test link {link} at {ghz[name]}"
        drawn = partial(draw_delay_angle, band=band, channel=channel, rays=rays[name], title=title)
        views.append(Panel(title, drawn, DELAYS_AND_ANGLES))
    return views


USERS = (
    "The scene from above, users coloured by path gain: bright near the base station and along open streets, dark "
    "behind walls; a user within a building, or bright behind one, would be wrong."
)
RAYS = (
    "The strongest paths of one link: straight between bounces, which are the dots on walls, edges and ground; a line "
    "through a wall, or a bounce in the open, would be wrong."
)
DELAYS_AND_ANGLES = (
    "Power of the stored channel over delay and angle, and the traced paths as circles: bright spots lie within "
    "circles; a spot without one would be power from nowhere, and a large circle without a spot a path that is lost."
)


def _rays_of(
    world: World, place: NDArray[np.float64], carriers_hz: dict[str, float], source: RaytracedSource
) -> dict[str, LinkRays]:
    """Paths to a place in the dataset's coordinates, ``[xyz]``, by band."""
    turn = np.radians(world.azimuth_deg)
    back = np.array([(np.cos(turn), -np.sin(turn), 0), (np.sin(turn), np.cos(turn), 0), (0, 0, 1)])
    traced = world.trace((back @ place + world.origin)[None], carriers_hz, source.settings)
    departure = world.turned(traced.departure)
    return {
        band: LinkRays(
            vertices=world.placed(traced.vertices),
            power=np.abs(amplitude) ** 2,
            delay_s=traced.length_m / SPEED_OF_LIGHT,
            azimuth=np.arctan2(departure[:, 1], departure[:, 0]),
        )
        for band, amplitude in traced.amplitude.items()
    }


def _crowns(source: RaytracedSource) -> NDArray[np.float64]:
    """Tree crowns ``(x, y, radius)`` of a scene, m, ``[crowns, 3]``."""
    if source.scene != "rural":
        return np.zeros((0, 3))
    crowns = landscape(source.rural).crowns
    return np.column_stack([crowns.centre[:, :2], crowns.radius])
