"""COCO's average precision of detections, boxes and masks, by faster-coco-eval (extra ``detect``)."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from invert3d.ops.layouts import Layout


def coco_ap(
    truth: Sequence[Layout], found: Sequence[Layout], kinds: Sequence[str], of: Literal["boxes", "masks"] = "boxes"
) -> dict[str, float]:
    """Average precision in percent, over ten overlaps from 0.5 to 0.95 (COCO's AP), and by category.

    Args:
        truth: what is in each picture; DontCare regions are crowds.
        found: what a detector found in each, with scores.
        kinds: the categories that count. Of others nothing is looked at.
        of: whether boxes or masks must overlap.

    Returns:
        ``AP``, ``AP50``, ``AP75``, ``AP small``, ``AP medium``, ``AP large``, and the AP of each category by its name;
        NaN where there is no such object. Sizes are areas of what must overlap: of boxes, or of masks.

    Raises:
        ValueError: not as many truths as detections, or masks that are not there.
        ModuleNotFoundError: the extra ``detect`` is not installed.
    """
    if len(truth) != len(found):
        raise ValueError(f"truth: got {len(truth)} layouts, and {len(found)} of detections: one for each picture")
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("COCO's AP needs the extra detect: pip install 'invert3d[detect]'") from error
    table = {
        "images": [{"id": i, "height": t.height, "width": t.width} for i, t in enumerate(truth)],
        "categories": [{"id": k, "name": kind} for k, kind in enumerate(kinds)],
        "annotations": [row for i, layout in enumerate(truth) for row in _rows(i, layout, kinds, of)],
    }
    for number, row in enumerate(table["annotations"]):
        row["id"] = number + 1
    rows = [row for i, layout in enumerate(found) for row in _rows(i, layout, kinds, of)]
    gold = COCO(table, use_deepcopy=True)
    answers = gold.loadRes(rows) if rows else COCO({**table, "annotations": []}, use_deepcopy=True)
    judge = COCOeval_faster(gold, answers, "bbox" if of == "boxes" else "segm", print_function=_silent)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    names = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")
    scores = {name: float(value) for name, value in zip(names, judge.stats[:6], strict=True)}
    precision = np.asarray(judge.eval["precision"])[:, :, :, 0, -1]  # overlaps, recalls, categories
    for k, kind in enumerate(kinds):
        known = precision[:, :, k][precision[:, :, k] > -1]
        scores[kind] = float(known.mean()) if known.size else -1.0
    return {name: 100 * value if value >= 0 else float("nan") for name, value in scores.items()}


def _rows(number: int, layout: Layout, kinds: Sequence[str], of: str) -> list[dict[str, Any]]:
    """The objects of a picture as COCO writes them; a crowd is one of every category."""
    from faster_coco_eval.core import mask

    if of == "masks" and layout.masks is None:
        raise ValueError(f"layout {number} has no masks")
    rows = []
    for k, kind in enumerate(layout.kinds):
        left, top, right, bottom = layout.boxes[k].tolist()
        row: dict[str, Any] = {"image_id": number}
        if layout.masks is not None and of == "masks":  # and no box: its area would be taken for that of the mask
            row["segmentation"] = mask.encode(np.asfortranarray(layout.masks[k].numpy(force=True).astype(np.uint8)))
            row["area"] = int(layout.masks[k].sum())
        else:
            row |= {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
        score = float(layout.scores[k])
        crowd = kind == "DontCare"
        row |= {"iscrowd": int(crowd), "ignore": int(crowd)} if score != score else {"score": score}
        for category in range(len(kinds)) if crowd else [i for i, name in enumerate(kinds) if name == kind]:
            rows.append({**row, "category_id": category})
    return rows


def _silent(*_: object) -> None:
    """What faster-coco-eval would print."""
