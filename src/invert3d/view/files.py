"""Clouds in files that other programs open: PLY and GLB out; those, PCD, meshes, NumPy and text in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from invert3d.view.camera import checked_points, to_z_up
from invert3d.view.raster import point_colors

if TYPE_CHECKING:
    pass

_BALLS = "invert3d-balls"  # the name of the mesh in our own GLB files, by which the points are found again
_MESHES = (".off", ".obj", ".stl", ".ply", ".glb")
_READABLE = (".glb", ".npy", ".npz", ".obj", ".off", ".pcd", ".ply", ".stl", ".txt", ".xyz")
_PCD_KINDS = {"F": "f", "I": "i", "U": "u"}


def write_ply(path: str | Path, points: np.ndarray, colors: np.ndarray | None = None) -> Path:
    """Write a cloud as binary PLY and return the path; folders are made.

    Args:
        path: a name that ends in .ply.
        points: (N, 3), kept as float32.
        colors: (N, 3) uint8; by default there are none in the file.

    Raises:
        ValueError: the name ends otherwise, a shape is wrong, or a number is not finite.
    """
    path = _target(path, ".ply")
    points = checked_points(points).astype("<f4")
    lines = ["ply", "format binary_little_endian 1.0", "comment invert3d", f"element vertex {len(points)}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    fields: list[tuple[str, str, int]] = [("place", "<f4", 3)]
    if colors is not None:
        lines += [f"property uchar {channel}" for channel in ("red", "green", "blue")]
        fields.append(("color", "u1", 3))
    body = np.empty(len(points), np.dtype(fields))
    body["place"] = points
    if colors is not None:
        body["color"] = point_colors(points, colors=colors)
    path.write_bytes("\n".join([*lines, "end_header", ""]).encode("ascii") + body.tobytes())
    return path


def write_glb(
    path: str | Path,
    points: np.ndarray,
    colors: np.ndarray | None = None,
    *,
    radius: float = 0.02,
    up: Literal["z", "y"] = "z",
) -> Path:
    """Write a cloud as GLB, each point a small ball, and return the path; folders are made.

    Balls and not a point primitive, since viewers draw those one pixel wide or not at all. glTF is y up by
    definition, so a cloud with z up is turned; `read_points` turns it back.

    Args:
        path: a name that ends in .glb.
        points: (N, 3), at most 50,000: a ball takes 600 bytes.
        colors: (N, 3) uint8; by default height on the sequential map.
        radius: of a ball, in the unit of the points.
        up: the axis that points up in `points`.

    Raises:
        ValueError: the name ends otherwise, a shape is wrong, a number is not finite, or there are too many
            points.
    """
    import trimesh
    from trimesh.exchange.gltf import export_glb

    path = _target(path, ".glb")
    points = checked_points(points)
    if len(points) > 50_000:
        raise ValueError(f"points: got {len(points)}, accepted in GLB are up to 50000; write_ply takes any number")
    if not 0 < radius < np.inf:
        raise ValueError(f"radius: got {radius}, accepted is a positive number")
    paint = _linear(point_colors(points, colors=colors, up=up))
    ball = trimesh.creation.icosahedron()
    corners, sides = ball.vertices * radius, ball.faces
    upright = to_z_up(to_z_up(points, up), "y", inverse=True)
    mesh = trimesh.Trimesh(
        vertices=(upright[:, None] + corners).reshape(-1, 3),
        faces=(np.arange(len(points))[:, None, None] * len(corners) + sides).reshape(-1, 3),
        vertex_colors=np.repeat(paint, len(corners), axis=0),
        vertex_normals=np.tile(corners / radius, (len(points), 1)),
        process=False,
    )
    scene = trimesh.Scene()
    scene.add_geometry(mesh, node_name=_BALLS, geom_name=_BALLS)
    path.write_bytes(export_glb(scene, include_normals=True, tree_postprocessor=_dull))
    return path


def read_points(
    path: str | Path, count: int | None = None, *, seed: int = 0, up: Literal["z", "y"] = "z"
) -> np.ndarray:
    """Read the points of a file, (N, 3) float32, z up.

    Accepted are .ply .glb .obj .stl .off (mesh or cloud), .pcd (text or binary), .npy and .npz (an array (N,
    3), or wider with x, y, z first; in .npz the one called "points", or the only one that fits), .xyz and
    .txt (a point a line, numbers parted by spaces or commas).

    Args:
        path: the file.
        count: how many points to return: sampled evenly from the surface of a mesh, or drawn from a cloud
            without repeats. By default all points of the file, which for a mesh are its vertices.
        seed: fixes the sample.
        up: the axis that points up in the file; for .glb it is always y.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the kind is unknown, there are no points in it, or fewer than `count`.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in _READABLE:
        raise ValueError(f"path: got {path.name!r}, accepted are files ending in {', '.join(_READABLE)}")
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {path}")
    if count is not None and count < 1:
        raise ValueError(f"count: got {count}, accepted is at least 1")
    if kind in _MESHES:
        points = _from_mesh(path, count, seed)
    elif kind == ".pcd":
        points = _from_pcd(path)
    else:
        points = _columns(_array(path, kind), path.name)
    points = checked_points(points, path.name)
    if count is not None and len(points) != count:
        if len(points) < count:
            raise ValueError(f"count: got {count}, but {path.name} is a cloud of {len(points)} points")
        points = points[np.sort(np.random.default_rng(seed).choice(len(points), count, replace=False))]
    return to_z_up(points, "y" if kind == ".glb" else up).astype(np.float32)


