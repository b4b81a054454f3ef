"""Our point networks compute what the textbook ones do from the same state dicts, derivatives too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from invert3d.models.dgcnn import DGCNN, neighbor_max
from invert3d.models.layers import max_over_points
from invert3d.models.pointnet import PointNet, PointNetVanilla
from invert3d.models.pointnet2 import PointNet2MSG, PointNet2SSG
from invert3d.ops.points import gather
from tests.models import textbook


@dataclass(frozen=True)
class Pair:
    """A network of ours and the textbook's, how they are called, and how many parameters both have."""

    ours: Callable[[], nn.Module]
    textbook: Callable[[], nn.Module]
    points: int
    channels: int = 3
    log_softmax: bool = False
    parameters: int | None = None  # with the classes of the public release


CLASSES = 40
PAIRS = {
    "pointnet": Pair(lambda: PointNet(CLASSES), lambda: textbook.PointNet(CLASSES), 40, 3, True, parameters=3_471_473),
    "pointnet with normals": Pair(
        lambda: PointNet(CLASSES, normals=True), lambda: textbook.PointNet(CLASSES, normals=True), 40, 6, True
    ),
    "vanilla": Pair(
        lambda: PointNetVanilla(CLASSES), lambda: textbook.PointNetVanilla(CLASSES), 40, parameters=819_624
    ),
    "ssg": Pair(
        lambda: PointNet2SSG(CLASSES),
        lambda: textbook.PointNet2(CLASSES, multi_scale=False),
        520,
        3,
        True,
        parameters=1_475_688,
    ),
    "ssg with normals": Pair(
        lambda: PointNet2SSG(CLASSES, normals=True),
        lambda: textbook.PointNet2(CLASSES, normals=True, multi_scale=False),
        520,
        6,
        True,
    ),
    "msg": Pair(
        lambda: PointNet2MSG(CLASSES),
        lambda: textbook.PointNet2(CLASSES, multi_scale=True),
        520,
        3,
        True,
        parameters=1_747_368,
    ),
    "msg with normals": Pair(
        lambda: PointNet2MSG(CLASSES, normals=True),
        lambda: textbook.PointNet2(CLASSES, normals=True, multi_scale=True),
        520,
        6,
        True,
    ),
    "dgcnn": Pair(lambda: DGCNN(CLASSES, k=6), lambda: textbook.DGCNN(CLASSES, 6), 40, parameters=1_809_576),
}
SMALL = [name for name in PAIRS if "sg" not in name]
BARE = [name for name in PAIRS if "normals" not in name]


def randomized(model: nn.Module) -> nn.Module:
    """Batch norms as no training leaves them: random statistics, gains of either sign."""
    generator = torch.Generator().manual_seed(3)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        drawn = torch.rand(like.shape, generator=generator, dtype=torch.float64)
        return (low + (high - low) * drawn).to(like.dtype)

    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                sign = uniform(norm.weight, -1, 1).sign()
                norm.weight.copy_(sign * uniform(norm.weight, 0.5, 1.5))
                norm.bias.copy_(uniform(norm.bias, -0.3, 0.3))
                norm.running_mean.copy_(uniform(norm.running_mean, -0.3, 0.3))
                norm.running_var.copy_(uniform(norm.running_var, 0.5, 1.5))
    return model


def both(
    name: str, dtype: torch.dtype, *, small: bool = False
) -> tuple[nn.Module, Callable[[Tensor], Tensor], nn.Module, Tensor]:
    """Ours and the textbook's with the same state, the latter as a function of (B, N, C), and an input.

    ``small`` takes fewer centers, to be quick.
    """
    pair = PAIRS[name]
    torch.manual_seed(0)
    ours, theirs = pair.ours().to(dtype), pair.textbook().to(dtype)
    theirs.load_state_dict(randomized(ours).state_dict())
    points = pair.points
    if small and hasattr(ours, "sa1"):
        ours.sa1.centers, ours.sa2.centers, theirs.sa1.count, theirs.sa2.count, points = 60, 20, 60, 20, 130
    x = torch.rand(2, points, pair.channels, dtype=torch.float64).to(dtype) - 0.5

    def scores(x: Tensor) -> Tensor:
        returned = theirs(x.transpose(1, 2))
        return returned[0] if isinstance(returned, tuple) else returned

    return ours, scores, theirs, x


def compared(name: str, logits: Tensor) -> Tensor:
    return logits.log_softmax(-1) if PAIRS[name].log_softmax else logits


