"""The loop. Everything that optimizes an input is an argument list to it.

An inversion is this loop with Adam; an attack is this loop with a sign stepper and a ball; a Langevin chain is this
loop with a Langevin stepper; layout inversion is this loop with an ``update`` that rebuilds pseudo-targets.
"""

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from invert3d.engine.checks import check_gradient, check_inputs, check_loss, check_outputs
from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.projection import Projection
from invert3d.engine.recorder import Recorder
from invert3d.engine.result import Checkpoint, Result
from invert3d.engine.space import Space
from invert3d.engine.state import State
from invert3d.engine.stepper import AnyStepper, Langevin, Stepper, fresh, keep_rows, learned
from invert3d.engine.transform import Transform, chained
from invert3d.engine.tree import Tree, copied, detached, moved, rows_of, size_of


def optimize(
    model: Frozen,
    objective: Objective,
    parameterization: Parameterization,
    *,
    target: Tree | None,
    steps: int,
    stepper: AnyStepper = Stepper(),
    transforms: Sequence[Transform] = (),
    projections: Sequence[Projection] = (),
    recorders: Sequence[Recorder] = (),
    batch: int | None = None,
    seed: int = 0,
    samples: Sequence[int | str] | None = None,
    theta: dict[str, Tensor] | None = None,
    start: Tensor | None = None,
    checkpoint: Checkpoint | None = None,
    keep_outputs: bool | None = None,
) -> Result:
    """Optimize theta until the model says what the objective asks, or the steps are over.

    Args:
        target: what is asked of each sample: a tensor (B, ...) or a dictionary of them, or None for a ``batch`` of B.
        steps: how many; 0 returns the start.
        transforms: random views of x before the model.
        projections: applied to x after each step.
        recorders: see every state; a recorder that stops samples makes the batch smaller.
        seed: fixes every draw. ``samples`` are numbers or names in the whole run (default 0, 1, ...):
            sample i of seed s draws the same numbers in any batch.
        theta: start from here instead of from ``parameterization.initialize``.
        start: what priors and projections measure changes from (B, *space.shape); by default the x of the first step.
        checkpoint: go on from an interrupted result's ``checkpoint``.
        keep_outputs: whether the result holds the model's last outputs. By default only class scores (B, K) are kept:
            the maps of a detector are large.

    Ctrl-C returns what there is, ``interrupted``, with the checkpoint to go on from.

    Raises:
        ValueError: for steps below 0, neither a target nor a batch size, a term that takes another kind of input or
            model, and outputs at the first step that have NaN, no such class as is asked for, or no gradient in the
            input.
        TypeError: for projections of an x that is not itself optimized.
    """
    count = _count(target, batch, steps)
    check_inputs(model.space, objective, projections, transforms)
    objective.check(model.model)
    clock = time.perf_counter()
    with model:
        if checkpoint is None:
            draws = Draws.seeded(seed, samples if samples is not None else range(count))
            rows, found = torch.arange(count), {}
            state = State(step=0, steps=steps, rows=rows, theta=theta or {}, draws=draws, target=target)
            _begin(model, parameterization, projections, state, start)
        else:
            state, found = checkpoint.state(target, steps, model.device), checkpoint.found(model.device)
        result = Result(target=target, steps=torch.full((count,), steps), keep_outputs=keep_outputs, **found)
        optimizer = _optimizer(stepper, state, checkpoint)
        interrupted, before = False, (state.draws.copy(), copied(state.memory))
        model.tap(objective.taps)
        needs_gradient = any(each.needs_gradient for each in (*projections, *recorders))
        state.model = model.model
        state.layers = {name: model.model.get_submodule(name) for name in objective.taps}
        try:
            for step in range(state.taken, steps):
                state.step = step
                before = state.draws.copy(), copied(state.memory)
                state.x = parameterization(state.theta, model.space, state.draws)
                if not len(state.start):
                    state.start = state.x.detach().clone()
                state.view, state.view_target = chained(transforms, state.x, state.target, state.draws)
                state.outputs, state.features = model.outputs(state.view)
                _score(model, objective, state)
                _step(optimizer, stepper, state, needs_gradient)
                if step == 0:
                    check_gradient(model, state)
                _project(projections, parameterization, model.space, state)
                for recorder in recorders:
                    recorder.record(state)
                if _retire(state, recorders, optimizer, result):
                    break
                if state.taken < steps and any(recorder.interrupts() for recorder in recorders):
                    interrupted = True
                    break
        except KeyboardInterrupt:
            interrupted = True
            if state.taken == state.step:  # in the middle of a step: as if it had not begun
                state.draws, state.memory = before
        result.finish(state, parameterization, model.space, optimizer, interrupted, time.perf_counter() - clock)
    for recorder in recorders:
        recorder.close(result)
    if (left := result.checkpoint) is not None:  # the result of the rest goes on with what was recorded until now
        left.trace, left.snapshots, left.snapshot_steps = dict(result.trace), result.snapshots, result.snapshot_steps
    return result


