"""Explanations beside captum's, and a pruned network beside itself: errors, runs of the network, time, memory.

    python benchmarks/explaining.py             the table, a few minutes on one core
    python benchmarks/explaining.py --record    also writes docs/results/explain.json and pruning.json

Guided back-propagation and deconvolution are compared with a slow, obvious rule on every way to write a rectifier.
Integrated gradients get the same groupings on both sides; ours are asked for the error that captum reaches with its
default of 50 steps. Memory is what the process grows by, in a process of its own.
"""

import argparse
import copy
import multiprocessing
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import captum.attr
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.attribution.patterns import PATTERNS, RECTIFIERS, Rule, Written  # noqa: E402

from invert3d.attribution.integrated import IntegratedGradients  # noqa: E402
from invert3d.attribution.rectified import Deconvolution, Guided  # noqa: E402
from invert3d.engine.memory import keep_freed_memory  # noqa: E402
from invert3d.engine.model import Frozen  # noqa: E402
from invert3d.engine.space import Points  # noqa: E402
from invert3d.jobs.record import record  # noqa: E402
from invert3d.methods.pruning import Operation, Surgery, prune_by_magnitude  # noqa: E402
from invert3d.methods.sparse import sparsified  # noqa: E402
from invert3d.models import dgcnn  # noqa: E402
from invert3d.models.weights import bundled  # noqa: E402
from invert3d.objectives.classes import ClassScore  # noqa: E402
from invert3d.opening.networks import Network, open_network  # noqa: E402
from invert3d.ops.choices import recorded, replayed  # noqa: E402
from invert3d.ops.points import knn  # noqa: E402
from invert3d.study.explaining.truth import examples  # noqa: E402

NETWORKS = ("pointnet-shapes", "pointnet2_ssg-shapes", "dgcnn-shapes", "voxnet-shapes", "voxel_nin-modelnet10")
STEPS = 50  # captum's default
CLASSICAL = ("F.relu", "method", "in place", "module")  # for which the rules are published, and captum's apply
Row = dict[str, Any]


def rectifier_errors() -> list[Row]:
    """Relative errors of the rules against the obvious one, ours and captum's, for every way to write a rectifier."""
    torch.manual_seed(1)
    x, target, rows = torch.rand(3, 16, 3, dtype=torch.float64) - 0.5, torch.tensor([0, 3, 1]), []
    for rule, ours, theirs in (
        ("guided", Guided(), captum.attr.GuidedBackprop),
        ("deconvolution", Deconvolution(), captum.attr.Deconvolution),
    ):
        for pattern in PATTERNS:
            for name, (called, plain) in RECTIFIERS.items():
                model = Written(pattern, called).double().eval()
                leaf = x.clone().requires_grad_()
                reference = Written(pattern, lambda h, rule=rule, plain=plain: Rule.apply(h, rule, plain)).double()
                reference(leaf).gather(1, target[:, None]).sum().backward()
                assert leaf.grad is not None
                found = ours(Frozen(model, Points(points=16)), ClassScore(), x, target).values
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    other = theirs(model).attribute(x.clone().requires_grad_(), target=target)
                size = leaf.grad.norm()
                rows.append(
                    {
                        "table": "rectifiers",
                        "rule": rule,
                        "rectifier": name,
                        "pattern": pattern,
                        "ours": float((found - leaf.grad).norm() / size),
                        "captum": float((other - leaf.grad).norm() / size),
                    }
                )
    return rows


