"""Ways to explain detections: the methods of attribution on the evidence of a head, masks inside of the box, and
D-RISE, which sees nothing but detections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from invert3d.attribution.attribution import Method
from invert3d.attribution.features import GradCAM
from invert3d.attribution.gradients import SmoothGrad
from invert3d.attribution.masks import ExtremalPerturbation
from invert3d.attribution.random_masks import RISE
from invert3d.engine.model import Frozen
from invert3d.engine.space import Image
from invert3d.evaluate.evidence import within
from invert3d.evaluate.redetection import PARTS, Part, similarity
from invert3d.models.detectors import Detector
from invert3d.ops.layouts import Layout
from invert3d.registry import registered, unknown
from invert3d.study.explaining.heads import evidence_of, head_named, label_of, roles_of
from invert3d.study.layouts.job import device_of, frozen

LEAST_WINDOW = 8  # pixels a side
CELLS = 8  # a mask inside of a box is drawn on so many cells along its shorter side, about


@dataclass(frozen=True)
class Maps:
    """Maps (D, h, w) of the evidence of a head for D detections, and how often the detector ran for each."""

    values: Tensor
    runs: int


class Way(Protocol):
    """A way to explain detections in a prepared picture (3, h, w). A frozen dataclass of plain values."""

    def check(self, detector: Detector, heads: Sequence[str]) -> None:
        """Raise ValueError for heads that it cannot be asked about."""
        ...

    def portions(self, heads: Sequence[str]) -> list[Sequence[str]]:
        """The heads in parts that it may be asked about one after the other: all at once where they share the work."""
        ...

    def __call__(
        self, detector: Detector, picture: Tensor, detections: Sequence[Layout], heads: Sequence[str]
    ) -> dict[str, Maps]:
        """Maps by head. Raises ValueError as ``check``."""
        ...


class HeadByHead:
    """What is asked about one head after the other."""

    def portions(self, heads: Sequence[str]) -> list[Sequence[str]]:
        """Each head alone."""
        return [[head] for head in heads]

    def __call__(
        self, detector: Detector, picture: Tensor, detections: Sequence[Layout], heads: Sequence[str]
    ) -> dict[str, Maps]:
        """See ``Way``."""
        self.check(detector, heads)
        return {head: self.of_head(detector, picture, detections, head) for head in heads}

    def check(self, detector: Detector, heads: Sequence[str]) -> None:
        """See ``Way``; by default all heads can be asked about."""

    def of_head(self, detector: Detector, picture: Tensor, detections: Sequence[Layout], head: str) -> Maps:
        """The maps of one head."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ByMethod(HeadByHead):
    """A method of attribution, on the evidence of each head; ``inside`` keeps of a map what is in the box.

    Grad-CAM weighs features alike all over the picture, so that it marks other objects, too. As the paper does, it is
    cut off at the box.
    """

    method: Method
    inside: bool = False

    def check(self, detector: Detector, heads: Sequence[str]) -> None:
        """Raise ValueError for a method that does not explain images, and for noise around the picture and a box."""
        self.method.check(frozen(detector).space)
        boxes = [head for head in heads if roles_of(detector).get(head) == "box"]
        if boxes and isinstance(self.method, SmoothGrad):
            raise ValueError(
                f"smooth_grad averages over noise, which moves the box of {boxes[0]} away from the detection's on all "
                "sides alike: use gradient, integrated_gradients or d_rise"
            )

    def of_head(self, detector: Detector, picture: Tensor, detections: Sequence[Layout], head: str) -> Maps:
        """See ``HeadByHead``."""
        score, target = evidence_of(detector, detections, head, self.method.local)
        sides = 4 if "against" in target else 1
        x = picture.to(device_of(detector)).expand(sides * len(detections), -1, -1, -1)
        found = self.method(frozen(detector), score, x, target)
        maps = found.per_element(self.method.reduction).unflatten(0, (len(detections), sides))
        values = (maps[:, 0] if sides == 1 else maps.norm(dim=1)).detach().cpu()
        if self.inside:
            values = values * torch.stack([within(one.boxes[0], *picture.shape[1:]) for one in detections])
        return Maps(values, int(found.facts["evaluations"]) * sides)


