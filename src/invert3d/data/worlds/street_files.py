"""Streets as files: KITTI's object layout, depth as 16-bit PNG."""

from pathlib import Path

import numpy as np
import torch

from invert3d.data.files import writing
from invert3d.data.kitti import Calibration, write_calibration, write_labels
from invert3d.data.worlds.lidar import TO_CAMERA
from invert3d.data.worlds.streets import Frame

#: share of the frames that are held out
HELD_OUT = 0.1
#: KITTI's P0 to P3: fourth columns in pixels at width 1242
_COLUMNS = {"P0": (0.0, 0.0, 0.0), "P1": (-387.57, 0.0, 0.0), "P3": (-339.52, 2.2, 0.0027)}
_IMU = np.array([[1.0, 0.0, 0.0, -0.81], [0.0, 1.0, 0.0, 0.32], [0.0, 0.0, 1.0, -0.8]])


def calibration_of(frame: Frame) -> Calibration:
    """The cameras and the LiDAR of a frame as KITTI's calibration: P0 to P3, no rectification, sensor positions."""
    projection = frame.layout.projection
    scale = projection.new_tensor([*[frame.layout.width / 1242] * 2, 1])
    columns = {name: projection.new_tensor(column) * scale for name, column in _COLUMNS.items()}
    others = {name: torch.cat([projection[:, :3], column[:, None]], 1) for name, column in columns.items()}
    return Calibration(
        projection=projection,
        projections={**others, "P2": projection},
        rectification=torch.eye(3).to(projection),
        velo_to_cam=torch.tensor(TO_CAMERA).to(projection),
        imu_to_velo=torch.tensor(_IMU).to(projection),
    )


def write_frame(folder: Path, name: str, frame: Frame, *, scan: bool, depth: bool) -> None:
    """Write image, labels and calibration of a frame below ``folder``/training, on demand scan and depth (1/256 m)."""
    from PIL import Image

    place = folder / "training"
    with writing(place / "image_2" / f"{name}.png") as part:
        Image.fromarray(frame.image).save(part, compress_level=3)
    write_labels(place / "label_2" / f"{name}.txt", frame.layout)
    write_calibration(place / "calib" / f"{name}.txt", calibration_of(frame))
    if scan:
        with writing(place / "velodyne" / f"{name}.bin") as part:
            frame.scan.astype("<f4").tofile(part)
    if depth:
        far = np.where(np.isfinite(frame.depth), np.clip(frame.depth * 256, 1, 65535), 0)
        with writing(place / "depth_2" / f"{name}.png") as part:
            Image.fromarray(far.astype(np.uint16)).save(part)


def write_lists(folder: Path, names: list[str]) -> None:
    """Write the splits, the last tenth held out."""
    held = max(1, round(len(names) * HELD_OUT)) if len(names) > 1 else 0
    last = len(names) - held
    for split, chosen in {"train": names[:last], "val": names[last:], "trainval": names}.items():
        with writing(folder / "ImageSets" / f"{split}.txt") as part:
            part.write_text("".join(f"{name}\n" for name in chosen))
