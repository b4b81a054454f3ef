"""``invert3d invert boxes``, ``evaluate boxes`` and ``train centernet3d``, with a tiny detector from its card."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image as Picture

from invert3d.cli.invert.boxes import parsed_heads
from invert3d.cli.train.centernet3d import parsed_size
from invert3d.data.kitti import Calibration, KittiFolder, write_calibration, write_labels
from invert3d.jobs.job import Progress
from invert3d.opening.detectors import open_detector
from tests.cli.test_cli import run
from tests.layouts import camera, random_layout, write_scene
from tests.study.layouts.test_job import card, detector, frames  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("coarse")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A frame as label, calibration, picture and scene."""
    layout = random_layout(2, 9, 96, 320, projection=camera(), dtype=torch.float32)
    write_labels(tmp_path / "000007.txt", layout)
    write_labels(tmp_path / "behind.txt", replace(layout, centers=layout.centers * torch.tensor([1, 1, -1])))
    write_calibration(tmp_path / "calib.txt", Calibration.of(layout.projection))
    Picture.new("RGB", (320, 96), (90, 120, 150)).save(tmp_path / "000007.png")
    write_scene(tmp_path / "scene.json", layout)
    (tmp_path / "no_p2.txt").write_text("P0: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    (tmp_path / "odd.json").write_text('{"image": {"height": 96, "width": 320}, "objcts": []}')
    return tmp_path


def frame(files: Path) -> tuple:
    return ("--labels", files / "000007.txt", "--calib", files / "calib.txt", "--image", files / "000007.png")


def test_a_frame_is_inverted_and_scored_again(monkeypatch, capsys, files: Path, card: Path) -> None:  # noqa: F811
    out = files / "run"
    code, text, err = run(
        monkeypatch, capsys, "invert", "boxes", "--model", card, *frame(files), "--steps", 3, "--out", out
    )
    assert code == 0, err
    assert "open " in text and (out / "index.html").is_file()
    assert KittiFolder(out).ids == ["000007"] and (out / "found" / "000007.txt").is_file()
    assert source_of(out)["model"] == str(card)
    monkeypatch.setenv("COLUMNS", "200")
    code, text, err = run(monkeypatch, capsys, "evaluate", "boxes", out, "--models", card)
    assert code == 0 and "3-D" in text and "ours of tiny" in text and "real pictures" in text, err
    code, _, err = run(
        monkeypatch, capsys, "invert", "boxes", "--model", card, *frame(files), "--steps", 3, "--out", out
    )
    assert code == 2 and "--resume" in err
    words = ("invert", "boxes", "--model", card, *frame(files), "--steps", 3, "--out", out, "--resume")
    assert run(monkeypatch, capsys, *words)[0] == 0


def source_of(out: Path) -> dict:
    """What a run folder says of what it was made with."""
    return json.loads((out / "run.json").read_text())["settings"]["sources"][""]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_inversion_says_how_to_go_on(monkeypatch, capsys, files, card, number, code):  # noqa: F811
    monkeypatch.setattr(Progress, "record", lambda self, state: signal.raise_signal(number))
    words = ("invert", "boxes", "--model", card, *frame(files), "--steps", 3, "--out", files / "run")
    ended, text, err = run(monkeypatch, capsys, *words)
    assert ended == code and (files / "run" / "index.html").is_file() and "--resume" not in text
    assert err.endswith("/run; to continue, run the same command with --resume\n")


def test_heads_say_how_many_streets_there_were(monkeypatch, capsys, tmp_path: Path, card: Path) -> None:  # noqa: F811
    recorded: list[dict] = []
    monkeypatch.setattr("invert3d.study.layouts.transfer.streets_with_objects", lambda *_, **__: frames(2))
    monkeypatch.setattr("invert3d.cli.evaluate.heads.print_recorded", lambda *given: recorded.extend(given[2]))
    words = ("evaluate", "heads", "--model", card, "--frames", 3, "--steps", 1, "--record", "--out", tmp_path / "run")
    code, text, err = run(monkeypatch, capsys, *words)
    assert code == 0 and "2 streets, medians over the objects" in text, err
    assert {row["frames"] for row in recorded} == {2}


def test_a_sweep_makes_a_sheet_and_a_film(monkeypatch, capsys, files: Path, card: Path) -> None:  # noqa: F811
    out = files / "sweep"
    code, _, err = run(
        monkeypatch,
        capsys,
        "invert",
        "boxes",
        "--model",
        card,
        "--layout",
        files / "scene.json",
        "--recipe",
        "published",
        "--heads",
        "hm, dep,dim",
        "--steps",
        2,
        "--out",
        out,
        "--sweep",
        "side",
        "-1:0:1",
        "--samples",
        2,
    )
    assert code == 0, err
    assert [path.name for path in sorted((out / "figures").iterdir())] == ["sweep.gif", "sweep.png"]
    assert KittiFolder(out).ids == ["side000-0", "side000-1", "side001-0", "side001-1"]
    loss = next(term for term in source_of(out)["recipe"]["objective"] if term["name"] == "detection_loss")
    assert set(dict(loss["weights"])) == {"hm", "dep", "dim"}


def test_a_picture_to_begin_with_is_changed_a_little(monkeypatch, capsys, files: Path, card: Path) -> None:  # noqa: F811
    out = files / "change"
    code, _, err = run(
        monkeypatch,
        capsys,
        "invert",
        "boxes",
        "--model",
        card,
        "--layout",
        files / "scene.json",
        "--start",
        files / "000007.png",
        "--steps",
        2,
        "--samples",
        2,
        "--out",
        out,
    )
    assert code == 0, err
    assert source_of(out)["recipe"]["name"] == "smallest_change"
    assert (out / "figures" / "scene-0-change.png").is_file()
    for name in ("scene-0", "scene-1"):
        change = KittiFolder(out).image(name)[10:22].astype(float) - [90, 120, 150]  # above and below it is black
        assert 0 < abs(change).mean() < 20


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model", "centernet3d-smal", "--streets", 1), "unknown detector"),
        (("--model", "dla34", "--streets", 1), "--checkpoint"),
        (("--model", "{card}"), "one of --labels, --layout, --frames or --streets"),
        (("--model", "{card}", "--labels", "{}/000007.txt"), "needs --calib"),
        (("--model", "{card}", "--labels", "{}/000007.txt", "--calib", "{}/no_p2.txt"), "P2"),
        (("--model", "{card}", "--labels", "{}/behind.txt", "--calib", "{}/calib.txt"), "behind.txt, object 1"),
        (("--model", "{card}", "--labels", "{}/none.txt", "--calib", "{}/calib.txt"), "none.txt"),
        (("--model", "{card}", "--layout", "{}/odd.json"), "did you mean objects"),
        (("--model", "{card}", "--frames", "{}/nowhere"), "there is no folder"),
        (("--model", "{card}", "--layout", "{}/scene.json", "--heads", "hm,dpth"), "unknown head 'dpth'"),
        (("--model", "{card}", "--layout", "{}/scene.json", "--heads", ","), "a name is missing"),
        (("--model", "{card}", "--layout", "{}/scene.json", "--recipe", "our"), "did you mean ours"),
        (("--model", "{card}", "--layout", "{}/scene.json", "--sweep", "dpth", "1:2:1"), "did you mean depth"),
        (("--model", "{card}", "--layout", "{}/scene.json", "--device", "cuda:77"), "no device"),
        (
            ("--model", "{card}", "--layout", "{}/scene.json", "--recipe", "published", "--start", "{}/000007.png"),
            "cannot begin with a given input",
        ),
    ],
)
def test_bad_questions_are_one_sentence_and_exit_code_2(monkeypatch, capsys, files, card, words, says) -> None:  # noqa: F811
    filled = [str(word).replace("{card}", str(card)).replace("{}", str(files)) for word in words]
    code, out, err = run(monkeypatch, capsys, "invert", "boxes", *filled, "--out", files / "run")
    assert code == 2 and says in err and err.startswith("invert3d: ") and err.count("\n") == 1, (out, err)
    assert not (files / "run").exists() or not any((files / "run").iterdir()), "nothing was begun"


