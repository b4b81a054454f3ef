"""What is asked of a center heatmap detector: a layout of boxes in space. The target is packed, see ``ops.objects``."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from invert3d.engine.objective import Objective
from invert3d.engine.state import State
from invert3d.ops.center_losses import WEIGHTS, Per, averaged, corner_loss, head_losses
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
    """The boxes as they will be read: corners where they should be, objects seen, nothing else seen.

    ``corners`` weighs the mean distance of the decoded corners from the asked ones, in diagonals of the asked box,
    ``seen`` the loss of the heatmap, ``rest`` the losses of the other heads, which also hold the bins of the angle and
    what does not decide the box; all per object.
    """

    codec: CenterCodec = field(default_factory=CenterCodec)
    heads: tuple[str, ...] = tuple(HEADS)
    corners: float = 10.0
    seen: float = 2.0
    rest: float = 1.0

    def __post_init__(self) -> None:
        check_heads(self.heads)

    def __call__(self, state: State) -> Float[Tensor, "b"]:
        objects = self.codec.assignable(Objects(state.view_target), *state.outputs.shape[-2:])
        losses = head_losses(state.outputs, objects, self.codec)
        weights = {**{name: self.rest * weight for name, weight in WEIGHTS.items()}, "hm": self.seen}
        total = torch.stack([weights[name] * losses[name] for name in self.heads]).sum(0)
        if {"dep", "rot", "dim", "reg"} <= set(self.heads):
            gaps = corner_loss(state.outputs, objects, self.codec)
            total = total + self.corners * averaged(gaps, objects.asked, "object")
        return total


def check_heads(heads: tuple[str, ...]) -> None:
    """Raise ValueError for no head, or one that the detector does not have."""
    if not heads:
        raise ValueError(f"name at least one head of {', '.join(HEADS)}")
    for name in heads:
        if name not in HEADS:
            raise ValueError(unknown("head", name, HEADS))
