"""Recognition, the transfer matrix and the randomized control, on networks whose answers are known."""

import torch
from torch import nn

from invert3d.engine.model import Frozen
from invert3d.engine.space import Points
from invert3d.evaluate.inversion import randomize, recognize
from invert3d.models.pointnet import PointNetVanilla


class SaysTheSign(nn.Module):
    """Class 0 for clouds whose mean x is negative, class 1 for positive; ``flip`` swaps them."""

    def __init__(self, flip=False):
        super().__init__()
        self.sign = -1.0 if flip else 1.0

    def forward(self, points):
        mean = self.sign * points[..., 0].mean(1)
        return torch.stack([-mean, mean], -1)


def clouds():
    return torch.stack([torch.full((16, 3), -0.5), torch.full((16, 3), 0.5)])


def test_recognition_goes_by_names_not_by_indices():
    seen = recognize(Frozen(SaysTheSign(), Points(points=16)), "n", ["left", "right"], clouds(), ["left", "right"])
    assert seen.right.tolist() == [True, True]
    swapped = recognize(Frozen(SaysTheSign(), Points(points=16)), "n", ["right", "left"], clouds(), ["left", "right"])
    assert swapped.right.tolist() == [False, False]


def test_a_class_the_network_does_not_have_is_not_recognized():
    seen = recognize(Frozen(SaysTheSign(), Points(points=16)), "n", ["left", "right"], clouds(), ["chair", "right"])
    assert seen.right.tolist() == [False, True]
    assert seen.probability[0] == 0


def test_randomizing_shuffles_each_weight_and_keeps_the_network_alive():
    torch.manual_seed(0)
    model = PointNetVanilla(5)
    before = {name: value.clone() for name, value in model.named_parameters()}
    randomize(model, torch.randn(8, 64, 3), seed=1)
    for name, value in model.named_parameters():
        assert torch.equal(value.flatten().sort().values, before[name].flatten().sort().values)
    assert not torch.equal(model.linear1.weight, before["linear1.weight"])
    out = model.eval()(torch.randn(8, 64, 3))
    assert torch.isfinite(out).all()
    assert out.std() > 0


def test_the_seed_alone_decides_the_shuffled_network() -> None:
    states = []
    for luck in (1, 2):
        torch.manual_seed(7)
        model = PointNetVanilla(4)
        torch.manual_seed(luck)  # what dropout would draw
        states.append(
            randomize(model.eval(), torch.rand(6, 32, 3, generator=torch.Generator().manual_seed(0))).state_dict()
        )
        assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
