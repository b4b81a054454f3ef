"""``invert3d.explain_detection``: which pixels made a 2-D detector find an object, head by head.

What the evidence of a head is says ``study.explaining.heads``, how it is explained ``study.explaining.ways``.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.attribution.attribution import Method
from invert3d.models.detectors import Detector, detect
from invert3d.ops.layouts import Layout
from invert3d.study.explaining.heads import head_named
from invert3d.study.explaining.ways import way_of
from invert3d.study.layouts.job import device_of, frozen

#: a detection must have at least this score to be explained, if it is not asked for
SURE = 0.3


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why something was found.

    Attributes:
        picture: (3, h, w), RGB in [0, 1], as the detector sees it.
        detection: a layout of one object in it.
        head: the name of the head whose evidence it is.
        map: (h, w), larger for pixels that did more for it; negative where a method says that they spoke against it.
        runs: of the detector.
    """

    picture: Tensor
    detection: Layout
    head: str
    map: Tensor
    runs: int


def explain_detection(
    detector: Detector,
    picture: Tensor | np.ndarray,
    detection: int | Layout = 0,
    head: str = "class",
    method: str | Method = "grad_cam",
) -> Explanation:
    """Say which pixels made a frozen 2-D detector find an object.

    Args:
        detector: see ``open_box_detector``.
        picture: (3, H, W) in [0, 1], or (H, W, 3) of bytes, of any size.
        detection: the number of a detection with a score of at least 0.3, the best is 0; or a layout of one object in
            the picture, which need not be found.
        head: ``class``, ``box`` or ``mask``, or the detector's own name of a head (``Detector.heads``).
        method: ``grad_cam``, ``extremal``, ``d_rise``, another name of a method that explains images, or a ``Method``.

    Raises:
        ValueError: an unknown head or method, a picture that is none, no such detection, or a head that the method
            cannot be asked about.
    """
    image, asked = prepared(detector, picture, detection if isinstance(detection, Layout) else None)
    if not isinstance(detection, Layout):
        found = sure(detector, image)
        if not 0 <= detection < len(found):
            raise ValueError(f"there is no detection {detection}: {len(found)} have a score of at least {SURE}")
        asked = found.select(torch.tensor([detection]))
    if len(asked) != 1:
        raise ValueError(f"one object is explained at a time, the layout has {len(asked)}")
    name = head_named(detector, head)
    maps = way_of(method)(detector, image, [asked], [name])[name]
    return Explanation(picture=image, detection=asked, head=name, map=maps.values[0], runs=maps.runs)


def prepared(detector: Detector, picture: Tensor | np.ndarray, layout: Layout | None = None) -> tuple[Tensor, Layout]:
    """A picture (3, H, W) in [0, 1], or (H, W, 3) of bytes, and a layout in it, as the detector sees them. Raises
    ValueError for what is no picture."""
    image = torch.from_numpy(np.array(picture)) if isinstance(picture, np.ndarray) else picture
    if image.dim() == 3 and image.dtype == torch.uint8 and image.shape[2] == 3:
        image = image.permute(2, 0, 1).float() / 255
    if image.dim() != 3 or len(image) != 3 or not image.is_floating_point() or not 0 <= image.min() <= image.max() <= 1:
        shape = tuple(image.shape)
        raise ValueError(f"a picture is (3, H, W) in [0, 1] or (H, W, 3) of bytes, not {shape} of {image.dtype}")
    height, width = image.shape[1:]
    return detector.prepare(image, layout or Layout.of_boxes([], torch.zeros(0, 4), height, width))


def sure(detector: Detector, picture: Float[Tensor, "3 h w"], threshold: float = SURE) -> Layout:
    """The detections in a prepared picture with at least a score, best first."""
    with frozen(detector):
        found = detect(detector, picture[None].to(device_of(detector)), threshold=0.0)[0].to("cpu")
    return found.select(found.scores >= threshold)
