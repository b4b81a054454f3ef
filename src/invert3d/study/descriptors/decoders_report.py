"""The page of ``evaluate decoders``: pictures in a row with the edges that are found, tables, and losses of critics."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from invert3d.jobs.execute import Outcome
from invert3d.jobs.report import report_tables
from invert3d.study.descriptors.decoders import OPTIMIZED, Losses
from invert3d.study.descriptors.kept import Reconstructed, Scene, reconstructions
from invert3d.study.descriptors.kept_report import SHOWN, figure

if TYPE_CHECKING:
    from PIL.Image import Image

TITLE = "Pictures made from a descriptor"
#: reconstructions in the figure: of two layers, and of two decoders, without optimization and with
COLUMNS = 6


def write_made(
    outcome: Outcome,
    known: Sequence[Scene],
    tables: Mapping[str, Sequence[dict[str, Any]]],
    losses: Mapping[str, Losses],
    note: str,
) -> dict[str, Any]:
    """table.json, figure.png, losses.png of trainings with an adversary, and index.html into the run folder; returns
    the first table."""
    from invert3d.view.figures import save_png

    folder = outcome.path
    found = reconstructions(outcome)
    pictures = [("Originals, what is made from their descriptors, and edges that are found", folder / "figure.png")]
    drawn = found[:COLUMNS]
    save_png(figure(drawn, list(map(titled, drawn)), known[:SHOWN], TITLE), pictures[0][1])
    if losses:
        pictures.append(("Losses of adversarial training", folder / "losses.png"))
        save_png(curves(losses), folder / "losses.png")
    return report_tables(folder, TITLE, tables, note, pictures)


def titled(made: Reconstructed) -> str:
    """The title of a column: the layer of what was optimized from noise, ``decoder``, or ``decoder, refined``."""
    if made.network == OPTIMIZED:
        return made.layer
    return "decoder, refined" if made.network.endswith(" refined") else "decoder"


def curves(losses: Mapping[str, Losses]) -> "Image":
    """The critic's hinge loss of each training over its steps; 2 is that of a critic who cannot tell at all."""
    from invert3d.view.trace import trace_plot

    steps = max((each.steps for each in losses.values()), key=len).numpy()
    return trace_plot(
        {
            name: np.pad(each.critic, (0, len(steps) - len(each.critic)), constant_values=np.nan)
            for name, each in losses.items()
        },
        steps=steps,
        title="Adversarial training of decoders",
        note="Hinge loss of the critic from where it begins: 2 where it cannot tell, 0 where it always can.",
        y_label="hinge loss",
    )
