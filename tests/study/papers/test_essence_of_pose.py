"""The figures of The Essence of Pose, on two pictures and few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from invert3d.study.papers.essence_of_pose import recipes
from invert3d.training.decoder_runs import read_losses
from tests.cli.calls import command


@pytest.mark.parametrize(("figure", "world"), [("fig5", "terraces"), ("fig9", "rooms"), ("fig10", "cars")])
def test_a_figure_shows_both_recipes(figure: str, world: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command("reproduce", f"essence-of-pose/{figure}", pictures=2, steps=2, out=out)
    table = json.loads((out / "table.json").read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [(row["method"], row["layer"]) for row in rows[2:]] == [
        (recipe, layer) for recipe in ("published", "ours") for layer in ("conv4", "fc5")
    ]
    assert all(0 <= row["relative loss"] <= 1 for row in rows[2:])
    assert all(0 <= row["low"] <= row["edges found"] <= row["high"] <= 1 for row in rows)
    assert rows[0]["edges found"] > 0.2 > rows[1]["edges found"], "a blurred original and another one"
    assert {"published.png", "ours.png"} <= {path.name for path in out.iterdir()}
    assert world in json.dumps(sorted(path.name for path in (out / "units").iterdir()))


def test_table_1_has_the_published_settings_and_ours_without_each_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command("reproduce", "essence-of-pose/table1", pictures=2, steps=2, out=tmp_path / "out", record=True)
    recorded = json.loads((tmp_path / "docs" / "results" / "essence-of-pose.json").read_text())["rows"]
    assert {row["table"] for row in recorded} == {"table1"}
    assert [row["method"] for row in recorded][-1] == "paper, no priors"
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    names = [row[0] for row in table["rows"]]
    assert names[2::2] == [*recipes(), "paper, no priors"] and names[3::2] == list(recipes())
    assert table["rows"][-1][table["columns"].index("relative loss")] == 0.08


def test_a_decoder_learns_few_pictures_by_heart(tmp_path: Path) -> None:
    command("reproduce", "essence-of-pose/fig6", pictures=4, steps=30, out=tmp_path / "out")
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row[0] for row in table["rows"]] == ["seen in training", "the mean of those seen, for each"]
    losses = read_losses(tmp_path / "out" / "few" / "losses.json")["inputs"]
    assert losses[-1] < 0.8 * losses[0] and (tmp_path / "out" / "figure.png").is_file()


def test_losses_of_decoders_by_width_and_by_rate(tmp_path: Path) -> None:
    command("reproduce", "essence-of-pose/fig8", pictures=4, steps=2, out=tmp_path / "fig8")
    table = json.loads((tmp_path / "fig8" / "table.json").read_text())
    assert [row[0] for row in table["rows"]] == [12, 24] and all(0 < float(row[2]) < 1 for row in table["rows"])
    assert (tmp_path / "fig8" / "figure.png").is_file()
    command("reproduce", "essence-of-pose/table2", pictures=4, steps=2, out=tmp_path / "table2")
    command("reproduce", "essence-of-pose/fig8", pictures=4, steps=2, out=tmp_path / "fig8", resume=True)
    with pytest.raises(ValueError, match="exists already"):
        command("reproduce", "essence-of-pose/table2", pictures=4, steps=2, out=tmp_path / "table2")
    table = json.loads((tmp_path / "table2" / "table.json").read_text())
    assert [row[:2] for row in table["rows"]] == [["26.6", "paper"], ["0.01", "-"], ["0.001", "-"], ["0.0001", "-"]]


def test_the_bundled_decoder_stands_beside_optimization(tmp_path: Path) -> None:
    command("reproduce", "essence-of-pose/fig7", pictures=2, steps=2, out=tmp_path / "out")
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row[0] for row in table["rows"]][3:] == ["optimization from noise", "decoder", "decoder refined"]
    assert (tmp_path / "out" / "figure.png").is_file()