def _count(target: Tree | None, batch: int | None, steps: int) -> int:
    """The number of samples. Raises ValueError if that is not known, or for steps below 0."""
    if steps < 0:
        raise ValueError(f"steps must be 0 or more, not {steps}")
    count = batch if target is None else size_of(target, "targets")
    if count is None:
        raise ValueError("give a target (B, ...) or a batch size")
    return count


def _begin(
    model: Frozen,
    parameterization: Parameterization,
    projections: Sequence[Projection],
    state: State,
    start: Tensor | None,
) -> None:
    if projections and type(parameterization).assign is Parameterization.assign:
        parameterization.assign({}, torch.empty(0))  # says that it cannot
    count = len(state.rows)
    if not state.theta:
        like = torch.empty(count, 0, dtype=model.dtype, device=model.device)
        state.theta = parameterization.initialize(like, model.space, state.draws)
    state.theta = state.theta | moved(parameterization.constants(state.target), model.device)
    if start is not None:
        if start.shape != (count, *model.space.shape):
            raise ValueError(f"the start must be {(count, *model.space.shape)}, not {tuple(start.shape)}")
        state.start = start.detach().to(model.device, model.dtype)


def _optimizer(stepper: AnyStepper, state: State, checkpoint: Checkpoint | None) -> torch.optim.Optimizer:
    state.theta = {name: fresh(value) for name, value in state.theta.items()}
    optimizer = stepper(learned(state.theta))
    if checkpoint is not None:
        optimizer.load_state_dict(copy.deepcopy(checkpoint.optimizer))  # it would be written into
    return optimizer


def _score(model: Frozen, objective: Objective, state: State) -> None:
    if state.step == 0:
        check_outputs(model, state)
    with torch.no_grad():
        objective.update(state)
    state.loss = objective(state)
    if state.step == 0:
        check_loss(state)


def _step(optimizer: torch.optim.Optimizer, stepper: AnyStepper, state: State, needs_gradient: bool) -> None:
    values = learned(state.theta)
    wanted = [*values, state.x] if needs_gradient else values
    gradients = torch.autograd.grad(state.loss.sum(), wanted, allow_unused=True)
    for value, gradient in zip(values, gradients, strict=False):
        value.grad = gradient
    if needs_gradient:
        state.gradient = torch.zeros_like(state.x) if gradients[-1] is None else gradients[-1].clone()
    if isinstance(stepper, Stepper):
        optimizer.param_groups[0]["lr"] = stepper.rate_at(state.progress)
    if isinstance(optimizer, Langevin):
        optimizer.draws = state.draws
    seen_as_is = state.view is state.x
    state.x = state.x.detach().clone()  # what was scored; theta, which it may share memory with, moves on
    state.view = state.x if seen_as_is else state.view.detach()
    state.loss, state.outputs, state.features = detached(state.loss), detached(state.outputs), detached(state.features)
    optimizer.step()
    state.taken = state.step + 1


@torch.no_grad()
def _project(projections: Sequence[Projection], parameterization: Parameterization, space: Space, state: State) -> None:
    if not projections:
        return
    scored = state.x
    whole = state.theta.get("x")
    state.x = parameterization(state.theta, space, state.draws.copy()) if whole is None else whole.detach()
    for projection in projections:
        state.x = projection(state)
    parameterization.assign(state.theta, state.x)
    state.x = scored


def _retire(state: State, recorders: Sequence[Recorder], optimizer: torch.optim.Optimizer, result: Result) -> bool:
    """Hand the samples that some recorder calls done to the result. Returns whether none is left."""
    said = [done.cpu() for recorder in recorders if (done := recorder.finished(state)) is not None]
    if not said or not (done := torch.stack(said).any(0)).any():
        return False
    result.retire(state, done)
    rows = (~done).nonzero()[:, 0]
    if len(rows):
        state.theta = keep_rows(optimizer, state.theta, rows.to(state.loss.device))
        state.draws = state.draws.select(rows.tolist())
        for name in ("rows", "memory", "target", "start", "x", "loss", "outputs"):
            setattr(state, name, rows_of(getattr(state, name), rows))
    return not len(rows)
