"""Jobs: what two workers gain, how big the program is, how long ``--help`` takes, and what was survived and refused.

    python benchmarks/jobs.py                  the tables, half an hour on two cores
    python benchmarks/jobs.py faults inputs    some parts of it: lines, help, faults, inputs, workers
    python benchmarks/jobs.py --record         also writes docs/results/jobs.json, part by part

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
    """How many injected faults were tried and survived, as the tests of jobs count them."""
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


def size() -> dict[str, float]:
    """Lines of the program."""
    return {"lines_src": lines(SOURCE), "lines_study": lines(SOURCE / "study")}


def help_seconds() -> dict[str, float]:
    """Seconds of the slowest --help."""
    return {"help_seconds_worst": round(help_seconds_worst()[1], 2)}


PARTS = {"lines": size, "help": help_seconds, "faults": faults, "inputs": bad_inputs}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS, "workers"], help="by default all")
    parser.add_argument("--quick", action="store_true", help="lines only: does it run?")
    parser.add_argument("--record", action="store_true", help="write docs/results/jobs.json")
    options = parser.parse_args()
    console = Console()
    for part in ["lines"] if options.quick else options.parts or [*PARTS, "workers"]:
        rows = [] if part in PARTS else [speedup(shapes()), speedup(explanations())]
        found = PARTS[part]() if part in PARTS else {"workers_speedup": min(row["times faster"] for row in rows)}
        for row in rows or [found]:
            console.print("  ".join(f"{name}: {value}" for name, value in row.items()))
        if options.record:
            console.print(record("jobs", found, [{"table": "two workers", **row} for row in rows]))


if __name__ == "__main__":
    main()
