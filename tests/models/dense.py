"""What the tests of torchvision's dense detectors share: a small backbone, layouts to ask for, and what all must do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invert3d.models.detectors import Detector, detect
from invert3d.models.detectors.dense import DenseDetector
from invert3d.ops.layouts import Layout

KINDS = ("__background__", "Car", "Pedestrian", "Tram")


class TwoLevels(nn.Module):
    """A small backbone of two maps."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.out_channels = channels
        self.fine = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.Tanh(), nn.Conv2d(16, channels, 3, 4, 1), nn.Tanh())
        self.coarse = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.fine(x)
        return {"0": fine, "1": self.coarse(fine).tanh()}


def asked(*rows: tuple[str, float, float, float, float], height: int = 48, width: int = 96) -> Layout:
    boxes = torch.tensor([row[1:] for row in rows]).float().reshape(-1, 4)
    return Layout.of_boxes([row[0] for row in rows], boxes, height, width)


LAYOUTS = [asked(("Car", 10, 8, 40, 30), ("Tram", 50, 10, 90, 44)), asked(("Pedestrian", 30, 5, 50, 45)), asked()]


def check_own_forward(detector: DenseDetector, seed: int, size: tuple[int, int]) -> None:
    """Detections of prepared pictures are those of the network's own forward, bit for bit."""
    torch.manual_seed(seed)
    pictures = torch.rand(2, 3, *size)
    nothing = asked(height=size[0], width=size[1])
    prepared = torch.stack([detector.prepare(picture, nothing)[0] for picture in pictures])
    found = detect(detector, prepared, threshold=0.0)
    with torch.no_grad():
        wanted = detector.model([*pictures])
    for layout, own in zip(found, wanted, strict=True):
        assert len(layout) > 5 and (layout.height, layout.width) == size
        assert torch.equal(layout.boxes, own["boxes"]) and torch.equal(layout.scores, own["scores"])
        assert layout.kinds == tuple(KINDS[k] for k in own["labels"])
        assert layout.scores.diff().le(0).all() and len(set(layout.kinds)) > 1
    above = detect(detector, prepared, threshold=0.2)
    assert [one.scores.tolist() for one in above] == [one.scores[one.scores > 0.2].tolist() for one in found]


def check_gradients_and_batches(detector: DenseDetector, share: float = 0.7) -> None:
    """Each output has a gradient in that share of the pixels (strides skip some); a sample alone gives the same."""
    x = torch.rand(3, 3, detector.height, detector.width, requires_grad=True)
    raw = detector(x)
    assert isinstance(detector, Detector) and {len(value) for value in raw.values()} == {3}
    for name in detector.outputs:
        (gradient,) = torch.autograd.grad(raw[name].sum(), x, retain_graph=True)
        assert gradient.isfinite().all() and (gradient != 0).float().mean() > share
    for name, value in detector.raw(x[1:2]).items():
        assert torch.allclose(value, raw[name][1:2], atol=1e-4), name


def check_exact(detector: DenseDetector, meant: dict[str, Tensor], layouts: list[Layout]) -> None:
    """Post-processing leaves of candidates exactly the layouts."""
    assert detector.agrees(meant, detector.targets(layouts), threshold=0.0).all()
    for found, layout in zip(detector.finalize(meant), layouts, strict=True):
        assert sorted(found.kinds) == sorted(layout.kinds)


def candidates(detector: DenseDetector, seed: int = 0, height: int = 48, width: int = 96) -> dict[str, Tensor]:
    """What a detector says of three random pictures."""
    return detector.raw(torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(seed)))