@dataclass(frozen=True, kw_only=True)
class InsideBox(HeadByHead):
    """The part of the box, of half its area, that keeps the evidence highest while the rest of the box is black and
    what is around it stays: as in figures 6 and 7 of *Inverting and Understanding Object Detectors*, where the part is
    half of the object's mask. Outside of the box the map is zero."""

    method: ExtremalPerturbation = ExtremalPerturbation(areas=(0.5,))

    def of_head(self, detector: Detector, picture: Tensor, detections: Sequence[Layout], head: str) -> Maps:
        """See ``HeadByHead``."""
        maps, runs = torch.zeros(len(detections), *picture.shape[1:]), 0
        for row, one in enumerate(detections):
            window = window_of(one)
            rows, columns = window
            part = picture[:, rows, columns].to(device_of(detector))
            height, width = part.shape[1:]
            space = Image(height=height, width=width, mean=(0.0,) * 3, std=(1.0,) * 3)
            model = Frozen(Window(cast("nn.Module", detector), picture, window), space, output="raw")
            score, target = evidence_of(detector, [one], head, self.method.local)
            fitting = replace(self.method, coarse=max(1, round(min(height, width) / CELLS)))
            found = fitting(model, score, part[None], target)
            maps[row, rows, columns] = found.per_element("sum")[0].cpu()
            runs = int(found.facts["evaluations"])
        return Maps(maps, runs)


class Window(nn.Module):
    """A detector of which only a part of the picture is an input: parts (B, 3, h, w), put into the rest."""

    def __init__(self, detector: nn.Module, picture: Tensor, window: tuple[slice, slice]) -> None:
        super().__init__()
        self.detector, self.picture, self.window = detector, picture, window

    def forward(self, part: Tensor) -> dict[str, Tensor]:
        """All candidates of the detector in the whole pictures."""
        whole = self.picture.to(part).expand(len(part), -1, -1, -1).clone()
        whole[:, :, self.window[0], self.window[1]] = part
        return self.detector(whole)

    def __getattr__(self, name: str) -> Any:
        """What else is asked of it, its losses for one, is the detector's."""
        if name in ("heads", "assign", "losses"):
            return getattr(self.detector, name)
        return super().__getattr__(name)


def window_of(one: Layout) -> tuple[slice, slice]:
    """The rows and columns of a box, in whole pixels, at least 8 a side where the picture has them."""

    def reach(low: float, high: float, size: int) -> slice:
        least = min(size, LEAST_WINDOW)
        first, last = max(0, int(low)), min(size, -int(-high // 1))
        missing = max(0, least - (last - first))
        first = min(max(0, first - missing // 2), size - least)
        return slice(first, max(last, first + least))

    left, top, right, bottom = one.boxes[0].tolist()
    return reach(top, bottom, one.height), reach(left, right, one.width)


@dataclass(frozen=True, kw_only=True)
class DRISE:
    """How much like a detection anything is that is found in the picture under random masks (Petsiuk et al. 2021).

    It sees the detections of ``finalize`` only, so it can be asked about class, box and mask of what comes out. All
    detections and heads share the masks.
    """

    masks: RISE = RISE()

    def portions(self, heads: Sequence[str]) -> list[Sequence[str]]:
        """All heads at once."""
        return [heads]

    def check(self, detector: Detector, heads: Sequence[str]) -> None:
        """Raise ValueError for a head of which nothing is left in the detections."""
        for head in heads:
            if label_of(detector, head) not in PARTS:
                seen = [head_named(detector, each) for each in PARTS if each in roles_of(detector).values()]
                raise ValueError(
                    f"d_rise sees only what is detected, of which {head} is no part: ask it about "
                    f"{', '.join(seen) or 'a detector that says what its heads are about'}"
                )

    def __call__(
        self, detector: Detector, picture: Tensor, detections: Sequence[Layout], heads: Sequence[str]
    ) -> dict[str, Maps]:
        self.check(detector, heads)
        parts: list[Part] = [cast("Part", label_of(detector, head)) for head in heads]

        def answers(pictures: Tensor) -> Tensor:
            found = [each.to("cpu") for each in detector.finalize(detector.raw(pictures))]
            rows = [[similarity(each, one, part) for part in parts for one in detections] for each in found]
            return torch.tensor(rows, device=pictures.device)

        with frozen(detector):
            maps = self.masks.maps(picture.to(device_of(detector)), answers).cpu()
        runs = self.masks.masks
        return {head: Maps(part, runs) for head, part in zip(heads, maps.split(len(detections)), strict=True)}


#: by name, what is not simply a method of attribution
OWN: dict[str, Callable[[], Way]] = {
    "d_rise": DRISE,
    "extremal": InsideBox,
    "grad_cam": lambda: ByMethod(method=GradCAM(), inside=True),
}


def way_of(method: str | Method, masks: int | None = None) -> Way:
    """A way by its name, or that of a method of attribution. ``masks`` is a number for ``d_rise``.

    Raises ValueError for an unknown name.
    """
    if isinstance(method, Method):
        return ByMethod(method=method)
    if method == "d_rise" and masks is not None:
        return DRISE(masks=RISE(masks=masks))
    if method in OWN:
        return OWN[method]()
    known = registered("attribution")
    if method not in known:
        raise ValueError(unknown("method", method, sorted({*OWN, *known})))
    return ByMethod(method=known[method]())
