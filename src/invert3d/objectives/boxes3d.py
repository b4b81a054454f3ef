"""What is asked of a center heatmap detector: a layout of boxes in space. The target is packed, see ``ops.objects``."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.ops.center_losses import WEIGHTS, Per, corner_loss, head_losses, heatmap_margin
from invert3d.ops.centers import HEADS, CenterCodec
from invert3d.ops.objects import Objects
from invert3d.registry import register, unknown


@register("objective", "center_heads")
@dataclass(frozen=True, kw_only=True)
class CenterHeads(Objective):
    """The detector's own training loss, head by head (*Inverting 3D Deep Learning Architectures*, equation 2).

    ``heads`` are those that are asked anything: a subset says which cue each of them needs. ``per`` slot is as
    published: regression fades against the heatmap by (number of objects) / 50. ``wh`` is the weight of the sizes in
    the picture: 0.1 in the code, 1 in the paper's equation.
    """

    codec: CenterCodec = field(default_factory=CenterCodec)
    heads: tuple[str, ...] = tuple(HEADS)
    per: Per = "object"
    wh: float = WEIGHTS["wh"]

    def __post_init__(self) -> None:
        check_heads(self.heads)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        losses = head_losses(state.outputs, Objects(state.view_target), self.codec, self.per)
        weights = {**WEIGHTS, "wh": self.wh}
        return torch.stack([weights[name] * losses[name] for name in self.heads]).sum(0)


@register("objective", "decoded_boxes")
@dataclass(frozen=True, kw_only=True)
class DecodedBoxes(Objective):
    """The boxes as they will be read: corners where they should be, scores well above the threshold, nothing else seen.

    ``score`` is the logit that every object should reach and ``silence`` that which no other cell should: beyond these
    nothing more is asked, so that the picture is not pushed to extremes. ``corners`` weighs the mean distance of the
    decoded corners, in diagonals of the asked box. ``rest`` weighs the training loss, which also holds the bins of the
    angle and the heads that do not decide the box.
    """

    codec: CenterCodec = field(default_factory=CenterCodec)
    heads: tuple[str, ...] = tuple(HEADS)
    corners: float = 10.0
    score: float = 2.0
    silence: float = -4.0
    rest: float = 0.3

    def __post_init__(self) -> None:
        check_heads(self.heads)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        height, width = state.outputs.shape[-2:]
        objects = self.codec.settled(Objects(state.view_target), height, width)
        losses = head_losses(state.outputs, objects, self.codec)
        asked = [name for name in self.heads if name != "hm"]
        total = state.outputs.new_zeros(len(state.outputs))
        if "hm" in self.heads:
            total = total + heatmap_margin(state.outputs, objects, self.codec, self.score, self.silence)
        if asked:
            total = total + self.rest * torch.stack([WEIGHTS[name] * losses[name] for name in asked]).sum(0)
        if {"dep", "rot", "dim", "reg"} <= set(self.heads):
            gaps = corner_loss(state.outputs, objects, self.codec)
            mean = torch.where(objects.asked, gaps, 0).sum(1) / objects.asked.sum(1).clamp_min(1)
            total = total + self.corners * mean
        return total


def check_heads(heads: tuple[str, ...]) -> None:
    """Raise ValueError for no head, or one that the detector does not have."""
    if not heads:
        raise ValueError(f"name at least one head of {', '.join(HEADS)}")
    for name in heads:
        if name not in HEADS:
            raise ValueError(unknown("head", name, HEADS))
