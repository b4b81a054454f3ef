"""Detectors by name: bundled ones with their cards, public checkpoints, training."""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.models.weights import FOLDER, load_checkpoint, save_weights
from invert3d.ops.center_losses import WEIGHTS, head_losses
from invert3d.ops.centers import CenterCodec
from invert3d.ops.objects import Objects
from invert3d.registry import registered, unknown
from invert3d.study.networks import checked_device
from invert3d.training.classifiers import FitSettings, fit
from invert3d.training.frames import Frames, batches

HOME = FOLDER / "detectors"


@dataclass(frozen=True, kw_only=True)
class DetectorCard:
    """What one ought to know before trusting a detector's weights."""

    name: str
    backbone: str
    height: int
    width: int
    codec: dict[str, Any]
    data: str
    command: str
    seed: int
    ap: dict[str, float]  # percent on held-out frames, moderate, 40 recall points, by "view kind"
    held_out: int
    licence: str
    parameters: int
    bytes: int
    sha256: str
    environment: str
    order: str = "rgb"
    options: dict[str, Any] = field(default_factory=dict)
    notes: str = ""


def detector_cards() -> dict[str, DetectorCard]:
    """The cards of all bundled detectors, by name."""
    return {path.stem: read_card(path) for path in sorted(HOME.glob("*.json"))}


def read_card(path: Path) -> DetectorCard:
    """A card from its JSON file."""
    return DetectorCard(**json.loads(path.read_text()))


def detector_of(card: DetectorCard, path: Path) -> CenterNet3D:
    """The detector that a card describes, with its weights. Raises ValueError where they are not those."""
    if not path.is_file():
        raise ValueError(f"the weights of {card.name} are not beside its card: there is no {path}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != card.sha256:
        raise ValueError(f"{path.name} is not the file its card describes")
    codec = CenterCodec(**{**card.codec, "kinds": tuple(card.codec["kinds"])})
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in card.options.items()}
    detector = CenterNet3D(
        card.backbone, height=card.height, width=card.width, codec=codec, order=card.order, options=options
    )
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
    cards = detector_cards()
    if checkpoint is not None:
        if name not in registered("center_network"):
            raise ValueError(unknown("backbone", name, registered("center_network")))
        detector = CenterNet3D(name, height=height or 384, width=width or 1280, codec=codec)
        load_checkpoint(detector.network, checkpoint, without=("base.fc.",))  # ImageNet's classifier
        return detector.eval().to(where)
    if name in cards:
        return detector_of(cards[name], HOME / f"{name}.safetensors").to(where)
    if Path(name).suffix == ".json" and Path(name).is_file():
        return detector_of(read_card(Path(name)), Path(name).with_suffix(".safetensors")).to(where)
    known = unknown("detector", name, [*cards, *registered("center_network")])
    raise ValueError(f"{known} (also the path of a card, or a backbone with --checkpoint)")


def criterion(codec: CenterCodec) -> Callable[[Tensor, Tensor], Tensor]:
    """What the bundled detectors learn: CenterNet's training loss, each regression divided by the number of objects it
    is about, and two things more. Half of the objects are read from a cell next to their own, because peaks are not
    exact; and depth counts as a ratio, because nobody can tell 60 m from 61 m and near objects are what is scored.
    """

    def loss(raw: Tensor, target: Tensor) -> Tensor:
        objects = Objects(target)
        beside = torch.randint(-1, 2, (*target.shape[:2], 2), device=target.device)
        beside = beside * (torch.rand(*target.shape[:2], 1, device=target.device) < 0.5)
        losses = head_losses(raw, objects, codec, beside=beside, depth="log")
        return sum((WEIGHTS[name] * value for name, value in losses.items()), raw.new_zeros(len(raw))).mean()

    return loss


def train_detector(
    detector: CenterNet3D, frames: Frames, settings: FitSettings, report: Callable[[int, float], None] | None = None
) -> None:
    """Train in place on prepared frames."""
    generator = torch.Generator().manual_seed(settings.seed)
    stream = batches(frames, detector, settings.batch, generator)
    fit(detector, stream, criterion(detector.codec), settings, report)


@torch.no_grad()
def detections(detector: CenterNet3D, frames: Frames, batch: int = 16, threshold: float = 0.1) -> list:
    """What a detector finds in prepared frames, a layout each."""
    found = []
    device = next(detector.parameters()).device
    for start in range(0, len(frames), batch):
        some = slice(start, start + batch)
        cameras = torch.stack([layout.projection for layout in frames.layouts[some]]).float()
        x = frames.images[some].to(device).float() / 255
        found += [layout.to("cpu") for layout in detector.finalize(detector.raw(x), cameras.to(device), threshold)]
    return found


def save_detector(
    detector: CenterNet3D,
    name: str,
    folder: Path,
    *,
    options: dict[str, Any],
    data: str,
    licence: str,
    command: str,
    seed: int,
    held_out: Frames,
    seconds: float,
    settings: FitSettings,
) -> DetectorCard:
    """Round the weights to half precision, measure them so on held-out frames, and write them with their card."""
    from invert3d.evaluate.kitti import evaluate_kitti
    from invert3d.training.frames import nominal

    network = detector.network
    network.load_state_dict(
        {k: v.half().float() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    )
    detector.eval()
    digest, size = save_weights(network, folder / f"{name}.safetensors")
    found = [nominal(layout) for layout in detections(detector, held_out)]
    scores = evaluate_kitti([nominal(layout) for layout in held_out.layouts], found)
    values = {
        f"{view} {kind}": float(scores.ap(kind, view)) for view in ("2d", "bev", "3d", "aos") for kind in detector.kinds
    }
    ap = {name: round(value, 2) for name, value in values.items() if value == value}  # none of a kind: no AP
    codec = asdict(detector.codec)
    card = DetectorCard(
        name=name,
        backbone=detector.backbone,
        height=detector.height,
        width=detector.width,
        codec=codec,
        data=data,
        command=command,
        seed=seed,
        ap=ap,
        held_out=len(held_out),
        licence=licence,
        parameters=sum(p.numel() for p in detector.parameters()),
        bytes=size,
        sha256=digest,
        order=detector.order,
        environment=f"torch {torch.__version__}, {platform.machine()}",
        options=options,
        notes=f"{settings.steps} steps of {settings.batch} in {seconds:.0f} s",
    )
    (folder / f"{name}.json").write_text(json.dumps(asdict(card), indent=2) + "\n")
    return card
