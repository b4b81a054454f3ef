"""
Invert a 2-D detector
=====================

torchvision's RetinaNet, with weights of your own or random ones: in which picture does it see exactly this box?
"""

import torch
from torch import nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator

from invert3d import DetectionLoss, Fourier, Frozen, Image, Layout, RetinaNetDetector, Stepper, optimize

torch.manual_seed(1)
backbone = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.Tanh(), nn.Conv2d(16, 16, 3, 4, 1), nn.Tanh())
backbone.out_channels = 16
network = RetinaNet(backbone, 3, 48, 96, anchor_generator=AnchorGenerator(((16, 32),), ((0.5, 1.0),)))
for module in network.modules():
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)

detector = RetinaNetDetector(network, ("background", "car", "person"), height=48, width=96)
layout = Layout.of_boxes(["car"], torch.tensor([[30.0, 10.0, 62.0, 40.0]]), height=48, width=96)
space = Image(height=48, width=96, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
result = optimize(
    Frozen(detector, space, output="raw"),
    DetectionLoss(),
    Fourier(),
    target=detector.targets([layout]),
    steps=60,
    stepper=Stepper(rate=0.1),
)
(found,) = detector.finalize(detector.raw(result.x), threshold=0.2)
print(f"asked for {layout.kinds} at {layout.boxes.tolist()}")
print(f"found {found.kinds} at {found.boxes.round().tolist()}, scores {[round(s, 2) for s in found.scores.tolist()]}")
