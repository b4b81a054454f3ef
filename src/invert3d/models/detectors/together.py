"""Several detectors asked for the same layout at once: one picture that all of them read as asked.

What only one network takes for an object is often a pattern that no other sees. Asking several asks for what they have
in common, and more of that is seen by others, too (Liu et al., *Delving into Transferable Adversarial Examples and
Black-box Attacks*, 2017, section 5).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from invert3d.models.detectors.box_detector import BoxDetector
from invert3d.ops.center_losses import Per
from invert3d.ops.layouts import Layout


class Together(BoxDetector):
    """Detectors (``BoxDetector``) of pictures of one size, as one detector.

    Its ``kinds`` are those that all of them know. The loss of a head is the sum over the members that have it, divided
    by the number of all, so that the loss of a layout is the mean of the members'. ``agrees`` is true where all agree.

    The default weight of a head that several members have is that of the last.

    Everything between ``raw`` and ``losses`` is named ``MEMBER/name``. What is *found* in a picture is what the first
    member finds: read the pictures with each of ``members``.
    """

    def __init__(self, members: Mapping[str, Any]) -> None:
        """Raises ValueError for fewer than two members, pictures of several sizes, or no kind that all of them know."""
        super().__init__()
        sizes = sorted({(each.height, each.width) for each in members.values()})
        if len(members) < 2:
            raise ValueError(f"several detectors are inverted together, not {', '.join(members) or 'none'} alone")
        if len(sizes) > 1:
            raise ValueError(f"detectors that are inverted together must take pictures of one size, not {sizes}")
        for name, each in members.items():
            if not isinstance(each, BoxDetector):
                raise ValueError(f"{name} is a {type(each).__name__}: detectors of 2-D boxes are inverted together")
        first, *others = members.values()
        self.kinds = tuple(kind for kind in first.kinds if all(kind in each.kinds for each in others))
        if not self.kinds:
            raise ValueError(f"{' and '.join(members)} know no common category")
        self.names = tuple(members)
        self.model: Any = nn.ModuleList(members.values())
        (self.height, self.width), self.mean_color = sizes[0], first.mean_color
        self.heads = {name: weight for each in members.values() for name, weight in each.heads.items()}
        self.roles = {name: role for each in members.values() for name, role in each.roles.items()}

    @property
    def members(self) -> dict[str, Any]:
        """The detectors, by name."""
        return dict(zip(self.names, self.model, strict=True))

    def count_assignable(self, layout: Layout) -> int:
        """How many objects of a prepared layout all members can be asked for."""
        return min(each.count_assignable(layout) for each in self.model)

    def impossible(self, layout: Layout) -> str:
        """What one of the members can never say of a layout; nothing if they all can say it all."""
        told = {name: each.impossible(layout) for name, each in self.members.items()}
        return next((f"{name}: {words}" for name, words in told.items() if words), "")

    def raw(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """All candidates of all members, by ``MEMBER/name``."""
        return self._joined(each.raw(images) for each in self.model)

    def finalize(self, raw: dict[str, Tensor], cameras: Tensor | None = None, threshold: float = 0.0) -> list[Layout]:
        """What the first member detects in each picture."""
        return self.model[0].finalize(self._parts(raw)[0], cameras, threshold)

    def assign(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the candidates of each member should be, by ``MEMBER/name``."""
        pairs = zip(self.model, self._parts(raw), strict=True)
        return self._joined(each.assign(part, self._told(each, targets)) for each, part in pairs)

    def losses(self, raw: dict[str, Tensor], assigned: dict[str, Tensor], per: Per = "object") -> dict[str, Tensor]:
        """By head, the sum over the members that have it, divided by the number of all members."""
        total: dict[str, Tensor] = {}
        for each, *parts in zip(self.model, self._parts(raw), self._parts(assigned), strict=True):
            for name, loss in each.losses(*parts, per).items():
                total[name] = total.get(name, 0) + loss / len(self.model)
        return total

    @torch.no_grad()
    def agrees(
        self, raw: dict[str, Tensor], targets: dict[str, Tensor], threshold: float = 0.3, within: float = 0.02
    ) -> Bool[Tensor, "b"]:
        """Whether every member sees exactly the objects."""
        pairs = zip(self.model, self._parts(raw), strict=True)
        said = [each.agrees(part, self._told(each, targets), threshold, within) for each, part in pairs]
        return torch.stack(said).all(0)

    @torch.no_grad()
    def read_heads(self, raw: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Float[Tensor, "b n"]]:
        """The mean of what the heads of all members say, where all say it."""
        pairs = zip(self.model, self._parts(raw), strict=True)
        said = [each.read_heads(part, self._told(each, targets)) for each, part in pairs]
        return {
            name: torch.stack([each[name] for each in said]).mean(0)
            for name in said[0]
            if all(name in each for each in said)
        }

    def _told(self, member: Any, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The targets with the member's own numbers of the kinds; -1 stays, which is any kind."""
        own = targets["kinds"].new_tensor([*(member.kinds.index(kind) for kind in self.kinds), -1])
        return targets | {"kinds": own[targets["kinds"]]}

    def _joined(self, parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
        named = zip(self.names, parts, strict=True)
        return {f"{member}/{name}": value for member, part in named for name, value in part.items()}

    def _parts(self, whole: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        starts = [f"{member}/" for member in self.names]
        return [{k.removeprefix(s): v for k, v in whole.items() if k.startswith(s)} for s in starts]
