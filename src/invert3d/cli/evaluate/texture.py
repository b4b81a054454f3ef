"""Measure how much a 2-D detector of rooms relies on texture."""

from invert3d.cli.options import Count, MeasureOptions, Measuring, Seed
from invert3d.cli.show import print_recorded, print_table


def evaluate_texture(
    model: str = "fcos-rooms", *, rooms: Count = 100, seed: Seed = 0, measuring: Measuring = MeasureOptions()
) -> None:
    """Render each object in held-out rooms again with another texture, and see how the detections change.

    Args:
        model: A bundled 2-D detector of rooms, or a card (.json) beside its weights.
        rooms: Number of held-out rooms.
        seed: Fixes the new textures.
    """
    from pathlib import Path

    from invert3d.opening.box_detectors import open_box_detector
    from invert3d.study.layouts.texture import table_of, texture_changes

    detector = open_box_detector(model, device=measuring.device)
    table = table_of(texture_changes(detector, rooms, seed=seed))
    if not table:
        raise ValueError(f"{model} finds fewer than five objects of a group in {rooms} rooms: give more --rooms")
    name = Path(model).stem
    print_table(
        f"{name}: what changes with another texture, {rooms} rooms",
        list(table[0]),
        [list(row.values()) for row in table],
        "Objects that are found with a score of at least 0.3. Becomes the other: the category of the same shape that "
        "has the new texture scores higher.",
    )
    if measuring.record:
        print_recorded("layout", {}, [{"table": f"texture {name}", **row} for row in table])
