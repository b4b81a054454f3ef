"""Compute the average precision of a detector's result files by KITTI's rules."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from invert3d.cli.options import Folder, NewFile, PlainName
from invert3d.cli.show import print_table

if TYPE_CHECKING:
    from invert3d.ops.layouts import Layout


def evaluate_kitti(
    found: Folder,
    *,
    root: Folder,
    split: PlainName | None = None,
    points: Literal[40, 11] = 40,
    loose: bool = False,
    interpolate: bool = False,
    out: NewFile | None = None,
) -> None:
    """Compute average precision from result files by KITTI's rules: 2-D, orientation, bird's eye view and 3-D.

    Args:
        found: A folder of result files, 000000.txt and so on, or a folder that has them in data. An empty file
            means that nothing was detected.
        root: KITTI's object data, or a folder of the same layout; only its label_2 is read.
        split: The name of a list of frames, val for ImageSets/val.txt; by default the frames that have a result file.
        points: Recall points: 40, as on KITTI's server, or 11, as before October 2019.
        loose: Use overlaps of 0.5 (cars) and 0.25 (others) for bird's eye view and 3-D, instead of 0.7 and 0.5.
        interpolate: Read the curve at every recall, for fewer than a few hundred objects. KITTI's server does not.
        out: A JSON file to write the numbers to.
    """
    from invert3d.data.frames import all_frames, kitti_folder, listed_frames
    from invert3d.engine.progress import Meter
    from invert3d.evaluate import kitti

    folder = kitti_folder(root)
    results = _results(found)
    frames = listed_frames(folder, split) if split else sorted(results)
    _check(frames, results, set(all_frames(folder)), found, folder)
    with Meter(f"reading and comparing {len(frames):,} frames"):
        scores = kitti.evaluate_kitti(
            [_read(folder / "label_2" / f"{frame}.txt") for frame in frames],
            [_scored(results[frame]) for frame in frames],
            overlaps=kitti.LOOSE if loose else None,
            picture=kitti.Overlaps(),
            interpolate=interpolate,
        )
    counts = [f"{kind} {scores.objects[kind, 'moderate']:,}" for kind in scores.kinds]
    note = f"{scores.frames:,} frames; objects at moderate: {', '.join(counts)}."
    if not interpolate and any(0 < number < 200 for number in scores.objects.values()):
        note += " Few objects: with the official sampling AP stays below 100 even if all are found; see --interpolate."
    print_table(f"KITTI, {points} recall points", kitti.COLUMNS, scores.table(points), note)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(scores.as_dict(), indent=1) + "\n")


def _results(found: Path) -> dict[str, Path]:
    """Result files by frame."""
    for folder in (found / "data", found):
        if files := {path.stem: path for path in folder.glob("*.txt")}:
            return files
    form = "Car -1 -1 alpha left top right bottom h w l x y z yaw score"
    raise ValueError(f"{found} has no result files (000000.txt, ...); a line of one is: {form}")


def _check(frames: list[str], results: dict[str, Path], known: set[str], found: Path, folder: Path) -> None:
    """Refuse frames without results or labels."""
    for absent, where, hint in (
        ([frame for frame in frames if frame not in known], folder / "label_2", "is this the right root?"),
        ([frame for frame in frames if frame not in results], found, "write an empty file where nothing is found"),
    ):
        if absent:
            names = ", ".join(absent[:3]) + ", ..." * (len(absent) > 3)
            raise ValueError(f"{len(absent)} of {len(frames)} frames are not in {where}: {names}; {hint}")


def _read(path: Path) -> "Layout":
    """Labels in double precision, as KITTI's program reads them. The camera has no part in the evaluation."""
    from invert3d.data.kitti import USUAL_SIZE, read_labels, usual_projection

    return read_labels(path, usual_projection(*USUAL_SIZE).double(), *USUAL_SIZE)


def _scored(path: Path) -> "Layout":
    """A result file, all of whose lines have a score."""
    layout = _read(path)
    if bool(layout.scores.isnan().any()):
        raise ValueError(f"{path}: lines without a score, expected 16 fields each (are these labels?)")
    return layout
