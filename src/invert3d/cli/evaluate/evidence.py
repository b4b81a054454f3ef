"""Measure whether the evidence for a 2-D detector's detections lies on the objects and near their borders."""

from typing import Annotated

from invert3d.cli.options import Count, MeasureOptions, Measuring, Names, Run, Running, between, split_names
from invert3d.cli.show import print_recorded, print_table


def evaluate_evidence(
    model: str = "fcos-rooms",
    *,
    rooms: Count = 40,
    methods: Names | None = None,
    masks: Annotated[int, between(2, 100_000)] = 300,
    band: Annotated[float, between(1, 100)] = 3.0,
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Explain the right detections in held-out rooms, class and box apart, and count how much of each map lies on the
    object, whose pixels are known, and near its border.

    Args:
        model: A bundled 2-D detector of rooms, or a card (.json) beside its weights.
        rooms: Number of held-out rooms.
        methods: As of invert3d explain --detector, comma separated; by default gradient, grad_cam, d_rise. Others take
            longer.
        masks: Number of random masks of d_rise.
        band: Pixels on either side of the outline of an object that are its border.
        run.out: The run folder; by default runs/evidence.
    """
    from pathlib import Path

    from invert3d.jobs.execute import execute
    from invert3d.jobs.report import report
    from invert3d.jobs.rows import rows_of
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.explaining.evidence import LEAST_SIDE, contrasts, evidence_job, headline, table_of

    run = run.at("runs/evidence")
    detector = open_box_detector(model, device=measuring.device)
    job = evidence_job(detector, rooms, split_names(methods), masks=masks, band=band, device=measuring.device)
    outcome = execute(job, run).whole()
    shares = [each for row in rows_of(outcome) for each in row["objects"]]
    table, heads = table_of(shares), contrasts(shares)
    if not table:
        raise ValueError(f"{model} is right about fewer than five objects in {rooms} rooms: give more --rooms")
    name = Path(model).stem
    note = (
        f"Right detections whose box is at least {LEAST_SIDE:g} pixels a side. Shares of what is positive in the box: "
        f"on the object, and within {band:g} pixels of its outline; if uniform: of the box itself. "
        "Middle of the box: a map that knows nothing but the box."
    )
    report(outcome.path, f"{name}: where the evidence lies, {rooms} rooms", table, note)
    print_table(
        f"{name}: where the evidence lies, {rooms} rooms", list(table[0]), [[*row.values()] for row in table], note
    )
    if heads:
        title = "\nEvidence for the box less evidence for the class of the same object"
        print_table(title, list(heads[0]), [list(row.values()) for row in heads])
    if measuring.record:
        parts = {f"evidence {name}": table, f"box less class {name}": heads}
        print_recorded(
            "layout", headline(table), [{"table": key, **row} for key, some in parts.items() for row in some]
        )