@pytest.mark.parametrize(("words", "says"), [(("{}",), "not a run folder"), (("{}/nowhere",), "there is no folder")])
def test_folders_that_are_no_runs_are_refused(monkeypatch, capsys, files, words, says) -> None:
    code, _, err = run(monkeypatch, capsys, "evaluate", "boxes", *(word.replace("{}", str(files)) for word in words))
    assert code == 2 and says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--backbone", "smal"), "unknown backbone"),
        (("--size", "96"), "HEIGHTxWIDTH"),
        (("--size", "90x320"), "multiples of 32"),
        (("--center", "boxes"), "center"),
        (("--data", "{}/nowhere"), "there is no such folder"),
    ],
)
def test_detectors_that_cannot_be_trained_are_refused(monkeypatch, capsys, files, words, says) -> None:
    filled = [str(word).replace("{}", str(files)) for word in words]
    code, out, err = run(monkeypatch, capsys, "train", "centernet3d", *filled, "--out", files / "cards")
    assert code == 2 and says in err, (out, err)


def test_a_detector_is_trained_on_a_folder_and_opened_again(monkeypatch, capsys, tmp_path: Path) -> None:
    for name in ("000000", "000001", "000002"):
        layout = random_layout(2, int(name), 48, 128, projection=camera(48, 128), dtype=torch.float32)
        write_labels(tmp_path / "training" / "label_2" / f"{name}.txt", layout)
        write_calibration(tmp_path / "training" / "calib" / f"{name}.txt", Calibration.of(layout.projection))
        (tmp_path / "training" / "image_2").mkdir(exist_ok=True)
        Picture.new("RGB", (128, 48), (255, 128, 0)).save(tmp_path / "training" / "image_2" / f"{name}.png")
    lists = tmp_path / "training" / "ImageSets"
    lists.mkdir()
    (lists / "train.txt").write_text("000000\n000001\n")
    (lists / "val.txt").write_text("000002\n")
    code, text, err = run(
        monkeypatch,
        capsys,
        "train",
        "centernet3d",
        "--data",
        tmp_path,
        "--size",
        "32x64",
        "--width",
        8,
        "--hidden",
        8,
        "--steps",
        2,
        "--batch",
        2,
        "--name",
        "mine",
        "--out",
        tmp_path / "cards",
    )
    assert code == 0, err
    assert "mine: AP of 1 held-out frames" in text
    mine = open_detector(str(tmp_path / "cards" / "mine.json"))
    assert (mine.height, mine.width, mine.order, mine.codec.center) == (32, 64, "rgb", "projected")


def test_sizes_and_heads_as_they_are_typed() -> None:
    assert parsed_size("96x320") == (96, 320) == parsed_size("96X320")
    for text in ("96", "96x", "x320", "96x0", "-3x4", "96 by 320"):
        with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
            parsed_size(text)
    assert parsed_heads(None) is None and parsed_heads("hm, dep") == ("hm", "dep")
