"""Recipes and stages, and the runner: whose draws are whose, what is kept, what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.recorder import Recorder, StopWhen
from invert3d.engine.result import Result
from invert3d.engine.space import Image, Points
from invert3d.engine.stepper import Stepper
from invert3d.engine.transform import Jitter, Shift
from invert3d.methods.classes import invert
from invert3d.methods.recipes import load_recipe
from invert3d.methods.stages import Recipe, Stage, Unfinished, run_stages
from invert3d.objectives.classes import ClassScore
from invert3d.ops.seeds import seed_of
from invert3d.parameterizations.direct import Direct
from invert3d.parameterizations.images import Normalized
from invert3d.parameterizations.primitives import Primitives
from invert3d.priors.points import Repulsion


class Sums(nn.Module):
    """Scores (B, 2) that grow with the coordinates of a cloud, and with their squares."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.sum((1, 2)), x.square().sum((1, 2))], 1) * self.weight


@dataclass(frozen=True, kw_only=True)
class Scaled(Objective):
    """A prior in another unit."""

    prior: Objective
    scale: float

    def __call__(self, state: State) -> torch.Tensor:
        return self.scale * self.prior(state)


MODEL = Frozen(Sums().double(), Points(points=16))
TARGET = torch.tensor([0, 1, 0])
SLOW = Stepper(kind="sgd", rate=1e-3, momentum=0.0)
ONE = Stage(steps=2, stepper=SLOW)


def recipe(**changes) -> Recipe:
    values = {"name": "test", "objective": ClassScore(), "transforms": (Jitter(sigma=0.1),), "stages": (ONE, ONE)}
    return Recipe(**{**values, **changes})


def run(chosen: Recipe, samples: list[str], seed: int = 0, **options) -> Result:
    result, left = run_stages(MODEL, TARGET[: len(samples)], chosen, samples=samples, seed=seed, **options)
    assert left is None
    return result


class Views(Recorder):
    """Every view of every step."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def record(self, state) -> None:
        self.seen.append((state.view - state.x).clone())


def views(chosen: Recipe, samples: list[str], seed: int) -> list[torch.Tensor]:
    watch = Views()
    run(chosen, samples, seed, recorders=[watch])
    return watch.seen


def test_no_stage_of_a_run_draws_what_a_stage_of_another_run_draws() -> None:
    """``seed + stage`` let stage 1 of seed 0 see the views of stage 0 of seed 1."""
    drawn = [view for seed in range(3) for view in views(recipe(transforms=(Shift(),)), ["a"], seed)]
    assert len(drawn) == 12
    firsts = torch.stack([view[0, 0] for view in drawn])
    assert torch.cdist(firsts, firsts).fill_diagonal_(1).min() > 1e-5
    assert torch.allclose(firsts, views(recipe(transforms=(Shift(),)), ["a"], 0)[0][0, 0]) is False


def test_a_stage_draws_by_the_seed_its_number_and_the_name_of_the_start() -> None:
    chosen = recipe(transforms=(Shift(distance=0.2),), starts=2, stages=(ONE, replace(ONE, steps=1)))
    seen = views(chosen, ["pear", "fig"], 5)
    names = ["pear/start 0", "pear/start 1", "fig/start 0", "fig/start 1"]
    draws = Draws.seeded(seed_of(5, "stage", 1), names)
    like = torch.empty(4, 0, dtype=torch.float64)
    assert torch.allclose(seen[2][:, :1], draws.uniform(like, -0.2, 0.2, 1, 3), atol=1e-12)


@pytest.mark.parametrize("starts", [1, 3])
def test_what_comes_out_follows_from_the_name_and_the_seed(starts: int) -> None:
    chosen = recipe(starts=starts, stages=(replace(ONE, keep=2), ONE))
    result = run(chosen, ["a", "b", "c"])
    alone, _ = run_stages(MODEL, TARGET[1:2], chosen, samples=["b"])
    assert torch.allclose(result.x[1], alone.x[0], atol=1e-12)
    assert not torch.allclose(run(chosen, ["a", "b", "c"], 1).x, result.x, atol=1e-3)
    assert not torch.allclose(run(chosen, ["x", "y", "z"]).x, result.x, atol=1e-3)


class Counts(Recorder):
    """How many starts each step has."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def record(self, state) -> None:
        self.sizes.append(len(state.rows))


def test_keep_says_how_many_starts_go_on_and_without_it_all_do() -> None:
    watch = Counts()
    stages = (ONE, replace(ONE, keep=2), replace(ONE, keep=3))
    result = run(recipe(starts=4, stages=stages), ["a", "b"], recorders=[watch])
    assert watch.sizes == [8, 8, 8, 8, 4, 4] and result.count == 2, "one of each in the end"


def test_without_a_judge_the_lowest_loss_is_kept() -> None:
    class Last(Recorder):
        def record(self, state) -> None:
            self.loss = state.loss.clone()

    watch = Last()
    result = run(recipe(starts=5, stages=(ONE,)), ["a", "b"], recorders=[watch])
    assert torch.equal(result.loss, watch.loss.view(2, 5).amin(1))


def test_of_a_balanced_recipe_the_scale_of_a_prior_does_not_matter() -> None:
    class Watch(Views):
        def record(self, state) -> None:
            self.seen.append(state.x.clone())

    def last(balanced: bool, scale: float) -> torch.Tensor:
        watch, prior = Watch(), Scaled(prior=Repulsion(h=0.5), scale=scale)
        chosen = recipe(objective=ClassScore() + 0.3 * prior, balanced=balanced, transforms=())
        run(chosen, ["a", "b"], recorders=[watch])
        return watch.seen[-1]

    assert torch.allclose(last(True, 1.0), last(True, 1000.0), atol=1e-9)
    assert not torch.allclose(last(False, 1.0), last(False, 1000.0), atol=1e-6)
    assert not torch.allclose(last(True, 1.0), last(False, 0.0), atol=1e-6), "the prior does something"


