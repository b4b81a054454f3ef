"""Streets with labels, in KITTI's layout."""

from invert3d.cli.options import Run, Running, Streets
from invert3d.cli.train.centernet3d import parsed_size


def data_make_streets(
    *,
    frames: Streets = 100,
    size: str = "384x1280",
    scan: bool = False,
    depth: bool = False,
    clutter: bool = False,
    run: Running = Run(),
) -> None:
    """Write procedural streets with labels, as a folder in KITTI's layout.

    Args:
        frames: Streets to make; the last tenth is held out.
        size: Height x width of the pictures.
        scan: Write LiDAR scans, too.
        depth: Write depth, too.
        clutter: Streets full of cars: jams and car parks.
        run.out: The folder; by default runs/streets.
    """
    height, width = parsed_size(size)
    from invert3d.training.streets import make_streets

    run = run.at("runs/streets")
    folder = make_streets(frames, run, height=height, width=width, clutter=clutter, scan=scan, depth=depth)
    print(f"{frames} streets of {height} x {width} pixels in {folder}")
