"""Explaining from Python and from the command line: what is written, what is refused."""

from __future__ import annotations

import base64
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from invert3d.attribution.integrated import IntegratedGradients
from invert3d.data.worlds.shapes import make_clouds, make_grids
from invert3d.engine.space import Voxels
from invert3d.models.weights import FOLDER
from invert3d.objectives.classes import Contrast
from invert3d.opening.inputs import read_inputs
from invert3d.opening.networks import open_network
from invert3d.study.explaining.job import each_of, explain, explain_files, table_of
from tests.binvox import write_binvox
from tests.cli import calls
from tests.jobs.test_jobs import quiet
from tests.opening.test_networks import Constant

pytestmark = pytest.mark.usefixtures("coarse")

command = partial(calls.command, "explain")

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
    assert table["columns"][5] == "completeness error" and "integrated" in capsys.readouterr().out
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


def test_a_folder_of_voxels(tmp_path: Path) -> None:
    out = tmp_path / "out"
    grid = make_grids(["toilet"], 1, 24, seed=3)[0][0]
    write_binvox(tmp_path / "mine.binvox", grid)
    asked = "input_x_gradient,guided,grad_cam"
    command("shapes:chair", str(tmp_path / "mine.binvox"), model="voxnet-shapes", methods=asked, layer="conv1", out=out)
    arrays = load_file(out / "attributions.safetensors")
    assert all(value.shape == (2, 1, 32, 32, 32) for value in arrays.values())
    assert arrays["x"][1].sum() == grid.sum()
    table = json.loads((out / "table.json").read_text())
    assert {row[0] for row in table["rows"]} == {"chair", "mine"} and {row[2] for row in table["rows"]} >= {"chair"}
    assert json.loads((out / "units" / "mine" / "facts.json").read_text())["methods"]["grad_cam"]["layer"] == "conv1"
    for name in ("figure.png", "index.html", "clouds/mine-guided.ply"):
        assert (out / name).stat().st_size > 1000
    page = (out / "index.html").read_text()
    assert 'id="least"' in page and '"cube":true' in page
    assert page.count("<dt>true class</dt><dd>chair</dd>") == 1, "what is known of shapes:chair, and not of mine.binvox"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": "conv3"}, "has no layer 'conv3'; nearest: conv"),
        ({"layer": "conv1", "methods": "gradient"}, "only grad_cam looks at one"),
        ({"methods": "point_saliency"}, "explains points, not voxels"),
        ({"size": 30}, "takes grids of 32 voxels a side, not 30"),
    ],
)
def test_what_is_wrong_with_voxels_is_said_before_work_starts(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        command("shapes:chair", **{"model": "voxnet-shapes", "methods": None, "out": tmp_path / "out", **changes})


def test_occupancy_is_zero_or_one_and_fits_the_network() -> None:
    network = open_network("voxnet-shapes")
    with pytest.raises(ValueError, match="occupancy is 0 or 1, but 100.0% of the voxels lie between"):
        explain(network, torch.full((1, 1, 32, 32, 32), 0.5), "gradient")
    with pytest.raises(ValueError, match="expected a batch of"):
        explain(network, torch.zeros(1, 1, 30, 30, 30), "gradient")


class Reddish(torch.nn.Module):
    """Images (B, 3, H, W) -> how red, how blue."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0].relu().mean((1, 2)), x[:, 2].relu().mean((1, 2))], 1)


def test_a_folder_of_images(tmp_path: Path) -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, 15:, 0] = 255
    Image.fromarray(picture).save(tmp_path / "half.png")
    network = open_network(Reddish(), kind="image", size=16, classes=["red", "blue"])
    inputs = read_inputs([tmp_path / "half.png"], network.frozen.space)
    table = explain_files(
        network, inputs, ["gradient", "integrated_gradients", "occlusion"], options=quiet(tmp_path / "out")
    )
    assert table["rows"][0][2] == "red"
    arrays = load_file(tmp_path / "out" / "attributions.safetensors")
    reds = arrays["integrated_gradients"][0].sum(0)
    assert reds[:, 9:].sum() > 5 * reds[:, :7].abs().sum()
    assert "data:image/png;base64" in (tmp_path / "out" / "index.html").read_text()
    with pytest.raises(ValueError, match="takes image files"):
        read_inputs(["shapes:chair"], network.frozen.space)
    (tmp_path / "no.png").write_text("no")
    with pytest.raises(ValueError, match="found no image"):
        read_inputs([tmp_path / "no.png"], network.frozen.space)


def test_any_function_of_the_outputs_can_be_explained() -> None:
    x = make_clouds(["car"], 1, 64, seed=3)[0]
    network = open_network(NETWORK, points=64)
    asked = -1.0 * Contrast(against=network.index("chair"))
    found = explain(network, x, "gradient", score=asked, target="car")
    usual = explain(network, x, "gradient", against="chair", target="car")
    assert torch.allclose(found.values, -usual.values)


def test_completeness_that_is_not_reached_is_said() -> None:
    network = open_network(NETWORK, points=64)
    x = torch.from_numpy(make_clouds(["car"], 1, 64, seed=3)[0])
    found = explain(network, x, IntegratedGradients(tolerance=1e-9, most=9), target="car")
    assert found.facts["completeness_error"][0] > 1e-9 and found.facts["evaluations"] == 9
    facts = {"target": "car", "methods": {"integrated_gradients": {k: each_of(v, 0) for k, v in found.facts.items()}}}
    table = table_of(network, ["mine"], [facts], torch.rand(1, 21), ["integrated_gradients"], None)
    error = found.facts["completeness_error"][0]
    assert f"Completeness was not reached: mine {error:.1%} after 9 runs" in table["note"]


def test_what_nobody_asked_for_is_left_out_and_said(tmp_path: Path) -> None:
    class Smooth(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = torch.nn.Conv3d(1, 4, 3), torch.nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x).tanh().mean((2, 3, 4)))

    network = open_network(Smooth(), kind="voxels", size=16, classes=["a", "b", "c"])
    inputs = read_inputs(["shapes:chair", "shapes:chair", "shapes:chair"], network.frozen.space)
    assert list(inputs) == ["chair", "chair-1", "chair-2"]
    table = explain_files(network, inputs, options=quiet(tmp_path / "out"))
    assert "Left out: guided: no rectifier was found" in table["note"]
    assert {row[3] for row in table["rows"]} >= {"gradient", "occlusion", "grad cam"}
    with pytest.raises(ValueError, match="no rectifier was found"):
        explain_files(network, inputs, ["guided"], options=quiet(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="the network has 3 outputs, 2 class names were given"):
        open_network(Smooth(), kind="voxels", size=16, classes=["a", "b"])
    with pytest.raises(ValueError, match="empty: nothing in the grid is filled"):
        explain_files(network, {"empty": torch.zeros(1, 16, 16, 16)}, ["gradient"], options=quiet(tmp_path / "other"))


def test_an_old_folder_stays_until_there_is_a_new_one(tmp_path: Path) -> None:
    given = {"model": NETWORK, "methods": "gradient", "points": 64, "out": tmp_path / "out"}
    command("shapes:chair", **given)
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    for wrong in ({"target": "nochair"}, {"against": "chair", "target": "chair"}):
        with pytest.raises(ValueError, match="nochair|explains nothing"):
            command("shapes:chair", **given, overwrite=True, **wrong)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


def test_other_dtypes_are_taken_as_they_are_meant() -> None:
    network = open_network("voxnet-shapes")
    grid = torch.from_numpy(make_grids(["chair"], 1, 32, seed=3)[0])[:, None]
    for method in ("gradient", "occlusion", "smooth_grad"):
        found = explain(network, grid, method)
        assert torch.allclose(found.values, explain(network, grid.double(), method).values, atol=1e-5)


def test_the_range_of_a_bundled_network_stays_with_other_weights(tmp_path: Path) -> None:
    checkpoint = FOLDER / "vrn-modelnet10.safetensors"
    network = open_network("vrn-modelnet10", checkpoint=checkpoint)
    assert network.frozen.space == open_network("vrn-modelnet10").frozen.space == Voxels(size=32, low=-1, high=5)
    assert network.card is None and network.options == {"width": 16}
    assert open_network("vrn", checkpoint=checkpoint, values=(-1, 5)).options == {"width": 16}


def test_an_explanation_is_tested_by_taking_away_what_it_names(tmp_path: Path) -> None:
    network = open_network("voxnet-shapes")
    inputs = read_inputs(["shapes:airplane", "shapes:chair"], network.frozen.space)
    table = explain_files(
        network, inputs, ["gradient", "integrated_gradients"], options=quiet(tmp_path / "a"), test=0.1
    )
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert len(rows) == 4 and len({row["without random"] for row in rows}) == 2, "chance is the same for all methods"
    x = inputs["airplane"][None]
    best = explain(network, x, "integrated_gradients").per_element("sum")
    less, count = x.clone().flatten(), round(0.1 * int(x.sum()))
    less[best.masked_fill(x[:, 0] == 0, -torch.inf).flatten().argsort(descending=True)[:count]] = 0
    chances = network.frozen(less.view_as(x)).softmax(-1)[0]
    assert rows[1]["without highest"] == f"{network.classes[int(chances.argmax())]} {chances.max():.0%}"
    page = (tmp_path / "a" / "index.html").read_text()
    assert re.findall(r'<h3 class="row">(\S+?):? (?:predicted|with) ', page) == ["airplane"] * 2 + ["chair"] * 2
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    gone = [entry.get("ghost") for entry in data["clouds"][:6]]
    away = np.frombuffer(base64.b64decode(gone[-1]), np.uint8)
    assert gone[:3] == [None] * 3 and all(gone[3:]), "a card for the input and each method, then what is left of it"
    assert (away == (less != x.flatten())[x.flatten() > 0].numpy()).all()
    with pytest.raises(ValueError, match="nothing would be taken away"):
        explain_files(network, inputs, options=quiet(tmp_path / "b"), test=1e-6)
    images = open_network(Constant(torch.zeros(2, 5)), kind="image", size=16)
    with pytest.raises(ValueError, match="must lie between 0 and 1, not 1.5"):
        explain_files(network, inputs, options=quiet(tmp_path / "b"), test=1.5)
    with pytest.raises(ValueError, match="a test takes points or voxels away"):
        explain_files(images, {"a": torch.rand(3, 16, 16)}, options=quiet(tmp_path / "b"), test=0.1)
