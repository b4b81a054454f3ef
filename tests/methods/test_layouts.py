"""Layout inversion on a tiny detector with random weights, and on one whose maps are written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Recorder
from invert3d.engine.space import Image
from invert3d.engine.stepper import Stepper
from invert3d.methods.layouts import (
    RECIPES,
    LayoutRecipe,
    StopWhenSeen,
    invert_layouts,
    layout_recipe,
    quantized,
    reads_exactly,
)
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.objectives.boxes3d import CenterHeads, DecodedBoxes
from invert3d.ops.centers import HEADS, CenterCodec
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import Objects, pack
from invert3d.parameterizations.images import Fourier, Normalized
from invert3d.priors.statistics import norm_layers
from invert3d.projections.images import Blur, ClipImage
from invert3d.testing import blank_state
from invert3d.transforms.images import Light, MoveScene
from tests.layouts import KINDS, camera, encoded, random_layout
from tests.models.test_detectors import tiny
from tests.ops.test_centers import BOX, PROJECTED, objects_of

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
    return Frozen(lively(), SPACE)


@pytest.fixture(scope="module")
def target() -> Tensor:
    layouts = [random_layout(n, n, 32, 64, projection=camera(32, 64), dtype=torch.float32) for n in (1, 2, 3)]
    return pack(layouts, KINDS)


def recipe(name: str, steps: int = 12, **changes) -> LayoutRecipe:
    return replace(layout_recipe(name, PROJECTED, steps=steps), **changes)


@pytest.mark.parametrize("name", ["ours", "published", "published_authors", "smallest_change"])
def test_recipes_run_and_their_losses_fall(model: Frozen, target: Tensor, name: str) -> None:
    result = invert_layouts(model, target, recipe(name, steps=30, transforms=()))
    assert result.x.shape == (3, 3, 32, 64) and result.x.isfinite().all()
    assert result.trace["loss"].shape == (30, 3) and result.trace["step"].tolist() == list(range(30))
    assert result.steps.tolist() == [30] * 3 and result.seconds > 0 and not result.interrupted
    loss = result.trace["loss"]
    assert (loss[-1] < loss[0] - 0.02).all()


@pytest.mark.parametrize("name", ["ours", "published", "smallest_change"])
def test_pictures_are_legal_where_the_recipe_keeps_them_so(model: Frozen, target: Tensor, name: str) -> None:
    result = invert_layouts(model, target, recipe(name))
    assert result.x.min() >= 0 and result.x.max() <= 1
    assert result.x.std() > 0.002


def test_the_authors_clip_leaves_the_legal_range(model: Frozen, target: Tensor) -> None:
    """Never darker than the mean, brighter than white."""
    result = invert_layouts(model, target, recipe("published_authors", projections=(ClipImage(range="authors"),)))
    lowest = torch.tensor([0.485, 0.456, 0.406]) * 254 / 255
    assert (result.x.amin((0, 2, 3)) >= lowest - 1e-6).all() and result.x.max() <= 1.49


def test_random_views_still_lower_the_loss_that_is_asked(model: Frozen, target: Tensor) -> None:
    before = invert_layouts(model, target, recipe("ours", steps=1, coarse=0.0, transforms=()))
    views = (MoveScene(scale=0.01, shift=0.005), Light(noise=0.02))  # small ones: random weights know no mirror
    after = invert_layouts(model, target, recipe("ours", steps=40, transforms=views))
    asked = DecodedBoxes(codec=PROJECTED)

    def loss(x: Tensor) -> Tensor:
        state = blank_state(x, range(len(x)))
        state.outputs, state.view_target = model(x), target
        return asked(state)

    assert (loss(after.x) < 0.95 * loss(before.x)).all()


def test_the_published_settings_are_those_of_the_code() -> None:
    """Reference, section 1B."""
    found = layout_recipe("published", BOX)
    assert found.steps == 2000 and found.parameterization == Normalized(spread=0.2) and not found.transforms
    assert found.stepper == Stepper(kind="sgd", rate=2.0, momentum=0.5, decay="quarters")
    assert found.projections == (ClipImage(), Blur(sigma=5.0, decay=0.985, floor=0.5, period=5))
    (_, heads), (weight, _) = found.objective.terms  # type: ignore[attr-defined]
    assert heads == CenterHeads(per="slot") and weight == pytest.approx(3e-5)
    assert layout_recipe("published_authors", BOX).projections[0] == ClipImage(range="authors")


def test_remembered_statistics_join_in(model: Frozen, target: Tensor) -> None:
    norms = norm_layers(model.model)
    assert len(norms) > 10 and all(name.startswith("network.") for name in norms)
    with_norms = layout_recipe("ours", PROJECTED, norms=norms, steps=3)
    result = invert_layouts(model, target[:1], with_norms)
    assert result.trace["loss"][0] > invert_layouts(model, target[:1], recipe("ours", steps=3)).trace["loss"][0]


@pytest.mark.parametrize("name", ["ours", "published"])
def test_a_picture_does_not_depend_on_what_else_is_asked(target: Tensor, name: str) -> None:
    double = Frozen(lively().double(), SPACE)
    short = recipe(name, steps=10)
    both = invert_layouts(double, target, short, samples=[4, 5, 6])
    alone = invert_layouts(double, target[1:2], short, samples=[5])
    assert torch.allclose(both.x[1], alone.x[0], atol=1e-6)
    assert torch.allclose(both.loss[1], alone.loss[0], atol=1e-6)


def test_a_seed_fixes_everything(model: Frozen, target: Tensor) -> None:
    once, again, other = (invert_layouts(model, target, recipe("ours"), seed=seed) for seed in (7, 7, 8))
    assert torch.equal(once.x, again.x) and torch.equal(once.trace["loss"], again.trace["loss"])
    assert not torch.allclose(once.x, other.x, atol=1e-2)
    twice = invert_layouts(model, target[[0, 0]], recipe("ours"))
    assert not torch.allclose(twice.x[0], twice.x[1], atol=1e-2), "asked twice, two pictures"


def test_the_model_is_left_as_it_was(model: Frozen, target: Tensor) -> None:
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    model.model.train()
    invert_layouts(model, target, recipe("ours", steps=3))
    assert model.model.training and all(p.requires_grad for p in model.model.parameters())
    model.model.eval()
    assert all(torch.equal(value, model.model.state_dict()[key]) for key, value in before.items())


def test_a_picture_to_begin_with_is_kept_where_steps_are_small(model: Frozen, target: Tensor) -> None:
    start = 0.1 + 0.8 * torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    still = replace(recipe("smallest_change", steps=2), stepper=Stepper(rate=1e-7))
    assert torch.allclose(invert_layouts(model, target, still, start=start).x, start, atol=1e-3)
    moved = invert_layouts(model, target, recipe("smallest_change", steps=6), start=start)
    assert 1e-4 < (moved.x - start).abs().mean() < 0.1
    with pytest.raises(ValueError, match="the recipe published cannot begin with a picture; ours and smallest_change"):
        invert_layouts(model, target, recipe("published"), start=start)


def test_pictures_on_the_way_are_kept_of_both_stages(model: Frozen, target: Tensor) -> None:
    result = invert_layouts(model, target, recipe("ours", steps=20), snapshots=10)
    assert result.snapshot_steps is not None and result.snapshots is not None
    assert result.snapshot_steps.tolist() == sorted(set(result.snapshot_steps.tolist()))
    assert result.snapshot_steps[0] == 0 and result.snapshot_steps[-1] == 19
    assert 9 <= len(result.snapshots) <= 11 and result.snapshots.shape[1:] == (3, 3, 32, 64)
    assert invert_layouts(model, target, recipe("ours", steps=3)).snapshots is None


@pytest.mark.parametrize("at", [2, 8])
def test_an_interrupted_inversion_gives_what_there_is(model: Frozen, target: Tensor, at: int) -> None:
    class Interrupts(Recorder):
        seen = 0

        def record(self, state) -> None:
            self.seen += 1
            if self.seen == at:
                raise KeyboardInterrupt

    result = invert_layouts(model, target, recipe("ours", steps=20), recorders=[Interrupts()])
    assert result.interrupted and result.x.shape == (3, 3, 32, 64)
    assert (result.steps == at).all()


@pytest.mark.parametrize("heads", [("hm",), ("dep", "dim"), ("rot",)])
def test_some_heads_may_be_asked_alone(model: Frozen, target: Tensor, heads: tuple[str, ...]) -> None:
    for name in RECIPES:
        chosen = layout_recipe(name, PROJECTED, heads=heads, steps=3)
        assert invert_layouts(model, target[:1], chosen).x.isfinite().all()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("our", {}, "unknown layout recipe 'our'; did you mean ours"),
        ("publishd_authors", {}, "published_authors"),
        ("ours", {"heads": ("hm", "dpe")}, "unknown head 'dpe'; did you mean dep"),
        ("published", {"heads": ()}, "at least one head"),
        ("ours", {"steps": 0}, "needs steps"),
    ],
)
def test_bad_recipes_are_refused(name: str, options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        layout_recipe(name, PROJECTED, **options)


def test_only_a_spectrum_is_drawn_coarse_to_fine(model: Frozen, target: Tensor) -> None:
    with pytest.raises(ValueError, match="only a spectrum can be drawn coarse to fine, not Normalized"):
        invert_layouts(model, target, recipe("published", coarse=0.5))
    assert recipe("ours").parameterization == Fourier()


def test_eight_bits_are_those_of_a_file() -> None:
    x = torch.tensor([-0.2, 0.0, 0.5 / 255, 0.51 / 255, 0.3, 1.0, 1.7])
    assert (quantized(x) * 255).tolist() == pytest.approx([0, 0, 0, 1, 76, 255, 255], abs=1e-4)


class Says(nn.Module):
    """A detector that says the same of every picture."""

    def __init__(self, maps: Tensor, codec: CenterCodec = PROJECTED) -> None:
        super().__init__()
        self.maps, self.codec = nn.Parameter(maps.float()[None], requires_grad=False), codec
        self.seen: list[Tensor] = []

    def raw(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach())
        return self.maps + 1e-6 * images.mean((1, 2, 3)).view(-1, 1, 1, 1)

    forward = raw


def test_a_sample_whose_picture_reads_exactly_is_done_and_the_others_go_on() -> None:
    here, there = (random_layout(2, seed, 32, 64, projection=camera(32, 64), dtype=torch.float32) for seed in (1, 2))
    detector = Says(encoded(here, PROJECTED))
    target = pack([there, here, here], KINDS)
    chosen = recipe("ours", steps=20, coarse=0.0, plain=0.0, stop_every=5, transforms=())
    result = invert_layouts(Frozen(detector, SPACE), target, chosen)
    assert result.steps.tolist() == [20, 5, 5]
    looks = [images for images in detector.seen if torch.equal(quantized(images), images)]
    assert [len(images) for images in looks] == [3, 1, 1, 1], "it looks at 8 bits, at every fifth step"
    assert result.x.shape == (3, 3, 32, 64)


def test_patience_asks_for_several_looks_in_a_row() -> None:
    layout = random_layout(1, 1, 32, 64, projection=camera(32, 64), dtype=torch.float32)
    detector = Says(encoded(layout, PROJECTED))
    recorder = StopWhenSeen(detector=detector, every=1, patience=3)
    state = blank_state(torch.rand(1, 3, 32, 64), [0])
    state.target = pack([layout], KINDS)
    assert recorder.finished(state) is None
    done = []
    for right in (True, True, False, True, True, True):
        detector.maps.data = encoded(layout if right else layout.flipped(), PROJECTED).float()[None]
        recorder.record(state)
        done.append(bool(recorder.finished(state)))
    assert done == [False] * 5 + [True]


def exact(raw: Tensor, layout: Layout, codec: CenterCodec = PROJECTED) -> bool:
    return bool(reads_exactly(raw[None].float(), objects_of(layout), codec, threshold=0.3, within=0.02))


@pytest.fixture
def scene() -> Layout:
    return replace(random_layout(3, 5, 48, 160), kinds=("Car", "Pedestrian", "Car"))


def cell(layout: Layout, i: int) -> tuple[int, int]:
    x, y = PROJECTED.cells(objects_of(layout), layout.height // 4, layout.width // 4)[0, i].tolist()
    return y, x


def test_what_is_written_is_read_exactly(scene: Layout) -> None:
    assert exact(encoded(scene, PROJECTED), scene)
    nothing = Layout.empty(camera(), 48, 160)
    assert exact(encoded(nothing, PROJECTED), nothing)
    assert not exact(encoded(nothing, PROJECTED), scene) and not exact(encoded(scene, PROJECTED), nothing)


def test_a_missing_a_quiet_and_a_mistaken_object_are_not_exact(scene: Layout) -> None:
    y, x = cell(scene, 1)
    raw = encoded(scene, PROJECTED)
    raw[0, y, x] = -1.0  # a score of 0.27
    assert not exact(raw, scene)
    raw[0, y, x] = -0.5
    assert exact(raw, scene)
    raw[:3, y, x] = torch.tensor([-7.0, -7.0, 3.0])  # a cyclist
    assert not exact(raw, scene)


def test_a_stray_object_is_not_exact(scene: Layout) -> None:
    raw = encoded(scene, PROJECTED)
    raw[2, 1, 1] = 0.0
    assert not exact(raw, scene)
    raw[2, 1, 1] = -2.0
    assert exact(raw, scene), "below the threshold nobody sees it"
    y, x = cell(scene, 0)
    raw[1, y, x + 1] = 2.5
    assert exact(raw, scene), "beside a higher cell it is no peak"
    raw[1, y, x + 1], raw[1, y, x + 2] = -7.0, 2.5
    assert not exact(raw, scene), "two cells off it is another car"


@pytest.mark.parametrize(("channel", "by"), [(3, 0.3), (6, 0.5), (12, 0.4), (17, 1.0)])
def test_a_wrong_depth_angle_size_or_place_is_not_exact(scene: Layout, channel: int, by: float) -> None:
    y, x = cell(scene, 2)
    raw = encoded(scene, PROJECTED)
    raw[channel, y, x] += by
    if channel == 6:
        raw[10, y, x] += by
    assert not exact(raw, scene)


def test_neighbors_may_be_seen_or_not(scene: Layout) -> None:
    asked = replace(scene, kinds=("Car", "Van", "DontCare"))
    raw = encoded(replace(scene, kinds=("Car", "Car", "Cyclist")), PROJECTED)
    assert exact(raw, asked), "a van taken for a car, and anything in a region"
    assert exact(encoded(scene.select(torch.tensor([0])), PROJECTED), asked)
    y, x = cell(scene, 1)
    assert not exact(encoded(scene.select(torch.tensor([1])), PROJECTED), asked), "but the car must be"


def test_what_is_seen_beside_a_region_is_forgiven_up_to_two_cells(scene: Layout) -> None:
    asked = replace(scene.select(torch.tensor([0, 2])), kinds=("Car", "DontCare"))
    y, x = cell(asked, 1)
    for away, right in ((2, True), (3, False)):
        raw = encoded(asked.select(torch.tensor([0])), PROJECTED)
        raw[0, y, x - away] = 3.0
        assert exact(raw, asked) == right


def test_exactness_is_told_sample_by_sample(scene: Layout) -> None:
    other = random_layout(1, 9, 48, 160)
    raw = torch.stack([encoded(layout, PROJECTED) for layout in (scene, other, scene)]).float()
    found = reads_exactly(raw, Objects(objects_of(scene, other, other).packed), PROJECTED, 0.3, 0.02)
    assert found.tolist() == [True, True, False]
