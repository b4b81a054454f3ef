"""Explaining detections as a job: one unit a picture, all ways and heads of its detections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.evaluate.attribution import named, removed
from invert3d.evaluate.evidence import within
from invert3d.evaluate.redetection import similarity
from invert3d.jobs.job import Context, Job, Made, Unit, file_name
from invert3d.jobs.provenance import digest, fingerprint
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout
from invert3d.registry import unknown
from invert3d.study.explaining.detections import SURE, prepared, sure
from invert3d.study.explaining.heads import head_named, label_of, usual_heads
from invert3d.study.explaining.ways import Way, way_of
from invert3d.study.layouts.job import device_of, frozen

WAYS = ("grad_cam", "extremal", "d_rise")
MOST = 3  # detections of a picture, unless some are asked for
#: which pixels are taken away by a test: those that a map ranks highest, or random ones in the box or outside of it
HIGHEST, INSIDE, OUTSIDE = "without highest", "without random inside", "without random outside"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is explained of the detections in pictures.

    Attributes:
        detection: the number of one detection, the best is 0; by default the best three.
        kind: all detections of a category, instead.
        heads: ``class``, ``box``, ``mask`` or the detector's names; by default the first three, as far as it has them.
        methods: see ``way_of``.
        test: a share of the area of the box: as many pixels are taken away as well.
    """

    detection: int | None = None
    kind: str | None = None
    heads: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    test: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExplainDetections:
    """The worker: pictures one after the other, each with its detections, by all ways."""

    detector: Any
    heads: tuple[str, ...]
    ways: tuple[tuple[str, Way], ...]
    test: float | None = None

    @property
    def device(self) -> str:
        """Where the detector is."""
        return str(device_of(self.detector))

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made]:
        return [self._made(unit, context, i / len(units), 1 / len(units)) for i, unit in enumerate(units)]

    def _made(self, unit: Unit, context: Context, before: float, part: float) -> Made:
        """The maps of one picture; ``before`` is the share of the batch that is done, ``part`` that of the picture."""
        picture, layout = unit.values["picture"], unit.values["layout"]
        ones = [layout.select(torch.tensor([row])) for row in range(len(layout))]
        arrays: dict[str, Tensor] = {"x": picture}
        rows: list[dict[str, Any]] = []
        todo = [(*way, heads) for way in self.ways for heads in way[1].portions(self.heads)]
        for i, (name, way, heads) in enumerate(todo):
            context.report(before + part * i / len(todo), name.replace("_", " "))
            for head, maps in way(self.detector, picture, ones, heads).items():
                arrays[map_name(name, head)] = maps.values
                about = {"method": name, "head": head, "about": label_of(self.detector, head), "runs": maps.runs}
                rows += [{"detection": row, **about} for row in range(len(ones))]
        if self.test is not None:
            random = Draws.seeded(context.seed, [unit.name], "test").uniform(picture[None], 0, 1, *picture.shape[1:])[0]
            for row in rows:
                values = arrays[map_name(row["method"], row["head"])][row["detection"]]
                row |= answers_without(self.detector, picture, ones[row["detection"]], values, random, self.test)
        found = [{"kind": one.kinds[0], "score": float(one.scores[0]), "box": one.boxes[0].tolist()} for one in ones]
        return Made(facts={"detections": found, "rows": rows}, arrays=arrays)


def map_name(method: str, head: str) -> str:
    """What the maps (D, h, w) of a method and a head are called among the arrays of a unit."""
    return f"{method}.{head}"


