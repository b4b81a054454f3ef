"""Training of monocular 3-D detectors."""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from invert3d.evaluate.kitti import evaluate_kitti
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.models.weights import WeightCard, round_to_half, save_network
from invert3d.ops.center_losses import WEIGHTS, assign_centers, center_losses
from invert3d.ops.centers import CenterCodec
from invert3d.ops.objects import Objects
from invert3d.training.fit import Checkpoints, FitSettings, fit
from invert3d.training.frames import Frames, batches, nominal


def criterion(codec: CenterCodec) -> Callable[[dict[str, Tensor], dict[str, Tensor]], Tensor]:
    """What the bundled detectors are trained with: CenterNet's training loss, each regression divided by the number of
    its objects, with two changes.

    Half of the objects are read from a cell next to their own, because peaks are not exact. Depth counts as a ratio,
    because nobody can tell 60 m from 61 m and near objects are what is scored.
    """

    def loss(raw: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        objects = Objects(**target)
        shape, device = objects.states.shape, objects.states.device
        jitter = torch.randint(-1, 2, (*shape, 2), device=device) * (torch.rand(*shape, 1, device=device) < 0.5)
        losses = center_losses(raw, assign_centers(raw, objects, codec, jitter), codec, depth="log")
        return torch.stack([weight * losses[name] for name, weight in WEIGHTS.items()]).sum(0).mean()

    return loss


def train_detector(
    detector: CenterNet3D,
    frames: Frames,
    settings: FitSettings,
    *,
    keep: Checkpoints | None = None,
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Train in place on prepared frames; see ``fit``."""
    stream = batches(frames, detector, settings.batch, settings.seed)
    fit(detector, stream, criterion(detector.codec), settings, keep=keep, report=report)


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


def save_detector(detector: CenterNet3D, held_out: Frames, card: WeightCard, folder: Path) -> WeightCard:
    """Round the weights to half precision, measure them so, and write them with their card.

    Args:
        detector: rounded in place.
        held_out: frames on which it is measured by KITTI's rules: AP in percent, moderate, 40 recall points.
        card: name, data, licence, command, seed, notes, and as options those of the backbone; the rest is filled in.
        folder: where ``NAME.safetensors`` and ``NAME.json`` go.
    """
    round_to_half(detector.network)
    detector.eval()
    found = [nominal(layout) for layout in detections(detector, held_out)]
    table = evaluate_kitti([nominal(layout) for layout in held_out.layouts], found)
    views = ("2d", "bev", "3d", "aos")
    scores = {f"{view} {kind}": float(table.ap(kind, view)) for view in views for kind in detector.kinds}
    options = {
        "backbone": detector.backbone,
        "height": detector.height,
        "width": detector.width,
        "order": detector.order,
        "codec": asdict(detector.codec),
        "options": dict(card.options),
    }
    card = replace(
        card,
        kind="detector",
        architecture="centernet3d",
        classes=detector.kinds,
        options=json.loads(json.dumps(options)),
        scores={name: round(value, 2) for name, value in scores.items() if value == value},  # none of a kind: no AP
        held_out=len(held_out),
        environment=f"torch {torch.__version__}, {platform.machine()}",
    )
    return save_network(detector.network, card, folder)
