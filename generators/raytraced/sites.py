"""The scenes that come along, and where a base station stands in each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CITIES", "SITES", "Site"]


@dataclass(frozen=True)
class Site:
    """Where a base station stands.

    Attributes:
        x, y: In the scene, m.
        azimuth_deg: Where it faces, counterclockwise from the scene's +x.
    """

    x: float
    y: float
    azimuth_deg: float


SITES = {
    "munich": Site(79.0, 177.1, 300.0),
    "florence": Site(291.3, 250.0, 330.0),
    "etoile": Site(-36.8, 151.9, 240.0),
    "san_francisco": Site(191.8, -178.0, 60.0),
    "simple_street_canyon": Site(-82.0, -8.3, 30.0),
    "rural": Site(0.0, 0.0, 0.0),
}
"""On roofs or in streets that 24 m, or 9 m in the street canyon, are above; each sees many streets of its sector, and
more that it does not see."""

CITIES = ("munich", "florence", "etoile", "san_francisco")
"""Those whose buildings are OpenStreetMap's."""
