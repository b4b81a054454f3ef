"""Attributions against captum where it is right, and against slow obvious rules everywhere."""

from __future__ import annotations

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.attribution.attribution import Attribution
from invert3d.attribution.gradients import Gradient, InputXGradient, SmoothGrad
from invert3d.attribution.integrated import IntegratedGradients
from invert3d.attribution.rectified import Deconvolution, Guided
from invert3d.attribution.removal import PointSaliency, RegionOcclusion
from invert3d.engine.model import Frozen
from invert3d.engine.space import Points, Voxels
from invert3d.models.dgcnn import DGCNN
from invert3d.models.pointnet2 import PointNet2SSG
from invert3d.objectives.classes import ClassScore, Contrast
from tests.attribution.patterns import PATTERNS, RECTIFIERS, Rule, Written
from tests.ops.test_choices import Graph


def asked(model: nn.Module, points: int = 16) -> tuple[Frozen, Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.rand(3, points, 3, dtype=torch.float64) - 0.5
    return Frozen(model.double().eval(), Points(points=points)), x, torch.tensor([0, 3, 1])


@pytest.mark.parametrize("rule", ["guided", "deconvolution"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("rectifier", RECTIFIERS)
def test_rules_are_exact_however_a_rectifier_is_written(rule: str, pattern: str, rectifier: str) -> None:
    called, plain = RECTIFIERS[rectifier]
    frozen, x, target = asked(Written(pattern, called))
    reference = Written(pattern, lambda h: Rule.apply(h, rule, plain)).double()
    leaf = x.clone().requires_grad_()
    reference(leaf).gather(1, target[:, None]).sum().backward()
    method = Guided() if rule == "guided" else Deconvolution()
    found = method(frozen, ClassScore(), x, target)
    assert torch.allclose(found.values, leaf.grad, atol=1e-12)
    assert found.facts["rectifiers"] == {"one": 1, "residual on the same tensor": 1}.get(pattern, 2)


def test_captum_agrees_where_it_is_right_and_is_silent_where_it_is_not() -> None:
    for called, right in ((nn.ReLU(), True), (F.relu, False)):
        frozen, x, target = asked(Written("one", called))
        with pytest.warns(UserWarning):
            theirs = captum.attr.GuidedBackprop(frozen.model).attribute(x.clone().requires_grad_(), target=target)
        ours = Guided()(frozen, ClassScore(), x, target).values
        assert torch.allclose(ours, theirs, atol=1e-12) == right
        vanilla = Gradient()(frozen, ClassScore(), x, target).values
        assert torch.allclose(theirs, vanilla, atol=1e-12) == (not right)


@pytest.mark.parametrize("network", ["pointnet2", "dgcnn"])
def test_rules_on_a_network_with_groups(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference rectifies by the rule itself: every relu of the network is replaced while it runs."""
    torch.manual_seed(0)
    model = PointNet2SSG(5) if network == "pointnet2" else DGCNN(5, k=4)
    if isinstance(model, PointNet2SSG):
        model.sa1.centers, model.sa2.centers = 24, 8
    frozen, x, target = asked(model, points=48)
    found = Guided()(frozen, ClassScore(), x, target)
    assert found.facts["rectifiers"] >= 7
    leaf = x.clone().requires_grad_()
    original = torch.Tensor.relu

    def function(h: Tensor) -> Tensor:
        return original(h) if network == "pointnet2" else torch.where(h > 0, h, 0.2 * h)

    def obvious(h: Tensor, *_: object, **__: object) -> Tensor:
        return Rule.apply(h, "guided", function)

    with frozen:
        monkeypatch.setattr(torch.Tensor, "relu", obvious)
        monkeypatch.setattr(torch.Tensor, "relu_", obvious)
        monkeypatch.setattr(F, "leaky_relu", obvious)
        frozen.model(leaf).gather(1, target[:, None]).sum().backward()
    monkeypatch.undo()
    assert torch.allclose(found.values, leaf.grad, atol=1e-10)
    vanilla = Gradient()(frozen, ClassScore(), x, target).values
    assert (found.values - vanilla).norm() > 0.1 * vanilla.norm()


def test_a_network_without_rectifiers_is_refused() -> None:
    frozen, x, target = asked(Written("one", torch.tanh))
    with pytest.raises(ValueError, match="no rectifier was found"):
        Guided()(frozen, ClassScore(), x, target)


def test_gradients_are_those_of_captum() -> None:
    frozen, x, target = asked(Written("one", F.gelu))
    leaf = x.clone().requires_grad_()
    saliency = captum.attr.Saliency(frozen.model).attribute(leaf, target=target, abs=False)
    assert torch.allclose(Gradient()(frozen, ClassScore(), x, target).values, saliency)
    product = captum.attr.InputXGradient(frozen.model).attribute(leaf, target=target)
    assert torch.allclose(InputXGradient()(frozen, ClassScore(), x, target).values, product)
    quiet = SmoothGrad(noise=0.0, samples=2)(frozen, ClassScore(), x, target)
    assert torch.allclose(quiet.values, saliency)


def test_contrast_explains_the_difference_of_two_logits() -> None:
    frozen, x, target = asked(Written("one", F.relu))
    one = Gradient()(frozen, ClassScore(), x, target).values
    other = Gradient()(frozen, ClassScore(), x, torch.full((3,), 2)).values
    assert torch.allclose(Gradient()(frozen, Contrast(against=2), x, target).values, one - other)


def test_integrated_gradients_with_fixed_steps_are_those_of_captum() -> None:
    frozen, x, target = asked(Written("one", F.relu))
    theirs = captum.attr.IntegratedGradients(frozen.model).attribute(
        x, target=target, n_steps=20, method="riemann_middle"
    )
    ours = IntegratedGradients(steps=20)(frozen, ClassScore(), x, target)
    assert torch.allclose(ours.values, theirs, atol=1e-10)
    assert ours.facts["evaluations"] == 22


@pytest.mark.parametrize("tolerance", [0.05, 0.01, 0.001])
def test_integrated_gradients_keep_their_tolerance_and_no_more(tolerance: float) -> None:
    frozen, x, target = asked(Written("twice in a row", F.relu))
    found = IntegratedGradients(tolerance=tolerance)(frozen, ClassScore(), x, target)
    with torch.no_grad():
        whole = frozen(x) - frozen(torch.zeros_like(x))
    errors = (found.values.sum((1, 2)) / whole.gather(1, target[:, None])[:, 0] - 1).abs()
    assert errors.max() <= tolerance * (1 + 1e-6)
    assert torch.allclose(errors, torch.tensor(found.facts["completeness_error"], dtype=errors.dtype), atol=1e-5)
    assert max(found.facts["evaluations_each"]) < 128


def test_integrated_gradients_stop_where_they_cannot_get_better() -> None:
    frozen, x, target = asked(Written("one", lambda h: torch.floor(4 * h) + 0.1 * h.relu()))
    found = IntegratedGradients(most=40)(frozen, ClassScore(), x, target)
    assert max(found.facts["evaluations_each"]) <= 40
    assert max(found.facts["completeness_error"]) > 0.01, "F jumps, and it says so"
    found = IntegratedGradients()(frozen, ClassScore(), x, target)
    equal = IntegratedGradients(steps=50)(frozen, ClassScore(), x, target).facts["completeness_error"]
    assert max(found.facts["evaluations_each"]) <= 128
    assert all(a <= b + 1e-6 for a, b in zip(found.facts["completeness_error"], equal, strict=True))


def test_frozen_groupings_make_one_smooth_function_of_a_network_with_groups() -> None:
    torch.manual_seed(0)
    model = PointNet2SSG(5)
    model.sa1.centers, model.sa2.centers = 24, 8
    frozen, x, target = asked(model, points=48)
    found = IntegratedGradients()(frozen, ClassScore(), x, target)
    assert max(found.facts["completeness_error"]) <= 0.01
    with torch.no_grad():
        assert torch.allclose(
            torch.tensor(found.facts["F(x)"], dtype=torch.float64),
            frozen(x).gather(1, target[:, None])[:, 0],
            atol=1e-6,
        )


class UsersGraph(nn.Module):
    """A graph network that knows nothing of this library: neighbors and a sort pool by torch's own functions."""

    def __init__(self) -> None:
        super().__init__()
        self.graph, self.head = Graph(), nn.Linear(8 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.graph.pooled(x))


def test_what_a_network_of_a_user_chooses_is_held_too() -> None:
    frozen, x, target = asked(UsersGraph(), points=48)
    found = IntegratedGradients()(frozen, ClassScore(), x, target)
    live = IntegratedGradients(groupings="live")(frozen, ClassScore(), x, target)
    assert max(found.facts["completeness_error"]) <= 0.01 < max(live.facts["completeness_error"])
    assert max(found.facts["evaluations_each"]) < max(live.facts["evaluations_each"])
    with torch.no_grad():
        whole = frozen(x).gather(1, target[:, None])[:, 0]
    assert torch.allclose(torch.tensor(found.facts["F(x)"], dtype=torch.float64), whole, atol=1e-6)


class Heights(nn.Module):
    """The sum of the heights of the points of the upper half, and its negative."""

    def forward(self, x: Tensor) -> Tensor:
        upper = (x[..., 2].clamp_min(0)).sum(1)
        return torch.stack([upper, -upper], 1)


def test_removal_finds_what_the_score_is_made_of() -> None:
    frozen, x, target = asked(Heights(), points=40)[0], torch.rand(2, 40, 3) - 0.5, torch.tensor([0, 0])
    upper = x[..., 2] > 0
    for method in (PointSaliency(), RegionOcclusion(regions=40)):
        found: Attribution = method(frozen, ClassScore(), x.double(), target)
        each = found.per_element("sum")
        assert each[upper].mean() > 2 * each[~upper].mean().abs()
    everything = RegionOcclusion(regions=40)(frozen, ClassScore(), x.double(), target).per_element("sum")
    lost = x[..., 2].clamp_min(0) - x[..., 2].mean(1, keepdim=True).clamp_min(0)
    assert torch.allclose(everything, lost.double(), atol=1e-6), "a region is one point: what is lost is its height"


def test_what_is_not_a_cloud_or_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="explains points, not voxels"):
        PointSaliency()(Frozen(nn.Identity(), Voxels(size=4)), ClassScore(), torch.zeros(1, 1, 4, 4, 4))
    for change, says in (
        ({"tolerance": 0.0}, "a tolerance above 0, or steps, not 0.0 and 0"),
        ({"steps": -1}, "or steps, not 0.01 and -1"),
        ({"first": 0}, "not 0 and 128"),
        ({"most": 4, "first": 8}, "not 8 and 4"),
    ):
        with pytest.raises(ValueError, match=says):
            IntegratedGradients(**change)
    with pytest.raises(ValueError, match="regions and blocks must be 2 or more, not 1 and 8"):
        RegionOcclusion(regions=1)
    with pytest.raises(ValueError, match="samples must be 1 or more and noise 0 or more, not 0 and 0.05"):
        SmoothGrad(samples=0)