@pytest.mark.parametrize(("family", "balanced"), [("image", True), ("points", False), ("voxels", False)])
@pytest.mark.parametrize("name", ["ours", "refine"])
def test_priors_are_balanced_in_recipes_of_descriptors_of_pictures(name: str, family: str, balanced: bool) -> None:
    assert load_recipe(name, "descriptors", family=family).balanced is balanced
    assert not load_recipe("published", "descriptors").balanced


def test_steps_trace_and_snapshots_are_those_of_all_stages() -> None:
    stop = StopWhen(probability=0.0, patience=2)
    result = run(recipe(stages=(ONE, replace(ONE, steps=5, stop=stop), ONE)), ["a", "b"], snapshots=6)
    assert result.steps.tolist() == [6, 6], "two in each stage: the second was stopped"
    assert result.trace["step"].tolist() == [0, 1, 2, 3, 7, 8], "a stage begins where the one before was to end"
    assert result.trace["loss"].shape == (6, 2) and result.trace["loss"].isfinite().all()
    assert result.snapshot_steps is not None and result.snapshots is not None
    assert result.snapshot_steps.tolist()[0] == 0 and result.snapshot_steps.tolist()[-1] == 8
    assert run(recipe(), ["a"], snapshots=0).snapshots is None


def test_a_stage_may_draw_and_see_x_in_its_own_way() -> None:
    class Kinds(Recorder):
        def __init__(self) -> None:
            self.seen: list[tuple[set[str], bool]] = []

        def record(self, state) -> None:
            self.seen.append((set(state.theta), state.view is state.x))

    watch = Kinds()
    solids = Primitives(count=2)
    still = Stage(steps=1, stepper=Stepper(rate=1e-9), transforms=(), parameterization=Direct())
    result = run(recipe(parameterization=solids, stages=(ONE, still)), ["a"], recorders=[watch], snapshots=6)
    assert [("x" in keys, same) for keys, same in watch.seen] == [(False, False), (False, False), (True, True)]
    assert result.snapshots is not None and torch.allclose(result.x, result.snapshots[-1].double(), atol=1e-6)


def test_a_start_is_given_to_every_start_of_its_sample() -> None:
    x = torch.rand(2, 16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    still = (Stage(steps=1, stepper=Stepper(rate=1e-12)),)
    assert torch.allclose(run(recipe(stages=still, starts=3), ["a", "b"], start=x).x, x, atol=1e-9)


def test_what_cannot_begin_with_an_input_says_so() -> None:
    x = torch.zeros(1, 16, 3)
    with pytest.raises(ValueError, match="Primitives cannot stand for one; direct and fourier can"):
        run(recipe(parameterization=Primitives()), ["a"], start=x)
    later = recipe(stages=(ONE, replace(ONE, parameterization=Normalized())))
    watch = Counts()
    with pytest.raises(ValueError, match="Normalized cannot stand for one"):
        run(later, ["a"], recorders=[watch])
    assert watch.sizes == [], "before the first step of the first stage"


def test_full_precision_is_full_precision() -> None:
    class Dtypes(nn.Linear):
        seen: list[torch.dtype] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x.flatten(1))
            self.seen.append(out.dtype)
            return out

    model = Frozen(Dtypes(3 * 8 * 8, 2), Image(height=8, width=8), bf16=True)
    chosen = recipe(transforms=(), stages=(Stage(steps=1), Stage(steps=1, precision="full")))
    run_stages(model, torch.tensor([0]), chosen, samples=["a"])
    assert Dtypes.seen == [torch.bfloat16, torch.float32]


def test_a_run_goes_on_only_with_its_own_samples_and_from_its_own_bytes() -> None:
    class Interrupts(Recorder):
        def record(self, state) -> None:
            raise KeyboardInterrupt

    _, left = run_stages(MODEL, TARGET[:1], recipe(), samples=["a"], recorders=[Interrupts()])
    assert left is not None
    with pytest.raises(ValueError, match="cannot go on with b: the run that was interrupted had"):
        run_stages(MODEL, TARGET[:1], recipe(), samples=["b"], resume=left)
    data = left.to_bytes()
    for damaged in (b"", data[: len(data) // 2], b"nothing", b"\x80\x02."):
        with pytest.raises(ValueError, match="not an unfinished run, or a damaged one"):
            Unfinished.from_bytes(damaged)


def test_classes_named_by_default_are_asked_for_again_as_another_try() -> None:
    twice, _ = invert(MODEL, torch.tensor([1, 1]), recipe())
    again, _ = invert(MODEL, torch.tensor([1]), recipe(), samples=["1-1"])
    assert torch.allclose(twice.x[1], again.x[0], atol=1e-12) and not torch.allclose(twice.x[0], twice.x[1], atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"starts": 0}, "at least 1 start and 16 points, not 0 and 1024"),
        ({"points": 3}, "at least 1 start and 16 points, not 1 and 3"),
        ({"stages": ()}, "at least one stage"),
        ({"starts": 3, "candidates": 2}, "3 starts cannot be chosen among 2 candidates"),
    ],
)
def test_bad_recipes_are_refused(changes: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        recipe(**changes)


@pytest.mark.parametrize("changes", [{"steps": 0}, {"steps": 1, "keep": 0}])
def test_bad_stages_are_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match="at least one step and one start to keep"):
        Stage(**changes)
