"""A scene of the tests' own: flat ground and square houses."""

from __future__ import annotations

from pathlib import Path

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (1, 5, 7, 3), (0, 2, 6, 4)]


def write_scene(folder: Path, *, material: str = "concrete", side_m: float = 400.0) -> Path:
    """Ground around the origin, a house of 20 m on the origin and one beside it; the path of its XML file."""
    half = side_m / 2
    ground = [(-half, -half, 0.0), (half, -half, 0.0), (half, half, 0.0), (-half, half, 0.0)]
    _write_ply(folder / "ground.ply", ground, [(0, 1, 2), (0, 2, 3)])
    houses: list[tuple[float, float, float]] = []
    faces: list[tuple[int, int, int]] = []
    for x, y in ((-10.0, -10.0), (40.0, -50.0)):
        first = len(houses)
        houses += [(x + 20 * a, y + 20 * b, 12.0 * c) for a, b, c in CORNERS]
        for a, b, c, d in FACES:
            faces += [(first + a, first + b, first + c), (first + a, first + c, first + d)]
    _write_ply(folder / "houses.ply", houses, faces)
    shapes = "".join(
        f'<shape type="ply" id="{name}"><string name="filename" value="{name}.ply"/>'
        '<boolean name="face_normals" value="true"/><ref id="stone" name="bsdf"/></shape>'
        for name in ("ground", "houses")
    )
    file = folder / "village.xml"
    file.write_text(
        f'<scene version="2.1.0"><bsdf type="itu-radio-material" id="stone"><string name="type" value="{material}"/>'
        f'<float name="thickness" value="0.3"/></bsdf>{shapes}</scene>'
    )
    return file


def _write_ply(file: Path, points: list[tuple[float, float, float]], faces: list[tuple[int, int, int]]) -> None:
    lines = ["ply", "format ascii 1.0", f"element vertex {len(points)}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    lines += [" ".join(map(str, point)) for point in points]
    lines += [" ".join(map(str, (3, *face))) for face in faces]
    file.write_text("\n".join(lines) + "\n")
