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
        frames: Number of streets; the last tenth is held out.
        size: Height x width of the pictures.
        scan: Also write LiDAR scans.
        depth: Also write depth maps.
        clutter: Make streets full of cars: traffic jams and parking lots.
        run.out: The folder; by default runs/streets.
    """
    height, width = parsed_size(size)
    from invert3d.training.streets import make_streets

    run = run.at("runs/streets")
    folder = make_streets(frames, run, height=height, width=width, clutter=clutter, scan=scan, depth=depth)
    print(f"{frames} streets of {height} x {width} pixels in {folder}")
