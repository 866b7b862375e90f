"""What tests that trace rays need of a machine."""

from __future__ import annotations

import pytest

from channelbench.errors import RequestError
from channelbench.generators.raytraced.llvm import usable


def require_tracer() -> None:
    """Skip the test where no LLVM compiles the ray tracer's kernels, with the line that users see."""
    try:
        usable()
    except RequestError as error:
        pytest.skip(str(error))
