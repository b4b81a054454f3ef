"""Figures of *Inverting and Understanding Object Detectors*, remade with a tiny detector of random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from invert3d.attribution.masks import ExtremalPerturbation
from invert3d.data.worlds import room_places
from invert3d.data.worlds.room_plan import NAMES, SCALES
from invert3d.jobs.options import RunOptions
from invert3d.models.detectors.thin import thin_detector
from invert3d.models.weights import WeightCard, bundled, save_network
from invert3d.ops.layouts import Layout
from invert3d.registry import lookup, registered
from invert3d.study.explaining.ways import OWN, InsideBox
from invert3d.study.papers.figure import FigureOptions
from invert3d.study.papers.layout_inversion import opened
from invert3d.study.papers.layout_inversion_objects import draw_textures, own
from tests.cli.calls import command

FIGURES = ("fig4", "fig5", "fig6", "fig7", "fig8", "fig9", "fig10", "fig11", "fig12", "fig13", "table1")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A detector of rooms that knows nothing, by its card."""
    folder, kinds = tmp_path_factory.mktemp("weights"), ("background", *NAMES)
    torch.manual_seed(3)
    options = {"size": 64, "width": 8, "features": 32}
    about = WeightCard(name="rooms", kind="2-D detector", architecture="retinanet", classes=kinds, options=options)
    save_network(thin_detector("retinanet", len(kinds), **options), about, folder)
    return str(folder / "rooms.json")


def test_all_figures_are_there() -> None:
    mine = {name.partition("/")[2] for name in registered("figure") if name.startswith("layout-inversion/")}
    assert mine == {*FIGURES}
    assert lookup("figure", "layout-inversion/fig8") is lookup("figure", "layout-inversion/fig9")


@pytest.mark.parametrize("figure", ["fig4", "fig5", "fig9", "fig12", "table1"])
def test_a_figure_has_a_picture_a_table_and_a_page(
    card: str, tmp_path: Path, figure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    command("reproduce", f"layout-inversion/{figure}", model=card, steps=1, pictures=1, out=tmp_path, overwrite=True)
    table = json.loads((tmp_path / "table.json").read_text())
    assert "Inverting and Understanding Object Detectors" in table["title"] and table["rows"]
    assert (tmp_path / "figure.png").is_file()
    page = (tmp_path / "index.html").read_text()
    assert "data:image/png" in page and table["title"] in page


@pytest.mark.parametrize("figure", ["fig6", "fig7"])
def test_figures_of_heads_explain_real_pictures(tmp_path: Path, figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bundled detector: one that knows nothing finds nothing to be explained."""
    monkeypatch.setattr(room_places, "POOL", 2)
    brief = InsideBox(method=ExtremalPerturbation(areas=(0.5,), steps=2))
    monkeypatch.setitem(OWN, "extremal", lambda: brief)
    command(
        "reproduce", f"layout-inversion/{figure}", model="retinanet-rooms", pictures=1, out=tmp_path, overwrite=True
    )
    table = json.loads((tmp_path / "table.json").read_text())
    assert {"on the object", "border if uniform"} <= {*table["columns"]}
    assert {row[table["columns"].index("evidence")] for row in table["rows"]} == {"class", "box"}
    assert (tmp_path / "figure.png").is_file()


def test_the_figure_of_textures_needs_objects_that_are_found(card: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(room_places, "POOL", 2)
    with pytest.raises(ValueError, match="give more --pictures"):
        command("reproduce", "layout-inversion/fig13", model=card, pictures=1, out=tmp_path / "run")
    rows = [
        {
            "detector": "a",
            "categories": "differ in texture alone",
            "new texture": "one that it never has",
            "length": f"{share:.0%} of the picture",
            "change of score": -share,
        }
        for share in SCALES[1:]
    ]
    options = FigureOptions(run=RunOptions(out=tmp_path))
    draw_textures(options, "figure.png", [*rows, {**rows[0], "length": "any"}], "change of score")
    assert (tmp_path / "figure.png").is_file()


def test_all_bundled_detectors_are_inverted_unless_some_are_named(card: str) -> None:
    assert list(opened(FigureOptions(run=RunOptions()))) == list(bundled("2-D detector"))
    assert list(opened(FigureOptions(run=RunOptions(), model=f"{card}, fcos-rooms"))) == [card, "fcos-rooms"]
    with pytest.raises(ValueError, match="say which with out"):
        _ = FigureOptions(run=RunOptions()).folder


def test_the_own_detection_is_the_surest_that_is_in_place() -> None:
    asked = Layout.of_boxes(["chair", "DontCare"], torch.tensor([[0.0, 0, 10, 10], [0, 0, 64, 64]]), 64, 64)
    boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10], [30, 30, 40, 40], [0, 0, 10, 10]])
    scores = torch.tensor([0.5, 0.7, 0.9, 0.95])
    found = Layout.of_boxes(["chair", "chair", "chair", "table"], boxes, 64, 64, scores)
    assert own(found, asked).scores.tolist() == pytest.approx([0.7])
    assert len(own(found.select(torch.tensor([2, 3])), asked)) == 0
