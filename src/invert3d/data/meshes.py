"""Triangle meshes, and what else lies in their files, read by trimesh."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invert3d.data.files import bad_file, reading

if TYPE_CHECKING:
    import trimesh

MESHES = (".off", ".obj", ".stl", ".ply", ".glb")


def read_geometry(path: str | Path) -> list[Any]:
    """The meshes and clouds of a mesh file, in its own units and frame, placed as the file places them.

    Accepted are .off .obj .stl .ply .glb, OFF also with ModelNet's header `OFF123 456 0` on one line. No other file
    (texture, material) is opened.

    Raises:
        BadFile: the file cannot be read, has no vertices, faces of absent vertices, or numbers that are not finite.
    """
    import trimesh

    kind = Path(path).suffix.lower()
    with reading(path, f"a mesh or a cloud in a {kind} file") as file:
        data = file.read_bytes()
        if kind == ".off":
            data = data.lstrip()
            if not data.startswith(b"OFF"):
                raise bad_file(file, f"found a file that starts with {data[:12]!r}, expected an OFF mesh")
            data = b"OFF\n" + data[3:].lstrip()
        options: dict[str, Any] = {"skip_materials": True} if kind in (".obj", ".ply") else {}
        scene = trimesh.load_scene(io.BytesIO(data), file_type=kind[1:], process=False, **options)
        found: list[Any] = [part for part in scene.dump() if len(getattr(part, "vertices", ()))]
        if not found:
            raise bad_file(file, "holds no points, accepted is a mesh or a cloud")
        for part in found:
            faces = np.asarray(getattr(part, "faces", ()), dtype=np.int64).reshape(-1, 3)
            if part.vertices.shape[1:] != (3,) or not np.isfinite(part.vertices).all():
                raise bad_file(file, f"found vertices {part.vertices.shape} that are not x, y, z, or not finite")
            if len(faces) and not 0 <= faces.min() <= faces.max() < len(part.vertices):
                raise bad_file(file, "found faces of absent vertices")
    return found


def joined(parts: list[Any], path: str | Path) -> "trimesh.Trimesh | None":
    """The meshes among what a file holds as one; None if there are only clouds. BadFile if no triangle has an area."""
    import trimesh

    meshes = [part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not meshes:
        return None
    mesh: Any = trimesh.util.concatenate(meshes) if len(meshes) > 1 else meshes[0]
    if not mesh.area > 0:
        raise bad_file(path, f"found {len(mesh.faces)} faces without area, accepted is a surface with area")
    return mesh


def read_mesh(path: str | Path) -> "trimesh.Trimesh":
    """The triangles of a mesh file as one mesh, see `read_geometry`.

    Raises:
        BadFile: as `read_geometry`, or there is no triangle, or none has an area.
    """
    mesh = joined(read_geometry(path), path)
    if mesh is None:
        raise bad_file(path, "holds no triangles, accepted is a mesh with faces; a cloud has no inside")
    return mesh


def voxel_mesh(grid: np.ndarray) -> "trimesh.Trimesh":
    """The faces of the filled voxels of a grid (D, H, W), indexed [x, y, z], that border on empty ones.

    Voxels have edges of length 1; the mesh is closed, its normals point outward. Raises ValueError for an empty grid.
    """
    import trimesh

    filled = np.pad(np.asarray(grid) != 0, 1)
    if not filled.any():
        raise ValueError("an empty grid has no surface")
    corners = []
    for axis in range(3):
        for side in (0, 1):
            exposed = filled & ~np.roll(filled, 1 - 2 * side, axis)
            first, second = (axis + 1) % 3, (axis + 2) % 3
            turn = [(0, 0), (1, 0), (1, 1), (0, 1)]  # counterclockwise, seen from the far end of the axis
            offsets = np.zeros((4, 3))
            offsets[:, axis] = side
            offsets[:, [first, second]] = turn if side else turn[::-1]
            corners.append((np.argwhere(exposed) - 1)[:, None] + offsets)
    quads = np.concatenate(corners)
    faces = np.arange(len(quads) * 4).reshape(-1, 4)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    return trimesh.Trimesh(quads.reshape(-1, 3), faces, process=True)
