"""Who is served together: groups of users of one split, and what a training draws for each."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.noise import noise_key
from channelbench.store.dataset import SplitView
from channelbench.tasks.multiuser.conditions import GroupConditions

__all__ = ["draws", "members", "training_members", "unknown_directions"]

BAND = "sub6"

DIRECTIONS = (f"strongest_aod_deg_{BAND}", "ue_position")
"""Variables that say where users are, the better first."""


def members(view: SplitView, conditions: GroupConditions) -> NDArray[np.int64]:
    """The disjoint groups of a test, so that each is an independent unit, ``[groups, users]``.

    There are as many as the split has users for. They depend on the dataset's seed and spec alone. Where the source
    has areas, a group's users are of one, and users recur in as many groups as areas leave incomplete.

    Raises:
        RequestError: no area of the split has so many users.
    """
    users, near = conditions.users, conditions.grouping == "near"
    return view.memo(("groups", users, near), lambda: _groups(view, users, near=near, permutation=0))


def training_members(view: SplitView, conditions: GroupConditions) -> NDArray[np.int64]:
    """Groups of the most users that a training sees, as many as the split has users, ``[samples, users]``.

    A case of fewer users is the head of its row. A user recurs in other groups, never twice in one: each permutation
    of the split gives disjoint groups, and every second permutation groups near users, where a dataset knows which.
    """
    areas = _areas(view)
    users = min(conditions.train_users[1], view.size if areas is None else int(np.bincount(areas).max()))

    def several() -> NDArray[np.int64]:
        rounds = -(-view.size // (view.size // users))
        near = any(name in view.variables for name in DIRECTIONS)
        parts = [_groups(view, users, near=near and bool(which % 2), permutation=1 + which) for which in range(rounds)]
        return np.concatenate(parts)[: view.size]

    return view.memo(("training groups", users), several)


def unknown_directions(variables: Collection[str], conditions: GroupConditions) -> list[str]:
    """What a dataset of these variables lacks to group near users of a test."""
    return [DIRECTIONS[0]] if conditions.grouping == "near" and not any(n in variables for n in DIRECTIONS) else []


def draws(view: SplitView, name: str, cases: NDArray[np.int64], count: int, epoch: int | None) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) of each case, ``[cases, count]``, that depend on nothing but case and epoch.

    The phase of circular Gaussian noise is uniform, so that they come from the counter that all noise comes from.
    """
    noise, _ = view.noise(name, cases, (count,), epoch)
    return np.mod(np.angle(noise.astype(np.complex128)) / (2 * np.pi), 1.0)


def _groups(view: SplitView, users: int, *, near: bool, permutation: int) -> NDArray[np.int64]:
    key = noise_key(view.seed, view.spec.identity(), view.split, "groups", permutation)
    rng = np.random.Generator(np.random.Philox(key=key))
    order, areas = rng.permutation(view.size), _areas(view)
    if areas is None:
        return _cut(view, order, users, near=near)
    if users > (most := int(np.bincount(areas).max())):
        raise RequestError("users", expected=f"at most {most}, the users of an area of {view.split}", got=users)
    wanted, found = view.size // users, np.zeros((0, users), np.int64)
    while len(found) < wanted:
        own = [_cut(view, order[areas[order] == area], users, near=near) for area in np.unique(areas)]
        found = np.concatenate([found, rng.permutation(np.concatenate(own))])[:wanted]
        order = rng.permutation(view.size)
    return found


def _cut(view: SplitView, order: NDArray[np.int64], users: int, *, near: bool) -> NDArray[np.int64]:
    """Disjoint groups of these users, ``[groups, users]``."""
    if not near:
        return order[: len(order) // users * users].reshape(-1, users)
    return order[_nearest(_direction_deg(view)[order], users)]


def _areas(view: SplitView) -> NDArray[np.int64] | None:
    """The area of each user, ``[samples]``, where the source has areas."""
    if "ue_position" not in view.variables:
        return None
    return view.memo("areas", lambda: view.spec.source.areas(view.array("ue_position")))


def _nearest(direction_deg: NDArray[np.float64], users: int) -> NDArray[np.int64]:
    """Positions of greedy groups: the first who is left, with the others whose directions differ least from theirs."""
    left, found = np.arange(len(direction_deg)), []
    while len(left) >= users:
        apart = np.abs(np.mod(direction_deg[left] - direction_deg[left[0]] + 180, 360) - 180)
        chosen = np.argsort(apart, kind="stable")[:users]
        found.append(left[chosen])
        left = np.delete(left, chosen)
    return np.array(found, dtype=np.int64).reshape(-1, users)


def _direction_deg(view: SplitView) -> NDArray[np.float64]:
    """Azimuth at which the strongest path of each user leaves the base station; of its position, where the source
    does not say, ``[samples]``."""
    if DIRECTIONS[0] in view.variables:
        return view.array(DIRECTIONS[0]).astype(np.float64)
    x, y = view.array("ue_position")[:, :2].astype(np.float64).T
    return np.degrees(np.arctan2(y, x))
