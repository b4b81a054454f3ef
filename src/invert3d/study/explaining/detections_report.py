"""What explained detections look like: a row of heat maps for each, a figure, and a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from invert3d.jobs.execute import Outcome
from invert3d.jobs.job import Made, Unit
from invert3d.jobs.provenance import command_line, environment
from invert3d.jobs.report import save_table
from invert3d.study.explaining.detections_job import HIGHEST, INSIDE, OUTSIDE, map_name
from invert3d.study.layouts.files import pixels
from invert3d.view.figures import Panel, contact_sheet, save_png
from invert3d.view.heatmaps import HeatCard, HeatRow, framed, heat_map, write_heat_page
from invert3d.view.page import Table

READING = (
    "Gray: no effect. From indigo to yellow: supports the detection more and more. The last color is for the largest "
    "hundredth of each map; what speaks against it is not shown. The box is that of the detection."
)
TESTED = (HIGHEST, INSIDE, OUTSIDE)


def write_detections(outcome: Outcome, model: str) -> dict[str, Any]:
    """Table, figure and page of a job's explained detections, into its folder. Returns the table."""
    each = list(outcome.each())
    share, title = outcome.job.settings["test"], f"What detections of {Path(model).stem} depend on"
    note = "Runs: of the detector, for each detection; d_rise shares them between detections and heads."
    if share is not None:
        note += (
            f" Without: score and overlap (IoU) of the best detection of the kind after as many pixels as {share:.0%} "
            "of the box are blurred: those ranked highest, or at random inside or outside of the box."
        )
    table = save_table(outcome.path, title, [row for unit, made in each for row in table_rows(unit, made)], note)
    rows = [row for unit, made in each for row in heat_rows(unit, made)]
    write_heat_page(
        outcome.path,
        title=title,
        subtitle=READING,
        rows=rows,
        ends=("no effect", "most support"),
        tables=[Table(title="What was explained", columns=table["columns"], rows=table["rows"], note=note)],
        notes=[
            "Each head is explained by itself. Its evidence is minus its loss with the detection as the target; d_rise "
            "sees nothing but detections.",
            "A map is a claim. --test takes away what it names.",
        ],
        provenance={"command": command_line(), **environment()},
    )
    draw_detections(outcome, title, outcome.path / "figure.png")
    return table


def draw_detections(outcome: Outcome, title: str, path: Path) -> Path:
    """The maps of a job's explained detections on one sheet."""
    rows = [row for unit, made in outcome.each() for row in heat_rows(unit, made)]
    panels = [[Panel(image=card.picture, caption=card.name) for card in row.cards] for row in rows]
    return save_png(contact_sheet(panels, row_titles=[row.title for row in rows], title=title, note=READING), path)


def heat_rows(unit: Unit, made: Made) -> list[HeatRow]:
    """A row of cards for each detection in a picture: the picture, then each head and method."""
    layout, picture = unit.values["layout"], pixels(made.arrays["x"])
    rows = []
    for place, fact in enumerate(made.facts["detections"]):
        one = layout.select(torch.tensor([place]))
        cards = [HeatCard(name="picture", picture=framed(picture, one), caption=f"{fact['kind']} {fact['score']:.2f}")]
        mine = [row for row in made.facts["rows"] if row["detection"] == place]
        for row in sorted(mine, key=lambda row: row["head"] != mine[0]["head"]):
            values = made.arrays[map_name(row["method"], row["head"])][place].numpy()
            name = f"{row['about']}: {row['method']}".replace("_", " ")
            cards.append(
                HeatCard(
                    name=name,
                    picture=heat_map(picture, values, one),
                    caption="score and IoU without" if HIGHEST in row else "",
                    badges={key.removeprefix("without "): said(row[key]) for key in TESTED if key in row},
                )
            )
        rows.append(HeatRow(title=f"{unit.values['label']}: {fact['kind']} {fact['score']:.2f}", cards=cards))
    return rows


def said(answer: Sequence[float]) -> str:
    """A score and an overlap."""
    return f"{answer[0]:.2f}, IoU {answer[1]:.2f}"


def table_rows(unit: Unit, made: Made) -> list[dict[str, Any]]:
    """A row for each detection, head and method."""
    rows = []
    for row in made.facts["rows"]:
        fact = made.facts["detections"][row["detection"]]
        told = {key: said(row[key]) for key in TESTED if key in row}
        rows.append(
            {
                "picture": unit.values["label"],
                "detection": fact["kind"],
                "score": f"{fact['score']:.2f}",
                "evidence": row["about"].replace("_", " "),
                "head": row["head"],
                "method": row["method"].replace("_", " "),
                "runs": row["runs"],
                **told,
            }
        )
    return rows
