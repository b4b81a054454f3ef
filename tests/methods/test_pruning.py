"""Dynamic network surgery against a slow loop over single weights, and what makes it different from pruning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from invert3d.methods.pruning import Operation, Surgery, lamp, prune_by_magnitude, rate_for


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 2), nn.Flatten(), nn.Linear(12, 5))


def slow_mask(weight: Tensor, bias: Tensor, mask: list[bool], c: float) -> tuple[list[bool], float]:
    sizes = [abs(v) for v in [*weight.flatten().tolist(), *bias.tolist()]]
    mu = sum(sizes) / len(sizes)
    sigma = math.sqrt(sum(v * v for v in sizes) / len(sizes) - mu * mu)
    t = max(mu + c * sigma, 0)
    return [v > 0.9 * t if m else v > 1.1 * t for v, m in zip(sizes, mask, strict=True)], t


def test_masks_are_those_of_a_loop_over_the_weights_and_can_return() -> None:
    layer = nn.Linear(12, 5)
    model, weight, bias = nn.Sequential(layer), layer.weight.detach().clone(), layer.bias.detach().clone()
    with Operation(model, Surgery(c=0.5)) as operation:
        operation.update(0)
        wanted, t = slow_mask(weight, bias, [True] * 65, 0.5)
        found = torch.cat([mask.mask.flatten() for _, mask, _ in operation.masks()]).tolist()
        assert found == wanted and 0 < sum(found) < 65
        assert operation.density() == sum(found) / 65
        hidden = next(operation.masks())[2]
        out = next(i for i, kept in enumerate(found[:60]) if not kept)
        for size, there in ((1.05, False), (1.15, True), (0.95, True), (0.85, False)):  # the band between 0.9 and 1.1
            hidden.data.view(-1)[out] = size * t
            operation.update(0)
            assert bool(next(operation.masks())[1].mask.view(-1)[out]) == there
            assert bool(layer.weight.view(-1)[out] != 0) == there


def test_pruned_weights_get_the_gradient_of_the_unpruned() -> None:
    """That of a dense layer: the outer product of what comes back and what went in, also where the mask is zero."""
    model, x, back = network(), torch.randn(3, 12), torch.randn(3, 5)
    with Operation(model[4:], Surgery(c=0.7)) as operation:
        operation.update(0)
        model[4](x).backward(back)
        masks = list(operation.masks())
        assert [bool(mask.mask.all()) for _, mask, _ in masks] == [False, False]
        (weight, bias) = (hidden.grad for _, _, hidden in masks)
        assert torch.allclose(weight, back.T @ x) and torch.allclose(bias, back.sum(0))


@pytest.mark.parametrize(
    ("optimizer", "rate"), [(torch.optim.SGD, 0.5), (torch.optim.Adam, 0.02), (torch.optim.AdamW, 0.02)]
)
def test_it_trains_with_any_optimizer_and_ends_with_zeros(optimizer: type, rate: float) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 2)), torch.randn(200, 20)
    y = (x[:, 0] > 0).long()
    operation = Operation(model, Surgery(c=1.5, stop=40))
    steps = optimizer(model.parameters(), lr=rate)
    for iteration in range(80):
        operation.update(iteration, torch.Generator().manual_seed(iteration))
        if iteration == 39:
            masks = [mask.mask.clone() for _, mask, _ in operation.masks()]
        loss = nn.functional.cross_entropy(model(x), y)
        steps.zero_grad()
        loss.backward()
        steps.step()
    after = [mask.mask for _, mask, _ in operation.masks()]
    assert all(torch.equal(a, b) for a, b in zip(masks, after, strict=True)), "no change after the stop iteration"
    density, before = operation.density(), model(x)
    operation.finish()
    assert set(dict(model.named_parameters())) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    zeros = sum(int((p == 0).sum()) for p in model.parameters())
    assert zeros == pytest.approx((1 - density) * sum(p.numel() for p in model.parameters()), abs=2)
    assert torch.allclose(model(x), before)
    assert loss < 0.4 and density < 0.5


def test_leaving_the_context_gives_the_model_back_also_after_an_error() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="in the middle"), Operation(model, Surgery(c=0.5)) as operation:
        operation.update(0)
        assert model[0].weight.eq(0).any()
        raise RuntimeError("in the middle")
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_rate_for_a_density_and_what_gaussians_keep() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(400, 300, bias=False))
    nn.init.normal_(model[0].weight)
    with Operation(model, Surgery(c=2.0)) as operation:
        operation.update(0)
        assert operation.density() == pytest.approx(0.072, abs=0.004), "|w| > 1.8 sigma"
    assert rate_for(model, 0.0526) == pytest.approx(2.25, abs=0.05)
    both = network()
    with Operation(both, Surgery(c=rate_for(both, 0.3))) as operation:
        operation.update(0)
        assert operation.density() == pytest.approx(0.3, abs=0.02)


def test_magnitude_pruning_keeps_the_largest() -> None:
    model = network()
    with Operation(model, Surgery()) as operation:
        prune_by_magnitude(operation, 0.25)
        sizes = torch.cat([hidden.abs().flatten() for _, _, hidden in operation.masks()])
        kept = torch.cat([mask.mask.flatten() for _, mask, _ in operation.masks()])
        assert kept.sum() == round(0.25 * len(sizes))
        assert sizes[kept].min() >= sizes[~kept].max()


def test_chance_falls_and_what_cannot_be_pruned_is_refused() -> None:
    surgery = Surgery(gamma=0.01, power=2.0, stop=50)
    assert surgery.chance(0) == 1 and surgery.chance(10) == pytest.approx(1.1**-2) and surgery.chance(50) == 0
    with pytest.raises(ValueError, match="can be pruned"):
        Operation(nn.Sequential(nn.ReLU()), Surgery())
    with pytest.raises(ValueError, match="can be pruned"):
        Operation(network(), Surgery(), names=["1"])
    with pytest.raises(ValueError, match="density"):
        rate_for(network(), 1.5)
    with pytest.raises(ValueError, match="band"):
        Surgery(low=1.2, high=1.0)


def test_layer_adaptive_magnitudes_by_a_slow_loop() -> None:
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    slow = torch.zeros_like(weight)
    for i, w in enumerate(weight.flatten()):
        rest = sum(float(v) ** 2 for v in weight.flatten() if abs(float(v)) >= abs(float(w)))
        slow.view(-1)[i] = float(w) ** 2 / rest
    assert torch.allclose(lamp(weight).float(), slow, atol=1e-6)
    assert torch.allclose(lamp(7 * weight), lamp(weight)), "the scale of a layer does not matter"


def test_zeros_stay_out() -> None:
    layer = nn.Linear(10, 10, bias=False)
    with torch.no_grad():
        layer.weight[:, 1:] = 0
    with Operation(layer, Surgery()) as operation:
        prune_by_magnitude(operation, 0.5)
        assert operation.density() == pytest.approx(0.1)
