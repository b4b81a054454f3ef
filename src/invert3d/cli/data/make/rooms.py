"""Rooms with planted truths, in COCO's form."""

from invert3d.cli.options import Count, Run, Running, Streets


def data_make_rooms(*, pictures: Streets = 100, size: Count = 160, run: Running = Run()) -> None:
    """Write procedural rooms and table tops as a folder in COCO's form, with what is planted in them.

    Args:
        pictures: Number of pictures; the last tenth is held out.
        size: Height and width of the pictures.
        run.out: The folder; by default runs/rooms.
    """
    from invert3d.training.rooms import make_rooms

    run = run.at("runs/rooms")
    folder = make_rooms(pictures, run, size=size)
    print(f"{pictures} rooms of {size} x {size} pixels in {folder}; truths.json says what is planted in them")
