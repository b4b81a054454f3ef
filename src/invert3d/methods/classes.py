"""Class inversion: what does this network think an airplane is?

As published (*Inverting 3D Deep Learning Architectures*, section 3.2) it is one stage of free points under plain
gradient descent. Ours draws the points from a few solids or a sheet, begins with the likeliest of many random ones,
and lets a judge keep the good starts. Both are recipes (``recipes/classes``).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.recorder import Recorder
from invert3d.engine.result import Result
from invert3d.engine.transform import chained
from invert3d.methods.judge import Judge
from invert3d.methods.stages import Recipe, Unfinished, run_stages


def invert(
    model: Frozen,
    target: Tensor,
    recipe: Recipe,
    *,
    samples: Sequence[str] | None = None,
    seed: int = 0,
    judge: Judge | None = None,
    recorders: Sequence[Recorder] = (),
    snapshots: int = 12,
    resume: Unfinished | None = None,
    searching: Callable[[float], None] = lambda share: None,
) -> tuple[Result, Unfinished | None]:
    """Invert classes: one shape for each entry of ``target`` (A,), the class asked for. All else as ``run_stages``.

    ``searching`` is told how much of the search among candidates is done, 0 to 1; what it raises ends the search.

    ``samples`` are names of the shapes, ``airplane-0`` for the first try of a class (default ``0-0``, ``1-0``: the
    class and how often it was asked for before). Shapes of the same try choose from the same candidates.
    """
    classes = target.tolist()
    names = list(samples or (f"{each}-{classes[:i].count(each)}" for i, each in enumerate(classes)))
    search = bool(recipe.candidates) and resume is None
    theta = likeliest(recipe, model, target, names, seed, searching) if search else None
    return run_stages(
        model,
        target,
        recipe,
        samples=names,
        seed=seed,
        theta=theta,
        judge=judge if judge is not None and judge.networks else None,
        recorders=recorders,
        snapshots=snapshots,
        resume=resume,
    )


def pool_of(sample: str) -> str:
    """Which candidates a shape chooses from: its try, the last part of its name."""
    return sample.rpartition("-")[2]


@torch.no_grad()
def likeliest(
    recipe: Recipe,
    model: Frozen,
    target: Tensor,
    samples: list[str],
    seed: int,
    searching: Callable[[float], None] = lambda share: None,
) -> dict[str, Tensor]:
    """For each sample, the ``starts`` candidates of its pool that the network finds likeliest of its class (A,).

    All candidates are seen in one random view, the best of each class in two more, so that no lucky view decides.
    Returns a theta of A * starts rows, sample by sample.
    """
    drawn, count = recipe.drawn(0), recipe.candidates
    chosen: dict[int, list[dict[str, Tensor]]] = {}
    pools = list(dict.fromkeys(map(pool_of, samples)))
    for number, pool in enumerate(pools):
        like = torch.empty(count, 0, dtype=model.dtype, device=model.device)
        theta = drawn.initialize(like, model.space, Draws.seeded(seed, [pool], "candidates"))
        asked = [place for place, sample in enumerate(samples) if pool_of(sample) == pool]
        draws = Draws.seeded(seed, [pool], "candidates", "first look")
        likely = seen(recipe, model, theta, draws, lambda share, n=number: searching((n + share) / len(pools)))
        likely = likely[:, target[asked]]
        best = likely.topk(min(8 * recipe.starts, count), dim=0).indices
        some = best.flatten().unique()
        subset = {name: value[some] for name, value in theta.items()}
        draws = Draws.seeded(seed, [f"{pool}/{i}" for i in some.tolist()], "candidates", "second look")
        for _ in range(2):
            likely[some] += seen(recipe, model, subset, draws, lambda share: None)[:, target[asked]]
        for column, place in enumerate(asked):
            rows = best[likely[best[:, column], column].topk(recipe.starts).indices, column]
            chosen[place] = [{name: value[i] for name, value in theta.items()} for i in rows]
    flat = [start for place in range(len(samples)) for start in chosen[place]]
    return {name: torch.stack([start[name] for start in flat]) for name in flat[0]}


def seen(
    recipe: Recipe, model: Frozen, theta: dict[str, Tensor], draws: Draws, report: Callable[[float], None]
) -> Tensor:
    """Log-probabilities (B, K) of every class for the thetas (B, ...), each drawn once and seen in one random view."""
    x, _ = chained(recipe.views(0), recipe.drawn(0)(theta, model.space, draws), None, draws)
    found: list[Tensor] = []
    for part in x.split(64):
        found.append(model(part).log_softmax(-1))
        report(min(1.0, 64 * len(found) / len(x)))
    return torch.cat(found)
