"""Point clouds: from files, drawn on a surface, moved to the unit sphere, turned from y up to z up."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from invert3d.data.arrays import ARRAYS, read_arrays
from invert3d.data.files import bad_file, reading
from invert3d.data.meshes import MESHES, joined, read_geometry

if TYPE_CHECKING:
    import trimesh

Up = Literal["y", "z"]

#: the name of the mesh in the GLB files of `view.files`, a ball a point, by which the points are found again
BALLS = "invert3d-balls"
CLOUDS = (*MESHES, ".pcd", *(kind for kind in ARRAYS if kind != ".mat"))
_PCD_KINDS = {"F": "f", "I": "i", "U": "u"}
_SIGNS = {("z", "y"): (1, 1, -1), ("y", "z"): (1, -1, 1)}


def normalize_unit_sphere(points: np.ndarray) -> np.ndarray:
    """Clouds (..., N, 3) moved to their mean and divided by the largest distance from it: float32 in the unit sphere.

    Coordinates may be large (UTM): centers are subtracted in double precision.

    Raises:
        ValueError: `points` has another shape or a value that is not finite, or a cloud's points all coincide.
    """
    cloud = np.asarray(points, dtype=np.float64)
    if cloud.ndim < 2 or cloud.shape[-1] != 3 or cloud.shape[-2] < 1:
        raise ValueError(f"points: got shape {cloud.shape}, accepted is (..., N >= 1, 3)")
    if not np.isfinite(cloud).all():
        raise ValueError("points: got values that are not finite, accepted are finite ones")
    if coincide(cloud):
        raise ValueError(f"points: got {cloud.shape[-2]} that all coincide, accepted is a cloud with an extent")
    cloud = cloud - cloud.mean(axis=-2, keepdims=True)
    radius = np.linalg.norm(cloud, axis=-1).max(axis=-1)[..., None, None]
    return (cloud / np.maximum(radius, 1e-300)).astype(np.float32)


def coincide(points: np.ndarray) -> bool:
    """If all points of one of the clouds (..., N > 1, 3) are at the same place, up to the rounding of float64."""
    extent = np.ptp(points, axis=-2).max(axis=-1)
    rounding = 8 * np.finfo(np.float64).eps * np.abs(points).max(axis=(-2, -1))
    return points.shape[-2] > 1 and bool((extent <= rounding).any())


def check_counts(**counts: int | None) -> None:
    """Refuse numbers below 1, or a seed below 0; the ValueError names it. None is no number to check."""
    for name, value in counts.items():
        if value is not None and value < (least := 0 if name == "seed" else 1):
            raise ValueError(f"{name}: got {value}, accepted is at least {least}")


def sample_cloud(mesh: "trimesh.Trimesh", points: int, rng: np.random.Generator, normals: bool = False) -> np.ndarray:
    """``surface_spots`` in the unit sphere, (points, 3) float32, or (points, 6) with the unit normals."""
    spots, unit = surface_spots(mesh, points, rng)
    cloud = normalize_unit_sphere(spots)
    return np.concatenate([cloud, unit], axis=1) if normals else cloud


def surface_spots(mesh: "trimesh.Trimesh", points: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (points, 3) float64 spread evenly over a mesh, in its own unit, and their unit normals, float32.

    Raises:
        ValueError: `points` < 1, or the mesh has no area.
    """
    check_counts(points=points)
    corners = np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    if not area.sum() > 0:
        raise ValueError(f"mesh: got {len(corners)} faces without area, accepted is a surface with area")
    total = np.cumsum(area)
    chosen = np.searchsorted(total, rng.random(points) * total[-1], side="right").clip(max=len(area) - 1)
    root, along = np.sqrt(rng.random((points, 1))), rng.random((points, 1))
    a, b, c = (corners[chosen, k] for k in range(3))
    unit = (cross[chosen] / np.maximum(area[chosen, None], 1e-30)).astype(np.float32)
    return (1 - root) * a + root * (1 - along) * b + root * along * c, unit


def to_up(points: np.ndarray, source: Up, target: Up, *, mirror: bool = False) -> np.ndarray:
    """Points (..., 3), or with normals (..., 6), from the frame in which `source` points up to that of `target`.

    The rotation takes (x, y, z) to (x, z, -y) from z up to y up, and back to (x, -z, y). With `mirror` it is
    the swap (x, z, y) both ways: what ModelNet's HDF5 and text releases did to the meshes.

    Raises:
        ValueError: an axis is neither "y" nor "z", or the last dimension is neither 3 nor 6.
    """
    for name, axis in (("source", source), ("target", target)):
        if axis not in ("y", "z"):
            raise ValueError(f"{name}: got {axis!r}, accepted are 'y' and 'z'")
    if points.ndim < 1 or points.shape[-1] not in (3, 6):
        raise ValueError(f"points: got shape {points.shape}, accepted is (..., 3) or (..., 6)")
    if source == target:
        return points
    signs = np.array((1, 1, 1) if mirror else _SIGNS[source, target], dtype=points.dtype)
    triples = points.reshape(*points.shape[:-1], -1, 3)
    return (triples[..., [0, 2, 1]] * signs).reshape(points.shape)


