"""Detectors whose post-processing removes boxes of a kind that overlap, and whose first kind is the background."""

from invert3d.models.detectors.box_detector import BoxDetector
from invert3d.ops.layouts import Layout


class SuppressingDetector(BoxDetector):
    """A detector with non-maximum suppression. The background, its first kind, is never found.

    Attributes:
        suppression: the overlap of two boxes of a kind above which post-processing removes one.
    """

    suppression: float

    def count_assignable(self, layout: Layout) -> int:
        """See ``BoxDetector.count_assignable``. The background cannot be asked for."""
        return super().count_assignable(layout.of_kinds(self.kinds[1:]))

    def impossible(self, layout: Layout) -> str:
        """See ``BoxDetector.impossible``: the background, and two boxes of which one would be removed."""
        from torchvision.ops import box_iou

        background = self.kinds[0]
        if background in layout.kinds:
            return f"object {layout.kinds.index(background) + 1} is {background}, which this detector never finds"
        shares = box_iou(layout.boxes, layout.boxes).triu(1)
        for i, j in (shares > self.suppression).nonzero().tolist():
            if layout.kinds[i] == layout.kinds[j] != "DontCare":
                return (
                    f"objects {i + 1} and {j + 1}, both {layout.kinds[i]}, overlap by {shares[i, j]:.2f}: above "
                    f"{self.suppression:g} this detector removes one of them"
                )
        return ""
