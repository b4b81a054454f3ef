"""``invert3d invert layout`` with a folder of transformers, and the control with shuffled weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers", reason="the extra hf is not installed")

from invert3d.models.detectors.pretrained import FAMILIES
from invert3d.opening.box_detectors import open_box_detector
from invert3d.study.controls import randomized_detector
from invert3d.study.layouts.files import read_picture
from tests.cli.calls import command
from tests.models.queries import HEIGHT, WIDTH, built, processor_of, tiny


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_is_inverted_to_pictures_that_are_read_again(family: str, tmp_path: Path, capsys) -> None:
    folder, run = tmp_path / family, tmp_path / "run"
    built(family, 5).save_pretrained(folder)
    processor_of(family, size={"height": HEIGHT, "width": WIDTH}).save_pretrained(folder)
    layout = {"image": {"height": HEIGHT, "width": WIDTH}, "objects": [{"kind": "Car", "box": [10, 8, 50, 40]}]}
    (tmp_path / "mine.json").write_text(json.dumps(layout))
    command("invert", "layout", model=folder, layout=tmp_path / "mine.json", steps=4, out=run)
    said = capsys.readouterr().out
    assert "1 pictures, as" in said and (run / "index.html").is_file()
    detector, picture = open_box_detector(str(folder)), read_picture(run / "images" / "mine.png")
    assert picture.shape == (3, HEIGHT, WIDTH)
    with torch.no_grad():
        (again,) = detector.finalize(detector.raw(picture[None]), threshold=0.1)
    found = json.loads((run / "found.json").read_text())
    assert [row["score"] for row in found] == pytest.approx(again.scores.tolist(), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_shuffled_weights_are_another_detector(family: str) -> None:
    detector, x = tiny(family), torch.rand(4, 3, HEIGHT, WIDTH)
    other = randomized_detector(detector, x)
    with torch.no_grad():
        logits = other.raw(x)["logits"]
        assert logits.isfinite().all() and not torch.allclose(logits, detector.raw(x)["logits"])
