"""Inverting descriptors of a small network from Python and the command line, and measuring what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.cli.calls import command

import invert3d
from invert3d.jobs.options import RunOptions
from invert3d.methods.descriptors import describe
from invert3d.objectives.features import relative_loss
from invert3d.study.descriptors.job import Source

QUIET = RunOptions(progress=False)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network that was trained for two steps."""
    folder = tmp_path_factory.mktemp("posenet") / "run"
    small = {"scenes": 2, "held_out": 2, "views": 2, "steps": 2, "batch": 4, "bf16": False, "name": "small"}
    command("train", "posenet", **small, out=folder)
    return str(folder / "small.json")


def test_what_is_found_is_described_alike_and_does_not_depend_on_workers(card: str, tmp_path: Path) -> None:
    network = invert3d.open_network(card)
    x = torch.stack([_read(network, f"terraces:{k}") for k in range(2)])
    one = invert3d.invert_descriptor(network, x, ["fc5", "conv4"], steps=40, options=QUIET)
    assert one.names == ("0000", "0001") * 2 and one.layers == ("fc5",) * 2 + ("conv4",) * 2
    for i, layer in enumerate(one.layers):
        wanted, found = (describe(network.frozen, each[i : i + 1], layer) for each in (one.original, one.saved))
        assert float(relative_loss(found, wanted)) == pytest.approx(float(one.loss_saved[i]), abs=1e-4)
    assert (one.loss_saved < one.loss_other).all() and (one.saved * 255 - (one.saved * 255).round()).abs().max() < 1e-3
    two = RunOptions(progress=False, workers=2, out=tmp_path / "two")
    assert torch.equal(invert3d.invert_descriptor(network, x, ["fc5", "conv4"], steps=40, options=two).x, one.x)


def _read(network: invert3d.Network, file: str) -> torch.Tensor:
    from invert3d.opening.inputs import read_input

    return read_input(file, network.frozen.space, up="z", seed=0, facing="front")


def test_the_command_writes_pictures_a_table_and_a_page(
    card: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    command(
        "invert", "descriptor", "terraces:0", "cars:0", model=card, layer="fc5", steps=3, recipe="published", out=out
    )
    assert "relative loss, saved" in capsys.readouterr().out
    assert {path.name for path in (out / "inverted").iterdir()} == {"terraces-0-fc5.png", "cars-0-fc5.png"}
    table = json.loads((out / "table.json").read_text())
    assert [row[0] for row in table["rows"]] == ["terraces-0", "cars-0"] and table["rows"][0][2:4] == ["published", 512]
    assert (out / "figure.png").is_file() and "terraces-0" in (out / "index.html").read_text()


def test_decoders_stand_beside_the_optimization(card: str, tmp_path: Path) -> None:
    small = {"scenes": 2, "held_out": 1, "views": 2, "steps": 2, "batch": 4, "width": 2, "bf16": False, "name": "d"}
    command("train", "decoder", f"{card}:fc5", **small, out=tmp_path / "d")
    decoder = str(tmp_path / "d" / "d.json")
    out = tmp_path / "out"
    command("invert", "descriptor", "terraces:0", model=card, layer="conv4", steps=2, decoder=decoder, out=out)
    table = json.loads((out / "table.json").read_text())
    assert [row[1:3] for row in table["rows"]] == [["conv4", "ours"], ["fc5", "d"], ["fc5", "d refined"]]
    assert float(table["rows"][2][5]) < float(table["rows"][1][5])
    with pytest.raises(ValueError, match="are others"):
        command("invert", "descriptor", "terraces:0", model="posenet-facades", decoder=decoder, out=tmp_path / "no")
    with pytest.raises(ValueError, match="unknown decoder"):
        command("invert", "descriptor", "terraces:0", model=card, decoder="mine", out=tmp_path / "no")


def test_clouds_and_grids_have_descriptors_too(tmp_path: Path) -> None:
    command(
        "invert", "descriptor", "shapes:chair", model="pointnet-shapes", layer="feat", steps=3, out=tmp_path / "cloud"
    )
    command("invert", "descriptor", "shapes:chair", model="voxnet-shapes", layer="fc1", steps=2, out=tmp_path / "grid")
    assert (tmp_path / "cloud" / "inverted").is_dir() and (tmp_path / "grid" / "inverted").is_dir()


def test_bad_input_is_refused(card: str, tmp_path: Path) -> None:
    network = invert3d.open_network(card)
    x = torch.rand(1, 3, 100, 100)
    with pytest.raises(ValueError, match="fc5"):
        invert3d.invert_descriptor(network, x, "fc6")
    with pytest.raises(ValueError, match="expected a batch"):
        invert3d.invert_descriptor(network, torch.rand(1, 3, 90, 100), "fc5")
    with pytest.raises(ValueError, match="give a batch"):
        invert3d.invert_descriptor(network, x[0], "fc5")
    with pytest.raises(ValueError, match="unknown recipe"):
        invert3d.invert_descriptor(network, x, "fc5", "hours")
    with pytest.raises(ValueError, match="name at least one layer"):
        invert3d.invert_descriptor(network, x, [])
    with pytest.raises(ValueError, match="give a number"):
        command("invert", "descriptor", "terraces:one", model=card, out=tmp_path / "no")


def test_what_is_kept_is_measured_beside_an_untrained_network(card: str, tmp_path: Path) -> None:
    command("evaluate", "descriptor", card, scenes=3, steps=3, layer="fc5", out=tmp_path / "kept")
    table = json.loads((tmp_path / "kept" / "table.json").read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert {row["network"] for row in rows} == {"original, blurred by 3 pixels", "small", "small, untrained"}
    everything = [row for row in rows if row["edges"] == "all"]
    assert all(0 <= row["low"] <= row["found"] <= row["high"] <= 1 for row in everything) and len(everything) == 3
    less = [row for row in rows if row["edges"] == "along the street minus all others"]
    assert len(less) == 3 and all(-1 <= row["found"] <= 1 for row in less)
    page = (tmp_path / "kept" / "index.html").read_text()
    assert (
        "camera 20 degrees around the target" in page and "IoU of the sky" in page and "the pixels themselves" in page
    )
    with pytest.raises(ValueError, match="two scenes"):
        command("evaluate", "descriptor", card, scenes=1, out=tmp_path / "no")
    with pytest.raises(ValueError, match="one name"):
        command(
            "evaluate", "descriptor", card, str(Path(card).parent / ".." / "run" / "small.json"), out=tmp_path / "no"
        )


def test_means_of_a_recipe_are_those_of_the_network(card: str) -> None:
    network = invert3d.open_network(card)
    source = Source.of(network, ["fc5"], "published")
    assert source.recipe is not None
    clip = source.recipe.stages[0].projections[0]
    assert clip.mean == pytest.approx(network.frozen.space.mean[::-1])  # type: ignore[attr-defined]


def test_a_network_of_two_pictures_describes_none(tmp_path: Path) -> None:
    small = {"scenes": 2, "held_out": 2, "views": 2, "steps": 1, "batch": 4, "bf16": False, "name": "both"}
    command("train", "posenet", **small, task="stacked", out=tmp_path / "both")
    with pytest.raises(ValueError, match="two pictures at once"):
        invert3d.open_network(str(tmp_path / "both" / "both.json"))
