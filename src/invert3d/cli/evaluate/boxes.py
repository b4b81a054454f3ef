"""Measure what detectors read from saved inverted pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invert3d.cli.options import Device, File, Folders, Names, PlainName, split_names
from invert3d.cli.show import print_recorded, print_table

if TYPE_CHECKING:
    from invert3d.study.layouts.score import BoxScore


def evaluate_boxes(
    runs: Folders,
    *,
    models: Names | None = None,
    checkpoint: File | None = None,
    device: Device = "cpu",
    record: bool = False,
    name: PlainName | None = None,
) -> None:
    """Run detectors on the PNGs of inverted pictures: AP against the requested layouts, and errors.

    Args:
        runs: Run folders of invert3d invert boxes.
        models: Detectors that read the pictures, comma separated; by default the one that was inverted.
        checkpoint: Weights, if a model is a backbone.
        record: Also write the numbers into docs/results, under --name.
        name: What the numbers are recorded as, e.g. ap3d_inverted_ours.
    """
    from invert3d.study.layouts.score import scored_runs

    if record and name is None:
        raise ValueError("--record needs --name, such as ap3d_inverted_ours")
    rows = scored_runs(runs, split_names(models), device, checkpoint)
    print_box_scores("AP at moderate difficulty on the saved pictures", rows)
    if record:
        headline = {str(name): rows[0].ap3d} if len(rows) == 1 else {}
        print_recorded("detector3d", headline, [{"table": name, **row.as_dict()} for row in rows])


def print_box_scores(title: str, rows: "Sequence[BoxScore]", note: str = "") -> None:
    """Print AP and the errors of what was found, a row for each detector and set of pictures."""
    from invert3d.study.layouts.score import ERRORS, SHORT

    print_table(title, list(SHORT.values()), [row.cells() for row in rows], note)
    print_table("median errors of the detected objects", list(ERRORS.values()), [row.cells(ERRORS) for row in rows])
