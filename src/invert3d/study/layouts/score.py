"""Scores of inverted layouts: what detectors read from the saved 8-bit pictures, against what was asked."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invert3d.data.kitti import read_calibration, read_labels
from invert3d.engine.progress import Meter
from invert3d.evaluate.kitti import evaluate_kitti
from invert3d.evaluate.layouts import errors
from invert3d.jobs.folder import read_job
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.opening.detectors import open_detector
from invert3d.ops.centers import CenterCodec
from invert3d.ops.layouts import Layout
from invert3d.registry import registered
from invert3d.study.layouts.files import read_picture
from invert3d.study.layouts.job import redetected
from invert3d.training.frames import nominal

#: two tables that fit a terminal, columns and how they are headed: how much is right, and how far off the rest is
SHORT = {name: name for name in ("pictures", "read by", "3-D AP", "Car", "Pedestrian", "Cyclist", "BEV", "2-D")}
SHORT |= {"3-D AP": "3-D", "Pedestrian": "Ped.", "Cyclist": "Cyc.", "missed": "missed", "false": "false"}
ERRORS = {name: name for name in ("pictures", "read by", "IoU", "depth m", "yaw deg", "size m", "px", "steps")}
#: how their numbers are printed, if not with one digit
FORMS = {"pictures": "", "read by": "", "missed": ".0%", "false": ".0%"}
FORMS |= {"IoU": ".2f", "depth m": ".2f", "size m": ".2f", "steps": ".0f"}
#: a detection counts for the errors above this score, as in the public demo
SHOWN = 0.3


def sure(layout: Layout) -> Layout:
    """The detections above ``SHOWN``."""
    return layout.select(layout.scores > SHOWN)


@dataclass(frozen=True)
class BoxScore:
    """How well one detector reads the layouts that were asked for from one set of pictures.

    AP in percent: moderate, 40 recall points read at 1/40, ..., 1 of the curve, overlaps 0.7 for cars and 0.5 else.
    The rest are medians over the objects found: 3-D overlap, errors in meters, degrees and pixels of the picture that
    was read; missed and false are shares of the objects asked for.
    """

    pictures: str
    detector: str
    count: int
    ap3d: float
    by_kind: dict[str, float]
    bev: float
    picture: float
    iou: float
    depth: float
    yaw: float
    size: float
    pixels: float
    missed: float
    false: float
    steps: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """The score as plain values, None for NaN."""
        row = {
            "pictures": self.pictures,
            "read by": self.detector,
            "n": self.count,
            "3-D AP": self.ap3d,
            **{kind: self.by_kind.get(kind, math.nan) for kind in ("Car", "Pedestrian", "Cyclist")},
            "BEV": self.bev,
            "2-D": self.picture,
            "IoU": self.iou,
            "depth m": self.depth,
            "yaw deg": self.yaw,
            "size m": self.size,
            "px": self.pixels,
            "missed": self.missed,
            "false": self.false,
            "steps": self.steps,
        }
        plain = {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}
        return {name: None if value != value else value for name, value in plain.items()}

    def cells(self, columns: Iterable[str] = SHORT) -> list[str]:
        """The columns of ``SHORT``, or of ``ERRORS``, as text."""
        row = self.as_dict()
        return ["–" if row[name] is None else format(row[name], FORMS.get(name, ".1f")) for name in columns]


def score(pictures: str, detector: str, asked: Sequence[Layout], found: Sequence[Layout]) -> BoxScore:
    """Compare what was read with what was asked; all objects count, whatever their score, in the AP."""
    truth, seen = [nominal(layout) for layout in asked], [nominal(layout) for layout in found]
    kitti = evaluate_kitti(truth, seen, interpolate=True)
    each = [errors(one.of_kinds(kitti.kinds), sure(other)) for one, other in zip(truth, seen, strict=True)]
    objects = max(1, sum(len(one.of_kinds(kitti.kinds)) for one in truth))

    def median(name: str) -> float:
        values = torch.cat([getattr(one, name) for one in each]) if each else torch.empty(0)
        return float(values.median()) if len(values) else math.nan

    return BoxScore(
        pictures=pictures,
        detector=detector,
        count=len(asked),
        ap3d=kitti.mean("3d"),
        by_kind={kind: kitti.ap(kind, "3d") for kind in kitti.kinds},
        bev=kitti.mean("bev"),
        picture=kitti.mean("2d"),
        iou=median("iou3d"),
        depth=median("depth"),
        yaw=median("yaw"),
        size=median("size"),
        pixels=median("center_2d") * (asked[0].height / truth[0].height if len(asked) else 1),
        missed=sum(one.missed for one in each) / objects,
        false=sum(one.false for one in each) / objects,
    )


@dataclass(frozen=True)
class SavedRun:
    """What a run folder holds: frames, what was asked, the saved pictures, the real ones, the network and recipe."""

    names: tuple[str, ...]
    asked: tuple[Layout, ...]
    pictures: tuple[Tensor, ...]
    originals: tuple[Tensor, ...]
    model: str
    recipe: str
    steps: tuple[int, ...]


def read_boxes_run(folder: Path) -> SavedRun:
    """A run of ``invert3d invert boxes``. Raises ValueError if it is none, or none of its pictures is finished."""
    facts, whole = read_job(folder, "boxes", ("model", "recipe", "size")), folder / "training"
    units = dict(zip(facts["names"], facts["units"], strict=True))
    names = tuple(name for name in units if (folder / "units" / units[name] / "done.json").is_file())
    if not names:
        raise ValueError(f"{folder} has no finished picture yet")
    pictures = tuple(read_picture(whole / "image_2" / f"{name}.png") for name in names)
    real = [folder / "original" / f"{name}.png" for name in names]
    originals = tuple(read_picture(path) for path in real) if all(path.is_file() for path in real) else ()
    asked = []
    for name in names:
        camera = read_calibration(whole / "calib" / f"{name}.txt").projection
        asked.append(read_labels(whole / "label_2" / f"{name}.txt", camera, *facts["size"]))
    return SavedRun(
        names=names,
        asked=tuple(asked),
        pictures=pictures,
        originals=originals,
        model=facts["model"],
        recipe=facts["recipe"]["name"],
        steps=tuple(json.loads((folder / "units" / units[name] / "facts.json").read_text())["steps"] for name in names),
    )


def scored_runs(
    runs: Sequence[Path], models: Sequence[str] | None = None, device: str = "cpu", checkpoint: Path | None = None
) -> list[BoxScore]:
    """Every run read by every detector, and by each detector the real pictures of the first run that has some.

    ``checkpoint`` holds the weights of those that are backbones and not bundled.
    """
    saved = [read_boxes_run(Path(run)) for run in runs]
    names = list(models or dict.fromkeys(run.model for run in saved))
    bare = registered("center_network")
    detectors = {
        name: open_detector(name, checkpoint=checkpoint if name in bare else None, device=device) for name in names
    }
    rows = []
    with Meter("reading the pictures"):
        for run in saved:
            for name, detector in detectors.items():
                label, found = f"{run.recipe} of {short(run.model)}", fitted(detector, run.pictures)
                row = score(label, short(name), run.asked, redetected(detector, found, run.asked))
                rows.append(replace(row, steps=sum(run.steps) / len(run.steps)))
        for run in [run for run in saved if run.originals][:1]:
            for name, detector in detectors.items():
                found = redetected(detector, fitted(detector, run.originals), run.asked)
                rows.append(score("real pictures", short(name), run.asked, found))
    return rows


def fitted(detector: CenterNet3D, pictures: Sequence[Tensor]) -> Sequence[Tensor]:
    """The pictures, if the detector takes such. Raises ValueError if it takes others."""
    for picture in pictures[:1]:
        if tuple(picture.shape[1:]) != (detector.height, detector.width):
            raise ValueError(
                f"the pictures are {picture.shape[1]} x {picture.shape[2]}, the detector takes "
                f"{detector.height} x {detector.width}"
            )
    return pictures


def short(name: str) -> str:
    """A detector's name without what all have in common."""
    return Path(name).stem.removeprefix("centernet3d-")


def errors_table(asked: Sequence[Layout], found: Sequence[Layout]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the errors, kind by kind: means over the objects that were found."""
    header = ["kind", "asked", "found", "IoU 3-D", "center m", "depth m", "yaw deg", "size m", "pixels"]
    rows = []
    kinds = list(dict.fromkeys(kind for layout in asked for kind in layout.kinds if kind in CenterCodec().kinds))
    for kind in kinds:
        each = [
            errors(one.of_kinds([kind]), sure(other.of_kinds([kind]))) for one, other in zip(asked, found, strict=True)
        ]
        values = {
            name: torch.cat([getattr(one, name) for one in each])
            for name in ("iou3d", "center", "depth", "yaw", "size", "center_2d")
        }
        pairs = sum(len(one.pairs) for one in each)
        means = [f"{float(value.mean()):.2f}" if pairs else "–" for value in values.values()]
        rows.append([kind, str(pairs + sum(one.missed for one in each)), str(pairs), *means])
    return header, rows
