"""Attacks: the same numbers as textbook loops and other libraries, inside the budget, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.examples import blank_state
from invert3d.engine.model import Frozen
from invert3d.engine.objective import as_terms
from invert3d.engine.projection import Every
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.engine.stepper import UnitGradient
from invert3d.methods.attacks import (
    attack,
    attack_recipe,
    budget_of,
    is_targeted,
    kept,
    norm_of,
    sizes_of,
    toward,
    with_budget,
)
from invert3d.methods.recipes import recipe_names
from invert3d.methods.stages import run_stages
from invert3d.models.pointnet import PointNet
from invert3d.objectives.classes import CrossEntropy, LogitGap
from invert3d.priors.images import TotalVariation
from invert3d.projections.bounds import Scatter
from invert3d.projections.surfaces import RemovePoints
from invert3d.projections.voxels import at_surface, pieces_of

WITHOUT_START = Path(__file__).parent / "pgd_l2_from_the_input.toml"
ATTACKS = sorted(name.removeprefix("attacks/") for name in recipe_names() if name.startswith("attacks/"))
PICTURES = Image(height=6, width=5, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
GRIDS = Voxels(size=6)
CLOUDS = Points(points=32)
SPACES: dict[str, Space] = {"image": PICTURES, "voxels": GRIDS, "points": CLOUDS}


class Reach(nn.Module):
    """Clouds (B, N, 3): how far the farthest point reaches along x is the score of class 1."""

    def forward(self, clouds: Tensor) -> Tensor:
        reach = clouds[..., 0].amax(1)
        return torch.stack([-100 - reach, reach], 1)


def classifier(space: Space, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    if isinstance(space, Points):
        return PointNet(4).eval()
    wide = math.prod(space.shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(wide, 16), nn.Tanh(), nn.Linear(16, 4)).eval()


def inputs(space: Space, count: int = 5) -> Tensor:
    torch.manual_seed(1)
    if isinstance(space, Points):
        return torch.randn(count, *space.shape) / 3
    x = torch.rand(count, *space.shape)
    return (x > 0.6).float() if isinstance(space, Voxels) else x


def labels(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(-1)


def attacked(
    name: str, space: Space = PICTURES, model: nn.Module | None = None, **said
) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs, their classes, and what the attack made of them."""
    model = classifier(space) if model is None else model
    x = inputs(space)
    y = labels(model, x)
    recipe = attack_recipe(name, space, **said)
    result, left = attack(Frozen(model, space), x, y, recipe, seed=3)
    assert left is None
    return x, y, result.x


def textbook(x: Tensor, y: Tensor, model: nn.Module, radius: float, rate: float, steps: int, decay: float) -> Tensor:
    """MI-FGSM as Dong et al. print it; without decay and with one step, FGSM."""
    moved, memory = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        leaf = moved.clone().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(model(leaf), y, reduction="sum"), leaf)
        memory = decay * memory + slope / slope.abs().sum((1, 2, 3), keepdim=True)
        moved = (moved + rate * memory.sign()).clamp(x - radius, x + radius).clamp(0, 1)
    return moved


@pytest.mark.parametrize(("name", "steps", "decay"), [("fgsm", 1, 0.0), ("ifgsm", 7, 0.0), ("momentum", 7, 1.0)])
def test_gradient_signs_are_those_of_a_textbook_loop(name: str, steps: int, decay: float) -> None:
    said = {} if name == "fgsm" else {"steps": steps}
    x, y, found = attacked(name, budget=0.1, **said)
    rate = attack_recipe(name, PICTURES, budget=0.1, **said).stages[-1].stepper.rate
    assert torch.allclose(found, textbook(x, y, classifier(PICTURES), 0.1, rate, steps, decay), atol=1e-6)
    assert (found != x).any()