@pytest.mark.parametrize("name", PAIRS)
def test_state_dicts_are_exchanged_by_key(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = PAIRS[name].ours(), PAIRS[name].textbook()
    shapes = [{key: tuple(value.shape) for key, value in m.state_dict().items()} for m in (ours, theirs)]
    assert shapes[0] == shapes[1]
    if wanted := PAIRS[name].parameters:
        assert sum(p.numel() for p in ours.parameters()) == wanted
        assert sum(p.numel() for p in theirs.parameters()) == wanted


def test_dgcnn_registers_its_norms_under_two_names() -> None:
    model = DGCNN(4)
    state = model.state_dict()
    for i in range(1, 6):
        assert state[f"bn{i}.weight"].data_ptr() == state[f"conv{i}.1.weight"].data_ptr()


@pytest.mark.parametrize("name", PAIRS)
def test_outputs_and_input_gradients_are_the_textbook_ones(name: str) -> None:
    ours, scores, theirs, x = both(name, torch.float64, small="normals" in name)
    ours.eval(), theirs.eval()
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    found, wanted = compared(name, ours(leaves[0])), scores(leaves[1])
    assert torch.allclose(found, wanted, atol=1e-5), (found - wanted).abs().max()
    weights = torch.linspace(-1, 1, CLASSES, dtype=torch.float64)
    for value in (found, wanted):
        (value * weights).sum().backward()
    scale = leaves[1].grad.abs().max()
    assert scale > 0
    assert torch.allclose(leaves[0].grad, leaves[1].grad, atol=1e-8 * float(scale), rtol=1e-6)
    with torch.no_grad():
        assert torch.allclose(compared(name, ours(x)), wanted, atol=1e-5), "the same without a graph"


@pytest.mark.parametrize("name", BARE)
def test_outputs_in_single_precision(name: str) -> None:
    ours, scores, theirs, x = both(name, torch.float32)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        found, wanted = compared(name, ours(x)), scores(x)
    assert torch.allclose(found, wanted, atol=1e-4, rtol=1e-4), (found - wanted).abs().max()


@pytest.mark.parametrize("name", BARE)
def test_training_gives_the_textbook_gradient_to_every_parameter(name: str) -> None:
    """Without dropout, whose draws differ: outputs, gradients, and the statistics that norms keep."""
    ours, scores, theirs, x = both(name, torch.float64, small=True)
    for module in ours.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    theirs.drop, theirs.drops = 0.0, (0.0, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invert3d.models.pointnet.F.dropout", lambda x, *_: x)
        found, wanted = compared(name, ours.train()(x)), scores(x)
    assert torch.allclose(found, wanted, atol=1e-6)
    weights = torch.linspace(-1, 1, CLASSES, dtype=torch.float64)
    for value in (found, wanted):
        (value * weights).sum().backward()
    gradients = {key: parameter.grad for key, parameter in theirs.named_parameters()}
    scale = max(float(gradient.abs().max()) for gradient in gradients.values())
    for key, mine in ours.named_parameters():
        assert mine.grad is not None and mine.grad.isfinite().all(), key
        assert torch.allclose(mine.grad, gradients[key], atol=1e-9 * scale, rtol=1e-6), key
    state = theirs.state_dict()
    for key, value in ours.state_dict().items():
        if "running" in key:
            assert torch.allclose(value, state[key], atol=1e-8), key


@pytest.mark.parametrize("name", BARE)
def test_training_with_dropout_gives_a_finite_gradient_to_every_parameter(name: str) -> None:
    ours, _, _, x = both(name, torch.float32, small=True)
    nn.functional.cross_entropy(ours.train()(x), torch.tensor([1, 2])).backward()
    without = [key for key, p in ours.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without


@pytest.mark.parametrize("name", SMALL)
def test_the_order_of_the_points_does_not_matter(name: str) -> None:
    ours, _, _, x = both(name, torch.float64)
    order = torch.randperm(x.shape[1])
    with torch.no_grad():
        assert torch.allclose(ours.eval()(x), ours(x[:, order]), atol=1e-9)


@pytest.mark.parametrize("points", [1, 31, 32, 100])
def test_the_maximum_over_points_and_its_derivative_go_to_the_first_winner(points: int) -> None:
    x = torch.randint(0, 9, (3, points, 5)).double().requires_grad_()  # with ties
    wanted = x.max(1)
    weights = torch.rand(3, 5, dtype=torch.float64)
    (found,) = torch.autograd.grad((max_over_points(x) * weights).sum(), x)
    first = (x == wanted.values[:, None]).double().argmax(1, keepdim=True)
    assert torch.equal(max_over_points(x), wanted.values)
    assert torch.equal(found, torch.zeros_like(x).scatter(1, first, weights[:, None]))


def test_the_neighbor_maximum_is_that_of_all_candidates() -> None:
    values = torch.randn(2, 12, 5, dtype=torch.float64, requires_grad=True)
    indices = torch.randint(12, (2, 12, 4))
    found, wanted = neighbor_max(values, indices), gather(values, indices).amax(2)
    assert torch.equal(found, wanted)
    wave = torch.randn_like(found)
    (mine,) = torch.autograd.grad((found * wave).sum(), values)
    (other,) = torch.autograd.grad((gather(values, indices).max(2).values * wave).sum(), values)
    assert torch.allclose(mine, other)
