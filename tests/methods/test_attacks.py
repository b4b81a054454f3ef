"""Attacks: the same numbers as textbook loops and other libraries, inside the budget, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.methods.attacks import attack, attack_recipe, budget_of, kept, sizes_of
from invert3d.methods.recipes import recipe_names
from invert3d.models.pointnet import PointNet
from invert3d.projections.voxels import at_surface, pieces_of

ATTACKS = sorted(name.removeprefix("attacks/") for name in recipe_names() if name.startswith("attacks/"))
PICTURES = Image(height=6, width=5, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
GRIDS = Voxels(size=6)
CLOUDS = Points(points=32)
SPACES: dict[str, Space] = {"image": PICTURES, "voxels": GRIDS, "points": CLOUDS}


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
    rate = attack_recipe(name, PICTURES, budget=0.1).stages[-1].stepper.rate
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

    steps = {"steps": 8}
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
    }


@pytest.mark.parametrize("name", libraries())
def test_other_libraries_give_the_same(name: str) -> None:
    ours, theirs, said = libraries()[name]
    model = classifier(PICTURES)
    x, y, found = attacked(ours, model=model, budget=0.1, **said)
    assert torch.allclose(found, theirs(model, x, y), atol=1e-5)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("kind", SPACES)
def test_every_attack_keeps_its_budget_and_the_legal_range(name: str, kind: str) -> None:
    space = SPACES[kind]
    try:
        recipe = attack_recipe(name, space)
    except ValueError as error:
        assert "is for" in str(error) and kind not in str(error).split(", and")[0]
        return
    counted = budget_of(recipe) > 10
    budget = 10.0 if counted else 0.07
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
    recipe = attack_recipe(name, PICTURES, budget=0.2, targeted=True)
    result, _ = attack(Frozen(model, PICTURES), x, wanted, recipe)
    before, after = (F.cross_entropy(model(each), wanted, reduction="none") for each in (x, result.x))
    assert (after < before).all()


def test_restarts_keep_the_worst_and_differ_from_each_other() -> None:
    model = classifier(PICTURES)
    _, y, one = attacked("pgd", model=model, budget=0.05, steps=1, restarts=1)
    _, _, many = attacked("pgd", model=model, budget=0.05, steps=1, restarts=8)
    worst = [F.cross_entropy(model(each), y, reduction="none") for each in (one, many)]
    assert (worst[1] >= worst[0] - 1e-6).all() and (worst[1] > worst[0]).any()


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
    assert kept(grid, GRIDS).flatten().tolist() == [0, 0, 0, 1, 1]
    picture = kept(torch.full((1, 3, 6, 5), 0.5), PICTURES)
    assert torch.equal(picture, torch.full_like(picture, 128 / 255))
    cloud = inputs(CLOUDS)
    assert torch.equal(kept(cloud, CLOUDS), cloud)


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
    ],
)
def test_what_is_no_attack_is_refused(name: str, space: Space, said: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        attack_recipe(name, space, **said)