def libraries() -> dict[str, tuple[str, Callable[..., Tensor], dict]]:
    """An attack of ours, and the same by another library, made of the model, x and y."""

    def torchattacks(name: str, **said) -> Callable[..., Tensor]:
        def run(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            library = pytest.importorskip("torchattacks", reason="pip install --no-deps torchattacks")
            return getattr(library, name)(model, **said)(x, y)

        return run

    def foolbox(name: str, radius: float, **said) -> Callable[..., Tensor]:
        def run(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            library = pytest.importorskip("foolbox")
            theirs = library.PyTorchModel(model, bounds=(0, 1), device="cpu")
            return getattr(library.attacks, name)(**said)(theirs, x, y, epsilons=radius)[1]

        return run

    steps = {"steps": 8, "step_size": 0.02}
    return {
        "torchattacks FGSM": ("fgsm", torchattacks("FGSM", eps=0.1), {}),
        "torchattacks BIM": ("ifgsm", torchattacks("BIM", eps=0.1, alpha=0.02, steps=8), steps),
        "torchattacks MIFGSM": ("momentum", torchattacks("MIFGSM", eps=0.1, alpha=0.02, steps=8, decay=1.0), steps),
        "foolbox LinfFastGradientAttack": ("fgsm", foolbox("LinfFastGradientAttack", 0.1), {}),
        "foolbox LinfBasicIterativeAttack": (
            "ifgsm",
            foolbox("LinfBasicIterativeAttack", 0.1, abs_stepsize=0.02, steps=8, random_start=False),
            steps,
        ),
        "foolbox L2ProjectedGradientDescentAttack": (
            str(WITHOUT_START),
            foolbox("L2ProjectedGradientDescentAttack", 0.5, abs_stepsize=0.1, steps=8, random_start=False),
            {"budget": 0.5, "steps": 8, "step_size": 0.1},
        ),
    }


@pytest.mark.parametrize("name", libraries())
def test_other_libraries_give_the_same(name: str) -> None:
    ours, theirs, said = libraries()[name]
    model = classifier(PICTURES)
    x, y, found = attacked(ours, model=model, **{"budget": 0.1, **said})
    assert torch.allclose(found, theirs(model, x, y), atol=1e-5) and (found != x).any()


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("kind", SPACES)
def test_every_attack_keeps_its_budget_and_the_legal_range(name: str, kind: str) -> None:
    space, counted = SPACES[kind], name.startswith(("flips", "remove"))
    budget = 10.0 if counted else 0.07
    try:
        attack_recipe(name, space, budget=budget)
    except ValueError as error:
        assert "is for" in str(error) and kind not in str(error).split(", and")[0]
        return
    said = {} if counted or name in ("fgsm", "noise") else {"steps": 4}
    assert budget_of(attack_recipe(name, space, budget=budget, **said)) == pytest.approx(budget)
    x, _, found = attacked(name, space, budget=budget, **said)
    low, high = space.bounds
    assert found.isfinite().all() and found.min() >= low and found.max() <= high
    sizes = sizes_of(x, found)
    if counted:
        assert sizes["l0"].max() <= budget and sizes["l0"].max() > 0
        assert kind != "voxels" or ((found == 0) | (found == 1)).all()
        return
    norm = "l2" if name == "pgd_l2" else "linf"
    most = {"ifgsm_growing": 4 * budget, "tangent": budget}.get(name, budget)
    assert sizes[norm].min() > 0 and sizes[norm].max() <= most * (1 + 1e-5)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "pgd_l2"])
def test_attacks_raise_the_loss_of_the_true_class_and_targeted_ones_lower_that_of_the_target(name: str) -> None:
    model = classifier(PICTURES)
    x, y, found = attacked(name, model=model, budget=0.2)
    assert (F.cross_entropy(model(found), y, reduction="none") > F.cross_entropy(model(x), y, reduction="none")).all()
    wanted = (y + 1) % 4
    recipe = toward(attack_recipe(name, PICTURES, budget=0.2))
    result, _ = attack(Frozen(model, PICTURES), x, wanted, recipe)
    before, after = (F.cross_entropy(model(each), wanted, reduction="none") for each in (x, result.x))
    assert (after < before).all()


@pytest.mark.parametrize("targeted", [False, True])
def test_the_start_that_is_kept_is_the_worst_in_the_end(targeted: bool) -> None:
    """Each start by itself, then all at once: what is kept has the largest gap, and no fooled start is lost."""
    model, x = classifier(PICTURES), inputs(PICTURES)
    y, frozen = labels(model, x), Frozen(model, PICTURES)
    aim, recipe = (y + 1) % 4 if targeted else y, attack_recipe("pgd", PICTURES, budget=0.15, steps=3, restarts=6)
    alone = attack_recipe("pgd", PICTURES, budget=0.15, steps=3, restarts=1)

    def gap(found: Tensor) -> Tensor:
        outputs = model(found).detach()
        own = outputs.gather(1, aim[:, None])[:, 0]
        other = outputs.scatter(1, aim[:, None], -math.inf).amax(1)
        return own - other if targeted else other - own

    recipe, alone = (toward(each) if targeted else each for each in (recipe, alone))
    assert is_targeted(recipe) == targeted
    kept_one, _ = attack(frozen, x, aim, recipe, seed=2)
    whole = [
        run_stages(frozen, aim, alone, samples=[f"{i}/{k}" for i in range(len(x))], seed=2, start=x)[0].x
        for k in range(6)
    ]
    gaps = torch.stack([gap(each) for each in whole])
    assert torch.allclose(gap(kept_one.x), gaps.amax(0), atol=1e-5) and (gaps.amax(0) > gaps.amin(0) + 1e-4).any()


