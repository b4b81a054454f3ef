"""KITTI's object data: calibrations, labels and results, images and LiDAR scans, read and written.

What is not known is NaN in a ``Layout``; in the files it is -1 (truncation, occlusion, sizes), -10 (angles) or -1000
(centers). A DontCare region has a box in the picture and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from invert3d.data.files import BadFile, bad_file, reading, writing
from invert3d.data.frames import FILES, all_frames, download_of, kitti_folder, listed_frames
from invert3d.data.images import opened_image, read_image
from invert3d.ops.layouts import Layout, area
from invert3d.ops.names import checked_name
from invert3d.registry import unknown

#: what an object can be; a label file has DontCare regions besides
KINDS = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
#: the size of most of KITTI's images (height, width), and the focal length and center in them of its camera 2
USUAL_SIZE = (375, 1242)
USUAL_CAMERA = (721.5377, 609.5593, 172.854)

_COLUMNS = "type truncated occluded alpha left top right bottom height width length x y z rotation_y [score]"
#: columns of the matrices of a calibration file, of three rows each
_WIDTHS = {"P0": 4, "P1": 4, "P2": 4, "P3": 4, "R0_rect": 3, "Tr_velo_to_cam": 4, "Tr_imu_to_velo": 4}
#: other names that files give them
_ALIASES = {"R_rect": "R0_rect", "Tr_velo_cam": "Tr_velo_to_cam", "Tr_imu_velo": "Tr_imu_to_velo"}
#: how a label file says that something is not known, in the order of its columns
_ABSENT = {"truncations": -1, "occlusions": -1, "alphas": -10, "boxes": 0, "sizes": -1, "centers": -1000, "yaws": -10}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The cameras of a frame, as in its file.

    Attributes:
        projection: (3, 4) P2, of the left color camera: from rectified camera coordinates in meters to pixels.
        projections: all that the file has of P0 to P3.
        rectification: (3, 3) R0_rect, of camera 0. velo_to_cam: (3, 4) from the LiDAR to camera 0, not rectified.
        imu_to_velo: (3, 4) from the inertial unit to the LiDAR, if the file has it.
    """

    projection: Tensor
    projections: Mapping[str, Tensor]
    rectification: Tensor
    velo_to_cam: Tensor
    imu_to_velo: Tensor | None = None

    @classmethod
    def of(cls, projection: Tensor) -> "Calibration":
        """The calibration of a camera that nothing else is known of: a LiDAR at the same place, not rotated."""
        turned, same = projection.new_tensor([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]), torch.eye(3).to(projection)
        return cls(projection=projection, projections={"P2": projection}, rectification=same, velo_to_cam=turned)

    def points_in_camera(self, scan: Tensor | np.ndarray) -> Tensor:
        """Points (n, 3) in rectified camera coordinates, where the labels are, of a scan (n, 3 or more), in meters."""
        points = torch.as_tensor(scan)[:, :3].to(self.projection)
        return (points @ self.velo_to_cam[:, :3].T + self.velo_to_cam[:, 3]) @ self.rectification.T


def usual_projection(height: int, width: int) -> Tensor:
    """The projection (3, 4) of KITTI's color camera if its images were of this size: the same field of view to the
    sides, the horizon at the same share of the height, and no offset to another camera."""
    focal, across, down = USUAL_CAMERA
    scale = width / USUAL_SIZE[1]
    middle = down * height / USUAL_SIZE[0]
    return torch.tensor([[focal * scale, 0, across * scale, 0], [0, focal * scale, middle, 0], [0, 0, 1, 0]])


