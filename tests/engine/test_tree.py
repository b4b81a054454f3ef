"""Trees of tensors, and a loop whose targets, outputs and features are such trees, as those of detectors are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine import tree
from invert3d.engine.gradient import input_gradient
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.recorder import Best, Recorder, Snapshots, Trace
from invert3d.engine.result import Result
from invert3d.engine.space import Points
from invert3d.engine.state import State
from invert3d.parameterizations.direct import Direct

SPACE = Points(points=32)
TARGET = {
    "boxes": {"center": torch.tensor([[[0.2, 0.1, 0.0]], [[-0.1, 0.3, 0.2]], [[0.0, 0.0, 0.4]], [[0.3, 0.3, 0.3]]])},
    "kind": torch.tensor([[1], [0], [1], [1]]),
}


class Backbone(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"mean": x.mean(1), "spread": x.std(1)}


class TinyDetector(nn.Module):
    """A detector's shape of output: dictionaries one level deep, some of it whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()

    def forward(self, x: Tensor) -> dict[str, Any]:
        found = self.backbone(x)
        scores = 3 * found["spread"].mean(-1, keepdim=True)
        return {
            "boxes": {"center": found["mean"][:, None], "anchor": torch.arange(len(x))[:, None]},
            "scores": torch.cat([scores, 1 - scores], 1),
        }


@dataclass(frozen=True, kw_only=True)
class Found(Objective):
    """Distance of the box from the one asked for, and cross entropy of its kind."""

    taps: tuple[str, ...] = ("backbone",)

    def __call__(self, state: State) -> Tensor:
        gap = (state.outputs["boxes"]["center"] - state.view_target["boxes"]["center"]).square().sum((1, 2))
        kind = nn.functional.cross_entropy(state.outputs["scores"], state.view_target["kind"][:, 0], reduction="none")
        return gap + 0.1 * kind + 0.01 * state.features["backbone"]["spread"].square().sum(1)


class Leaving(Recorder):
    """Sample i leaves after the step ``at[i]``."""

    def __init__(self, at: list[int]) -> None:
        self.at = torch.tensor(at)

    def finished(self, state: State) -> Tensor:
        return self.at[state.rows] <= state.step


class InterruptAt(Recorder):
    def __init__(self, step: int) -> None:
        self.step = step

    def record(self, state: State) -> None:
        if state.step == self.step:
            raise KeyboardInterrupt


def run(**changes: Any) -> Result:
    frozen = Frozen(TinyDetector(), SPACE, output="raw")
    settings: dict[str, Any] = {"target": TARGET, "steps": 30, "keep_outputs": True} | changes
    return optimize(frozen, Found(), Direct(), **settings)


def same(a: Any, b: Any) -> bool:
    mine, theirs = tree.flattened("", a), tree.flattened("", b)
    return mine.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in mine.items())


def test_a_run_toward_a_dictionary() -> None:
    result = run(recorders=[Trace(), Snapshots(count=3), Best()])
    assert (result.trace["loss"][-1] < result.trace["loss"][0]).all() and "probability" not in result.trace
    assert result.outputs["boxes"]["center"].shape == (4, 1, 3) and not result.success.any()
    assert not result.outputs["scores"].requires_grad
    assert same(result.target, TARGET)


def test_samples_that_leave_take_their_part_of_the_trees() -> None:
    result = run(recorders=[Leaving([3, 99, 12, 7])])
    for sample, last in enumerate([3, 99, 12, 7]):
        alone = run(target=tree.rows_of(TARGET, [sample]), samples=[sample], steps=30, recorders=[Leaving([last])])
        assert alone.steps[0] == result.steps[sample] == min(last + 1, 30)
        assert torch.allclose(alone.x[0], result.x[sample], atol=1e-6)
        assert torch.allclose(alone.outputs["scores"][0], result.outputs["scores"][sample], atol=1e-6)
    part = result.select([2, 0])
    assert same(part.outputs, tree.rows_of(result.outputs, [2, 0])) and same(part.target, tree.rows_of(TARGET, [2, 0]))
    assert result.select([]).count == 0


@pytest.mark.parametrize("keep", [True, False, None])
def test_an_interruption_changes_nothing(keep: bool | None) -> None:
    whole = run(keep_outputs=keep, recorders=[Leaving([3, 99, 12, 99])])
    broken = run(keep_outputs=keep, recorders=[Leaving([3, 99, 12, 99]), InterruptAt(8)])
    resumed = run(keep_outputs=keep, recorders=[Leaving([3, 99, 12, 99])], checkpoint=broken.checkpoint)
    assert torch.equal(resumed.x, whole.x) and same(resumed.outputs, whole.outputs)
    assert torch.equal(resumed.steps, whole.steps)


def test_outputs_that_are_not_asked_for_are_not_kept() -> None:
    assert run(keep_outputs=None).outputs.shape == run(keep_outputs=False).outputs.shape == (4, 0)


def test_one_derivative_of_a_dictionary() -> None:
    x = torch.rand(4, 32, 3) - 0.5
    gradient, state = input_gradient(Frozen(TinyDetector(), SPACE, output="raw"), Found(), x, TARGET)
    assert gradient.shape == x.shape and gradient.flatten(1).any(1).all()
    assert not state.outputs["boxes"]["center"].requires_grad


def test_half_precision_leaves_whole_numbers_alone() -> None:
    outputs = Frozen(TinyDetector(), SPACE, output="raw", bf16=True)(torch.rand(2, 32, 3))
    assert outputs["scores"].dtype == torch.float32 and outputs["boxes"]["anchor"].dtype == torch.int64


def test_raw_outputs_that_are_no_tensors_are_refused() -> None:
    class Listing(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x]

    with pytest.raises(ValueError, match="raw outputs must be a tensor or a dictionary of them, not list"):
        Frozen(Listing(), SPACE, output="raw")(torch.rand(2, 32, 3))


def test_targets_of_several_batch_sizes_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"targets must be tensors \(B, ...\) of one batch size B, these have \[3, 4\]"
    ):
        run(target={**TARGET, "kind": TARGET["kind"][:3]})
    with pytest.raises(ValueError, match="these have none"):
        run(target={})


def test_leaves_have_names() -> None:
    value = {"a": torch.zeros(2), "b": {"c": torch.ones(2, 3), "d.e": torch.zeros(2, 0)}}
    table = tree.flattened("target", value)
    assert list(table) == ["target/a", "target/b/c", "target/b/d.e"]
    assert tree.flattened("outputs", None) == {}
    assert [leaf.shape for leaf in tree.leaves(value)] == [(2,), (2, 3), (2, 0)]
    assert same(tree.joined([value, value]), tree.rows_of(tree.joined([value, value]), range(4)))
