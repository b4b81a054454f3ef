"""Detectors by name: bundled ones, cards beside their weights, public checkpoints."""

from pathlib import Path

from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.models.weights import WeightCard, bundled, find_card, load_checkpoint
from invert3d.opening.networks import checked_device
from invert3d.ops.centers import CenterCodec
from invert3d.registry import registered, unknown


def detector_of(card: WeightCard, path: Path) -> CenterNet3D:
    """The detector that a card describes, with its weights. Raises ValueError if they do not fit."""
    try:
        codec = CenterCodec(**{**card.options["codec"], "kinds": card.classes})
        inner = {key: tuple(v) if isinstance(v, list) else v for key, v in card.options["options"].items()}
        detector = CenterNet3D(**{**card.options, "codec": codec, "options": inner})
    except (TypeError, KeyError) as error:
        raise ValueError(f"the card of {card.name} does not fit {card.architecture}: {error}") from error
    load_checkpoint(detector.network, path)
    return detector.eval()


def open_detector(
    name: str,
    *,
    checkpoint: Path | None = None,
    height: int | None = None,
    width: int | None = None,
    device: str = "cpu",
    codec: CenterCodec | None = None,
) -> CenterNet3D:
    """A detector in eval mode.

    Args:
        name: a bundled one, the path of a card (``.json``) beside its weights, or a backbone with a ``checkpoint`` by
            the keys of CenterNet's public code.
        checkpoint: ``.pth`` or ``.safetensors``, opened without running code.
        height, width: pictures that a public checkpoint takes, 384 x 1280 unless said.
        codec: its conventions, those of the public code unless said.

    Raises:
        ValueError: for an unknown name, or a checkpoint that does not fit.
    """
    where = checked_device(device)
    if checkpoint is not None:
        if name not in registered("center_network"):
            raise ValueError(unknown("backbone", name, registered("center_network")))
        detector = CenterNet3D(name, height=height or 384, width=width or 1280, codec=codec)
        load_checkpoint(detector.network, checkpoint, without=("base.fc.",))  # ImageNet's classifier
        return detector.eval().to(where)
    if found := find_card(name, "detector"):
        return detector_of(*found).to(where)
    known = unknown("detector", name, [*bundled("detector"), *registered("center_network")])
    raise ValueError(f"{known} (also the path of a card, or a backbone with --checkpoint)")