def test_random_starts_fill_their_ball() -> None:
    """In the L-infinity ball every value is uniform, so half of the radius away on average; in d dimensions the mean
    length in an L2 ball is d / (d + 1) of the radius."""
    x = torch.full((400, 3, 2, 2), 0.5)
    state = blank_state(x, range(400))
    state.start = x
    flat = (Scatter(norm="linf", radius=0.2)(state) - x).flatten(1)
    assert flat.abs().max() <= 0.2 and flat.abs().mean() == pytest.approx(0.1, rel=0.03)
    assert flat.mean() == pytest.approx(0, abs=0.005)
    lengths = (Scatter(norm="l2", radius=0.2)(state) - x).flatten(1).norm(dim=1)
    assert lengths.max() <= 0.2 + 1e-6 and lengths.mean() == pytest.approx(0.2 * 12 / 13, rel=0.02)


def test_steps_of_unit_gradients_are_as_long_as_the_rate_however_small_the_gradient() -> None:
    leaf = torch.zeros(4, 3, requires_grad=True)
    leaf.grad = torch.tensor([[3.0, 4.0, 0.0], [3e-30, 4e-30, 0.0], [0.0, 0.0, 0.0], [3e30, 0.0, -4e30]])
    UnitGradient([leaf], lr=0.5).step()
    assert leaf.detach().norm(dim=1).tolist() == pytest.approx([0.5, 0.5, 0.0, 0.5])


def test_an_input_is_attacked_the_same_alone_and_in_a_batch() -> None:
    model, x = classifier(PICTURES), inputs(PICTURES)
    y, recipe = labels(model, x), attack_recipe("pgd", PICTURES, steps=3)
    names = [f"n{i}" for i in range(len(x))]
    whole, _ = attack(Frozen(model, PICTURES), x, y, recipe, samples=names, seed=1)
    alone, _ = attack(Frozen(model, PICTURES), x[2:3], y[2:3], recipe, samples=names[2:3], seed=1)
    assert torch.allclose(whole.x[2:3], alone.x, atol=1e-6)