def _target(path: str | Path, kind: str) -> Path:
    """The path to write to, with its folder made."""
    path = Path(path)
    if path.suffix.lower() != kind:
        raise ValueError(f"path: got {path.name!r}, accepted is a name that ends in {kind}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _dull(tree: dict[str, Any]) -> None:
    """Give every mesh of a glTF tree a plain material: without one it is metal, and black in most viewers."""
    tree["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 0.7}}]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0


def _linear(colors: np.ndarray) -> np.ndarray:
    """sRGB to the linear light that glTF wants in vertex colors, both uint8."""
    values = colors / 255
    return np.rint(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) * 255).astype(
        np.uint8
    )


def _from_mesh(path: Path, count: int | None, seed: int) -> np.ndarray:
    """Vertices or a surface sample of whatever trimesh reads; the centers of the balls of our own GLB."""
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
    except Exception as error:
        raise ValueError(f"{path.name}: not readable as {path.suffix}: {error}") from error
    if _BALLS in scene.geometry:
        return np.asarray(scene.geometry[_BALLS].vertices).reshape(-1, 12, 3).mean(axis=1)
    parts: list[Any] = [part for part in scene.dump() if len(getattr(part, "vertices", ()))]
    if not parts:
        raise ValueError(f"{path.name}: holds no points, accepted is a mesh or a cloud")
    if count is not None and any(len(getattr(part, "faces", ())) for part in parts):
        mesh: Any = trimesh.util.concatenate([part for part in parts if len(getattr(part, "faces", ()))])
        return np.asarray(trimesh.sample.sample_surface(mesh, count, seed=seed)[0])
    return np.concatenate([np.asarray(part.vertices) for part in parts])


def _array(path: Path, kind: str) -> np.ndarray:
    """The array in a NumPy or text file."""
    if kind == ".npy":
        return np.load(path, allow_pickle=False)
    if kind == ".npz":
        with np.load(path, allow_pickle=False) as pack:
            fitting = [name for name in pack.files if pack[name].ndim == 2 and pack[name].shape[1] >= 3]
            if "points" not in fitting and len(fitting) != 1:
                shapes = ", ".join(f"{name} {pack[name].shape}" for name in pack.files)
                raise ValueError(f"{path.name}: got {shapes}; accepted is 'points' (N, 3) or a single (N, >= 3) array")
            return pack["points" if "points" in fitting else fitting[0]]
    text = path.read_text("utf-8").replace(",", " ")
    try:
        return np.array(
            [line.split() for line in text.splitlines() if line.strip() and line[0] not in "#/"], np.float64
        )
    except ValueError as error:
        raise ValueError(f"{path.name}: accepted is one point a line, numbers parted by spaces or commas") from error


def _columns(array: np.ndarray, name: str) -> np.ndarray:
    """The first three columns."""
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name}: got {array.shape} {array.dtype}, accepted are (N, 3) numbers or wider, x, y, z first"
        )
    return array[:, :3]


def _from_pcd(path: Path) -> np.ndarray:
    """x, y, z of a point cloud library file, as text or plain binary; points without a place are left out."""
    data = path.read_bytes()
    end = data.find(b"\nDATA ")
    start = data.find(b"\n", end + 1) + 1
    if end < 0 or start == 0:
        raise ValueError(f"{path.name}: got no DATA line, accepted is a PCD file")
    lines = [line.split() for line in data[:start].decode("ascii", "replace").splitlines() if line and line[0] != "#"]
    head = {words[0]: words[1:] for words in lines if words}
    names, way = head.get("FIELDS", []), head["DATA"][0]
    if not {"x", "y", "z"} <= set(names):
        raise ValueError(f"{path.name}: got fields {' '.join(names)}, accepted are those with x, y and z")
    if way == "ascii":
        rows = np.array(
            [line.split() for line in data[start:].decode("ascii").splitlines() if line.strip()], np.float64
        )
        points = rows[:, [names.index(axis) for axis in "xyz"]]
    elif way == "binary":
        counts = [int(number) for number in head.get("COUNT", ["1"] * len(names))]
        kinds = [f"<{_PCD_KINDS[kind]}{size}" for kind, size in zip(head["TYPE"], head["SIZE"], strict=True)]
        record = np.dtype(
            [
                (f"{name}{place}", kind, (number,))
                for place, (name, kind, number) in enumerate(zip(names, kinds, counts, strict=True))
            ]
        )
        rows = np.frombuffer(data, record, count=int(head["POINTS"][0]), offset=start)
        points = np.concatenate([rows[f"{axis}{names.index(axis)}"] for axis in "xyz"], axis=1).astype(np.float64)
    else:
        raise ValueError(f"{path.name}: got DATA {way}, accepted are ascii and binary")
    return points[np.isfinite(points).all(axis=1)]
