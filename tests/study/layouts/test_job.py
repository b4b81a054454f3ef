"""``invert_boxes``: run folders that are KITTI folders, resuming, scores of what was saved, scenes that are asked."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from invert3d.data.kitti import Calibration, KittiFolder, read_labels, write_calibration, write_labels
from invert3d.jobs.job import Progress
from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe, reached_norms
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.models.weights import WeightCard
from invert3d.opening.detectors import open_detector
from invert3d.ops.boxes import project, wrapped
from invert3d.ops.layouts import Layout
from invert3d.parameterizations.images import Normalized
from invert3d.priors.images import Nearness
from invert3d.priors.statistics import norm_layers
from invert3d.study.layouts import job as study
from invert3d.study.layouts.files import BoxesRun, read_picture
from invert3d.study.layouts.job import asked_of, invert_boxes, layouts_job, redetected
from invert3d.study.layouts.scenes import Scenes, asked_scenes, parsed_sweep, swept
from invert3d.study.layouts.score import SHORT, errors_table, fitted, read_boxes_run, score, scored_runs
from invert3d.training.detectors import save_detector
from invert3d.training.frames import Frames
from tests.layouts import camera, kitti_camera, random_layout, write_scene
from tests.models.test_detectors import TINY, tiny
from tests.ops.test_centers import PROJECTED
from tests.ops.test_layouts import assert_same

SILENT = RunOptions(progress=False)


def quick(detector: Any, layouts: Sequence[Layout], *, recipe: str = "ours", out: Path | None = None, **options: Any):
    """A short run. What is an option of the recipe goes there."""
    of_recipe = {name: options.pop(name) for name in ("heads", "starts") if name in options}
    chosen = layout_recipe(recipe, detector, steps=options.pop("steps", 3), **of_recipe)
    return invert_boxes(detector, layouts, recipe=chosen, out=out, **{"options": SILENT, **options})


@pytest.fixture(scope="module")
def detector() -> CenterNet3D:
    return tiny(codec=PROJECTED, order="rgb")


def layout_of(count: int, seed: int, height: int = 32, width: int = 64) -> Layout:
    return random_layout(count, seed, height, width, projection=camera(height, width), dtype=torch.float32)


LAYOUTS = [layout_of(2, 1), layout_of(1, 2), layout_of(3, 3)]


def frames(count: int = 4) -> Frames:
    """Noise with layouts."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 64), generator=generator, dtype=torch.uint8)
    layouts = tuple(layout_of(2, seed) for seed in range(count))
    return Frames(images, layouts, tuple(f"{i:06d}" for i in range(count)), "noise", "Apache-2.0")