def captum_gradients(network: Network, x: Tensor, target: Tensor) -> tuple[Tensor, float]:
    """captum's integrated gradients with its defaults on the groupings of x, and its completeness error."""
    frozen, model = network.frozen, network.frozen.model
    with torch.no_grad(), recorded(model, len(x)) as choices:
        whole = frozen(x)

    def forward(z: Tensor) -> Tensor:
        with replayed(model, choices.of([*range(len(x))] * (len(z) // len(x)))):
            return frozen.read(model(frozen.space.encode(z)))

    values = captum.attr.IntegratedGradients(forward).attribute(x, target=target, n_steps=STEPS)
    assert isinstance(values, Tensor)
    with torch.no_grad():
        difference = (whole - forward(torch.zeros_like(x))).gather(1, target[:, None])[:, 0]
    return values, float(((values.flatten(1).sum(1) - difference) / difference).abs())


def completeness(name: str) -> list[Row]:
    """Runs of the network, ours for captum's error and for 1 %, and the errors, shape by shape."""
    network = open_network(name)
    known, rows = examples(network), []
    for i in list(range(len(known)))[:: max(1, len(known) // 8)]:
        x, target = known.x[i : i + 1], known.target[i : i + 1]
        _, error = captum_gradients(network, x, target)
        same = IntegratedGradients(tolerance=max(error, 1e-5), most=2048)(network.frozen, ClassScore(), x, target).facts
        usual = IntegratedGradients()(network.frozen, ClassScore(), x, target).facts
        rows.append(
            {
                "table": "completeness",
                "network": name,
                "shape": network.classes[int(target)],
                "captum: error": error,
                "captum: runs": STEPS,
                "ours: error": same["completeness_error"][0],
                "ours: runs": same["evaluations"],
                "ours, 1 %: error": usual["completeness_error"][0],
                "ours, 1 %: runs": usual["evaluations"],
            }
        )
    return rows


def by_network(rows: list[Row]) -> list[Row]:
    """The rows of ``completeness``, one a network."""
    found = []
    for name in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == name]
        found.append(
            {
                "table": "completeness",
                "network": name,
                "shapes": len(mine),
                "captum: runs": STEPS,
                "captum: median error": median(row["captum: error"] for row in mine),
                "captum: largest error": max(row["captum: error"] for row in mine),
                "ours to the same error, each: median runs": median(row["ours: runs"] for row in mine),
                "ours to 1 %: median runs": median(row["ours, 1 %: runs"] for row in mine),
                "ours to 1 %: most runs": max(row["ours, 1 %: runs"] for row in mine),
                "ours to 1 %: largest error": max(row["ours, 1 %: error"] for row in mine),
            }
        )
    return found


def groupings(name: str, shapes: int = 3) -> list[Row]:
    """Completeness with the groupings of x held, and chosen at each point of the path, where F jumps."""
    network = open_network(name)
    known = examples(network)
    x, target = known.x[:shapes], known.target[:shapes]
    rows = []
    for how in ("frozen", "live"):
        facts = IntegratedGradients(groupings=how)(network.frozen, ClassScore(), x, target).facts
        errors = facts["completeness_error"]
        rows.append(
            {
                "table": "groupings",
                "network": name,
                "groupings": how,
                "shapes": shapes,
                "runs": max(facts["evaluations_each"]),
                "smallest error": min(errors),
                "largest error": max(errors),
            }
        )
    return rows


def cost(name: str, side: str, x: Tensor, target: Tensor, result: Any) -> None:
    """Seconds of the processor and megabytes that integrated gradients of one shape take, in this fresh process."""
    torch.set_num_threads(1)
    network = open_network(name)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, clock = memory("VmRSS"), time.process_time()
    if side == "captum":
        with network.frozen:
            captum_gradients(network, x, target)
    else:
        IntegratedGradients()(network.frozen, ClassScore(), x, target)
    seconds = time.process_time() - clock
    result.put((seconds, memory("VmHWM") - before))


def memory(kind: str) -> float:
    """Megabytes of this process: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))


def costs(name: str) -> Row:
    """Time and memory of both sides with their defaults, each in a fresh process."""
    spawn, row = multiprocessing.get_context("spawn"), {"table": "cost", "network": name}
    known = examples(open_network(name))
    for side in ("captum", "ours"):
        queue = spawn.Queue()
        child = spawn.Process(target=cost, args=(name, side, known.x[:1], known.target[:1], queue))
        child.start()
        row[f"{side}: seconds"], row[f"{side}: MB"] = (round(each, 2) for each in queue.get())
        child.join()
    return row


def sparse_speed() -> list[Row]:
    """Pruned networks at batch 1: dense, dense on two copies, and each layer the way that is fastest.

    Besides the bundled ones, one with 5 % of the weights in *every* layer, of which only the speed means anything.
    """
    rows = []
    for name, card in bundled("classifier").items():
        if "pruning" in card.notes:
            network = open_network(name)
            rows.append(speed(name, network.frozen.model, network.frozen.space.encode(examples(network).x[:1])))
    network = open_network("vrn-modelnet10")
    even = copy.deepcopy(network.frozen.model)
    for layer in (module for module in even.modules() if isinstance(module, torch.nn.Conv3d)):
        with Operation(layer, Surgery()) as operation:
            prune_by_magnitude(operation, 0.05)
            operation.finish()
    x = network.frozen.space.encode(examples(network).x[:1])
    return [*rows, speed("vrn-modelnet10, 5 % of every convolution", even, x)]


@torch.no_grad()
def speed(name: str, model: torch.nn.Module, x: Tensor) -> Row:
    """One network on one input, all ways, alternating."""
    model = model.eval()
    fast, choices = sparsified(model, x)
    assert torch.allclose(fast(x), model(x), atol=1e-3)
    ways = {"dense": partial(model, x), "chosen": partial(fast, x), "doubled": partial(model, x.repeat(2, 1, 1, 1, 1))}
    times: dict[str, list[float]] = {side: [] for side in ways}
    for _ in range(8):
        for side, run in ways.items():
            clock = time.process_time()
            run()
            times[side].append(time.process_time() - clock)
    best = {side: min(each) for side, each in times.items()}
    return {
        "table": "sparse",
        "network": name,
        **{f"{way} layers": sum(c.faster == way for c in choices) for way in ("sparse", "doubled", "dense")},
        "dense, ms": 1e3 * best["dense"],
        "doubled, ms": 1e3 * best["doubled"],
        "chosen, ms": 1e3 * best["chosen"],
        "times faster than dense": best["dense"] / best["chosen"],
        "than the better dense": min(best["dense"], best["doubled"]) / best["chosen"],
    }


def show(console: Console, rows: list[Row]) -> None:
    """Rows of one table."""
    if not rows:
        return
    columns = [key for key in rows[0] if key != "table"]
    table = Table(*columns, title=str(rows[0]["table"]))
    for row in rows:
        table.add_row(*(f"{row[key]:.3g}" if isinstance(row[key], float) else str(row[key]) for key in columns))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--record", action="store_true", help="write docs/results/explain.json and pruning.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    console = Console()
    errors = rectifier_errors()
    show(console, [row for row in errors if row["pattern"] == "one"])
    runs = [row for name in NETWORKS for row in completeness(name)]
    show(console, by_network(runs))
    held = [row for name in ("pointnet2_ssg-shapes", "dgcnn-shapes") for row in groupings(name)]
    with patch.object(dgcnn, "knn", knn.__wrapped__):  # type: ignore[attr-defined]  # as code that is not ours finds them
        foreign = [row | {"network": "dgcnn-shapes, neighbors by torch.topk"} for row in groupings("dgcnn-shapes")]
    held += foreign
    show(console, held)
    prices = [costs(name) for name in NETWORKS]
    show(console, prices)
    speeds = sparse_speed()
    show(console, speeds)
    headline = {
        "guided_error_ours": max(row["ours"] for row in errors),
        "guided_error_captum_worst": round(max(row["captum"] for row in errors if row["rectifier"] in CLASSICAL), 3),
        "ig_evaluations_ratio_vs_captum": round(median(row["captum: runs"] / row["ours: runs"] for row in runs), 2),
        "ig_time_ratio_vs_captum": round(median(row["captum: seconds"] / row["ours: seconds"] for row in prices), 2),
        "ig_memory_ratio_vs_captum": round(median(row["captum: MB"] / max(1.0, row["ours: MB"]) for row in prices), 2),
        "completeness_error_graph_network": round(foreign[0]["largest error"], 5),
        "completeness_error_default": round(max(row["ours, 1 %: error"] for row in runs), 5),
    }
    console.print(headline)
    if options.record:
        record("explain", headline, [*errors, *by_network(runs), *held, *prices])
        if speeds:
            trained = [row["than the better dense"] for row in speeds[:-1]]
            record("pruning", {"sparse_speed_ratio_batch1": round(max(trained), 2)} if trained else {}, speeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
