"""Layout inversion on a tiny detector with random weights, and on one whose maps are written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.objective import WeightedSum, as_terms
from invert3d.engine.recorder import Recorder
from invert3d.engine.result import Result
from invert3d.engine.schedule import Cosine, StepDecay
from invert3d.engine.space import Image
from invert3d.engine.stepper import Stepper
from invert3d.methods.layouts import Agrees, layout_recipe, quantized
from invert3d.methods.stages import Recipe, Stage, Unfinished, run_stages
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.objectives.detection import DetectionLoss
from invert3d.ops.center_losses import WEIGHTS
from invert3d.ops.centers import HEADS, CenterCodec
from invert3d.parameterizations.images import Fourier, Normalized
from invert3d.priors.statistics import BatchNormStatistics, norm_layers
from invert3d.projections.images import Blur, ClipImage
from invert3d.testing import blank_state
from invert3d.transforms.images import Light, MoveScene
from tests.layouts import camera, encoded, random_layout, split
from tests.models.test_detectors import TINY, tiny
from tests.ops.test_centers import BOX, PROJECTED

Target = dict[str, Tensor]
SPACE = Image(height=32, width=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def lively() -> CenterNet3D:
    """A detector that sees nothing in noise, and minds what it is shown."""
    detector = tiny(codec=PROJECTED, order="rgb")
    with torch.no_grad():
        for name in HEADS:
            detector.network.get_submodule(name)[-1].weight.mul_(2)
        detector.network.get_submodule("hm")[-1].bias.fill_(-5.0)
    return detector


@pytest.fixture(scope="module")
def model() -> Frozen:
    return Frozen(lively(), SPACE, output="raw")


@pytest.fixture(scope="module")
def target() -> Target:
    layouts = [random_layout(n, n, 32, 64, projection=camera(32, 64), dtype=torch.float32) for n in (1, 2, 3)]
    return lively().targets(layouts)


def rows(target: Target, chosen: list[int]) -> Target:
    return {name: value[chosen] for name, value in target.items()}


def recipe(name: str, steps: int = 12, **changes) -> Recipe:
    """A recipe that does not mind the statistics of the batch norms: those of random weights say nothing."""
    found = layout_recipe(name, lively(), steps=steps)
    kept = [(weight, term) for weight, term in as_terms(found.objective) if not isinstance(term, BatchNormStatistics)]
    return replace(found, **{"objective": WeightedSum(terms=tuple(kept)), **changes})


def inverted(*arguments, **options) -> Result:
    result, left = run_stages(*arguments, **options)
    assert left is None and not result.interrupted
    return result


def staged(chosen: Recipe, **changes) -> Recipe:
    """A recipe of which every stage is changed."""
    return replace(chosen, stages=tuple(replace(stage, **changes) for stage in chosen.stages))


@pytest.mark.parametrize("name", ["ours", "published", "published_authors", "smallest_change", "solids"])
def test_recipes_run_and_their_losses_fall(model: Frozen, target: Target, name: str) -> None:
    result = inverted(model, target, recipe(name, steps=30, transforms=()))
    assert result.x.shape == (3, 3, 32, 64) and result.x.isfinite().all()
    assert result.trace["loss"].shape == (30, 3) and result.trace["step"].tolist() == list(range(30))
    assert result.steps.tolist() == [30] * 3 and result.seconds > 0 and not result.interrupted
    loss = result.trace["loss"]
    assert (loss[-1] < loss[0] - 0.02).all()


@pytest.mark.parametrize("name", ["ours", "published", "smallest_change", "solids"])
def test_pictures_are_legal_where_the_recipe_keeps_them_so(model: Frozen, target: Target, name: str) -> None:
    result = inverted(model, target, recipe(name))
    assert result.x.min() >= 0 and result.x.max() <= 1
    assert result.x.std() > 0.002


def test_the_authors_clip_leaves_the_legal_range(model: Frozen, target: Target) -> None:
    """Never darker than the mean, brighter than white."""
    result = inverted(model, target, staged(recipe("published_authors"), projections=(ClipImage(range="authors"),)))
    lowest = torch.tensor([0.485, 0.456, 0.406]) * 254 / 255
    assert (result.x.amin((0, 2, 3)) >= lowest - 1e-6).all() and result.x.max() <= 1.49


def test_random_views_still_lower_the_loss_that_is_asked(model: Frozen, target: Target) -> None:
    before = inverted(model, target, recipe("ours", steps=1, transforms=()))
    views = (MoveScene(scale=0.01, shift=0.005), Light(noise=0.02))  # small ones: random weights know no mirror
    after = inverted(model, target, recipe("ours", steps=40, transforms=views))
    asked = DetectionLoss(weights={**WEIGHTS, "hm": 2.0, "corners": 10.0})

    def loss(x: Tensor) -> Tensor:
        state = blank_state(x, range(len(x)))
        state.model, state.outputs, state.view_target = model.model, model(x), target
        asked.update(state)
        return asked(state)

    assert (loss(after.x) < 0.95 * loss(before.x)).all()


def test_the_published_settings_are_those_of_the_code() -> None:
    """Reference, section 1B."""
    detector = tiny(codec=BOX, order="rgb")
    found = layout_recipe("published", detector)
    (stage,) = found.stages
    assert stage.steps == 2000 and found.parameterization == Normalized(spread=0.2) and not found.transforms
    assert stage.stepper == Stepper(kind="sgd", rate=2.0, momentum=0.5, schedule=StepDecay(factor=0.6, period=0.25))
    assert stage.projections == (ClipImage(), Blur(sigma=5.0, decay=0.985, floor=0.5, period=5))
    assert {name: weight for name, weight in detector.heads.items() if weight} == WEIGHTS, "those it is trained with"
    (_, heads), (weight, _) = found.objective.terms  # type: ignore[attr-defined]
    assert heads == DetectionLoss(per="slot") and weight == pytest.approx(3e-5)
    authors = layout_recipe("published_authors", tiny(codec=BOX, order="bgr"))
    assert authors.stages[0].projections[0] == ClipImage(range="authors", swapped=True)
    assert authors.parameterization == Normalized(swapped=True)


def test_ours_is_coarse_then_whole_then_plain() -> None:
    """The shares of the steps, and what differs between the stages, as they were before recipes had stages."""
    coarse, whole, plain = layout_recipe("ours", lively()).stages
    assert (coarse.steps, whole.steps, plain.steps) == (90, 120, 90)
    assert coarse.parameterization == Fourier(finest=0.25) and whole.parameterization is plain.parameterization is None
    assert coarse.transforms is whole.transforms is None and plain.transforms == ()
    assert coarse.stop is whole.stop is None and plain.stop == Agrees(every=10)
    assert [stage.precision for stage in (coarse, whole, plain)] == ["any", "any", "full"]
    assert {stage.stepper for stage in (coarse, whole, plain)} == {Stepper(rate=0.04, schedule=Cosine())}
    assert [stage.steps for stage in layout_recipe("smallest_change", lively()).stages] == [75, 75]
    assert [stage.steps for stage in layout_recipe("ours", lively(), steps=10).stages] == [3, 4, 3]
    assert [stage.steps for stage in layout_recipe("ours", lively(), steps=1).stages] == [1]


def test_the_recipe_takes_the_norms_of_the_detector(model: Frozen, target: Target) -> None:
    norms = norm_layers(model.model)
    assert len(norms) > 10 and all(name.startswith("network.") for name in norms)
    chosen = layout_recipe("ours", model.model, steps=3)
    (_, boxes), variation, (weight, statistics) = chosen.objective.terms  # type: ignore[attr-defined]
    assert (
        dict(boxes.weights) == {**WEIGHTS, "hm": 2.0, "corners": 10.0}
        and weight == 5.0
        and statistics == BatchNormStatistics(layers=norms)
    )
    without = replace(chosen, objective=boxes + variation[0] * variation[1])
    result = inverted(model, rows(target, [0]), chosen)
    assert result.trace["loss"][0] > inverted(model, rows(target, [0]), without).trace["loss"][0]


@pytest.mark.parametrize("name", ["ours", "published"])
def test_a_picture_does_not_depend_on_what_else_is_asked(target: Target, name: str) -> None:
    double = Frozen(lively().double(), SPACE, output="raw")
    short = recipe(name, steps=10)
    both = inverted(double, target, short, samples=["e", "f", "g"])
    alone = inverted(double, rows(target, [1]), short, samples=["f"])
    assert torch.allclose(both.x[1], alone.x[0], atol=1e-6)
    assert torch.allclose(both.loss[1], alone.loss[0], atol=1e-6)


def test_a_seed_fixes_everything(model: Frozen, target: Target) -> None:
    once, again, other = (inverted(model, target, recipe("ours"), seed=seed) for seed in (7, 7, 8))
    assert torch.equal(once.x, again.x) and torch.equal(once.trace["loss"], again.trace["loss"])
    assert not torch.allclose(once.x, other.x, atol=1e-2)
    twice = inverted(model, rows(target, [0, 0]), recipe("ours"))
    assert not torch.allclose(twice.x[0], twice.x[1], atol=1e-2), "asked twice, two pictures"


def test_the_model_is_left_as_it_was(model: Frozen, target: Target) -> None:
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    model.model.train()
    inverted(model, target, recipe("ours", steps=3))
    assert model.model.training and all(p.requires_grad for p in model.model.parameters())
    model.model.eval()
    assert all(torch.equal(value, model.model.state_dict()[key]) for key, value in before.items())


def test_a_picture_to_begin_with_is_kept_where_steps_are_small(model: Frozen, target: Target) -> None:
    start = 0.1 + 0.8 * torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    still = staged(recipe("smallest_change", steps=2), stepper=Stepper(rate=1e-7))
    assert torch.allclose(inverted(model, target, still, start=start).x, start, atol=1e-3)
    moved = inverted(model, target, recipe("smallest_change", steps=6), start=start)
    assert 1e-4 < (moved.x - start).abs().mean() < 0.1
    with pytest.raises(
        ValueError, match="the recipe published cannot begin with a given input: Normalized cannot stand for one"
    ):
        run_stages(model, target, recipe("published"), start=start)


def test_pictures_on_the_way_are_kept_of_both_stages(model: Frozen, target: Target) -> None:
    result = inverted(model, target, recipe("ours", steps=20), snapshots=10)
    assert result.snapshot_steps is not None and result.snapshots is not None
    assert result.snapshot_steps.tolist() == sorted(set(result.snapshot_steps.tolist()))
    assert result.snapshot_steps[0] == 0 and result.snapshot_steps[-1] == 19
    assert 9 <= len(result.snapshots) <= 11 and result.snapshots.shape[1:] == (3, 3, 32, 64)
    assert inverted(model, target, recipe("ours", steps=3)).snapshots is None


class Interrupts(Recorder):
    """Ctrl-C at the ``at``-th state that it sees."""

    def __init__(self, at: int) -> None:
        self.left = at

    def record(self, state) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [2, 6, 7, 12, 17])
def test_an_interrupted_inversion_goes_on_to_the_same_bytes(model: Frozen, target: Target, at: int) -> None:
    chosen = replace(recipe("ours", steps=20), starts=2)
    start = torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    asked = {"start": start, "seed": 3, "samples": ["a", "b", "c"], "snapshots": 6}
    whole = inverted(model, target, chosen, **asked)
    part, left = run_stages(model, target, chosen, recorders=[Interrupts(at)], **asked)
    assert part.interrupted and part.x.shape == (3, 3, 32, 64) and (part.steps == at).all() and left is not None
    assert left.stage == (at > 6) + (at > 14)
    again = Unfinished.from_bytes(left.to_bytes())
    rest = inverted(model, target, chosen, resume=again, **asked)
    assert torch.equal(rest.x, whole.x) and torch.equal(rest.loss, whole.loss) and torch.equal(rest.steps, whole.steps)
    assert torch.equal(rest.trace["loss"], whole.trace["loss"]) and torch.equal(rest.trace["step"], torch.arange(20))
    assert torch.equal(rest.snapshots, whole.snapshots) and torch.equal(rest.snapshot_steps, whole.snapshot_steps)


@pytest.mark.parametrize("heads", [("hm",), ("dep", "dim"), ("rot",)])
@pytest.mark.parametrize("name", ["ours", "published", "published_authors", "smallest_change", "solids"])
def test_some_heads_may_be_asked_alone(model: Frozen, target: Target, name: str, heads: tuple[str, ...]) -> None:
    chosen = layout_recipe(name, model.model, heads=heads, steps=3)
    assert dict(chosen.objective.terms[0][1].weights).keys() == set(heads)  # type: ignore[attr-defined]
    assert inverted(model, rows(target, [0]), chosen).x.isfinite().all()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("our", {}, "unknown recipe 'our'; did you mean ours"),
        ("publishd_authors", {}, "published_authors"),
        ("ours", {"heads": ("hm", "dpe")}, "unknown head 'dpe'; did you mean dep"),
        ("published", {"heads": ()}, "at least one head"),
        ("ours", {"steps": 0}, "at least 1, not 0"),
    ],
)
def test_bad_recipes_are_refused(model: Frozen, name: str, options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        layout_recipe(name, model.model, **options)


def test_eight_bits_are_those_of_a_file() -> None:
    x = torch.tensor([-0.2, 0.0, 0.5 / 255, 0.51 / 255, 0.3, 1.0, 1.7])
    assert (quantized(x) * 255).tolist() == pytest.approx([0, 0, 0, 1, 76, 255, 255], abs=1e-4)


class Stops(Recorder):
    """Says that one start is done after two steps."""

    def __init__(self, row: int) -> None:
        self.row = row

    def finished(self, state) -> Tensor:
        return (state.rows == self.row) & (state.taken == 2)


class Sees(Recorder):
    """The losses of all starts at the last step."""

    def __init__(self, model: Frozen, target: Target, chosen: Recipe) -> None:
        self.losses: list[float] = []
        run_stages(model, target, chosen, samples=["a"], recorders=[self])

    def record(self, state) -> None:
        self.losses = state.loss.tolist()


class Says(CenterNet3D):
    """A detector that says the same of every picture."""

    def __init__(self, maps: Tensor, codec: CenterCodec = PROJECTED) -> None:
        super().__init__("resnet18", height=32, width=64, codec=codec, options=TINY["resnet18"])
        self.maps = nn.Parameter(maps.float()[None], requires_grad=False)
        self.seen: list[Tensor] = []

    def raw(self, images: Tensor) -> dict[str, Tensor]:
        self.seen.append(images.detach())
        return split(self.maps + 1e-6 * images.mean((1, 2, 3)).view(-1, 1, 1, 1))


def test_a_sample_whose_picture_reads_exactly_is_done_and_the_others_go_on() -> None:
    here, there = (random_layout(2, seed, 32, 64, projection=camera(32, 64), dtype=torch.float32) for seed in (1, 2))
    detector = Says(encoded(here, PROJECTED))
    target = detector.targets([there, here, here])
    chosen = recipe("ours", transforms=(), stages=(Stage(steps=20, stop=Agrees(every=5)),))
    result = inverted(Frozen(detector, SPACE, output="raw"), target, chosen)
    assert result.steps.tolist() == [20, 5, 5]
    looks = [images for images in detector.seen if torch.equal(quantized(images), images)]
    assert [len(images) for images in looks] == [3, 1, 1, 1], "it looks at 8 bits, at every fifth step"
    assert result.x.shape == (3, 3, 32, 64)


def test_of_several_starts_one_that_was_done_early_is_kept_and_else_the_cheapest(model: Frozen, target: Target) -> None:
    chosen = replace(recipe("ours", stages=(Stage(steps=4),)), starts=3)
    best = inverted(model, rows(target, [0]), chosen, samples=["a"])
    seen = Sees(model, rows(target, [0]), replace(chosen, stages=(replace(chosen.stages[0], keep=3),)))
    assert best.loss[0] == min(seen.losses)
    dearest = seen.losses.index(max(seen.losses))
    early = inverted(
        model, rows(target, [0]), replace(chosen, stages=(Stage(steps=4, stop=Stops(dearest)),)), samples=["a"]
    )
    assert early.steps.tolist() == [2] and best.steps.tolist() == [4]


def test_patience_asks_for_several_looks_in_a_row() -> None:
    layout = random_layout(1, 1, 32, 64, projection=camera(32, 64), dtype=torch.float32)
    detector = Says(encoded(layout, PROJECTED))
    recorder = Agrees(every=1, patience=3)
    state = blank_state(torch.rand(1, 3, 32, 64), [0])
    state.target, state.model = detector.targets([layout]), detector
    assert recorder.finished(state) is None
    done = []
    for right in (True, True, False, True, True, True):
        detector.maps.data = encoded(layout if right else layout.flipped(), PROJECTED).float()[None]
        recorder.record(state)
        done.append(bool(recorder.finished(state)))
    assert done == [False] * 5 + [True]
