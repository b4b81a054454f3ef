"""What optimization and decoders make of descriptors, side by side, and whether an adversarial training converged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.cli.calls import command

from invert3d.methods.descriptors import Alike, until
from invert3d.methods.recipes import load_recipe, recipe_toml
from invert3d.study.descriptors.decoders import Losses
from invert3d.study.descriptors.decoders_report import curves

SMALL = {"scenes": 2, "held_out": 2, "views": 2, "batch": 4, "bf16": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The cards of a network and of two decoders of it, one with an adversary, all of two steps; and of a cloud's."""
    folder = tmp_path_factory.mktemp("trained")
    cards = {name: str(folder / name / f"{name}.json") for name in ("small", "plain", "against", "cloud")}
    command("train", "posenet", **SMALL, steps=2, name="small", out=folder / "small")
    made = {**SMALL, "steps": 2, "width": 2}
    command("train", "decoder", f"{cards['small']}:fc5", **made, name="plain", out=folder / "plain")
    command(
        "train", "decoder", f"{cards['small']}:fc5", **made, adversary=1.0, begins=0, name="against",
        out=folder / "against",
    )  # fmt: skip
    command(
        "train", "decoder", "pointnet-shapes:feat", steps=2, batch=4, width=2, per_class=4, bf16=False, name="cloud",
        out=folder / "cloud",
    )  # fmt: skip
    return cards


def test_what_is_optimized_stops_at_one_relative_loss(trained: dict[str, str], tmp_path: Path) -> None:
    cards, out = [trained[name] for name in ("plain", "against", "cloud")], tmp_path / "out"
    command("evaluate", "decoders", *cards, scenes=2, layer="fc5", loss=0.2, out=out)
    table = json.loads((out / "table.json").read_text())
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert list(rows)[2] == "plain, from another descriptor"
    assert list(rows)[3:] == ["optimization from noise", "plain", "plain refined", "against", "against refined"]
    for name, row in rows.items():
        if "refined" in name or "optimization" in name:
            assert 0.1 < row["relative loss"] <= 0.21 and row["reached"] == 1
    assert rows["another original"]["perceptual distance"] > 0 and rows["plain"]["milliseconds"] > 0
    page = (out / "index.html").read_text()
    assert "Adversarial training" in page and "nearest training input" in page and (out / "losses.png").is_file()


def test_bad_input_is_refused(trained: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one decoder of pictures"):
        command("evaluate", "decoders", trained["cloud"], out=tmp_path / "no")
    with pytest.raises(ValueError, match="one name"):
        command("evaluate", "decoders", trained["plain"], f"other/../{trained['plain']}", out=tmp_path / "no")
    with pytest.raises(ValueError, match="pictures of one size"):
        command("evaluate", "decoders", trained["plain"], scenes=2, judge="voxnet-shapes", out=tmp_path / "no")
    moved = Path(trained["plain"]).parent / "moved"
    moved.mkdir()
    card = json.loads(Path(trained["plain"]).read_text())
    card["inputs"]["network"] = "runs/nowhere.json"
    (moved / "plain.json").write_text(json.dumps(card))
    (moved / "plain.safetensors").write_bytes(Path(trained["plain"]).with_suffix(".safetensors").read_bytes())
    with pytest.raises(ValueError, match="decodes runs/nowhere.json, which cannot be opened"):
        command("evaluate", "decoders", str(moved / "plain.json"), scenes=2, out=tmp_path / "no")
    (moved / "losses.json").write_text(json.dumps({"columns": ["step"], "rows": [[0]]}))
    with pytest.raises(ValueError, match="train again"):
        command("evaluate", "decoders", str(moved / "plain.json"), scenes=2, out=tmp_path / "no")
    with pytest.raises(ValueError, match="two scenes"):
        command("evaluate", "decoders", trained["plain"], scenes=1, out=tmp_path / "no")
    with pytest.raises(ValueError, match="a decoder is asked for"):
        command("evaluate", "decoders", "posenet-facades", out=tmp_path / "no")


def test_a_recipe_stops_where_descriptors_are_alike(trained: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command("invert", "descriptor", "terraces:0", model=trained["small"], layer="fc5", loss=0.3, out=out)
    table = json.loads((out / "table.json").read_text())
    assert 0.1 < float(table["rows"][0][4]) <= 0.3
    recipe = until(load_recipe("ours", "descriptors", family="image"), 0.3)
    assert recipe_toml(recipe).count('name = "alike"') == len(recipe.stages)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Alike(loss=2.0)


def losses(critic: torch.Tensor, held_out: torch.Tensor) -> Losses:
    return Losses(steps=torch.arange(len(critic)), critic=critic, held_out=held_out)


def test_a_training_converged_if_it_settled_and_nobody_won() -> None:
    steady, fell, turn = torch.full((80,), 1.5), torch.linspace(0.06, 0.045, 80), torch.arange(80)
    assert losses(steady, fell).convergence()["converged"] == "yes"
    assert losses(steady + 0.3 * (2 * turn).sin(), fell).convergence()["converged"] == "yes"
    failed = {
        "the critic has won": (0.115 + 0.025 * (2 * turn).sin(), fell),
        "it never can tell": (torch.full((80,), 2.0), fell),
        "it swings": (1 + 0.9 * (2 * turn).sin(), fell),
        "it still changes": (torch.linspace(0.1, 1.8, 80), fell),
        "the error still changes": (steady, torch.linspace(0.06, 0.03, 80)),
        "the error has doubled": (steady, torch.cat([fell, torch.full((20,), 0.1)])[20:]),
        "it has not begun": (torch.full((80,), torch.nan), fell),
    }
    for why, each in failed.items():
        assert losses(*each).convergence()["converged"] == "no", why


def test_curves_of_trainings_of_different_lengths_are_drawn() -> None:
    short, long = (losses(torch.rand(n), torch.rand(n)) for n in (5, 9))
    assert curves({"short": short, "long": long}).size == curves({"long": long}).size
