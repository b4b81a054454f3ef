"""Explaining from Python and from the command line: what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from invert3d.cli.explain import explain as command
from invert3d.data.worlds.shapes import make_clouds
from invert3d.study.explain import explain

NETWORK = "pointnet_vanilla-shapes"


def test_a_folder_with_pictures_numbers_and_clouds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "mine.npy", make_clouds(["car"], 1, 300, seed=3)[0][0] * 7 + 2)
    out = tmp_path / "out"
    asked = "gradient,guided,integrated_gradients"
    command("shapes:chair", str(tmp_path / "mine.npy"), model=NETWORK, methods=asked, points=256, out=out)
    arrays = load_file(out / "attributions.safetensors")
    assert set(arrays) == {"x", *asked.split(",")}
    assert all(value.shape == (2, 256, 3) for value in arrays.values())
    assert arrays["x"].norm(dim=-1).amax() <= 1 + 1e-5
    table = json.loads((out / "table.json").read_text())
    assert [row[0] for row in table["rows"]] == ["chair"] * 3 + ["mine"] * 3
    assert {row[2] for row in table["rows"]} == {"chair", "car"}
    for name in ("figure.png", "index.html", "run.json", "clouds/mine-guided.ply"):
        assert (out / name).stat().st_size > 100
    assert table["columns"][5] == "incomplete by" and "integrated" in capsys.readouterr().out
    command("shapes:chair", "shapes:chair", model=NETWORK, methods="guided", points=64, out=tmp_path / "twice")
    rows = json.loads((tmp_path / "twice" / "table.json").read_text())["rows"]
    assert [row[0] for row in rows] == ["chair", "chair-1"]
    assert all(row[-1] > 0 for row in rows), "rectifiers changed"
    with pytest.raises(ValueError, match="exists already"):
        command("shapes:chair", model=NETWORK, methods="gradient", points=256, out=out)


def test_from_python_the_question_can_be_chosen() -> None:
    x = make_clouds(["car", "chair"], 1, 128, seed=3)[0]
    own = explain(NETWORK, x, "gradient")
    assert own.values.shape == (2, 128, 3)
    asked = explain(NETWORK, x, "gradient", target=["car", "chair"], against="bed")
    assert not torch.allclose(own.values, asked.values)
    assert torch.allclose(own.values, explain(NETWORK, torch.from_numpy(x), "gradient").values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": "gradiant"}, "did you mean gradient"),
        ({"target": "chiar"}, "did you mean chair"),
        ({"against": "chiar"}, "did you mean chair"),
        ({"points": 8}, "at least 16 points"),
    ],
)
def test_what_is_wrong_is_said_before_work_starts(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        command("shapes:chair", **{"model": NETWORK, "points": 64, "out": tmp_path / "out", **changes})


def test_a_file_must_be_named_and_targets_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one file"):
        command(model=NETWORK, out=tmp_path / "out")
    with pytest.raises(ValueError, match="1 targets for 2 inputs"):
        explain(NETWORK, make_clouds(["car", "chair"], 1, 64, seed=3)[0], "gradient", target=["car"])
