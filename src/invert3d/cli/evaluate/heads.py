"""Measure which head of a 3-D detector needs which cue."""

from invert3d.cli.options import Count, File, MeasureOptions, Measuring, Run, Running, Streets, Switch
from invert3d.cli.show import print_recorded, print_table


def evaluate_heads(
    *,
    model: str = "centernet3d-small",
    checkpoint: File | None = None,
    frames: Streets = 16,
    steps: Count | None = None,
    bf16: Switch = True,
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Measure which head of a detector needs which cue, by inverting layouts for some heads only.

    Args:
        model: A bundled detector, the .json card of your own beside its weights, or a backbone with --checkpoint.
        checkpoint: Weights of a backbone.
        frames: Number of held-out streets.
        steps: Steps in all, instead of the recipe's.
        bf16: Use half precision, where the processor has it, to make pictures; reading them is in full precision.
        run.out: The run folder, which also gets a figure; by default runs/heads.
    """
    from invert3d.opening.detectors import open_detector
    from invert3d.study.layouts.heads import COLUMNS, SUBSETS, draw_heads, head_table
    from invert3d.study.layouts.transfer import streets_with_objects

    detector = open_detector(model, checkpoint=checkpoint, device=measuring.device)
    run = run.at("runs/heads")
    streets = streets_with_objects(frames, detector, options=run)
    rows, runs = head_table(detector, streets, run, bf16=bf16, steps=steps)
    print_table(
        f"{len(streets)} streets, medians over the objects", list(COLUMNS), [list(row.values()) for row in rows]
    )
    print(draw_heads(run.folder() / "heads.png", runs, SUBSETS))
    if measuring.record:
        print_recorded("detector3d", {}, [{"table": "heads", "frames": len(streets), **row} for row in rows])