def read_calibration(path: str | Path, dtype: torch.dtype = torch.float32) -> Calibration:
    """The calibration in a file with lines ``P2:`` and twelve numbers, row by row. R0_rect and Tr_velo_to_cam are
    the identity if they are not there.

    Raises:
        ValueError: there is no such file, it has no P2, or a matrix has the wrong number of numbers.
    """
    found: dict[str, Tensor] = {}
    with reading(path, download_of("calib")) as file:
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            name, _, rest = line.partition(":")
            name = _ALIASES.get(name, name)
            if width := _WIDTHS.get(name):
                values = _numbers(rest.split(), f"{file}, line {number}: {name}")
                if len(values) != 3 * width:
                    raise BadFile(f"{file}, line {number}: {name} has {len(values)} numbers, expected {3 * width}")
                found[name] = torch.tensor(values, dtype=dtype).reshape(3, width)
    if "P2" not in found:
        have = ", ".join(found) or "no matrix at all"
        raise bad_file(path, f"found {have}, expected P2, the projection of the left color camera")
    return Calibration(
        projection=found["P2"],
        projections={name: value for name, value in sorted(found.items()) if name[0] == "P"},
        rectification=found.get("R0_rect", torch.eye(3, dtype=dtype)),
        velo_to_cam=found.get("Tr_velo_to_cam", torch.eye(3, 4, dtype=dtype)),
        imu_to_velo=found.get("Tr_imu_to_velo"),
    )


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write a calibration as KITTI does, making its folder. ``projection`` is P2 whatever ``projections`` says."""
    matrices = {
        **calibration.projections,
        "P2": calibration.projection,
        "R0_rect": calibration.rectification,
        "Tr_velo_to_cam": calibration.velo_to_cam,
        "Tr_imu_to_velo": calibration.imu_to_velo,
    }
    lines = [
        f"{name}: " + " ".join(f"{value:.12e}" for value in matrices[name].flatten().tolist())
        for name in _WIDTHS
        if matrices.get(name) is not None
    ]
    with writing(path) as part:
        part.write_text("\n".join(lines) + "\n")


def read_labels(path: str | Path, projection: Tensor, height: int, width: int) -> Layout:
    """The objects of a label file, or of a detector's result file (with a score at the end of each line).

    Numbers are as in the file and of the projection's type; DontCare regions are kept. Lengths in meters, angles in
    radians, boxes in pixels of the image whose size is given.

    Raises:
        ValueError: there is no such file, or a line has too few fields, a word for a number, or (in a label) a size
            that is not positive. The message names file and line.
    """
    kinds: list[str] = []
    rows: list[list[float]] = []
    with reading(path, download_of("label_2"), empty=True) as file:
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if line.strip():
                rows.append(_fields(line.split(), f"{file}, line {number}"))
                kinds.append(checked_name(line.split()[0], f"line {number}"))
    table = torch.tensor(rows, dtype=projection.dtype).reshape(-1, 15)
    return Layout(
        kinds=tuple(kinds),
        boxes=table[:, 3:7],
        sizes=table[:, 7:10],
        centers=table[:, 10:13],
        yaws=table[:, 13],
        alphas=table[:, 2],
        projection=projection,
        height=height,
        width=width,
        scores=table[:, 14],
        truncations=table[:, 0],
        occlusions=table[:, 1],
    )


def _fields(words: Sequence[str], where: str) -> list[float]:
    """The fifteen numbers of a line after its type, NaN for what is not known, and for the score of a label."""
    if len(words) not in (15, 16):
        raise BadFile(f"{where}: {len(words)} fields, expected 15, or 16 with a score: {_COLUMNS}")
    values = _numbers(words[1:], where)
    sizes, center = values[7:10], values[10:13]
    absent = words[0] == "DontCare" or center == [-1000.0] * 3 or sizes == [-1.0] * 3
    if not absent and min(sizes) <= 0 and len(words) == 15:  # a detection of no size overlaps nothing
        raise BadFile(f"{where}: height, width, length are {sizes}, expected more than 0 meters each")
    if absent:
        values[7:14] = [np.nan] * 7
    for column, mark in ((0, -1.0), (1, -1.0), (2, -10.0), (13, -10.0)):
        values[column] = np.nan if values[column] == mark else values[column]
    return values if len(words) == 16 else [*values, np.nan]


def write_labels(path: str | Path, layout: Layout) -> None:
    """Write a label file of 15 columns, or a result file of 16 if the objects have scores; makes its folder.

    Two decimals, as in KITTI's own, and four for scores. ValueError if some objects have scores and some have none.
    """
    scored = ~layout.scores.isnan()
    if bool(scored.any()) and not bool(scored.all()):
        raise ValueError(f"scores: {int(scored.sum())} of {len(layout)} objects have one, accepted are all or none")
    known = [getattr(layout, name).detach().double().cpu().nan_to_num(mark) for name, mark in _ABSENT.items()]
    table = torch.cat([part[:, None] if part.ndim == 1 else part for part in known], 1)
    lines = []
    for kind, row, score in zip(layout.kinds, table.tolist(), layout.scores.tolist(), strict=True):
        truncation = "-1" if row[0] < 0 else f"{row[0]:.2f}"
        words = [kind, truncation, str(round(row[1])), *(f"{value:.2f}" for value in row[2:])]
        lines.append(" ".join([*words, f"{score:.4f}"] if bool(scored.any()) else words))
    with writing(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines))


def check_visible(layout: Layout, source: str, kinds: Sequence[str] = KINDS) -> None:
    """Refuse a layout that no image can show; ``source`` is where it is from, ``kinds`` what may be in it.

    Raises:
        ValueError: an object is of another kind, has no box in space, is behind the camera or nearer than half a
            meter, or is outside the image. The message names the source and the object by its position, from 1.
    """
    whole = Layout.of(
        layout.kinds, layout.sizes, layout.centers, layout.yaws, layout.projection, layout.height, layout.width
    )
    seen = area(whole.boxes)
    for i, kind in enumerate(layout.kinds):
        where = f"{source}, object {i + 1} ({kind})"
        if kind == "DontCare":
            raise ValueError(f"{where}: a region in the picture and no object, leave it out")
        if kind not in kinds:
            raise ValueError(f"{where}: {unknown('kind', kind, kinds)}")
        size, (x, y, z) = layout.sizes[i], layout.centers[i].tolist()
        if not bool(torch.cat([size, layout.centers[i], layout.yaws[i : i + 1]]).isfinite().all()):
            raise ValueError(f"{where}: its size, center and yaw are not all known, expected a box in space")
        if float(size.min()) <= 0:
            raise ValueError(f"{where}: height, width, length are {size.tolist()}, expected more than 0 meters each")
        if z <= 0.5:
            raise ValueError(f"{where}: z is {z:.2f} m, expected more than 0.5 m (in front of the camera)")
        if float(seen[i]) <= 0:
            image = f"the image of {layout.height} x {layout.width} pixels"
            raise ValueError(f"{where}: at ({x:.2f}, {y:.2f}, {z:.2f}) m it is outside {image}")


class KittiFolder:
    """Frames of KITTI's object data set, or of anything in its layout.

    Args:
        root: the folder that has ``training``, or ``training`` itself (or ``testing``, which has no labels).
        split: the name of a list of frames, ``ImageSets/<split>.txt`` in the folder or beside it; by default all.
        dtype: of the layouts and calibrations.

    Raises:
        ValueError: there is no such folder or list.
    """

    def __init__(self, root: str | Path, split: str | None = None, dtype: torch.dtype = torch.float32) -> None:
        self.folder = kitti_folder(root)
        self.split = split
        self.dtype = dtype
        self.ids = all_frames(self.folder) if split is None else listed_frames(self.folder, split)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"KittiFolder({str(self.folder)!r}, split={self.split!r}): {len(self)} frames"

    def path(self, what: Literal["image_2", "label_2", "calib", "velodyne"], frame: str) -> Path:
        """Where a file of a frame is, or would be."""
        return self.folder / what / f"{frame}{FILES[what][0]}"

    def image(self, frame: str) -> np.ndarray:
        """The image of the left color camera, (H, W, 3) uint8 RGB. ValueError if it is absent or broken."""
        return read_image(self.path("image_2", frame), download_of("image_2"))

    def size(self, frame: str) -> tuple[int, int]:
        """Height and width of the image in pixels, from its header; most of KITTI's are (375, 1242)."""
        with opened_image(self.path("image_2", frame), download_of("image_2")) as picture:
            return picture.height, picture.width

    def calibration(self, frame: str) -> Calibration:
        """The cameras of a frame, see ``read_calibration``."""
        return read_calibration(self.path("calib", frame), self.dtype)

    def layout(self, frame: str) -> Layout:
        """The labels of a frame with its camera, see ``read_labels``."""
        return read_labels(self.path("label_2", frame), self.calibration(frame).projection, *self.size(frame))

    def scan(self, frame: str) -> np.ndarray:
        """The LiDAR scan (N, 4) float32: x forward, y left, z up in meters from the LiDAR, and reflectance 0 to 1."""
        with reading(self.path("velodyne", frame), download_of("velodyne")) as file:
            data = file.read_bytes()
            if len(data) % 16:
                raise bad_file(file, f"found {len(data)} bytes, expected 16 (four float32) a point")
            values = np.frombuffer(data, dtype="<f4").reshape(-1, 4).copy()
            if not np.isfinite(values).all():
                raise bad_file(file, "found NaN or infinity, expected finite numbers")
        return values


def _numbers(words: Sequence[str], where: str) -> list[float]:
    """Words as finite numbers."""
    values = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            raise BadFile(f"{where}: {word!r} is not a number") from None
        if not abs(value) < 1e30:  # a float32 holds no more
            raise BadFile(f"{where}: {word!r} is not a finite number")
        values.append(value)
    return values
