"""Times invert3d against the bare network and against a textbook PointNet++, as ratios measured in one run.

    python benchmarks/bench.py             the table, a few minutes on one core
    python benchmarks/bench.py --quick     small clouds, one round: does it run?
    python benchmarks/bench.py --record    also writes docs/results/bench.json

Sides are alternated, each in its own process; a value is the median over the rounds of the ratio within a round.
With one thread (the default) the clock is processor time, which other programs delay but hardly lengthen.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from sides import difference, ratios, run_alternately, typical

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "results" / "bench.json"
TOLERANCE = 1e-5
HEADLINE = (
    "loop_overhead_pointnet2",
    "pointnet2_speedup_like_for_like",
    "pointnet2_speedup_as_shipped",
    "batch_exponent",
    "points_exponent",
    "help_seconds",
)
BOUND = {"loop_overhead_pointnet2": "at most 1.05"}


@dataclass(frozen=True)
class Row:
    """One line of the table: a value, its smallest and largest over the rounds, and what it compares."""

    name: str
    value: float | None
    spread: tuple[float, float] | None
    what: str


@dataclass(frozen=True)
class Setting:
    """How much is measured, on which clouds (32, 4096, 3)."""

    clouds: np.ndarray
    batch: int
    points: int
    batches: tuple[int, ...]
    sizes: tuple[int, ...]
    rounds: int
    threads: int

    def compare(self, pairs: dict[str, tuple[str, str]], rounds: int, batch: int) -> list[Row]:
        """Rows of the ratio of two sides each; all sides that occur are alternated in one go."""
        names = list(dict.fromkeys(side for pair in pairs.values() for side in pair))
        tasks = [(side, batch, self.points) for side in names]
        costs = dict(zip(names, run_alternately(tasks, self.clouds, rounds, self.threads), strict=True))
        rows = []
        for name, (above, below) in pairs.items():
            value, low, high = ratios(costs[above], costs[below])
            seconds = f"{above} {typical(costs[above]):.3g} s / {below} {typical(costs[below]):.3g} s"
            rows.append(Row(name, value, (low, high), seconds))
        return rows


def speedups(setting: Setting) -> list[Row]:
    """The input gradient against the textbook, and where the factor comes from.

    Like for like the textbook has frozen weights and keeps freed memory, too. As shipped it does neither.
    """
    pairs = {
        "pointnet2_speedup_like_for_like": ("textbook, frozen, allocator", "library"),
        "pointnet2_speedup_as_shipped": ("textbook", "library"),
        "frozen weights, to the textbook": ("textbook", "textbook, frozen"),
        "keeping freed memory, to the textbook": ("textbook", "textbook, allocator"),
        "keeping freed memory, to the library": ("library, default allocator", "library"),
    }
    return setting.compare(pairs, setting.rounds, setting.batch)


def overheads(setting: Setting) -> list[Row]:
    """``optimize`` against the bare loop, per step."""
    pointnet2 = {"loop_overhead_pointnet2": ("3 steps of PointNet++, loop", "3 steps of PointNet++, bare")}
    pointnet = {"loop_overhead_pointnet": ("3 steps of PointNet, loop", "3 steps of PointNet, bare")}
    rounds = 2 * setting.rounds - 1
    return setting.compare(pointnet2, rounds, setting.batch) + setting.compare(pointnet, rounds, setting.batch)


def exponents(setting: Setting) -> list[Row]:
    """How the time of one input gradient grows with the batch and with the points."""
    points, batch = setting.sizes[0], setting.batches[1]
    tasks = [("library", size, points) for size in setting.batches]
    tasks += [("library", batch, size) for size in setting.sizes]
    costs = run_alternately(tasks, setting.clouds, setting.rounds, setting.threads)
    seconds = [typical(cost) for cost in costs]
    return [
        slope("batch_exponent", setting.batches, seconds[: len(setting.batches)], f"clouds of {points} points"),
        slope("points_exponent", setting.sizes, seconds[len(setting.batches) :], f"{batch} clouds"),
    ]


def slope(name: str, sizes: tuple[int, ...], seconds: list[float], what: str) -> Row:
    """Exponent of the time in the size: the slope of the logarithms, by least squares."""
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    times = ", ".join(f"{size}: {second:.3g} s" for size, second in zip(sizes, seconds, strict=True))
    return Row(name, float(exponent), None, f"{what}; {times}")


def memory(setting: Setting) -> list[Row]:
    """What one step needs above what a process of its own holds before it."""
    task = setting.batch, setting.points
    peaks = {
        side: run_alternately([(side, *task)], setting.clouds, 0, setting.threads)[0][0].mebibytes
        for side in ("textbook", "library")
    }
    what = " / ".join(f"{side} {peak:.0f} MiB" for side, peak in peaks.items())
    return [Row("peak memory of a step", peaks["textbook"] / max(peaks["library"], 1), None, what)]


def parts(setting: Setting) -> list[Row]:
    """Single operations, and DGCNN."""
    rows = []
    for side, batch in (("farthest points", setting.batch), ("ball query", setting.batch)):
        rows += setting.compare({f"{side}, speedup": (f"{side}, textbook", side)}, setting.rounds, batch)
    pair = {"DGCNN, speedup": ("DGCNN, an edge at a time", "DGCNN")}
    return rows + setting.compare(pair, setting.rounds, max(setting.batch // 4, 1))


def help_time(setting: Setting) -> list[Row]:
    """Wall seconds until ``python -m invert3d --help`` has answered."""
    command = [sys.executable, "-m", "invert3d", "--help"]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        if subprocess.run(command, capture_output=True, cwd=ROOT).returncode:
            return [Row("help_seconds", None, None, f"{' '.join(command[1:])} fails")]
        seconds.append(time.perf_counter() - start)
    return [Row("help_seconds", median(seconds), (min(seconds), max(seconds)), "wall time, unlike the others")]


def shapes() -> np.ndarray:
    """Clouds (32, 4096, 3): two shapes of 16 classes."""
    from invert3d.data.worlds.shapes import CATEGORIES, make_clouds  # the sides' processes need none of it

    return make_clouds(CATEGORIES[:16], 2, 4096, seed=0)[0]


def processor() -> str:
    """The model name of the processor."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.machine()