@torch.no_grad()
def answers_without(
    detector: Detector, picture: Tensor, one: Layout, values: Tensor, random: Tensor, share: float
) -> dict[str, list[float]]:
    """What the detector says without the pixels that a map (h, w) ranks highest: as many as a share of the box has.

    The same of as many at random (h, w) inside of the box, and outside of it. The pixels take the mean of those around
    them. What is said is the score of the best detection of the kind that overlaps the box by at least a half, and the
    largest overlap of one of the kind.
    """
    inside = within(one.boxes[0], *picture.shape[1:])
    ranked = {
        HIGHEST: values,
        INSIDE: random.masked_fill(~inside, -torch.inf),
        OUTSIDE: random.masked_fill(inside, -torch.inf),
    }
    x = picture.expand(len(ranked), -1, -1, -1)
    gone = named(x, torch.stack([*ranked.values()]), share * float(inside.float().mean()))
    with frozen(detector):
        found = detector.finalize(detector.raw(removed(x, ~gone, "blur").to(device_of(detector))))
    said = [[similarity(each.to("cpu"), one, part) for part in ("class", "box")] for each in found]
    return dict(zip(ranked, said, strict=True))


def detections_job(
    detector: Detector,
    pictures: Mapping[str, Tensor | np.ndarray],
    asked: Asked = Asked(),
    *,
    model: str = "a detector",
) -> Job:
    """The job of explaining detections in named pictures (see ``explain_detection``), of any size.

    Raises ValueError for an unknown head, method or category, a head that a method cannot be asked about, a picture in
    which there is nothing to explain, and a test that takes nothing away.
    """
    if asked.test is not None and not 0 < asked.test < 1:
        raise ValueError(f"the share that is taken away must lie between 0 and 1, not {asked.test}")
    if asked.kind is not None and asked.kind not in detector.kinds:
        raise ValueError(unknown("object", asked.kind, detector.kinds))
    heads = tuple(dict.fromkeys(head_named(detector, each) for each in asked.heads or usual_heads(detector)))
    ways = tuple((name, way_of(name)) for name in asked.methods or WAYS)
    for _, way in ways:
        way.check(detector, heads)
    units = [_unit(detector, name, picture, asked) for name, picture in pictures.items()]
    boxes = [unit.values["layout"].boxes for unit in units]
    count = sum(map(len, boxes))
    return Job(
        kind="detections",
        units=tuple(units),
        worker=ExplainDetections(detector=detector, heads=heads, ways=ways, test=asked.test),
        settings={
            "model": model,
            "weights": fingerprint(detector),  # type: ignore[arg-type]
            "pictures": [digest(unit.values["picture"]) for unit in units],
            "detections": [digest(each) for each in boxes],
            "heads": list(heads),
            "methods": [repr(way) for _, way in ways],
            "test": asked.test,
        },
        capacity=1,
        label=f"explaining {count} detection{'s' * (count > 1)}",
    )


def _unit(detector: Detector, name: str, picture: Tensor | np.ndarray, asked: Asked) -> Unit:
    """A picture and the detections in it that are asked for."""
    image, _ = prepared(detector, picture)
    found = sure(detector, image)
    kinds = ", ".join(dict.fromkeys(found.kinds)) or "nothing"
    if asked.kind is not None:
        chosen = found.of_kinds([asked.kind])
        if not len(chosen):
            raise ValueError(f"{name}: no {asked.kind} is found with a score of at least {SURE}, only {kinds}")
    elif asked.detection is not None:
        if not 0 <= asked.detection < len(found):
            count = f"{len(found)} have a score of at least {SURE}: {kinds}"
            raise ValueError(f"{name}: there is no detection {asked.detection}, {count}")
        chosen = found.select(torch.tensor([asked.detection]))
    else:
        chosen = found.select(torch.arange(min(MOST, len(found))))
    if not len(chosen):
        raise ValueError(f"{name}: nothing is found with a score of at least {SURE}, so there is nothing to explain")
    pixels = asked.test and asked.test * float(within(chosen.boxes[0], chosen.height, chosen.width).sum())
    if pixels and pixels < 1:
        raise ValueError(f"{name}: a share of {asked.test:g} of the box is not one pixel: nothing would be taken away")
    return Unit(name=file_name(name), values={"picture": image, "layout": chosen, "label": name})
