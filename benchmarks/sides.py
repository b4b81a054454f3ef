"""What is timed: one function a side, and a process of its own for every side.

What ``Frozen`` tells the C allocator holds for a whole process, so a side that does without it needs another one.
The sides of a comparison wait at their pipes and are told in turn to run one step: ABAB, on the same machine state.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from textbook import TextbookDGCNN, TextbookPointNet2, ball_query, farthest_point_sample
from torch import Tensor, nn

from invert3d.engine.loop import optimize
from invert3d.engine.memory import keep_freed_memory
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Trace
from invert3d.engine.space import Points
from invert3d.engine.stepper import Stepper
from invert3d.models.dgcnn import DGCNN
from invert3d.models.pointnet import PointNet
from invert3d.models.pointnet2 import PointNet2SSG
from invert3d.objectives.classes import CrossEntropy
from invert3d.ops import points as ops
from invert3d.parameterizations.direct import Direct

Step = Callable[[], object]
RATE, CLASSES = 1e-3, 40  # small steps, so that both sides of the loop's comparison keep to the same clouds


@cache
def weights_of(kind: type[nn.Module]) -> dict[str, Tensor]:
    """The state of a network drawn from seed 0, with batch norms that are not the identity."""
    torch.manual_seed(0)
    model = kind(CLASSES)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.state_dict()


def network(kind: type[nn.Module], like: type[nn.Module] | None = None) -> nn.Module:
    """A network in eval mode with the weights of ``like``, which has the same keys."""
    model = kind(CLASSES)
    model.load_state_dict(weights_of(like or kind))
    return model.eval()


def frozen(kind: type[nn.Module], points: int) -> Frozen:
    """The library's network as its loop holds it: entered, for the rest of the process."""
    return Frozen(network(kind), Points(points=points), output="logits").__enter__()


def gradient(scores: Callable[[Tensor], Tensor], clouds: Tensor, labels: Tensor) -> Step:
    """Forward, and the derivative of the cross entropy with respect to the clouds alone."""

    def step() -> Tensor:
        x = clouds.clone().requires_grad_()
        loss = F.cross_entropy(scores(x), labels, reduction="sum")
        return torch.autograd.grad(loss, x)[0]

    return step


def library(clouds: Tensor, labels: Tensor) -> Step:
    """The library's PointNet++ inside ``Frozen``."""
    return gradient(frozen(PointNet2SSG, clouds.shape[1]), clouds, labels)


def library_default_allocator(clouds: Tensor, labels: Tensor) -> Step:
    """The same without ``Frozen``: frozen by hand, the allocator as it comes."""
    return gradient(network(PointNet2SSG).requires_grad_(False), clouds, labels)


def textbook(clouds: Tensor, labels: Tensor) -> Step:
    """The textbook, differentiated as users do: eval mode, live weights, ``loss.backward()``."""
    model = network(TextbookPointNet2, PointNet2SSG)

    def step() -> Tensor | None:
        x = clouds.transpose(1, 2).contiguous().requires_grad_()
        F.nll_loss(model(x)[0], labels, reduction="sum").backward()
        model.zero_grad()
        return x.grad

    return step


def textbook_frozen(clouds: Tensor, labels: Tensor) -> Step:
    """The textbook with frozen weights and ``autograd.grad``."""
    model = network(TextbookPointNet2, PointNet2SSG).requires_grad_(False)
    return gradient(lambda x: model(x.transpose(1, 2).contiguous())[0], clouds, labels)


def textbook_allocator(clouds: Tensor, labels: Tensor) -> Step:
    """The textbook as users differentiate it, in a process that keeps freed memory."""
    keep_freed_memory()
    return textbook(clouds, labels)


def textbook_frozen_allocator(clouds: Tensor, labels: Tensor) -> Step:
    """The textbook with all that needs no other network: frozen, ``autograd.grad``, freed memory kept."""
    keep_freed_memory()
    return textbook_frozen(clouds, labels)


def bare_loop(kind: type[nn.Module], steps: int, clouds: Tensor, labels: Tensor) -> Step:
    """Forward, gradient to x, optimizer step: nothing else."""
    model = frozen(kind, clouds.shape[1]).model

    def run() -> None:
        x = clouds.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=RATE)
        for _ in range(steps):
            loss = F.cross_entropy(model(x), labels, reduction="sum")
            (x.grad,) = torch.autograd.grad(loss, x)
            optimizer.step()

    return run


def full_loop(kind: type[nn.Module], steps: int, clouds: Tensor, labels: Tensor) -> Step:
    """The same steps asked of ``optimize``, its start and its result included."""
    model = frozen(kind, clouds.shape[1])
    return lambda: optimize(
        model,
        CrossEntropy(),
        Direct(),
        target=labels,
        steps=steps,
        stepper=Stepper(rate=RATE),
        recorders=[Trace()],
        theta={"x": clouds},
    )


def dgcnn(clouds: Tensor, labels: Tensor) -> Step:
    """The library's DGCNN: the maximum is taken of one matrix a point."""
    return gradient(frozen(DGCNN, clouds.shape[1]), clouds, labels)


