"""Decoders of a small network: their losses, an adversary that teaches the right one of two, a run and its card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from invert3d.engine.space import Image, Points, Voxels
from invert3d.models.decoders import CloudDecoder, GridDecoder, PatchCritic, PictureDecoder
from invert3d.models.weights import read_card
from invert3d.training.decoders import (
    DecoderLoss,
    DecoderSettings,
    Decoding,
    Described,
    Kept,
    balance,
    decoder_batches,
    decoder_scores,
    difference,
    fit_decoder,
    nearest,
    saved_difference,
)
from invert3d.training.fit import Checkpoints
from tests.cli.calls import command
from tests.study.generation.test_table import boxes

SETTINGS = DecoderSettings(steps=6, batch=4, bf16=False, adversary=0.5, begins=0.5, consistency=0.1)
SPACE = Image(height=32, width=32)


def data() -> Described:
    generator = torch.Generator().manual_seed(0)
    images = (255 * torch.rand(8, 3, 32, 32, generator=generator)).to(torch.uint8)
    return Described(images, images.float().mean((2, 3)) / 255, SPACE)


def describe(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3))


def decoder() -> PictureDecoder:
    torch.manual_seed(0)
    return PictureDecoder(3, 32, width=4)


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (PictureDecoder(5, 100, width=2), (3, 100, 100)),
        (PictureDecoder(5, 33, width=2), (3, 33, 33)),
        (CloudDecoder(5, 70, width=2), (70, 3)),
        (GridDecoder(5, 16, width=2), (1, 16, 16, 16)),
    ],
)
def test_decoders_make_inputs_in_their_range(made: torch.nn.Module, shape: tuple[int, ...]) -> None:
    x = made.eval()(torch.randn(2, 5))
    assert tuple(x.shape[1:]) == shape and x.min() >= -1 and x.max() <= 1
    with pytest.raises(ValueError, match="multiple of 8"):
        GridDecoder(5, 30)


def test_differences_are_those_of_slow_loops() -> None:
    one, other = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    assert float(difference(one, other, SPACE)) == pytest.approx(float((one - other).square().mean()), rel=1e-5)
    a, b = torch.rand(1, 5, 3), torch.rand(1, 5, 3)
    nearest = [min(float((p - q).square().sum()) for q in b[0]) for p in a[0]]
    back = [min(float((p - q).square().sum()) for q in a[0]) for p in b[0]]
    expected = sum(nearest) / 5 + sum(back) / 5
    assert float(difference(a, b, Points(points=5))) == pytest.approx(expected, rel=1e-4)
    grid = torch.full((1, 1, 2, 2, 2), 0.25)
    assert float(difference(grid, torch.zeros_like(grid), Voxels(size=2))) == pytest.approx(-torch.tensor(0.75).log())
    half, most = torch.tensor([0.9, 0.2, 0.6, 0.1]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert float(saved_difference(half[None], most[None], Voxels(size=2))) == pytest.approx(1 - 1 / 3)
    assert torch.equal(saved_difference(a, b, Points(points=5)), difference(a, b, Points(points=5)))


def test_the_adversary_begins_late_and_teaches_the_decoder_without_learning_from_that() -> None:
    torch.manual_seed(1)
    made, critic = decoder(), PatchCritic(3, width=4)
    whole, batches = Decoding(made, critic, describe), decoder_batches(data(), SETTINGS)
    assert "fooled" not in whole(batches(2)[0])
    shown, target = batches(3)
    found = whole(shown)
    (-found["fooled"].mean()).backward(retain_graph=True)
    assert all(p.grad is None for p in critic.parameters())
    assert all(p.grad is not None for p in made.parameters())
    made.zero_grad()
    (found["fake"].mean() + found["real"].mean()).backward()
    assert all(p.grad is None for p in made.parameters()) and all(p.grad is not None for p in critic.parameters())
    memory = Kept()
    loss = DecoderLoss(SETTINGS, SPACE, made, memory)(whole(shown), {**target, "step": torch.tensor(10)})
    assert loss.isfinite() and memory.losses.shape == (1, 5) and memory.losses[:, :4].isfinite().all()


def test_the_decoder_slows_down_when_the_adversary_begins() -> None:
    whole = Decoding(decoder(), PatchCritic(3, width=4), None)
    rates = [[rate for _, rate in SETTINGS.groups(whole, step)] for step in (2, 3)]
    assert rates[0] == pytest.approx([SETTINGS.rate_at(2), 0.5 * SETTINGS.rate_at(2)])
    assert rates[1] == pytest.approx([0.25 * SETTINGS.rate_at(3), 0.5 * SETTINGS.rate_at(3)])
    alone = replace(SETTINGS, adversary=0.0).groups(Decoding(decoder(), None, None), 5)
    assert [rate for _, rate in alone] == [SETTINGS.rate_at(5)]


def test_the_balance_is_a_ratio_of_gradients() -> None:
    weights = torch.ones(3, requires_grad=True)
    assert float(balance((6 * weights).sum(), (2 * weights).sum(), weights)) == pytest.approx(3, rel=1e-4)
    assert float(balance((6 * weights).sum(), (1e-9 * weights).sum(), weights)) == pytest.approx(1e4)


def test_a_training_that_goes_on_gives_the_same_weights(tmp_path: Path) -> None:
    whole, parts = decoder(), decoder()
    kept = fit_decoder(whole, data(), SETTINGS, describe=describe)
    assert torch.equal(whole.last.weight, kept.average["last.weight"])

    def stop(step: int, loss: float) -> None:
        if step == 4:
            raise KeyboardInterrupt

    keep = Checkpoints(path=tmp_path / "checkpoint.pt", resume=True)
    with pytest.raises(KeyboardInterrupt):
        fit_decoder(parts, data(), SETTINGS, describe=describe, keep=keep, report=stop)
    again = fit_decoder(parts, data(), SETTINGS, describe=describe, keep=keep)
    assert torch.equal(parts.last.weight, whole.last.weight) and torch.allclose(
        again.losses, kept.losses, equal_nan=True
    )


def test_decoders_learn() -> None:
    settings = replace(SETTINGS, adversary=0.0, consistency=0.0, steps=60, rate=5e-3, average=0.5)
    gray = torch.linspace(0.1, 0.9, 8)
    images = (255 * gray[:, None, None, None].expand(8, 3, 32, 32)).to(torch.uint8)
    flat = Described(images, gray[:, None].expand(8, 3), SPACE)
    made = decoder()
    before = difference(made(flat.features), flat.x(torch.arange(8)), SPACE).mean()
    fit_decoder(made, flat, settings)
    with torch.no_grad():
        assert difference(made(flat.features), flat.x(torch.arange(8)), SPACE).mean() < before / 2


def test_held_out_losses_are_those_of_the_weights_of_that_step_and_change_nothing() -> None:
    settings = replace(SETTINGS, adversary=0.0, consistency=0.0, steps=11, average=0.0)
    one, other = decoder(), decoder()
    held = data()
    memory = fit_decoder(one, held, settings, held=held)
    assert torch.equal(one.last.weight, fit_decoder(other, held, settings).average["last.weight"])
    rows = slice(settings.batch)
    expected = difference(one(held.features[rows].float()).detach(), held.x(rows), SPACE).mean()
    assert float(memory.losses[-1, -1]) == pytest.approx(float(expected), rel=1e-4)


def test_scores_stand_beside_the_training_input_whose_descriptor_is_nearest() -> None:
    known, made = data(), decoder().eval()
    scores = decoder_scores(made, known, known, describe)
    assert scores["difference, nearest training input"] == 0
    with torch.no_grad():
        x = made(known.features.float())
        expected = [difference(x[i : i + 1], known.x(torch.tensor([i])), SPACE) for i in range(len(x))]
    assert scores["difference"] == pytest.approx(float(torch.cat(expected).mean()), abs=2e-5)
    assert nearest(known.features.float() + 1e-4, known.features, at_once=3).tolist() == list(range(len(x)))


def test_what_is_made_is_described_in_single_precision() -> None:
    def whole(x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.float32
        return describe(x)

    made = Decoding(decoder(), None, whole)
    with torch.autocast("cpu", torch.bfloat16):
        assert made(decoder_batches(data(), SETTINGS)(0)[0])["again"].isfinite().all()


def test_an_adversary_of_clouds_is_refused() -> None:
    cloud = Described(torch.rand(4, 8, 3), torch.rand(4, 5), Points(points=8))
    with pytest.raises(ValueError, match="judges pictures"):
        fit_decoder(CloudDecoder(5, 8, width=2), cloud, SETTINGS)


def test_clouds_are_learned_by_their_chamfer_distance() -> None:
    torch.manual_seed(0)
    clouds, space = torch.rand(4, 8, 3), Points(points=8)
    known, made = Described(clouds, torch.eye(4), space), CloudDecoder(4, 8, width=2)
    settings = replace(SETTINGS, adversary=0.0, consistency=0.0, steps=150, rate=5e-3, average=0.5)
    before = difference(made(known.features), clouds, space).mean()
    fit_decoder(made, known, settings)
    with torch.no_grad():
        assert difference(made(known.features), clouds, space).mean() < before / 2


def test_runs_of_pictures_and_of_grids(tmp_path: Path) -> None:
    small = {"steps": 2, "batch": 4, "width": 2, "bf16": False}
    pose = {"scenes": 2, "held_out": 2, "views": 2, "steps": 1, "batch": 4, "bf16": False, "name": "pose"}
    command("train", "posenet", **pose, out=tmp_path / "pose")
    of = str(tmp_path / "pose" / "pose.json")
    scenes = {"scenes": 2, "held_out": 1, "views": 2}
    command("train", "decoder", f"{of}:fc5", **small, **scenes, adversary=0.5, begins=0, name="d", out=tmp_path / "d")
    card = read_card(tmp_path / "d" / "d.json")
    assert card.kind == "decoder" and card.inputs["layer"] == "fc5" and 0 <= card.scores["relative loss"] <= 1
    losses = json.loads((tmp_path / "d" / "losses.json").read_text())
    assert len(losses["columns"]) == len(losses["rows"][0]) == 5 and all(0 <= row[4] <= 1 for row in losses["rows"])
    (train, train_labels), (test, test_labels) = boxes(3, 0), boxes(2, 1)
    file = tmp_path / "modelnet10_voxels30.npz"
    np.savez_compressed(file, X_train=train, y_train=train_labels, X_test=test, y_test=test_labels)
    command("train", "decoder", "voxnet-modelnet10:fc1", **small, data=str(file), name="g", out=tmp_path / "g")
    assert read_card(tmp_path / "g" / "g.json").architecture == "voxels"
    with pytest.raises(ValueError, match="NETWORK:LAYER"):
        command("train", "decoder", "pointnet-shapes", out=tmp_path / "no")
    with pytest.raises(ValueError, match="no module"):
        command("train", "decoder", f"{of}:fc9", **small, **scenes, out=tmp_path / "no")
