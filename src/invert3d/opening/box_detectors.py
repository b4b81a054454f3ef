"""2-D detectors by name: bundled ones, cards beside their weights, torchvision's, transformers', the user's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from invert3d.models.detectors import Detector
from invert3d.models.detectors.pretrained import is_pretrained, pretrained
from invert3d.models.detectors.thin import thin_from_card
from invert3d.models.detectors.together import Together
from invert3d.models.weights import bundled, find_card
from invert3d.opening.factories import made
from invert3d.opening.networks import checked_device
from invert3d.registry import lookup, registered, unknown


def open_box_detector(
    name: str,
    *,
    checkpoint: Path | None = None,
    classes: Sequence[str] = (),
    args: Mapping[str, Any] | None = None,
    height: int | None = None,
    width: int | None = None,
    device: str = "cpu",
) -> Any:
    """A detector of boxes in pictures, in eval mode, behind the protocol ``Detector``.

    Args:
        name: a bundled one; the path of a card (``.json``) beside its weights; one of torchvision's (``retinanet``,
            ``fasterrcnn_v2``, ...) with a ``checkpoint``; a folder, or an id in the local cache, of a DETR or RT-DETR
            that transformers saved; or ``package.module:factory``, which returns a ``Detector``. Several of these,
            joined by ``+``, are inverted together (``Together``).
        checkpoint: a state dict for one of torchvision's, opened without running code.
        classes: names of its classes, the background's first; COCO's by default. Only for torchvision's.
        args: keyword arguments of the factory.
        height, width: pictures that one of torchvision's or transformers' takes.

    Raises:
        ValueError: an unknown name, a checkpoint that does not fit, one of torchvision's without a checkpoint, a
            factory whose result is no ``Detector``, or detectors that cannot be inverted together.
        ModuleNotFoundError: one of transformers' without the extra ``hf``.
    """
    where = checked_device(device)
    if len(parts := parts_of(name)) > 1:
        if checkpoint or classes or args:
            raise ValueError("a checkpoint, class names and arguments are of one detector, not of several")
        size = {"height": height, "width": width, "device": device}
        return Together({each: open_box_detector(each, **size) for each in parts})
    if ":" in name:
        detector = made(name, dict(args or {}))
        if not isinstance(detector, Detector):
            raise ValueError(
                f"{name} returns {type(detector).__name__}, which is no Detector (docs/how-to/own-detector)"
            )
        return detector.eval().to(where)
    if found := find_card(name, "2-D detector"):
        return thin_from_card(*found).to(where)
    if name not in registered("detector"):
        if is_pretrained(name):
            return pretrained(name, height=height, width=width).to(where)
        known = unknown("detector", name, [*bundled("2-D detector"), *registered("detector")])
        raise ValueError(f"{known} (also the path of a card, a folder of transformers, or package.module:factory)")
    if checkpoint is None:
        raise ValueError(f"{name} has no weights here: give its --checkpoint, a state dict of torchvision's")
    detector = lookup("detector", name)(checkpoint=checkpoint, class_names=classes, height=height, width=width)
    return detector.to(where)


def parts_of(name: str) -> list[str]:
    """The names of the detectors that a name stands for: several where they are joined by ``+``."""
    return [name] if Path(name).exists() else [part.strip() for part in name.split("+")]
