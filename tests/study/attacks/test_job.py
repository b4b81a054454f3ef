"""Attacks from Python and from the command line: what is written, that it is scored as saved, what is refused."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torch import nn

import invert3d
from invert3d.engine.space import Image, Voxels
from invert3d.jobs.job import Progress
from invert3d.jobs.options import RunOptions
from invert3d.methods.attacks import attack_recipe, toward
from invert3d.opening.networks import Network, open_network
from invert3d.study.attacks.job import Attack, attack, attacks_job
from invert3d.study.attacks.report import changed
from tests.cli import calls

pytestmark = pytest.mark.usefixtures("coarse")

command = partial(calls.command, "attack")
QUIET = RunOptions(progress=False)


class Counting(nn.Module):
    """Grids (B, 1, 8, 8, 8) of at least ``most`` full voxels are "many", others "few"."""

    def __init__(self, most: float = 20.5) -> None:
        super().__init__()
        self.most = nn.Parameter(torch.tensor(most))

    def forward(self, grids: torch.Tensor) -> torch.Tensor:
        gap = grids.flatten(1).sum(1) - self.most
        return torch.stack([-gap, gap], 1)


def counting() -> Network:
    return open_network(Counting(), kind="voxels", size=8, classes=("few", "many"))


def grids(*counts: int) -> torch.Tensor:
    x = torch.zeros(len(counts), 1, 8, 8, 8)
    for grid, count in zip(x, counts, strict=True):
        grid.view(-1)[:count] = 1
    return x


def test_flips_stop_as_soon_as_the_network_is_wrong() -> None:
    found = attack(counting(), grids(18, 23, 60), "flips", budget=8, options=QUIET)
    assert found.before == ("few", "many", "many") and found.after_saving == ("many", "few", "many")
    assert found.sizes["l0"].tolist() == [3, 3, 8] and found.success.tolist() == [True, True, False]
    assert torch.equal(found.saved, found.x)
    aimed = attack(counting(), grids(23, 60), "flips", target="few", budget=8, options=QUIET)
    assert aimed.success.tolist() == [True, False] and aimed.target == "few"


def test_success_is_that_of_the_saved_grid() -> None:
    """Many small changes fool it, and are gone once voxels are empty or full again."""
    found = attack(counting(), grids(18), "fgsm", budget=0.05, options=QUIET)
    assert found.success_unsaved.tolist() == [True] and found.success.tolist() == [False]
    assert torch.equal(found.saved, found.start) and found.sizes["linf"].tolist() == pytest.approx([0.05])


def test_the_class_can_be_said() -> None:
    """An input that is misclassified already is attacked all the same, as adversarial error counts it."""
    found = attack(counting(), grids(18, 18), "flips", classes=["few", "many"], budget=8, options=QUIET)
    assert found.before == ("few", "few") and found.success.tolist() == [True, True]
    assert found.sizes["l0"].tolist() == [3, 0], "nothing needs to be flipped where it is wrong already"


@pytest.mark.parametrize("recipe", ["pgd", "remove_points", "tangent"])
def test_two_workers_and_an_interrupted_run_give_the_same_bytes(recipe: str, tmp_path: Path, monkeypatch) -> None:
    """The interruption comes in the middle of an attack, one that remembers what it did among them."""
    monkeypatch.setattr("invert3d.study.attacks.job.AT_ONCE", 4)
    network = invert3d.open_network("pointnet_vanilla-shapes", points=32)
    x = torch.randn(6, 32, 3, generator=torch.Generator().manual_seed(0)) / 3
    said = {"budget": 20} if recipe == "remove_points" else {"steps": 4}
    one = attack(network, x, recipe, **said, options=QUIET.into(tmp_path / "one"))
    two = attack(network, x, recipe, **said, options=RunOptions(progress=False, workers=2, out=tmp_path / "two"))
    assert torch.equal(one.x, two.x) and one.after == two.after
    record, seen = Progress.record, []

    def interrupted(self, state) -> None:
        seen.append(state.step)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)
        record(self, state)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "record", interrupted)
        attack(network, x, recipe, **said, options=QUIET.into(tmp_path / "parts"))
    again = attack(network, x, recipe, **said, options=RunOptions(progress=False, resume=True, out=tmp_path / "parts"))
    assert torch.equal(one.x, again.x) and one.after_saving == again.after_saving


def test_what_the_command_writes_of_clouds_grids_and_pictures(tmp_path: Path, capsys) -> None:
    words = {"model": "pointnet_vanilla-shapes", "points": 64, "steps": 2, "progress": False}
    command("shapes:chair", "shapes:car", recipe="pgd", **words, out=tmp_path / "clouds")
    table = json.loads((tmp_path / "clouds" / "table.json").read_text())
    assert [row[:2] for row in table["rows"]] == [["chair", "chair"], ["car", "car"]]
    assert "inputs are misclassified from the saved file" in capsys.readouterr().out
    page = (tmp_path / "clouds" / "index.html").read_text()
    assert "how far the points moved" in page and (tmp_path / "clouds" / "figure.png").stat().st_size > 1000
    grid = np.zeros((32, 32, 32), np.uint8)
    grid[8:24, 8:24, 8:10] = 1
    np.save(tmp_path / "grid.npy", grid)
    said = {"model": "voxnet-shapes", "progress": False}
    command(str(tmp_path / "grid.npy"), recipe="flips_add", budget=3, label="table", **said, out=tmp_path / "grids")
    (row,) = json.loads((tmp_path / "grids" / "table.json").read_text())["rows"]
    assert row[1] == "table" and float(row[5]) in (0, 3)
    Picture.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "gray.png")
    (tmp_path / "own_pictures.py").write_text(
        "import torch\ndef make():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        own = {"model": "own_pictures:make", "kind": "image", "size": 8, "progress": False}
        command(str(tmp_path / "gray.png"), recipe="fgsm", **own, out=tmp_path / "pictures")
    assert "gray did not change" in (tmp_path / "pictures" / "index.html").read_text()
    saved = np.load(tmp_path / "grids" / "attacked" / "grid.npy")
    assert saved.dtype == np.uint8 and (saved != grid).sum() == float(row[5]) and set(np.unique(saved)) <= {0, 1}
    assert np.asarray(Picture.open(tmp_path / "pictures" / "attacked" / "gray.png")).shape == (8, 8, 3)
    assert (tmp_path / "clouds" / "attacked" / "chair.ply").stat().st_size > 100


def test_the_picture_of_a_change_shows_what_was_added_and_removed() -> None:
    start, saved = grids(2)[0], grids(2)[0]
    saved.view(-1)[1], saved.view(-1)[5] = 0, 1
    shape, values, kind = changed(Voxels(size=8), start, saved, saved)
    assert kind == "diverging" and shape.sum() == 3
    assert values.ravel()[[0, 1, 5]].tolist() == [0, -1, 1]
    shape, values, _ = changed(Voxels(size=8), start, start * 0.9, start)
    assert torch.equal(shape, start) and values.ravel()[:3].tolist() == pytest.approx([-0.1, -0.1, 0])
    picture = torch.full((3, 2, 2), 0.3)
    moved = picture.clone()
    moved[0, 0, 0], moved[1, 1, 1] = 0.5, 0.2
    shape, values, _ = changed(Image(height=2, width=2), picture, moved, moved)
    assert values is None and shape[2].eq(0.5).all()
    assert [shape[0, 0, 0].item(), shape[1, 1, 1].item()] == pytest.approx([1.0, 0.25])


@pytest.mark.parametrize(
    ("files", "words", "says"),
    [
        (["shapes:chair"], {"target": "chair"}, "chair is of class chair already: name another target"),
        (["shapes:chair"], {"target": "chiar"}, "unknown class 'chiar'; did you mean chair"),
        (["shapes:chair"], {"label": "chiar"}, "unknown class 'chiar'; did you mean chair"),
        (["shapes:chair"], {"recipe": "pdg"}, "unknown recipe 'pdg'; did you mean pgd"),
        (["shapes:chair"], {"recipe": "flips"}, "the attack flips is for voxels"),
        (["shapes:chair"], {"budget": -1.0}, "must be above 0"),
        (["shapes:chair"], {"steps": 0}, "must be between 1 and"),
        ([], {}, "name at least one file"),
    ],
)
def test_what_is_wrong_is_said_before_work_starts(tmp_path: Path, files: list, words: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        command(*files, **{"model": "pointnet_vanilla-shapes", "points": 64, "out": tmp_path / "out", **words})
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_not_legal_and_recipes_that_are_made_are_refused() -> None:
    network = counting()
    recipe = attack_recipe("flips", network.frozen.space)
    with pytest.raises(ValueError, match="values must lie in"):
        attack(network, 3 * grids(5), "flips", options=QUIET)
    with pytest.raises(ValueError, match="threshold the grids first"):
        attack(network, 0.3 * grids(5), "flips", options=QUIET)
    with pytest.raises(ValueError, match="nothing in the grid is filled"):
        attack(network, grids(0), "flips", options=QUIET)
    with pytest.raises(ValueError, match="there is nothing to attack"):
        attacks_job({"": Attack(network=network, recipe=recipe)}, {})
    with pytest.raises(ValueError, match="give them to attack_recipe"):
        attack(network, grids(5), recipe, budget=3, options=QUIET)
    with pytest.raises(ValueError, match=r"give a batch of inputs, x\[None\] for one"):
        attack(network, grids(5)[0], "flips", options=QUIET)
    for wrong in (["few"], "few", []):
        with pytest.raises(ValueError, match="2 inputs need as many names of classes"):
            attack(network, grids(5, 6), "flips", classes=wrong, options=QUIET)


def test_a_made_recipe_is_turned_toward_a_target() -> None:
    network = counting()
    recipe = attack_recipe("flips", network.frozen.space, budget=8)
    found = attack(network, grids(23), recipe, target="few", options=QUIET)
    assert found.success.tolist() == [True] and found.sizes["l0"].tolist() == [3]
    with pytest.raises(ValueError, match="the recipe flips is targeted: give the untargeted one"):
        attack(network, grids(23), toward(recipe), target="few", options=QUIET)
