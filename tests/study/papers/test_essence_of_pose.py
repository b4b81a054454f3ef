"""The figures of The Essence of Pose, on two pictures and few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calls import command


@pytest.mark.parametrize(("figure", "world"), [("fig5", "terraces"), ("fig9", "rooms"), ("fig10", "cars")])
def test_a_figure_shows_both_recipes(figure: str, world: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command("reproduce", f"essence-of-pose/{figure}", pictures=2, steps=2, out=out)
    table = json.loads((out / "table.json").read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [(row["recipe"], row["layer"]) for row in rows] == [
        (recipe, layer) for recipe in ("published", "ours") for layer in ("conv4", "fc5")
    ]
    assert all(0 <= row["relative loss"] <= 1 and row["pictures"] == 2 for row in rows)
    assert {"published.png", "ours.png"} <= {path.name for path in out.iterdir()}
    assert world in json.dumps(sorted(path.name for path in (out / "units").iterdir()))


def test_table_1_has_the_published_settings_with_and_without_priors(tmp_path: Path) -> None:
    command("reproduce", "essence-of-pose/table1", pictures=2, steps=2, out=tmp_path / "out")
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    names = [row[0] for row in table["rows"]]
    assert names == ["published"] * 2 + ["published, no priors"] * 2 + ["ours"] * 2 + ["paper, no priors"]
    assert table["rows"][-1][table["columns"].index("relative loss")] == 0.08
