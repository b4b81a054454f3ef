"""What a detector expects beside an object: single objects inverted again and again, and what else appears.

Section 4.4 of *Inverting and Understanding Object Detectors* (Cao & Johnson 2021; figures 8 to 11): one object is asked
for and nothing is said about the rest of the picture. In rooms it is known what goes together, so what is recovered can
be compared with what was planted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from invert3d.data.worlds.room_plan import MOTIFS, NAMES, NEVER, OPPOSITE, SCALES, probability_together
from invert3d.data.worlds.rooms import make_room
from invert3d.jobs.execute import execute
from invert3d.jobs.options import RunOptions
from invert3d.models.detectors import Detector, categories
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT
from invert3d.study.controls import randomized_detector
from invert3d.study.layouts.files import BoxesRun
from invert3d.study.layouts.job import How, asked_of, layouts_job, run_of

#: what appears beside an object must be seen with at least this score
SURE = 0.5


def only(layout: Layout) -> Layout:
    """The layout with nothing asked of the rest of the picture: all of it is a region to be ignored."""
    whole = layout.boxes.new_tensor([[0.0, 0.0, layout.width, layout.height]])
    boxes = torch.cat([layout.boxes, whole])
    masks = layout.masks
    if masks is not None:
        masks = torch.cat([masks, torch.ones_like(masks[:1]) if len(masks) else masks.new_ones(1, *masks.shape[1:])])
    return Layout.of_boxes([*layout.kinds, "DontCare"], boxes, layout.height, layout.width, masks=masks)


def single_layouts(kinds: Sequence[str], seeds: int, size: int, share: float = SCALES[3]) -> dict[str, Layout]:
    """One object of each kind in the middle of a square picture, ``share`` of its side long, ``seeds`` times, by name.

    Nothing else is asked.
    """
    low, high = size * (1 - share) / 2, size * (1 + share) / 2
    box = torch.tensor([[low, low, high, high]])
    layouts = {kind: only(Layout.of_boxes([kind], box, size, size)) for kind in kinds}
    return {f"{kind.replace(' ', '_')}-{k}": layouts[kind] for kind in kinds for k in range(seeds)}


@dataclass(frozen=True, kw_only=True)
class Context:
    """What appeared beside single objects.

    Attributes:
        kinds: K categories.
        seen: (K,) pictures in which the object itself is found. pictures: how many were made of each.
        together: (K, K) share of the pictures of a category (rows) in which another (columns) appears too.
        sides: (K, K, 4) how often it appears left, right, above and below.
    """

    kinds: tuple[str, ...]
    seen: np.ndarray
    pictures: int
    together: np.ndarray
    sides: np.ndarray

    def correlation(self, planted: np.ndarray) -> float:
        """The rank correlation (Spearman) with a table (K, K), off the diagonal; NaN if nothing appeared."""
        apart = ~np.eye(len(self.kinds), dtype=bool)
        if not self.together[apart].any():
            return float("nan")
        found: Any = spearmanr(self.together[apart], planted[apart])
        return float(found.statistic)


SIDES = ("left", "right", "above", "below")


def side_of(one: Tensor, other: Tensor) -> str:
    """On which side of a box (4,) another is, by the larger distance of their middles."""
    across = float((other[0] + other[2] - one[0] - one[2]) / 2)
    down = float((other[1] + other[3] - one[1] - one[3]) / 2)
    if abs(across) >= abs(down):
        return "left" if across < 0 else "right"
    return "above" if down < 0 else "below"


def context_of(run: BoxesRun, kinds: Sequence[str], seeds: int, threshold: float = SURE) -> Context:
    """What a detector found beside the objects of a run of ``single_layouts``: detections above a score that are
    another object, which overlaps the asked one by less than half."""
    from torchvision.ops import box_iou

    count = len(kinds)
    seen, together, sides = np.zeros(count, int), np.zeros((count, count)), np.zeros((count, count, 4))
    for asked, found in zip(run.asked, run.found, strict=True):
        a, box, detected = kinds.index(asked.kinds[0]), asked.boxes[0], found.select(found.scores > threshold)
        shares = box_iou(detected.boxes, box[None])[:, 0]
        seen[a] += any(kind == kinds[a] and share > 0.5 for kind, share in zip(detected.kinds, shares, strict=True))
        others = [k for k, share in enumerate(shares.tolist()) if share < 0.5 and detected.kinds[k] in kinds]
        for b in {kinds.index(detected.kinds[k]) for k in others}:
            together[a, b] += 1 / seeds
        for k in others:
            sides[a, kinds.index(detected.kinds[k]), SIDES.index(side_of(box, detected.boxes[k]))] += 1
    return Context(kinds=tuple(kinds), seen=seen, pictures=seeds, together=together, sides=sides)


def measure_context(
    detector: Detector,
    options: RunOptions,
    *,
    model: str = "a detector",
    seeds: int = 8,
    share: float = SCALES[3],
    how: How = How(),
) -> tuple[Context, BoxesRun]:
    """Invert single objects of every category and count what else appears.

    Args:
        detector: of square pictures; its kinds but the background are asked for.
        options: how the job is run; ``resume`` goes on from its folder.
        model: what it is called.
        seeds: pictures of each category.
        share: length of the object as a share of the picture's side.
        how: pictures are made. Those of a control are read by the detector itself: what it finds in them comes from the
            recipe.

    Raises:
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    kinds = categories(detector)
    layouts = single_layouts(kinds, seeds, detector.height, share)
    inverted: Any = detector
    if how.control:
        inverted = randomized_detector(inverted, room_pictures(detector.height), options.seed)
    asked = asked_of(inverted, list(layouts.values()), list(layouts), how.recipe_for(inverted), None, model)
    outcome = execute(layouts_job({"": asked}, how.bf16), options).whole()
    run = run_of(outcome, replace(asked, detector=detector), {})
    return context_of(run, kinds, seeds), run


def room_pictures(size: int, count: int = 16) -> Tensor:
    """Pictures (count, 3, size, size) of the first held-out rooms."""
    images = np.stack([make_room(k, size=size, seed=HELD_OUT).image for k in range(count)])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def planted_table(kinds: Sequence[str]) -> np.ndarray:
    """(K, K): the probability, as planted in rooms, that b is in a picture if a is."""
    table = probability_together()
    return np.array([[table[a][b] for b in kinds] for a in kinds])


def findings(context: Context) -> dict[str, Any]:
    """What was recovered of what is planted in rooms: the rank correlation, each motif and its side, the asymmetry, and
    the pair that never meets. Raises ValueError for a detector of other categories."""
    if set(context.kinds) != set(NAMES):
        raise ValueError("what is planted is known for rooms only: the detector has other categories")
    place = context.kinds.index
    motifs = []
    for motif in MOTIFS:
        a, b = place(motif.category), place(motif.brings)
        sides = context.sides[a, b]
        beside_others = np.delete(context.together[:, b], [a, b])
        motifs.append(
            {
                "category": motif.category,
                "brings": motif.brings,
                "appears": round(float(context.together[a, b]), 3),
                "beside other objects": round(float(beside_others.mean()), 3),
                "planted side": motif.side,
                "on that side": int(sides[SIDES.index(motif.side)]),
                "on the opposite side": int(sides[SIDES.index(OPPOSITE[motif.side])]),
                "times": int(sides.sum()),
            }
        )
    never = [
        {"category": a, "other": b, "appears": round(float(context.together[place(a), place(b)]), 3)}
        for a, b in permutations(NEVER)
    ]
    return {
        "context_rank_correlation": round(context.correlation(planted_table(context.kinds)), 3),
        "motifs": motifs,
        "never": never,
    }
