"""Jobs: what two workers gain, how big the program is, how long ``--help`` takes, and what was survived and refused.

    python benchmarks/jobs.py             the table, some minutes on two cores
    python benchmarks/jobs.py --record    also writes docs/results/jobs.json

The gain of two workers is the whole time of the same job with one over that with two, both in processes of one thread,
start-up and writing included. Faults and bad inputs are counted by the tests that plant them.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from invert3d.data.worlds.shapes import CATEGORIES, make_clouds
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Job
from invert3d.jobs.options import RunOptions
from invert3d.jobs.record import record
from invert3d.methods.recipes import load_recipe
from invert3d.opening.networks import open_network
from invert3d.study.classes.job import classes_job
from invert3d.study.explaining.job import explaining_job

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "invert3d"


def shapes(network: str = "pointnet-shapes") -> Job:
    """Four shapes of each of eight classes: four batches."""
    recipe = load_recipe("ours", judge="own", candidates=256, steps=40)
    return classes_job(open_network(network), CATEGORIES[:8], recipe, repeats=4)


def explanations() -> Job:
    """Explanations of 64 clouds: sixteen batches."""
    network = open_network("pointnet2_ssg-shapes")
    clouds = make_clouds(CATEGORIES[:16], 4, 1024, seed=5)[0]
    inputs = {f"cloud-{i}": torch.from_numpy(cloud) for i, cloud in enumerate(clouds)}
    return explaining_job(network, inputs, ["gradient", "integrated_gradients"])


def seconds(job: Job, workers: int) -> float:
    """The whole time of a job."""
    with tempfile.TemporaryDirectory() as folder:
        clock = time.perf_counter()
        execute(job, RunOptions(out=Path(folder) / "run", workers=workers, progress=False)).whole()
        return time.perf_counter() - clock


def speedup(job: Job) -> dict[str, Any]:
    """A row: the same job with one worker and with two."""
    one, two = seconds(job, 1), seconds(job, 2)
    return {
        "job": job.label,
        "batches": len(job.batches()),
        "one worker, s": round(one, 1),
        "two workers, s": round(two, 1),
        "times faster": round(one / two, 2),
    }


def lines(folder: Path) -> int:
    """Lines of Python in a folder."""
    return sum(len(path.read_text().splitlines()) for path in folder.rglob("*.py"))


def help_seconds_worst() -> tuple[str, float]:
    """The command whose --help takes longest, and how long: the least of three runs each."""
    sys.path.insert(0, str(ROOT))
    from tests.cli.hostile import commands

    took = {}
    for words, _ in commands():
        runs = []
        for _ in range(3):
            clock = time.perf_counter()
            subprocess.run([sys.executable, "-m", "invert3d", *words, "--help"], capture_output=True, check=True)
            runs.append(time.perf_counter() - clock)
        took[" ".join(words)] = min(runs)
    worst = max(took, key=lambda name: took[name])
    return worst, took[worst]


def faults() -> dict[str, int]:
    """How many planted faults were tried and survived, as the tests of jobs count them."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/jobs",
        "tests/training/test_streets.py",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"tests/jobs failed:\n{done.stdout[-2000:]}")
    return {name: int(number) for name, number in re.findall(r"(faults_\w+) (\d+)", done.stdout)}


def bad_inputs() -> dict[str, int]:
    """How many bad inputs every command was given, and how many were refused in one line with nothing written."""
    done = subprocess.run([sys.executable, "-m", "tests.cli.hostile"], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"tests.cli.hostile failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--record", action="store_true", help="write docs/results/jobs.json")
    parser.add_argument("--quick", action="store_true", help="no tests, no --help; not for the record")
    options = parser.parse_args()
    console = Console()
    rows = [speedup(shapes()), speedup(explanations())]
    headline: dict[str, float] = {
        "workers_speedup": min(row["times faster"] for row in rows),
        "lines_src": lines(SOURCE),
        "lines_study": lines(SOURCE / "study"),
    }
    if not options.quick:
        worst, took = help_seconds_worst()
        console.print(f"slowest --help: {worst}")
        headline["help_seconds_worst"] = round(took, 2)
        headline |= {**faults(), **bad_inputs()}
    for title, found in (("Two workers", rows), ("Headline", [headline])):
        table = Table(*found[0], title=title)
        for row in found:
            table.add_row(*map(str, row.values()))
        console.print(table)
    if options.record and not options.quick:
        console.print(record("jobs", headline, [{"table": "two workers", **row} for row in rows]))


if __name__ == "__main__":
    main()