def read_points(path: str | Path, count: int | None = None, *, seed: int = 0, up: Up = "z") -> np.ndarray:
    """The points of a file, (N, 3) float64 in the unit of the file, z up.

    Accepted are .ply .glb .obj .stl .off (mesh or cloud), .pcd (text or binary), .npy and .npz (an array (N, 3), or
    wider with x, y, z first; in .npz the one called "points", or the only one that fits), .xyz and .txt (a point a
    line, numbers parted by spaces or commas).

    Args:
        path: the file.
        count: how many points to sample evenly from a mesh, or to draw from a cloud without repeats; by default all
            points of the file, which for a mesh are its vertices. The seed fixes which.
        up: the axis that points up in the file; for .glb it is always y.

    Raises:
        ValueError: `count` or `up` is out of range.
        BadFile: the file cannot be read, it has no points or fewer than `count`, they are not finite, or all at the
            same place.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in CLOUDS:
        raise bad_file(path, f"accepted are files ending in {', '.join(CLOUDS)}")
    check_counts(count=count)
    if kind in MESHES:
        points = _from_mesh(path, count, seed)
    elif kind == ".pcd":
        points = _from_pcd(path)
    else:
        points = _columns(read_arrays(path), path)
    if len(points) < 2 or coincide(points):
        found = f"{len(points)} points that all coincide" if len(points) > 1 else f"{len(points)} points"
        raise bad_file(path, f"found {found}, accepted is a cloud with an extent")
    if count is not None and len(points) != count:
        if len(points) < count:
            raise bad_file(path, f"found a cloud of {len(points)} points, count asks for {count}")
        points = points[np.sort(np.random.default_rng(seed).choice(len(points), count, replace=False))]
    return to_up(points, "y" if kind == ".glb" else up, "z")


def _from_mesh(path: Path, count: int | None, seed: int) -> np.ndarray:
    """Vertices or a surface sample of a mesh; the centers of the balls of our own GLB."""
    import trimesh

    parts = read_geometry(path)
    for part in parts:
        if part.metadata.get("name") == BALLS and len(part.vertices) % 12 == 0:
            return np.asarray(part.vertices).reshape(-1, 12, 3).mean(axis=1)
    if count is None or (mesh := joined(parts, path)) is None:
        return np.concatenate([np.asarray(part.vertices, dtype=np.float64) for part in parts])
    return np.asarray(trimesh.sample.sample_surface(mesh, count, seed=seed)[0])


def _columns(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    """x, y, z of the array that is a cloud."""
    wide = [name for name, each in arrays.items() if each.ndim == 2 and each.shape[1] >= 3]
    fitting = [name for name in wide if arrays[name].dtype.kind in "fiu"]
    if "points" not in fitting and len(fitting) != 1:
        shapes = ", ".join(f"{name} {each.shape} {each.dtype}" for name, each in arrays.items())
        raise bad_file(path, f"found {shapes}; accepted is 'points' (N, 3) or a single array (N, >= 3), x, y, z first")
    return arrays["points" if "points" in fitting else fitting[0]][:, :3].astype(np.float64)


def _from_pcd(path: Path) -> np.ndarray:
    """x, y, z of a point cloud library file, as text or plain binary; points without a place are left out."""
    with reading(path, "a PCD file with x, y and z, DATA ascii or binary") as file:
        data = file.read_bytes()
        start = data.find(b"\n", data.find(b"\nDATA ") + 1) + 1
        lines = [line.split() for line in data[:start].decode("ascii", "replace").splitlines() if line[:1] != "#"]
        head = {words[0]: words[1:] for words in lines if words}
        names, way = head["FIELDS"], head["DATA"][0]
        if way not in ("ascii", "binary"):
            raise bad_file(file, f"found DATA {way}, accepted are ascii and binary")
        total = int(head["POINTS"][0])
        columns = [names.index(axis) for axis in "xyz"]
        if way == "ascii":
            rows = [line.split() for line in data[start:].decode("ascii").splitlines() if line.strip()]
            points = np.array(rows, np.float64)[:, columns]
        else:
            fields = zip(head["TYPE"], head["SIZE"], head.get("COUNT", ["1"] * len(names)), strict=True)
            record = [(f"f{i}", f"<{_PCD_KINDS[kind]}{size}", (int(n),)) for i, (kind, size, n) in enumerate(fields)]
            rows = np.frombuffer(data, np.dtype(record), count=total, offset=start)
            points = np.concatenate([rows[f"f{column}"][:, :1] for column in columns], axis=1).astype(np.float64)
        if len(points) != total:
            raise bad_file(file, f"found {len(points)} of the {total} points that it announces")
    return points[np.isfinite(points).all(axis=1)]
