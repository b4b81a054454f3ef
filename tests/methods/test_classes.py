"""Staged inversion: starts, judges, stages, and going on after Ctrl-C."""

from dataclasses import replace

import pytest
import torch

from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Recorder
from invert3d.engine.space import Points
from invert3d.engine.stepper import Stepper
from invert3d.engine.transform import Jitter, Rotate
from invert3d.methods.classes import invert
from invert3d.methods.judge import Judge, renamed_classes
from invert3d.methods.stages import Recipe, Stage, Unfinished
from invert3d.models.pointnet import PointNetVanilla
from invert3d.parameterizations.direct import Direct
from invert3d.parameterizations.primitives import Primitives
from invert3d.projections.bounds import Ball


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = PointNetVanilla(4)
    network(torch.randn(16, 64, 3))
    return Frozen(network.eval(), Points(points=64))


def recipe(**changes):
    values = {
        "name": "test",
        "points": 64,
        "starts": 3,
        "parameterization": Primitives(count=2),
        "transforms": (Rotate(), Jitter()),
        "stages": (Stage(steps=4, keep=2, stepper=Stepper(rate=0.05)), Stage(steps=3, stepper=Stepper(rate=0.05))),
    }
    return Recipe(**{**values, **changes})


def test_one_shape_comes_out_for_each_asked_for(model):
    result, left = invert(model, torch.tensor([1, 3]), recipe())
    assert left is None
    assert result.x.shape == (2, 64, 3)
    assert result.target.tolist() == [1, 3]
    assert result.trace["loss"].shape == (7, 2)
    assert result.trace["step"].tolist() == list(range(7))
    assert result.snapshots.shape[1:] == (2, 64, 3)
    assert len(result.snapshot_steps) == len(result.snapshots)


def test_a_shape_does_not_depend_on_what_else_is_asked(model):
    both, _ = invert(model, torch.tensor([1, 3]), recipe(), samples=["b-0", "d-0"])
    alone, _ = invert(model, torch.tensor([3]), recipe(), samples=["d-0"])
    assert torch.allclose(both.x[1], alone.x[0], atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_judge_decides_which_starts_go_on(model, sign):
    class Likes(Judge):
        def __call__(self, parameterization, theta, target, transforms, draws):
            return sign * theta["holds"][:, 1, 0].double()

    class Sees(Recorder):
        def record(self, state):
            self.holds = state.theta["holds"][:, 1, 0].detach().clone()

    watch = Sees()
    chosen = Likes(networks=(model,), classes=(torch.arange(4),))
    one = recipe(stages=(Stage(steps=1, stepper=Stepper(rate=1e-9)),), starts=8)
    result, _ = invert(model, torch.tensor([0]), one, judge=chosen, recorders=[watch])
    assert len(watch.holds.unique()) == 8
    assert sign * result.theta["holds"][0, 1, 0] == (sign * watch.holds).max()


def test_a_start_that_a_stage_made_worse_goes_back(model):
    class Regrets(Judge):
        calls = 0

        def __call__(self, parameterization, theta, target, transforms, draws):
            type(self).calls += 1
            return torch.full((len(target),), float(self.calls))  # the second it is asked about is what was before

    still = (Stage(steps=4, stepper=Stepper(rate=1e-9)),)
    whole = recipe(stages=(Stage(steps=4, stepper=Stepper(rate=0.3)),), candidates=6, starts=1)
    judge = Regrets(networks=(model,), classes=(torch.arange(4),))
    result, _ = invert(model, torch.tensor([0, 2]), whole, judge=judge)
    start, _ = invert(model, torch.tensor([0, 2]), replace(whole, stages=still))
    moved, _ = invert(model, torch.tensor([0, 2]), whole)
    assert torch.allclose(result.theta["log_size"], start.theta["log_size"], atol=1e-6)
    assert not torch.allclose(moved.theta["log_size"], start.theta["log_size"], atol=1e-2)
    assert torch.allclose(result.outputs, model(result.x).detach(), atol=1e-5)


def test_free_points_at_the_end_stay_near_the_surface(model):
    last = Stage(
        steps=5, parameterization=Direct(), projections=(Ball(radius=0.01, per="point"),), stepper=Stepper(rate=0.5)
    )
    before, _ = invert(model, torch.tensor([2]), recipe(stages=(Stage(steps=3),), starts=1))
    after, _ = invert(model, torch.tensor([2]), recipe(stages=(Stage(steps=3), last), starts=1))
    assert torch.cdist(after.x, after.snapshots[-2:][:1, 0]).amin(-1).max() < 0.05
    assert before.x.shape == after.x.shape


@pytest.mark.parametrize("at", [2, 4, 5, 7])
@pytest.mark.parametrize("judged", [True, False])
def test_an_interrupted_inversion_goes_on_to_the_same_bytes(model, at, judged):
    class Interrupts(Recorder):
        seen = 0

        def record(self, state):
            self.seen += 1
            if self.seen == at:
                raise KeyboardInterrupt

    judge = Judge(networks=(model,), classes=(torch.arange(4),), views=2) if judged else None
    asked = model, torch.tensor([0, 1]), recipe(candidates=8)
    whole, _ = invert(*asked, judge=judge)
    part, left = invert(*asked, judge=judge, recorders=[Interrupts()])
    assert part.interrupted
    assert part.x.shape == (2, 64, 3)
    rest, left = invert(*asked, judge=judge, resume=Unfinished.from_bytes(left.to_bytes()))
    assert left is None
    assert torch.equal(rest.x, whole.x)
    assert torch.equal(rest.loss, whole.loss)
    assert torch.equal(rest.outputs, whole.outputs)
    assert torch.equal(rest.snapshot_steps, whole.snapshot_steps)
    assert torch.equal(rest.snapshots, whole.snapshots)
    assert torch.equal(rest.trace["loss"], whole.trace["loss"])


def test_shapes_of_one_try_choose_from_the_same_candidates_whoever_else_is_asked(model):
    one = recipe(stages=(Stage(steps=1, stepper=Stepper(rate=1e-9)),), candidates=40, starts=1)
    same, _ = invert(model, torch.tensor([0, 0]), one, samples=["car-0", "bus-0"])
    assert torch.allclose(same.theta["log_size"][0], same.theta["log_size"][1], atol=1e-6)
    other, _ = invert(model, torch.tensor([0, 1, 2, 0]), one, samples=["car-0", "bed-0", "cup-0", "car-1"])
    assert torch.allclose(other.theta["log_size"][0], same.theta["log_size"][0], atol=1e-6)
    assert not torch.allclose(other.theta["log_size"][3], same.theta["log_size"][0], atol=1e-3)


def test_renamed_classes():
    assert renamed_classes(["a", "b", "c"], ["c", "a"]).tolist() == [1, -1, 0]
