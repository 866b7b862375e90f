"""Everything that drawing a block imports: loaded once, before worker processes are forked."""

from channelbench.generators import _evaluate_fast, _groups, _own_rays, _paths, _rays, _statistics  # noqa: F401
from channelbench.generators._loading import load_sionna

load_sionna()

import sionna.phy.channel.tr38901  # noqa: E402, F401
import xarray  # noqa: E402, F401
