"""Which files KITTI's object data consist of, where to get them, and which frames a folder has."""

from collections import Counter
from pathlib import Path

from invert3d.data.files import bad_file, in_folder, reading
from invert3d.ops.names import checked_name
from invert3d.registry import unknown

WHERE = "https://www.cvlibs.net/datasets/kitti/eval_object.php?obj_benchmark=3d"
#: folder, suffix and which of the downloads it is
FILES = {
    "image_2": (".png", "left color images, 12 GB"),
    "label_2": (".txt", "training labels, 5 MB"),
    "calib": (".txt", "camera calibration matrices, 16 MB"),
    "velodyne": (".bin", "Velodyne point clouds, 29 GB"),
}


def kitti_folder(root: str | Path) -> Path:
    """``root/training``, or root itself if it is one. ValueError if neither has images or labels."""
    with in_folder(root) as place:
        for folder in (place / "training", place):
            if any((folder / what).is_dir() for what in ("label_2", "image_2")):
                return folder
        lacks = "it has no training/label_2 and no training/image_2"
        found = lacks if place.is_dir() else "there is no such folder"
    raise ValueError(f"root: got {root}, {found}; expected KITTI's object data, get it: {WHERE}")


def all_frames(folder: Path) -> list[str]:
    """Every frame that has labels; where there are none, every image. ValueError if there are none either."""
    for what in ("label_2", "image_2"):
        found = sorted(path.stem for path in (folder / what).glob(f"*{FILES[what][0]}"))
        if found:
            return found
    raise ValueError(f"{folder}: neither labels (label_2/*.txt) nor images (image_2/*.png); get them: {WHERE}")


def listed_frames(folder: Path, split: str) -> list[str]:
    """The frames of ``ImageSets/<split>.txt``, in the folder or beside it.

    Raises:
        ValueError: there is no such list, or it is empty, names a frame twice or one that could lead out of the folder.
    """
    checked_name(split, "split")
    folders = [place / "ImageSets" for place in (folder, folder.parent)]
    for each in folders:
        with in_folder(each / f"{split}.txt") as path:
            if path.exists():
                return _frames_in(path)
    if known := sorted({path.stem for each in folders for path in each.glob("*.txt")}):
        raise ValueError(unknown("split", split, known))
    absent = f"split: there is no {folders[1] / split}.txt"
    raise ValueError(f"{absent}; write it, a frame a line, or take it from a detector's code (KITTI has none)")


def _frames_in(path: Path) -> list[str]:
    expected = "a list of frames, one a line, e.g. 000007"
    with reading(path, expected) as file:
        frames = file.read_text("utf-8").split()
        if not frames:
            raise bad_file(file, f"found an empty list, expected {expected}")
        frame, count = Counter(frames).most_common(1)[0]
        if count > 1:
            raise bad_file(file, f"found frame {frame} more than once, expected {expected}")
        return [checked_name(frame, f"frame {row}") for row, frame in enumerate(frames, 1)]


def download_of(what: str) -> str:
    """Which of KITTI's downloads has the files of a folder, to say what is expected."""
    return f"one of KITTI's {FILES[what][1]}: {WHERE}"
