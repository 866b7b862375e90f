"""Meshes as binary PLY, the same bytes for the same triangles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ply"]

_HEADER = """ply
format binary_little_endian 1.0
element vertex {vertices}
property float x
property float y
property float z
element face {faces}
property list uchar int vertex_indices
end_header
"""
_FACE = np.dtype([("count", "u1"), ("vertex", "<i4", 3)])


def ply(vertices: NDArray[np.float64], triangles: NDArray[np.int32]) -> bytes:
    """A mesh of float32 vertices ``[vertices, xyz]`` and triangles ``[triangles, 3]``."""
    faces = np.empty(len(triangles), _FACE)
    faces["count"], faces["vertex"] = 3, triangles
    header = _HEADER.format(vertices=len(vertices), faces=len(triangles)).encode()
    return header + np.ascontiguousarray(vertices, "<f4").tobytes() + faces.tobytes()
