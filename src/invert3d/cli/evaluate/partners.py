"""Measure how much a 2-D detector of rooms relies on what stands beside an object."""

from invert3d.cli.options import Count, MeasureOptions, Measuring, Run, Running
from invert3d.cli.show import print_recorded, print_table


def evaluate_partners(
    model: str = "fcos-rooms", *, rooms: Count = 300, measuring: Measuring = MeasureOptions(), run: Running = Run()
) -> None:
    """Take away the object that stands beside another in held-out rooms, and see whether the other is still found; as
    the control, take away the nearest object that does not belong to it.

    Args:
        model: A bundled 2-D detector of rooms, or a card (.json) beside its weights.
        rooms: Number of held-out rooms.
        run.out: The run folder; by default runs/partners.
    """
    from pathlib import Path

    from invert3d.jobs.execute import execute
    from invert3d.jobs.report import report
    from invert3d.jobs.rows import rows_of
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.partners import SURE, partners_job, table_of

    run = run.at("runs/partners")
    job = partners_job(open_box_detector(model, device=measuring.device), rooms, measuring.device)
    outcome = execute(job, run).whole()
    table = table_of([each for row in rows_of(outcome) for each in row["objects"]])
    if not table:
        raise ValueError(f"{model} finds fewer than five objects beside a partner in {rooms} rooms: give more --rooms")
    name = Path(model).stem
    title = f"{name}: an object without the one beside it, {rooms} rooms"
    note = f"Objects that are found with a score of at least {SURE:g} while everything is there."
    report(outcome.path, title, table, note)
    print_table(title, list(table[0]), [list(row.values()) for row in table], note)
    if measuring.record:
        print_recorded("layout", {}, [{"table": f"partners {name}", **row} for row in table])
