"""Clouds in files that other programs open: PLY and GLB. `invert3d.data.clouds` reads them back."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from invert3d.data.clouds import BALLS
from invert3d.ops.files import write_bytes
from invert3d.view.camera import checked_points, to_z_up
from invert3d.view.raster import point_colors
from invert3d.view.style import checked_ending

_RADIUS = 0.02  # of a ball, in the unit of the points


def write_ply(path: str | Path, points: np.ndarray, colors: np.ndarray | None = None) -> Path:
    """Write a cloud (N, 3) and its colors (N, 3) uint8, if any, as binary PLY, and return the path; folders are made.

    Raises:
        ValueError: the name does not end in .ply, a shape is wrong, or a number is not finite.
    """
    import trimesh
    from trimesh.exchange.ply import export_ply

    path = checked_ending(path, ".ply")
    points = checked_points(points)
    paint = None if colors is None else point_colors(points, colors=colors)
    return write_bytes(path, export_ply(trimesh.PointCloud(points, paint)))


def write_glb(path: str | Path, points: np.ndarray, *, up: Literal["z", "y"] = "z") -> Path:
    """Write a cloud as GLB, each point a small ball, height on the map, and return the path; folders are made.

    Balls and not a point primitive, since viewers draw those one pixel wide or not at all. glTF is y up by
    definition, so a cloud with z up is turned; `data.clouds.read_points` turns it back.

    Args:
        path: a name that ends in .glb.
        points: (N, 3), at most 50,000: a ball takes 600 bytes.
        up: the axis that points up in `points`.

    Raises:
        ValueError: the name ends otherwise, a shape is wrong, a number is not finite, or there are too many points.
    """
    import trimesh
    from trimesh.exchange.gltf import export_glb

    path = checked_ending(path, ".glb")
    points = checked_points(points)
    if len(points) > 50_000:
        raise ValueError(f"points: got {len(points)}, accepted in GLB are up to 50000; write_ply takes any number")
    paint = _linear(point_colors(points, up=up))
    ball = trimesh.creation.icosahedron()
    upright = to_z_up(to_z_up(points, up), "y", inverse=True)
    mesh = trimesh.Trimesh(
        vertices=(upright[:, None] + ball.vertices * _RADIUS).reshape(-1, 3),
        faces=(np.arange(len(points))[:, None, None] * len(ball.vertices) + ball.faces).reshape(-1, 3),
        vertex_colors=np.repeat(paint, len(ball.vertices), axis=0),
        vertex_normals=np.tile(ball.vertices, (len(points), 1)),
        process=False,
    )
    scene = trimesh.Scene()
    scene.add_geometry(mesh, node_name=BALLS, geom_name=BALLS)
    return write_bytes(path, export_glb(scene, include_normals=True, tree_postprocessor=_dull))


def _dull(tree: dict[str, Any]) -> None:
    """Give every mesh of a glTF tree a plain material: without one it is metal, and black in most viewers."""
    tree["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 0.7}}]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0


def _linear(colors: np.ndarray) -> np.ndarray:
    """sRGB to the linear light that glTF wants in vertex colors, both uint8."""
    values = colors / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.rint(linear * 255).astype(np.uint8)
