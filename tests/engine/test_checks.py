"""What a run is refused for, in one sentence: inputs of another kind, and models that cannot be optimized through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.gradient import input_gradient
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.projection import Every
from invert3d.engine.recorder import Recorder, Trace
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.engine.state import State
from invert3d.engine.stepper import Stepper
from invert3d.engine.transform import Rotate
from invert3d.objectives.classes import ClassScore, CrossEntropy
from invert3d.objectives.features import FeatureMatch
from invert3d.parameterizations.direct import Direct
from invert3d.priors.images import TotalVariation
from invert3d.priors.points import Repulsion
from invert3d.projections.bounds import Ball, Clip
from invert3d.projections.smooth import KnnSmooth

SPACE, IMAGE = Points(points=32), Image(height=4, width=6)


class Untouched(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("the model was run before the terms were looked at")


@pytest.mark.parametrize(
    ("space", "changes", "says"),
    [
        (IMAGE, {"objective": CrossEntropy() + 0.1 * Repulsion()}, "Repulsion takes points, but .* Image.height=4"),
        (SPACE, {"objective": TotalVariation()}, "TotalVariation takes image, but the model's space is Points"),
        (Voxels(size=4), {"projections": (Clip(low=0, high=1), KnnSmooth())}, "KnnSmooth takes points, but .* Voxels"),
        (IMAGE, {"projections": (Every(period=2, projection=KnnSmooth()),)}, "Every takes points"),
        (IMAGE, {"projections": (Ball(radius=0.1, per="point"),)}, "Ball takes points"),
        (IMAGE, {"transforms": (Rotate(),)}, "Rotate takes points"),
    ],
)
def test_terms_for_other_inputs_are_refused_before_any_work(space: Space, changes: dict[str, Any], says: str) -> None:
    settings = {"objective": CrossEntropy(), "target": torch.tensor([0]), "steps": 1} | changes
    with pytest.raises(ValueError, match=says):
        optimize(Frozen(Untouched(), space), parameterization=Direct(), **settings)


def test_one_derivative_of_a_term_for_other_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="Repulsion takes points"):
        input_gradient(Frozen(Untouched(), IMAGE), Repulsion(), torch.rand(1, 3, 4, 6))


def test_a_space_of_ones_own_takes_all() -> None:
    class Mine(Voxels):
        name = ""

    with pytest.raises(AssertionError, match="the model was run"):
        optimize(Frozen(Untouched(), Mine(size=4)), CrossEntropy(), Direct(), target=torch.tensor([0]), steps=1)


class After(nn.Module):
    """A network of clouds, its scores (B, 4) changed by a function."""

    def __init__(self, net: nn.Module, change: Any) -> None:
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.net(x))


class Round(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (9 * x).round()


def some_nan(scores: Tensor) -> Tensor:
    return torch.where(torch.arange(len(scores))[:, None] == 1, torch.nan, scores)


BROKEN: dict[str, tuple[Any, str]] = {
    "cut": (Tensor.detach, "After passes no gradient to its input. It dies between 'net.last' .Linear. and the output"),
    "zero": (Round(), "After passes no gradient to its input. It dies in 'change' .Round.: only zeros"),
    "nan": (some_nan, "After returns NaN at the start, first for sample 1 of 3"),
    "one number": (lambda scores: scores.sum(1), r"no .B, K. tensor of class scores .* it has \(3,\)"),
    "maps": (lambda scores: scores[..., None], r"it has \(3, 4, 1\)"),
    "no classes": (lambda scores: scores[:, :0], r"it has \(3, 0\)"),
    "two classes": (lambda scores: scores[:, :2], "class 2 was asked for, but After scores classes 0 to 1"),
    "the batch": (lambda scores: scores[:1], r"After returns \(1, 4\) for a batch of 3: the batch must come first"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_models_that_cannot_be_optimized_through_are_refused_at_the_first_step(tiny: nn.Module, name: str) -> None:
    change, says = BROKEN[name]
    seen: list[int] = []

    class Watching(Recorder):
        def record(self, state: State) -> None:
            seen.append(state.step)

    frozen = Frozen(After(tiny, change), SPACE, output="auto")
    with pytest.raises(ValueError, match=says):
        optimize(frozen, CrossEntropy(), Direct(), target=torch.tensor([0, 1, 2]), steps=9, recorders=[Watching()])
    assert not seen and not any(module._forward_hooks for module in frozen.model.modules())


@pytest.mark.parametrize("name", ["cut", "nan", "maps", "two classes"])
def test_one_derivative_of_them_is_refused(tiny: nn.Module, name: str) -> None:
    change, says = BROKEN[name]
    with pytest.raises(ValueError, match=says):
        input_gradient(Frozen(After(tiny, change), SPACE), ClassScore(), torch.rand(3, 32, 3), torch.tensor([0, 1, 2]))


def test_features_before_the_cut_can_be_matched(tiny: nn.Module) -> None:
    frozen = Frozen(After(tiny, Tensor.detach), SPACE)
    wanted = torch.rand(2, 32, 16)
    stepper = Stepper(rate=0.05)
    result = optimize(
        frozen,
        FeatureMatch(layer="net.second"),
        Direct(),
        target=wanted,
        steps=20,
        stepper=stepper,
        recorders=[Trace()],
    )
    assert (result.trace["loss"][-1] < result.trace["loss"][0]).all()


@dataclass(frozen=True, kw_only=True)
class Still(Objective):
    """A loss whose gradient is zero at the start, as that of a change from it, or that is none at all."""

    kind: str = "change"

    def __call__(self, state: State) -> Tensor:
        change = (state.x - state.start).square().mean((1, 2))
        if self.kind == "nan":
            return change / 0
        if self.kind == "mean":
            return change.mean()
        return change.detach() if self.kind == "constant" else change


def test_an_objective_may_begin_at_its_minimum(tiny: nn.Module) -> None:
    result = optimize(Frozen(tiny, SPACE), Still(), Direct(), target=None, batch=2, steps=2)
    assert result.loss.eq(0).all()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("nan", "the loss is NaN at the start, first for sample 0 of 2"),
        ("mean", r"one number a sample .2,., not \(\)"),
        ("constant", "the loss does not depend on the input"),
    ],
)
def test_losses_that_are_none_are_refused(tiny: nn.Module, kind: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        optimize(Frozen(tiny, SPACE), Still(kind=kind), Direct(), target=None, batch=2, steps=2)
