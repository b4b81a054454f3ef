"""Introspective training on small boxes: what it is trained against, its loss, and a run that is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.space import Voxels
from invert3d.engine.stepper import Stepper
from invert3d.methods.introspection import Reached, begun, largest_piece, synthesize
from invert3d.models.class_gaussians import ClassGaussians
from invert3d.models.winn3d import WINN3D
from invert3d.training.data import Grids
from invert3d.training.fit import Checkpoints, Training
from invert3d.training.introspective import (
    Introspection,
    IntrospectiveSettings,
    Scores,
    coarse,
    introspective_loss,
    train_introspective,
)

SETTINGS = IntrospectiveSettings(
    steps=5,
    batch=4,
    rate=1e-3,
    bf16=False,
    alpha=0.1,
    penalty=3.0,
    ascent=3,
    kept=6,
    renewed=0.5,
    components=2,
    adversary=0.0,
    average=0.5,
)


LONG = Stepper(kind="unit", rate=1.0)


def data(size: int = 16) -> Grids:
    """Flat boxes and tall ones."""
    generator = np.random.default_rng(0)
    labels = np.arange(16) % 2
    grids = np.zeros((16, size, size, size), np.uint8)
    for grid, label in zip(grids, labels, strict=True):
        x, y = generator.integers(1, 5, 2)
        grid[x : x + 8, y : y + 8, : 3 if label else 12] = 1
    return Grids(
        train=grids,
        train_labels=labels,
        test=grids[:4],
        test_labels=labels[:4],
        classes=("tall", "flat"),
        source="boxes",
        voxels=Voxels(size=size),
    )


def network(seed: int = 0) -> WINN3D:
    torch.manual_seed(seed)
    return WINN3D(2, width=2, size=16)


def introspection(settings: IntrospectiveSettings = SETTINGS) -> Introspection:
    boxes = data()
    starts = ClassGaussians.fitted(torch.from_numpy(boxes.train), torch.from_numpy(boxes.train_labels), 2, 2)
    return Introspection(network(), boxes, starts, settings)


def test_synthesis_raises_the_score_and_stops_at_its_threshold() -> None:
    model, labels = network().eval(), torch.tensor([0, 1, 0])
    frozen = Frozen(model, Voxels(size=16), output="logits")
    start = torch.rand(3, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))

    def scores(x: torch.Tensor) -> torch.Tensor:
        return model(x).gather(1, labels[:, None])[:, 0].detach()

    before = scores(start)
    found = synthesize(frozen, start, labels, steps=8, stepper=LONG)
    assert (scores(found) > before).all() and found.min() >= 0 and found.max() <= 1
    thresholds = torch.stack([before[0] - 1, torch.tensor(torch.inf), scores(found)[2]])
    stopped = synthesize(frozen, start, labels, steps=8, stepper=LONG, recorders=[Reached(thresholds)])
    assert torch.equal(stopped[0], start[0]), "it scored enough from the beginning"
    assert torch.allclose(stopped[1], found[1], atol=1e-6)
    assert ((stopped - start).flatten(1).norm(dim=1) <= 8 * 1.0 + 1e-4).all(), "each step has length one"


def test_a_batch_has_each_class_and_its_negatives_go_back_to_the_buffer() -> None:
    source = introspection(replace(SETTINGS, jitter=0.0))
    source.memory.scores.fill_(torch.inf)  # no score is enough
    before = source.memory.buffer.clone()
    shown, target = source.batch(3)
    assert target["labels"].tolist() == [0, 1, 0, 1] and not shown["penalized"]
    assert shown["real"].shape == shown["views"].shape == shown["made"].shape == (4, 1, 16, 16, 16)
    changed = (source.memory.buffer != before).flatten(2).any(2).sum(1)
    assert changed.tolist() == [2, 2], "no place is written to twice"
    again = introspection(replace(SETTINGS, jitter=0.0))
    again.memory.scores.fill_(torch.inf)
    assert torch.equal(again.batch(3)[0]["made"], shown["made"]), "a batch follows from the step and what is remembered"
    for label in (0, 1):
        kept = source.memory.buffer[label].flatten(1)
        made = (255 * shown["made"][target["labels"] == label].flatten(1)).round().byte()
        assert all((kept == row).all(1).any() for row in made)


def test_the_loss_is_the_one_that_is_written() -> None:
    source = introspection()
    shown, target = source.batch(4)
    assert shown["penalized"]
    model = Scores(network())
    found = model(shown)
    labels = target["labels"]
    real, made, views = (model.model(each) for each in (shown["real"], shown["made"], shown["views"]))
    own = [each.gather(1, labels[:, None])[:, 0] for each in (real, made)]
    leaf = shown["real"].clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.model(leaf).gather(1, labels[:, None]).sum(), leaf)
    told = F.softplus(-own[0]).mean() + F.softplus(own[1]).mean() + 3 * slope.flatten(1).square().sum(1).mean()
    loss = introspective_loss(SETTINGS, source.memory)(found, target)
    assert loss.item() == pytest.approx((F.cross_entropy(views, labels) + 0.1 * told).item(), rel=1e-4)
    latest = source.memory.scores[:, :2]  # the thresholds of the next step, of each class the latest first
    assert torch.allclose(latest, torch.stack([own[0][[2, 0]], own[0][[3, 1]]]), atol=1e-5)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = network()
    train_introspective(whole, data(), SETTINGS)
    parts, keep = network(), Checkpoints(path=tmp_path / "checkpoint.pt", resume=True)

    def stop(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_introspective(parts, data(), SETTINGS, keep=keep, report=stop)
    parts = network(seed=1)
    source = train_introspective(parts, data(), SETTINGS, keep=keep)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
        assert torch.equal(value, source.memory.average[name])


def test_all_begin_anew_or_none_and_sure_shapes_are_left_alone() -> None:
    source = introspection(replace(SETTINGS, renewed=0.0, jitter=0.0))
    source.memory.scores.fill_(-torch.inf)  # every score is enough: no step is taken
    source.memory.buffer.fill_(7)
    assert (source.batch(1)[0]["made"] == 7 / 255).all()
    source = introspection(replace(SETTINGS, renewed=1.0, jitter=0.0))
    source.memory.scores.fill_(-torch.inf)
    shown, target = source.batch(1)
    names = [f"1/{k}" for k in range(4)]
    anew = begun(source.starts, target["labels"], Draws.seeded(SETTINGS.seed, names, "starts"))
    assert torch.allclose(shown["made"], anew, atol=1e-6)


def test_ascent_grows_to_the_middle_and_is_none_at_first() -> None:
    settings = IntrospectiveSettings(steps=12, ascent=3)
    assert [settings.ascent_at(step) for step in range(12)] == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3]


def test_views_are_attacked_within_twice_the_radius() -> None:
    plain, attacked = (introspection(replace(SETTINGS, adversary=radius)).batch(2)[0]["views"] for radius in (0.0, 0.1))
    assert set(plain.unique().tolist()) == {0, 1}
    change = (attacked - plain).abs()
    assert 0.1 < change.max() <= 0.2 + 1e-6 and (change > 0).float().mean() > 0.5
    assert attacked.min() >= 0 and attacked.max() <= 1
    model, labels = network().eval(), introspection().batch(2)[1]["labels"]
    with torch.no_grad():
        assert F.cross_entropy(model(attacked), labels) > F.cross_entropy(model(plain), labels)


def test_without_the_terms_of_pseudo_negatives_it_is_a_classifier() -> None:
    plain = replace(SETTINGS, alpha=0.0)
    source = introspection(plain)
    before = source.memory.buffer.clone()
    shown, target = source.batch(2)
    assert set(shown) == {"views", "labels"} and torch.equal(source.memory.buffer, before)
    found = Scores(source.model)(shown)
    loss = introspective_loss(plain, source.memory)(found, target)
    assert torch.equal(loss, F.cross_entropy(source.model(shown["views"]), target["labels"]))


def test_the_average_of_weights_is_the_one_of_its_decay() -> None:
    source = introspection()
    first = source.model.fc.bias.detach().clone()
    source.after(0)
    with torch.no_grad():
        source.model.fc.bias += 1.0
    source.after(100)
    assert torch.allclose(source.memory.average["fc.bias"], first + 0.5)


def test_classes_take_turns_and_a_batch_fits_what_is_kept() -> None:
    source = introspection(replace(SETTINGS, batch=3))
    assert [source.batch(step)[1]["labels"].tolist() for step in (0, 1)] == [[0, 1, 0], [1, 0, 1]]
    with pytest.raises(ValueError, match="a batch of 14 needs more than the 6 shapes that are kept"):
        train_introspective(network(), data(), replace(SETTINGS, batch=14))


def test_a_checkpoint_of_another_kind_of_training_is_refused(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    Training(model, optimizer, SETTINGS).save(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="the checkpoint of another kind of training"):
        Training(model, optimizer, SETTINGS, introspection().memory).load(tmp_path / "checkpoint.pt")


def test_legs_stay_on_half_as_many_voxels() -> None:
    boxes = data()
    thin = boxes.train.copy()
    thin[:] = 0
    thin[:, 4, 4:6, :] = 1  # a leg of two by one voxels in cells of two by two
    half = coarse(Grids(**{**vars(boxes), "train": thin}))
    assert half.voxels.size == 8 and half.train.shape == (16, 8, 8, 8)
    assert half.train[0].sum() == 8 and half.train[0, 2, 2].all()


def test_dust_is_taken_away() -> None:
    grid = torch.zeros(2, 1, 6, 6, 6)
    grid[0, 0, 1:4, 1:4, 0], grid[0, 0, 1, 1, 3], grid[0, 0, 5, 5, 5] = 1, 1, 1
    clean = largest_piece(grid)
    assert clean[0].sum() == 10 and clean[0, 0, 5, 5, 5] == 0 and clean[1].sum() == 0
    assert clean[0, 0, 1, 1, 3] == 1, "two voxels are missing in a leg"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"alpha": -1.0}, "alpha must be between 0"),
        ({"ascent": 0}, "ascent must be between 1"),
        ({"renewed": 1.5}, "renewed must be between 0 and 1"),
        ({"length": 0.0}, "length must be above 0"),
        ({"average": 2.0}, "average must be between 0 and 1"),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        IntrospectiveSettings(**wrong)


def test_without_labels_all_shapes_are_of_one_class():
    boxes = data().unlabeled()
    assert boxes.classes == ("shape",) and not boxes.train_labels.any() and not boxes.test_labels.any()
    torch.manual_seed(0)
    model = WINN3D(1, width=2, size=16)
    source = train_introspective(model, boxes, replace(SETTINGS, steps=40, ascent=1))
    assert source.memory.buffer.shape[:2] == (1, 6)  # one buffer
    made = boxes.voxels.encode(source.memory.buffer[0].float()[:, None] / 255)
    with torch.no_grad():
        assert model(boxes.held_out(0)).mean() > model(made).mean(), "real shapes score higher than its own"


def test_without_gaps_a_piece_is_what_shares_faces():
    grid = torch.zeros(1, 1, 8, 8, 8)
    grid[0, 0, :4, :4, :4] = 1
    grid[0, 0, 5, 2, 2] = 1  # a voxel away
    grid[0, 0, 4, 4, 4] = 1  # at a corner
    assert torch.equal(largest_piece(grid), grid)
    alone = largest_piece(grid, gaps=False)
    assert alone.sum() == 64 and alone[0, 0, :4, :4, :4].all()
