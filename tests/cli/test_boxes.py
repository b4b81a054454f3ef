"""``invert3d evaluate kitti``: the table, the JSON file, and bad input refused in one sentence."""

import json
from dataclasses import replace

import pytest
import torch

from invert3d.data.kitti import write_labels
from tests.cli.test_cli import run
from tests.evaluate.test_kitti import ROW, scene


@pytest.fixture
def folders(tmp_path):
    """Three labeled frames of five cars, results for two of them, and a list of the first."""
    truth = scene(*ROW)
    for frame in ("000000", "000001", "000002"):
        write_labels(tmp_path / "kitti" / "training" / "label_2" / f"{frame}.txt", truth)
    for frame in ("000000", "000001"):
        answer = replace(truth, scores=torch.linspace(0.9, 0.5, 5))
        write_labels(tmp_path / "found" / "data" / f"{frame}.txt", answer)
    lists = tmp_path / "kitti" / "ImageSets"
    lists.mkdir()
    for name, frames in (("val", "000000"), ("all", "000000 000001 000002"), ("other", "000000\n000009")):
        (lists / f"{name}.txt").write_text(frames)
    return tmp_path


def test_the_table_and_the_file(monkeypatch, capsys, folders):
    words = ("evaluate", "kitti", folders / "found", "--root", folders / "kitti")
    code, out, _ = run(monkeypatch, capsys, *words, "--out", folders / "new" / "scores.json")
    assert code == 0 and "Car 3-D 0.70" in out and "22.50" in out, "(10 - 1) / 40: ten cars, all found exactly"
    plain = json.loads((folders / "new" / "scores.json").read_text())
    assert plain["frames"] == 2 and plain["ap"]["Car"]["3d"]["moderate"]["ap40"] == 22.5
    code, out, _ = run(monkeypatch, capsys, *words, "--split", "val", "--loose", "--interpolate", "--points", "11")
    assert code == 0 and "100.00" in out and "Car BEV 0.50" in out and "11 recall points" in out
    (folders / "found" / "data" / "000002.txt").write_text("")
    code, out, _ = run(monkeypatch, capsys, *words, "--split", "all", "--interpolate")
    assert code == 0 and "65.00" in out, "ten of fifteen: recalls up to 2/3, samples 1-26 of 40"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("{}/found", "--root", "{}/kitti", "--split", "vall"), "did you mean val"),
        (("{}/found", "--root", "{}/kitti", "--split", "all"), "1 of 3 frames are not in"),
        (("{}/found", "--root", "{}/kitti", "--split", "other"), "000009; is this the right root?"),
        (("{}/found", "--root", "{}/found"), "no training/label_2"),
        (("{}/nowhere", "--root", "{}/kitti"), "there is no folder"),
        (("{}/kitti", "--root", "{}/kitti"), "has no result files"),
        (("{}/kitti/training/label_2", "--root", "{}/kitti"), "lines without a score"),
    ],
)
def test_bad_input_is_refused(monkeypatch, capsys, folders, words, says):
    code, out, err = run(
        monkeypatch, capsys, "evaluate", "kitti", *(word.replace("{}", str(folders)) for word in words)
    )
    assert code == 2 and says in err and not out and len(err.strip().splitlines()) == 1