def show(rows: list[Row], console: Console) -> None:
    """The rows as a table."""
    table = Table("what", "value", "over the rounds", "of")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.3g}"
        bound = f" ({BOUND[row.name]})" if row.name in BOUND else ""
        spread = "" if row.spread is None else "{:.3g} .. {:.3g}".format(*row.spread)
        table.add_row(row.name, value + bound, spread, row.what)
    console.print(table)


def record(rows: list[Row], threads: int, seconds: float) -> None:
    """Write ``docs/results/bench.json``."""
    values = {row.name: row.value for row in rows}
    content = {
        "command": "python benchmarks/bench.py --record" + (f" --threads {threads}" if threads != 1 else ""),
        "environment": {
            "cpu": processor(),
            "cores": os.cpu_count(),
            "threads": threads,
            "torch": version("torch"),
            "python": platform.python_version(),
            "clock": "processor" if threads == 1 else "wall",
            "seconds": round(seconds),
        },
        "headline": {name: values[name] for name in HEADLINE},
        "rows": [asdict(row) for row in rows],
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(content, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    parser.add_argument("--quick", action="store_true", help="small clouds, one round; not for the record")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.record and options.quick:
        parser.error("--quick is not for the record")
    start, console = time.perf_counter(), Console()
    clouds = shapes()
    if options.quick:
        setting = Setting(clouds, 4, 512, (1, 2, 4), (512, 1024), 1, options.threads)
    else:
        setting = Setting(clouds, 16, 1024, (4, 8, 16, 32), (512, 1024, 2048, 4096), 3, options.threads)
    outputs, gradients = difference(clouds[: setting.batch, : setting.points])
    console.print(f"outputs differ by {outputs:.1e} from the textbook's, gradients by {gradients:.1e} of their norm")
    if outputs > TOLERANCE:
        console.print(f"[red]more than {TOLERANCE}: another network, so nothing is timed")
        return 1
    rows = [Row("outputs, largest difference", outputs, None, "log-probabilities, library and textbook")]
    for measure in (speedups, overheads, exponents, memory, parts, help_time):
        with console.status(f"measuring {measure.__name__}"):
            rows += measure(setting)
    show(rows, console)
    if options.record:
        record(rows, options.threads, time.perf_counter() - start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