@pytest.fixture(scope="module")
def card(detector: CenterNet3D, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of the tiny detector, beside its weights."""
    folder = tmp_path_factory.mktemp("cards")
    about = WeightCard(name="centernet3d-tiny", kind="detector", architecture="centernet3d", options=TINY["small"])
    save_detector(detector, frames(), about, folder)
    return folder / "centernet3d-tiny.json"


@pytest.fixture(scope="module")
def finished(detector: CenterNet3D, card: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BoxesRun]:
    """A run folder, and what the run returned."""
    out = tmp_path_factory.mktemp("runs") / "run"
    originals = {"a": torch.rand(3, 32, 64), "b": torch.rand(3, 32, 64)}
    return out, quick(detector, LAYOUTS[:2], names=["a", "b"], originals=originals, model=str(card), out=out)


def test_a_run_folder_is_a_kitti_folder(finished) -> None:
    out, run = finished
    folder = KittiFolder(out)
    assert folder.ids == ["a", "b"] == list(run.names)
    for i, name in enumerate(folder.ids):
        image = torch.from_numpy(folder.image(name).copy()).permute(2, 0, 1)
        assert torch.equal(image, (run.pictures[i] * 255).round().to(torch.uint8))
        assert torch.equal(folder.calibration(name).projection, run.asked[i].projection)
        assert_same(replace(folder.layout(name), truncations=run.asked[i].truncations), run.asked[i], atol=0.011)
        found = read_labels(out / "found" / f"{name}.txt", run.asked[i].projection, 32, 64)
        assert found.kinds == run.found[i].kinds
        assert torch.allclose(found.scores, run.found[i].scores, atol=1e-4)
        assert torch.allclose(found.centers, run.found[i].centers, atol=0.011)
        assert (read_picture(out / "original" / f"{name}.png") - run.originals[name]).abs().max() < 0.003


def test_a_run_says_how_it_came_about(finished, detector: CenterNet3D) -> None:
    out, run = finished
    facts = json.loads((out / "run.json").read_text())
    source = facts["settings"]["sources"][""]
    assert facts["kind"] == "boxes" and facts["names"] == facts["units"] == ["a", "b"] and source["size"] == [32, 64]
    assert source["codec"]["center"] == "projected" and source["recipe"]["name"] == "ours"
    assert facts["environment"]["torch"] == torch.__version__
    norms = next(term for term in source["recipe"]["objective"] if term["name"] == "batch_norm_statistics")
    assert norms["layers"][0].startswith("network.")
    table = {name: json.loads((out / "units" / name / "facts.json").read_text()) for name in run.names}
    assert [table[name]["steps"] for name in run.names] == list(run.steps) == [3, 3]
    assert run.trace["loss"].shape == (3, 2) and run.seconds > 0 and not run.interrupted
    assert not detector.training and all(p.requires_grad for p in detector.parameters())


def test_what_is_read_from_the_saved_pictures_is_what_was_found(finished, detector: CenterNet3D) -> None:
    out, run = finished
    saved = read_boxes_run(out)
    assert saved.names == ("a", "b") and saved.steps == run.steps and len(saved.originals) == 2
    again = redetected(detector, saved.pictures, saved.asked)
    for one, other in zip(again, run.found, strict=True):
        assert_same(one, other, atol=0)
    assert sum(len(layout) for layout in again) > 0


def test_reading_leaves_a_detector_in_training_as_it_is(finished, detector: CenterNet3D) -> None:
    _, run = finished
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    detector.train()
    again = redetected(detector, run.pictures, run.asked)
    assert detector.training
    detector.eval()
    assert all(torch.equal(value, detector.state_dict()[key]) for key, value in before.items())
    assert_same(again[0], run.found[0], atol=0)


def test_nothing_is_written_without_a_folder_and_chunks_change_nothing(detector, monkeypatch, finished) -> None:
    _, run = finished
    monkeypatch.setattr(study, "CAPACITY", 32 * 64)
    alone = quick(detector, LAYOUTS[:2], names=["a", "b"])
    assert (alone.pictures - run.pictures).abs().max() <= 1 / 255 + 1e-6
    assert len(alone.found) == 2 and alone.steps == (3, 3)


def test_the_smallest_change_is_measured_from_the_picture_to_the_end(detector: CenterNet3D, monkeypatch) -> None:
    """In both of its parts, the one in views and the plain one."""
    seen = []
    monkeypatch.setattr(Nearness, "update", lambda self, state: seen.append(state.start.clone()))
    start = torch.rand(1, 3, 32, 64)
    quick(detector, LAYOUTS[:1], start=start, recipe="smallest_change", steps=4)
    assert len(seen) == 4 and all(torch.equal(each, start) for each in seen)
    with pytest.raises(ValueError, match="begins with a picture"):
        quick(detector, LAYOUTS[:1], recipe="smallest_change", steps=4)


def test_norms_that_only_checkpoints_know_are_not_asked_what_they_remember() -> None:
    """DLA's trees of trees have a projection that nothing calls; our recipe must work on it."""
    dla = tiny("dla34", codec=PROJECTED, order="rgb")
    assert set(norm_layers(dla)) - set(reached_norms(dla)) == {"network.base.level4.project.1"}
    run = quick(dla, LAYOUTS[:1], steps=2)
    assert run.steps == (2,)


def test_steps_are_counted_from_one(detector: CenterNet3D) -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
        quick(detector, LAYOUTS[:1], steps=0)


def test_frames_that_ask_nothing_are_left_out_and_named(detector: CenterNet3D, tmp_path: Path, files: Path) -> None:
    for name, text in (("a", (files / "both.txt").read_text()), ("b", ""), ("c", (files / "behind.txt").read_text())):
        for kind, end in (("image_2", "png"), ("label_2", "txt"), ("calib", "txt")):
            (tmp_path / "training" / kind).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "training" / kind / f"{name}.{end}"
            if kind == "label_2":
                path.write_text(text)
            else:
                path.write_bytes((files / {"image_2": "one.png", "calib": "calib.txt"}[kind]).read_bytes())
    found = asked_scenes(detector, frames=str(tmp_path))
    assert found.names == ("a",) and set(found.originals) == {"a"}
    assert len(found.left_out) == 2 and "b: no Pedestrian" in found.left_out[0] + found.left_out[1]
    (tmp_path / "training" / "label_2" / "a.txt").write_text("")
    with pytest.raises(ValueError, match="a: no Pedestrian"):
        asked_scenes(detector, frames=str(tmp_path))


def test_of_several_starts_the_cheapest_is_kept(detector, finished) -> None:
    _, one = finished
    three = quick(detector, LAYOUTS[:2], names=["a", "b"], starts=3)
    assert three.trace["loss"].shape == (3, 2) and three.pictures.shape == one.pictures.shape
    assert torch.equal(three.trace["loss"][-1], torch.tensor(three.losses)), (
        "the trace is that of the start that is kept"
    )
    assert all(best <= first + 1e-3 for best, first in zip(three.losses, one.losses, strict=True))
    with pytest.raises(ValueError, match="at least 1 start"):
        quick(detector, LAYOUTS[:1], starts=0)


def test_interrupted_and_resumed_is_the_same_as_never_interrupted(detector, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(study, "CAPACITY", 32 * 64)  # one picture a batch

    def inverted(layouts=LAYOUTS, *, steps: int = 4, recipe: str = "published", **options) -> BoxesRun:
        return quick(detector, layouts, steps=steps, recipe=recipe, options=RunOptions(progress=False, **options))

    whole, out, record, seen = inverted(), tmp_path / "run", Progress.record, []

    def interrupt(self, state) -> None:
        seen.append(state.step)
        if len(seen) == 6:
            signal.raise_signal(signal.SIGINT)
        record(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "record", interrupt)
        part = inverted(out=out)
    assert part.interrupted and part.names == ("000000", "000001") and len(part.pictures) == len(part.found) == 2
    assert (out / "units" / "000001" / "partial.json").is_file()
    with pytest.raises(ValueError, match="give --resume"):
        inverted(out=out)
    for changed in ({"seed": 1}, {"steps": 5}, {"recipe": "ours"}, {"layouts": LAYOUTS[::-1]}):
        with pytest.raises(ValueError, match="other values of settings"):
            inverted(out=out, resume=True, **changed)
    rest = inverted(out=out, resume=True)
    assert not rest.interrupted and rest.names == whole.names and rest.steps == whole.steps
    assert torch.equal(rest.pictures, whole.pictures)
    for one, other in zip(rest.found, whole.found, strict=True):
        assert_same(one, other, atol=0)
    new = inverted(LAYOUTS[:1], out=out, overwrite=True)
    assert KittiFolder(out).ids == ["000000"] and torch.equal(new.pictures[0], whole.pictures[0])


def test_a_run_that_is_interrupted_in_its_first_picture_can_be_read(detector, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(Progress, "record", lambda self, state: signal.raise_signal(signal.SIGINT))
    run = quick(detector, LAYOUTS[:1], out=tmp_path / "run")
    assert run.interrupted and run.names == ("000000",) and run.pictures.shape == (1, 3, 32, 64)
    with pytest.raises(ValueError, match="no finished picture yet"):
        read_boxes_run(tmp_path / "run")


def test_layouts_of_pictures_of_any_size_are_moved_to_the_detectors(detector: CenterNet3D) -> None:
    layout = layout_of(1, 4, 96, 320)
    run = quick(detector, [layout])
    assert (run.asked[0].height, run.asked[0].width) == (32, 64) and run.pictures.shape == (1, 3, 32, 64)
    before, after = (project(one.corners[0], one.projection)[:, :2] for one in (layout, run.asked[0]))
    assert torch.allclose(after[:, 0], (before[:, 0] + 0.5) / 5 - 0.5, atol=1e-3)
    assert torch.allclose(run.asked[0].centers, layout.centers)


@pytest.mark.parametrize("native", [False, True])
def test_half_precision_is_asked_of_processors_that_have_it(detector: CenterNet3D, native: bool, monkeypatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native, "avx2": True}, raising=False)
    asked = layouts_job({"": asked_of(detector, LAYOUTS[:1])}, bf16=True)
    assert asked.worker.bf16 is native and asked.settings["bf16"] is native


def test_half_precision_is_for_making_pictures_not_for_reading_them(detector: CenterNet3D, monkeypatch) -> None:
    monkeypatch.setattr("invert3d.study.layouts.job.computes_bf16", lambda device: True)
    run = quick(detector, LAYOUTS[:1], bf16=True)
    whole = quick(detector, LAYOUTS[:1])
    assert run.pictures.dtype is torch.float32 and (run.pictures - whole.pictures).abs().mean() < 0.05
    assert_same(run.found[0], redetected(detector, run.pictures, run.asked)[0], atol=0)


def one(center: tuple[float, float, float], kind: str = "Car") -> Layout:
    size, place, yaw = torch.tensor([[1.5, 1.6, 4.0]]), torch.tensor([center]), torch.tensor([0.3])
    return Layout.of([kind], size, place, yaw, camera(32, 64).float(), 32, 64)


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (Layout.empty(camera(32, 64).float(), 32, 64), "frame7 asks nothing: none of its 0 objects"),
        (one((0.0, 1.6, -12.0)), "asks nothing"),
        (one((-90.0, 1.6, 12.0)), "whose middle is inside the picture"),
        (one((0.0, 0.5, 12.0), "Van"), "is a Pedestrian or Car or Cyclist"),
        (one((0.0, 0.5, 12.0), "Tram"), "asks nothing"),
    ],
    ids=["empty", "behind", "outside", "neighbor", "unknown kind"],
)
def test_what_no_picture_can_show_is_refused(detector: CenterNet3D, layout: Layout, says: str, tmp_path) -> None:
    for codec in ("projected", "box"):
        other = tiny(codec=replace(PROJECTED, center=codec))
        with pytest.raises(ValueError, match=says):
            quick(other, [layout], names=["frame7"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists(), "it is refused before anything is written"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"heads": ["hm", "dpth"]}, "unknown head 'dpth'"),
        ({"recipe": "our"}, "did you mean ours"),
        ({"start": torch.rand(1, 3, 32, 60)}, r"the start is \(1, 3, 32, 60\).*\(2, 3, 32, 64\)"),
        ({"start": torch.rand(1, 3, 32, 64)}, "a picture for each layout"),
        ({"start": torch.rand(2, 3, 32, 64), "recipe": "published"}, "cannot begin with a given input"),
        ({"names": ["only one"]}, "1 names for 2 layouts"),
    ],
)
def test_bad_questions_are_refused(detector: CenterNet3D, options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        quick(detector, LAYOUTS[:2], **options)
    with pytest.raises(ValueError, match="nothing is asked"):
        quick(detector, [])


def test_the_published_recipe_swaps_statistics_where_the_detector_does() -> None:
    recipes = [asked_of(tiny(order=order), LAYOUTS[:1], recipe="published_authors").recipe for order in ("rgb", "bgr")]
    assert [recipe.parameterization for recipe in recipes] == [Normalized(), Normalized(swapped=True)]
    assert [recipe.stages[0].projections[0].swapped for recipe in recipes] == [False, True]


def test_runs_are_scored_from_their_files_by_any_detector(finished, card: Path) -> None:
    out, _ = finished
    rows = scored_runs([out])
    assert [row.pictures for row in rows] == ["ours of tiny", "real pictures"] and rows[0].detector == "tiny"
    assert rows[0].steps == 3 and rows[0].count == 2
    for row in rows:
        assert set(SHORT) <= set(row.as_dict()) and len(row.cells()) == len(SHORT)
        json.dumps(row.as_dict(), allow_nan=False)
    with pytest.raises(ValueError, match="unknown detector"):
        scored_runs([out], ["nobody"])
    other = tiny(width=96)
    with pytest.raises(ValueError, match="the pictures are 32 x 64, the detector takes 32 x 96"):
        fitted(other, read_boxes_run(out).pictures)


def test_a_perfect_reading_scores_a_hundred() -> None:
    asked = [layout_of(3, seed, 96, 320) for seed in range(6)]
    found = [replace(layout, scores=torch.linspace(0.9, 0.5, 3)) for layout in asked]
    row = score("all", "me", asked, found)
    assert row.ap3d == row.bev == row.picture == 100 and row.missed == row.false == 0
    assert row.depth == pytest.approx(0, abs=1e-4) and row.yaw == pytest.approx(0, abs=0.1)
    none = score("all", "me", asked, [layout.select(torch.tensor([], dtype=torch.long)) for layout in found])
    assert none.ap3d == 0 and none.missed == 1 and np.isnan(none.depth) and none.as_dict()["depth m"] is None
    header, rows = errors_table(asked, found)
    assert sum(int(row[1]) for row in rows) == sum(int(row[2]) for row in rows) == 18
    assert len(header) == len(rows[0]) and float(rows[0][3]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("folder", ["nothing", "other"])
def test_a_folder_that_is_no_run_of_boxes_is_refused(tmp_path: Path, folder: str) -> None:
    if folder == "other":
        (tmp_path / "run.json").write_text('{"kind": "class"}')
    with pytest.raises(ValueError, match="is not a run"):
        read_boxes_run(tmp_path)


# ---- detectors and frames ----


def test_a_card_gives_the_detector_back(card: Path, detector: CenterNet3D) -> None:
    again = open_detector(str(card))
    assert again.codec == replace(PROJECTED, stride=2) and (again.height, again.width, again.order) == (32, 64, "rgb")
    x = torch.rand(1, 3, 32, 64)
    assert all(torch.equal(value, detector.raw(x)[name]) for name, value in again.raw(x).items())
    facts = json.loads(card.read_text())
    assert facts["held_out"] == 4 and facts["parameters"] == sum(p.numel() for p in detector.parameters())
    assert facts["options"]["options"] == TINY["small"] and set(facts["scores"]) >= {"3d Car", "aos Pedestrian"}
    other = card.with_name("altered.json")
    other.write_text(card.read_text())
    other.with_suffix(".safetensors").write_bytes(card.with_suffix(".safetensors").read_bytes() + b" ")
    with pytest.raises(ValueError, match="not the file its card describes"):
        open_detector(str(other))


# ---- scenes ----


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A label file, its calibration and its picture; a scene as JSON; files that are broken."""
    layout = random_layout(2, 9, 96, 320, projection=camera(), dtype=torch.float32, kinds=("Car", "Cyclist"))
    write_labels(tmp_path / "one.txt", layout)
    write_calibration(tmp_path / "calib.txt", Calibration.of(layout.projection))
    Picture.new("RGB", (320, 96), (10, 200, 30)).save(tmp_path / "one.png")
    Picture.new("RGB", (100, 50)).save(tmp_path / "small.png")
    write_scene(tmp_path / "scene.json", layout)
    write_labels(tmp_path / "behind.txt", replace(layout, centers=layout.centers * torch.tensor([1, 1, -1])))
    write_labels(tmp_path / "outside.txt", replace(layout, centers=layout.centers + torch.tensor([99, 0, 0])))
    (tmp_path / "empty.txt").write_text("")
    region = "DontCare -1 -1 -10 10 10 50 50 -1 -1 -1 -1000 -1000 -1000 -10\n"
    (tmp_path / "region.txt").write_text(region)
    (tmp_path / "both.txt").write_text(region + (tmp_path / "one.txt").read_text())
    (tmp_path / "short.txt").write_text("Car 0 0 0\n")
    matrix = " ".join(["1"] * 12)
    (tmp_path / "no_p2.txt").write_text(f"P0: {matrix}\n")
    (tmp_path / "word.txt").write_text("not a picture")
    return tmp_path


def test_labels_and_scenes_ask_the_same(detector: CenterNet3D, files: Path) -> None:
    labels = asked_scenes(detector, labels=files / "one.txt", calib=files / "calib.txt", image=files / "one.png")
    scene = asked_scenes(detector, layout=files / "scene.json")
    assert labels.names == ("one",) and scene.names == ("scene",) and labels.start is scene.start is None
    assert_same(labels.layouts[0], replace(scene.layouts[0], truncations=labels.layouts[0].truncations), atol=0.02)
    assert labels.originals["one"].shape == (3, 32, 64) and not scene.originals
    both = asked_scenes(detector, labels=files / "both.txt", calib=files / "calib.txt", image=files / "one.png")
    assert both.layouts[0].kinds == ("DontCare", *labels.layouts[0].kinds)


def test_without_a_picture_a_label_is_of_kittis_size(detector: CenterNet3D, tmp_path: Path) -> None:
    layout = random_layout(1, 9, 375, 1242, projection=kitti_camera(), dtype=torch.float32)
    write_labels(tmp_path / "a.txt", layout)
    write_calibration(tmp_path / "c.txt", Calibration.of(layout.projection))
    (found,) = asked_scenes(detector, labels=tmp_path / "a.txt", calib=tmp_path / "c.txt").layouts
    assert torch.allclose(found.projection, detector.prepare_layout(layout).projection, atol=1e-4)


def test_a_picture_to_begin_with_is_shown_beside(detector: CenterNet3D, files: Path) -> None:
    for start in ("one.png", "small.png"):
        found = asked_scenes(detector, layout=files / "scene.json", start=files / start)
        assert found.start is not None and found.start.shape == (1, 3, 32, 64)
        assert torch.equal(found.originals["scene"], found.start[0])
    twice = found.repeated(3)
    assert twice.names == ("scene-0", "scene-1", "scene-2") and len(twice.layouts) == len(twice.originals) == 3
    assert twice.start is not None and twice.start.shape == (3, 3, 32, 64)


def test_scenes_of_a_folder_have_their_pictures(detector: CenterNet3D, finished) -> None:
    out, run = finished
    found = asked_scenes(detector, frames=str(out))
    assert found.names == ("a", "b") and torch.equal(found.originals["b"], run.pictures[1])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "one of --labels, --layout, --frames or --streets"),
        ({"labels": "one.txt", "layout": "scene.json"}, "not labels and layout"),
        ({"labels": "one.txt"}, "needs --calib"),
        ({"labels": "one.txt", "calib": "no_p2.txt"}, "P2"),
        ({"labels": "one.txt", "calib": "none.txt"}, "none.txt"),
        ({"labels": "one.txt", "calib": "calib.txt", "image": "word.txt"}, "no picture can be read"),
        ({"labels": "empty.txt", "calib": "calib.txt"}, "no object in it"),
        ({"labels": "region.txt", "calib": "calib.txt"}, "no object in it"),
        ({"labels": "short.txt", "calib": "calib.txt"}, "short.txt, line 1: 4 fields"),
        ({"labels": "behind.txt", "calib": "calib.txt", "image": "one.png"}, "behind.txt, object 1 .*z is"),
        ({"labels": "outside.txt", "calib": "calib.txt", "image": "one.png"}, "outside.txt, object 1 .*outside"),
        ({"layout": "none.json"}, "no file"),
        ({"layout": "scene.json", "image": "small.png"}, "the picture is 50 x 100, its layout says 96 x 320"),
        ({"layout": "scene.json", "start": "word.txt"}, "no picture can be read"),
    ],
)
def test_scenes_that_cannot_be_asked_are_refused(detector: CenterNet3D, files: Path, words: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        asked_scenes(detector, **{name: files / word for name, word in words.items()})


def test_a_sweep_moves_the_first_object_only(detector: CenterNet3D, files: Path) -> None:
    scenes = asked_scenes(detector, labels=files / "both.txt", calib=files / "calib.txt", image=files / "one.png")
    before = scenes.layouts[0]
    for quantity, values in (
        ("depth", [10.0, 20.0]),
        ("yaw", [0.0, 90.0, 270.0]),
        ("side", [-1.0, 1.0]),
        ("height", [1.0, 2.0]),
        ("length", [3.0]),
    ):
        found = swept(scenes, quantity, values, detector)
        assert found.names == tuple(f"{quantity}{i:03d}" for i in range(len(values))) and not found.originals
        for value, layout in zip(values, found.layouts, strict=True):
            assert len(layout) == 2, "regions are left out"
            read = {
                "depth": layout.centers[0, 2],
                "side": layout.centers[0, 0],
                "yaw": layout.yaws[0].rad2deg() % 360,
                "height": layout.sizes[0, 0],
                "length": layout.sizes[0, 2],
            }[quantity]
            assert float(read) == pytest.approx(value, abs=1e-3)
            assert torch.allclose(layout.centers[1], before.centers[2]) and layout.projection is before.projection
            assert wrapped(layout.yaws[1] - before.yaws[2]).abs() < 1e-4
    with pytest.raises(ValueError, match="at side 60 the middle of the first object is outside the picture"):
        swept(scenes, "side", [0.0, 60.0], detector)
    truck = replace(before, kinds=("DontCare", "Truck", "Car"))
    assert swept(replace(scenes, layouts=(truck,)), "yaw", [0.0], detector).layouts[0].kinds == ("Car",)
    with pytest.raises(ValueError, match="no Pedestrian or Car or Cyclist in both to move"):
        swept(replace(scenes, layouts=(replace(before, kinds=("Truck", "Misc", "Tram")),)), "yaw", [0.0], detector)


def test_a_sweep_begins_everywhere_with_the_same_picture(detector: CenterNet3D) -> None:
    scenes = Scenes(("a",), (layout_of(1, 1),), {}, torch.rand(1, 3, 32, 64))
    found = swept(scenes, "yaw", [0.0, 10.0], detector)
    assert found.start is not None and scenes.start is not None
    assert torch.equal(found.start, scenes.start.repeat(2, 1, 1, 1))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("10:40:10", [10, 20, 30, 40]),
        ("0:1:0.25", [0, 0.25, 0.5, 0.75, 1]),
        ("5:5:1", [5]),
        ("-2:2:3", [-2, 1]),
        ("0:0.3:0.1", [0, 0.1, 0.2, 0.3]),
    ],
)
def test_sweeps_as_they_are_typed(text: str, values: list[float]) -> None:
    assert parsed_sweep(["depth", text]) == ("depth", pytest.approx(values))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["depth"], "QUANTITY FROM:TO:STEP, such as depth 10:40:2, not 'depth'"),
        (["depth", "10:40"], "not 'depth 10:40'"),
        (["dpth", "10:40:2"], "unknown quantity 'dpth'; did you mean depth"),
        (["yaw", "a:b:c"], "must be numbers, not 'a:b:c'"),
        (["yaw", "10:0:5"], "a sweep goes up"),
        (["yaw", "0:10:0"], "STEP > 0"),
    ],
)
def test_sweeps_that_are_none_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parsed_sweep(words)
