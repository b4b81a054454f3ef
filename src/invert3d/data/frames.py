"""Which files KITTI's object data consist of, where to get them, and which frames a folder has."""

from pathlib import Path

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
    root = Path(root).expanduser()
    for folder in (root / "training", root):
        if any((folder / what).is_dir() for what in ("label_2", "image_2")):
            return folder
    found = "there is no such folder" if not root.is_dir() else "it has no training/label_2 and no training/image_2"
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
        ValueError: there is no such list, or it is empty.
    """
    folders = [place / "ImageSets" for place in (folder, folder.parent)]
    for each in folders:
        if (path := each / f"{split}.txt").is_file():
            if frames := path.read_text().split():
                return frames
            raise ValueError(f"{path}: an empty list, expected frames, one a line, e.g. 000007")
    if known := sorted({path.stem for each in folders for path in each.glob("*.txt")}):
        raise ValueError(unknown("split", split, known))
    absent = f"split: there is no {folders[1] / split}.txt"
    raise ValueError(f"{absent}; write it, a frame a line, or take it from a detector's code (KITTI has none)")


def existing_file(path: Path, what: str) -> Path:
    """A path that is a file. Raises ValueError saying which download has it."""
    if path.is_file():
        return path
    raise ValueError(f"there is no file {path}; KITTI's are in {FILES[what][1]}: {WHERE}")