def textbook_dgcnn(clouds: Tensor, labels: Tensor) -> Step:
    """DGCNN with a matrix an edge, frozen, freed memory kept."""
    keep_freed_memory()
    model = network(TextbookDGCNN, DGCNN).requires_grad_(False)
    return gradient(lambda x: model(x.transpose(1, 2).contiguous()), clouds, labels)


SIDES: dict[str, Callable[[Tensor, Tensor], Step]] = {
    "library": library,
    "library, default allocator": library_default_allocator,
    "textbook": textbook,
    "textbook, frozen": textbook_frozen,
    "textbook, allocator": textbook_allocator,
    "textbook, frozen, allocator": textbook_frozen_allocator,
    "3 steps of PointNet++, bare": lambda x, y: bare_loop(PointNet2SSG, 3, x, y),
    "3 steps of PointNet++, loop": lambda x, y: full_loop(PointNet2SSG, 3, x, y),
    "3 steps of PointNet, bare": lambda x, y: bare_loop(PointNet, 3, x, y),
    "3 steps of PointNet, loop": lambda x, y: full_loop(PointNet, 3, x, y),
    "DGCNN": dgcnn,
    "DGCNN, an edge at a time": textbook_dgcnn,
    "farthest points": lambda x, _: lambda: ops.farthest_point_sample(x, x.shape[1] // 2),
    "farthest points, textbook": lambda x, _: lambda: farthest_point_sample(x, x.shape[1] // 2),
    "ball query": lambda x, _: lambda: ops.ball_query(x[:, : x.shape[1] // 2], x, 0.2, 32),
    "ball query, textbook": lambda x, _: lambda: ball_query(0.2, 32, x, x[:, : x.shape[1] // 2]),
}


def difference(clouds: np.ndarray) -> tuple[float, float]:
    """Of library and textbook: the largest difference of log-probabilities, the relative one of gradients."""
    labels = torch.arange(len(clouds)) % CLASSES
    ours, book = network(PointNet2SSG), network(TextbookPointNet2, PointNet2SSG)
    x = torch.from_numpy(clouds).clone().requires_grad_()
    ours_log, book_log = F.log_softmax(ours(x), -1), book(x.transpose(1, 2).contiguous())[0]
    ours_grad, book_grad = (
        torch.autograd.grad(F.nll_loss(logs, labels, reduction="sum"), x)[0] for logs in (ours_log, book_log)
    )
    outputs = (ours_log - book_log).abs().max().item()
    return outputs, ((ours_grad - book_grad).norm() / book_grad.norm()).item()


@dataclass(frozen=True)
class Cost:
    """Of one step: processor seconds (wall, with several threads) and the peak of memory above its start."""

    seconds: float
    mebibytes: float


def _memory(field: str) -> float:
    """``VmRSS``, what the process holds now, or ``VmHWM``, the most it ever held, in MiB; 0 where Linux is not.

    (``ru_maxrss`` would not do: a child starts with that of its parent.)
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def _serve(pipe: Connection, side: str, clouds: np.ndarray, threads: int) -> None:
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    steps: dict[tuple[int, int], Step] = {}
    while (size := pipe.recv()) is not None:
        if size not in steps:
            batch, points = size
            x = torch.from_numpy(clouds)[:batch, :points].contiguous()
            steps[size] = SIDES[side](x, torch.arange(batch) % CLASSES)
        before, start = _memory("VmRSS"), clock()
        steps[size]()
        pipe.send(Cost(clock() - start, _memory("VmHWM") - before))


def run_alternately(
    tasks: list[tuple[str, int, int]], clouds: np.ndarray, rounds: int, threads: int
) -> list[list[Cost]]:
    """Costs of tasks (side, batch, points), a list of ``1 + rounds`` each; the first is a cold start."""
    context = multiprocessing.get_context("spawn")
    workers = {}
    for side in dict.fromkeys(side for side, _, _ in tasks):
        here, there = context.Pipe()
        workers[side] = here, context.Process(target=_serve, args=(there, side, clouds, threads), daemon=True)
        workers[side][1].start()
        there.close()
    costs: list[list[Cost]] = [[] for _ in tasks]
    try:
        for _ in range(1 + rounds):
            for task, (side, batch, points) in enumerate(tasks):
                workers[side][0].send((batch, points))
                costs[task].append(workers[side][0].recv())
        for pipe, process in workers.values():
            pipe.send(None)
            process.join()
    finally:
        for _, process in workers.values():
            process.terminate()
    return costs


def ratios(above: list[Cost], below: list[Cost]) -> tuple[float, float, float]:
    """Median, smallest and largest ratio of two alternated sides, round by round, without the cold start."""
    values = [a.seconds / b.seconds for a, b in zip(above[1:], below[1:], strict=True)]
    return median(values), min(values), max(values)


def typical(costs: list[Cost]) -> float:
    """Median seconds without the cold start."""
    return median(cost.seconds for cost in costs[1:])
