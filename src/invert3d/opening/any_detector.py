"""A detector by name, of boxes in space or in the picture: what the name says."""

from collections.abc import Sequence
from pathlib import Path

from invert3d.models.detectors import Detector
from invert3d.models.weights import bundled, read_card
from invert3d.opening.box_detectors import open_box_detector
from invert3d.opening.detectors import open_detector
from invert3d.registry import registered, unknown


def open_any_detector(
    name: str, *, checkpoint: Path | None = None, classes: Sequence[str] = (), device: str = "cpu"
) -> Detector:
    """A 3-D or a 2-D detector in eval mode, see ``open_detector`` and ``open_box_detector``.

    Raises ValueError as they do.
    """
    cards, own = bundled(), ":" in name
    card = read_card(Path(name)) if name.endswith(".json") and not own else cards.get(name)
    if card is None and not own and name not in {*registered("center_network"), *registered("detector")}:
        known = [*bundled("detector"), *bundled("2-D detector"), *registered("center_network"), *registered("detector")]
        raise ValueError(f"{unknown('detector', name, known)} (also the path of a card, or package.module:factory)")
    if name in registered("center_network") if card is None else card.kind == "detector":
        return open_detector(name, checkpoint=checkpoint, device=device)
    return open_box_detector(name, checkpoint=checkpoint, classes=classes, device=device)