@pytest.mark.parametrize(("name", "from_full"), [("flips", None), ("flips_add", False), ("flips_remove", True)])
def test_greedy_flips_of_a_linear_network_are_the_best_there_are(name: str, from_full: bool | None) -> None:
    """Where the network is linear the first order is exact, and the best k flips are the k of largest gain."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(216, 2)).eval()
    x = inputs(GRIDS, 3)
    y = labels(model, x)
    with torch.no_grad():
        model[1].bias[0] += 100.0 * (2 * (1 - y[0]) - 1)  # never fooled
        model[1].bias[:] = model[1].bias - model[1].bias.flip(0)
    y = labels(model, x)
    recipe = attack_recipe(name, GRIDS, budget=9)
    result, _ = attack(Frozen(model, GRIDS), x, y, recipe)
    weight = model[1].weight
    for grid, found, own in zip(x.flatten(1), result.x.flatten(1), y.tolist(), strict=True):
        gain = (weight[1 - own] - weight[own]) * (1 - 2 * grid)
        if from_full is not None:
            gain = gain.masked_fill((grid > 0.5) != from_full, -math.inf)
        assert set((found != grid).nonzero()[:, 0].tolist()) == set(gain.topk(9).indices.tolist())


def slow_surface(grid: np.ndarray) -> np.ndarray:
    found = np.zeros_like(grid, dtype=bool)
    for place in np.ndindex(grid.shape):
        for axis in range(3):
            for step in (-1, 1):
                near = list(place)
                near[axis] += step
                if 0 <= near[axis] < grid.shape[axis] and grid[tuple(near)] != grid[place]:
                    found[place] = True
    return found


def test_the_surface_is_that_of_a_slow_loop() -> None:
    full = inputs(GRIDS, 4) > 0.5
    for grid, found in zip(full, at_surface(full), strict=True):
        assert np.array_equal(slow_surface(grid[0].numpy()), found[0].numpy())


def test_flips_on_the_surface_leave_a_shape_in_one_piece() -> None:
    x = torch.zeros(2, *GRIDS.shape)
    x[0, 0, 1:5, 1:5, 2], x[1, 0, 2, 2, :], x[1, 0, 2, :, 2] = 1, 1, 1
    model = classifier(GRIDS, seed=4)
    recipe = attack_recipe("flips_surface", GRIDS, budget=12)
    result, _ = attack(Frozen(model, GRIDS), x, labels(model, x), recipe)
    for before, after in zip(x, result.x, strict=True):
        assert (before != after).any() and pieces_of(after[0].numpy()) == 1


def test_removing_points_by_the_gradient_beats_removing_them_at_random() -> None:
    """A network that looks for the farthest point along an axis: only the points that reach farthest matter."""
    model = Reach()
    x = inputs(CLOUDS, 4)
    y = torch.ones(4, dtype=torch.long)
    recipe = attack_recipe("remove_points", CLOUDS, budget=15)
    one_by_one = replace(recipe.stages[0], steps=15, projections=(RemovePoints(count=1),))
    recipe = replace(recipe, stages=(one_by_one,))
    result, _ = attack(Frozen(model, CLOUDS), x, y, recipe)
    generator = torch.Generator().manual_seed(0)
    chance = torch.stack([cloud[torch.randperm(32, generator=generator)[15:]] for cloud in x])
    best = x[..., 0].sort(1).values[:, -16]  # what is left if the 15 that reach farthest are taken away
    after = result.x[..., 0].amax(1)
    assert torch.allclose(after, best) and (after < chance[..., 0].amax(1)).all()


def test_removed_points_become_copies_and_the_others_stay() -> None:
    x, _, found = attacked("remove_points", CLOUDS, budget=10)
    for before, after in zip(x, found, strict=True):
        moved = (before != after).any(-1)
        rest = {tuple(point) for point in before[~moved].tolist()}
        assert 0 < moved.sum() <= 10 and all(tuple(point) in rest for point in after[moved].tolist())


def test_points_slide_in_the_planes_that_they_lie_in() -> None:
    torch.manual_seed(0)
    flat = torch.cat([torch.rand(3, 32, 2) - 0.5, torch.zeros(3, 32, 1)], -1)
    model = classifier(CLOUDS)
    recipe = attack_recipe("tangent", CLOUDS, steps=5)
    result, _ = attack(Frozen(model, CLOUDS), flat, labels(model, flat), recipe)
    assert (result.x[..., 2].abs() < 1e-6).all() and (result.x != flat).any()


def test_what_is_saved_is_binary_or_in_8_bits() -> None:
    grid = torch.tensor([0.0, 0.02, 0.5, 0.51, 1.0]).view(1, 1, 1, 1, 5)
    assert kept(grid, grid, GRIDS).flatten().tolist() == [0, 0, 0, 1, 1]
    start = (255 * inputs(PICTURES)).round() / 255
    for change in (0.5 / 255, 1.0 / 255, 2.6 / 255):
        for sign in (-1, 1):
            x = (start + sign * change).clamp(0, 1)
            saved = kept(x, start, PICTURES)
            assert torch.allclose(saved * 255, (saved * 255).round(), atol=1e-4)
            assert ((saved - start).abs() <= change + 1e-6).all(), "rounding does not leave the budget"
            whole = (x > 0) & (x < 1)
            assert torch.allclose((saved - start).abs()[whole], torch.tensor(math.floor(change * 255 + 1e-3) / 255))
    cloud = inputs(CLOUDS)
    assert torch.equal(kept(cloud, cloud + 1, CLOUDS), cloud)


@pytest.mark.parametrize(
    ("name", "space", "said", "words"),
    [
        ("pdg", GRIDS, {}, "unknown recipe 'pdg'; did you mean pgd"),
        ("flips", CLOUDS, {}, "the attack flips is for voxels, and this network takes points"),
        ("tangent", GRIDS, {}, "the attack tangent is for points, and this network takes voxels"),
        ("pgd", GRIDS, {"budget": 0.0}, "the budget of pgd must be positive and finite, not 0.0"),
        ("pgd", GRIDS, {"budget": -1.0}, "must be positive and finite, not -1.0"),
        ("pgd", GRIDS, {"budget": math.nan}, "must be positive and finite, not nan"),
        ("flips", GRIDS, {"budget": 2.5}, "the budget of flips must be a positive multiple of 1, not 2.5"),
        ("remove_points", CLOUDS, {"budget": 6.0}, "must be a positive multiple of 5, not 6.0"),
        ("flips", GRIDS, {"steps": 5}, "the steps of flips are its budget"),
        ("fgsm", GRIDS, {"restarts": 3}, "further starts would be the same"),
        ("pgd", GRIDS, {"restarts": 0}, "at least 1 start"),
        ("pgd", GRIDS, {"steps": 0}, "at least one step"),
        ("flips", GRIDS, {"step_size": 0.1}, "flips has no step size"),
        ("flips", GRIDS, {"budget": 216}, "a budget of 216 voxels is all there are, or more: 216"),
        ("remove_points", CLOUDS, {"budget": 35}, "a budget of 35 points is all there are, or more: 32"),
        ("tangent", Points(points=16), {}, "16 neighbors of a point in clouds of 16 points"),
        ("pgd", Points(points=32, normals=True), {}, "an attack moves points, and not the normals"),
        ("pgd", Points(points=32, extent=9.0), {}, "clips values to -4 to 4, and inputs may lie in -9 to 9"),
    ],
)
def test_what_is_no_attack_is_refused(name: str, space: Space, said: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        attack_recipe(name, space, **said)


@pytest.mark.parametrize(
    ("x", "target", "words"),
    [
        (torch.zeros(2, 3, 6, 4), torch.zeros(2).long(), "expected a batch of"),
        (torch.full((2, 3, 6, 5), 200.0), torch.zeros(2).long(), "values must lie in"),
        (torch.full((2, 3, 6, 5), torch.nan), torch.zeros(2).long(), "NaN or infinite"),
        (torch.zeros(2, 3, 6, 5), torch.zeros(1).long(), "2 inputs need as many classes"),
        (torch.zeros(2, 3, 6, 5), torch.zeros(2), "2 inputs need as many classes"),
        (torch.zeros(0, 3, 6, 5), torch.zeros(0).long(), "0 inputs need as many classes"),
    ],
)
def test_inputs_and_classes_that_do_not_fit_are_refused(x: Tensor, target: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        attack(Frozen(classifier(PICTURES), PICTURES), x, target, attack_recipe("fgsm", PICTURES))


def test_whole_numbers_and_double_precision_are_taken() -> None:
    model = classifier(PICTURES)
    for dtype in (torch.uint8, torch.float64):
        x = torch.randint(0, 2, (2, 3, 6, 5)).to(dtype)
        result, _ = attack(Frozen(model, PICTURES), x, torch.tensor([0, 1]), attack_recipe("fgsm", PICTURES))
        assert result.x.dtype is torch.float32 and (result.x - x.float()).abs().max() <= 0.03 + 1e-6


def test_fewer_steps_reach_as_far_unless_a_step_is_the_budget() -> None:
    for name, kind in (("pgd", "linf"), ("pgd_l2", "l2"), ("tangent", "l2 per point"), ("ifgsm_growing", "step")):
        space = CLOUDS if name == "tangent" else GRIDS
        one, other = attack_recipe(name, space), attack_recipe(name, space, steps=3)
        rates = [each.stages[-1].stepper.rate * each.stages[-1].steps for each in (one, other)]
        assert norm_of(one) == kind
        assert (rates[0] == pytest.approx(rates[1])) == (kind != "step")
    assert norm_of(attack_recipe("flips", GRIDS)) == "l0"


def test_a_targeted_attack_turns_the_loss_of_the_class_and_no_prior() -> None:
    recipe = replace(attack_recipe("pgd", PICTURES), objective=-CrossEntropy() + 0.1 * TotalVariation())
    assert as_terms(toward(recipe).objective) == ((1.0, CrossEntropy()), (0.1, TotalVariation()))
    asked = attack_recipe("pgd", PICTURES, loss="logit_gap")
    assert as_terms(asked.objective) == ((-1.0, LogitGap()),)


def test_the_budget_is_scaled_inside_every() -> None:
    recipe = attack_recipe("fgsm", GRIDS)
    (stage,) = recipe.stages
    wrapped = tuple(Every(period=1, projection=each) for each in stage.projections)
    recipe = replace(recipe, stages=(replace(stage, projections=wrapped),))
    assert budget_of(with_budget(recipe, 0.5)) == 0.5 and norm_of(recipe) == "linf"
