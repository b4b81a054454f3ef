"""Measure how much a 2-D detector of rooms relies on texture."""

from invert3d.cli.options import Count, MeasureOptions, Measuring, Run, Running
from invert3d.cli.show import print_recorded, print_table


def evaluate_texture(
    model: str = "fcos-rooms", *, rooms: Count = 100, measuring: Measuring = MeasureOptions(), run: Running = Run()
) -> None:
    """Render each object in held-out rooms again with another texture, and see how the detections change.

    Args:
        model: A bundled 2-D detector of rooms, or a card (.json) beside its weights.
        rooms: Number of held-out rooms.
        run.out: The run folder; by default runs/texture.
    """
    from pathlib import Path

    from invert3d.jobs.execute import execute
    from invert3d.jobs.report import report
    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.texture import changes_of, table_of, texture_job

    run = run.at("runs/texture")
    job = texture_job({model: open_box_detector(model, device=measuring.device)}, rooms, measuring.device)
    outcome = execute(job, run).whole()
    table = table_of(changes_of(outcome)[model])
    if not table:
        raise ValueError(f"{model} finds fewer than five objects of a group in {rooms} rooms: give more --rooms")
    name = Path(model).stem
    title = f"{name}: what changes with another texture, {rooms} rooms"
    note = (
        "Objects that are found with a score of at least 0.3. Becomes the other: the category of the same shape that "
        "has the new texture scores higher."
    )
    report(outcome.path, title, table, note)
    print_table(title, list(table[0]), [list(row.values()) for row in table], note)
    if measuring.record:
        print_recorded("layout", {}, [{"table": f"texture {name}", **row} for row in table])
