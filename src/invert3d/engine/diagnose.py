"""What ``invert3d doctor`` says of a model: what it takes and returns, and where its gradient is blocked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.flow import GradientBlock, followed, gradient_block
from invert3d.engine.model import Frozen, kind_of, pick_output
from invert3d.engine.space import LAYOUTS, Points

#: two passes, or a sample alone and in its batch, may differ by this share of the largest class score
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found. Shares are of the batch that was given; differences are of class scores."""

    model: str
    layout: str | None  # what the model takes, of ``space.LAYOUTS``; None where the space is not Points
    layout_given: str | None  # what its space said
    structure: str  # tensor, tuple of 2, dict of logits and features, ...
    shape: tuple[int, ...]  # of the class scores
    kind: str  # logits, log_probabilities or probabilities
    finite: bool  # class scores without NaN or infinities
    buffers_written: tuple[str, ...]  # in eval mode
    deterministic: bool
    difference: float  # between two forward passes
    batch_independent: bool | None  # None where it cannot be told
    batch_difference: float | None  # between the first sample alone and in the batch; None for a batch of one
    gradient: bool  # some of it reaches the input
    gradient_finite: bool
    zero_values: float  # share of the input's values whose gradient is zero
    zero_points: float | None  # share of the points of clouds whose gradient is zero
    block: GradientBlock | None  # where, if no gradient reaches the input
    blocked: tuple[str, ...]  # modules that pass no gradient although it reaches the input by other ways

    def lines(self) -> list[str]:
        """Plain sentences, the good news among them."""
        return [*self._of_input(), *self._of_output(), *self._of_noise(), *self._of_gradient()]

    def _of_input(self) -> Iterator[str]:
        if self.layout is not None:
            wrong = "" if self.layout == self.layout_given else f", not {self.layout_given} as its space says"
            yield f"{self.model} takes clouds as {LAYOUTS[self.layout]}: layout {self.layout}{wrong}."
        if self.buffers_written:
            names = listed(self.buffers_written)
            yield f"In eval mode it changes its own buffers: {names}. Is a batch norm left training?"

    def _of_output(self) -> Iterator[str]:
        undone = "" if self.kind == "logits" else ", which are undone to logits"
        words = self.kind.replace("log_", "log-")
        yield f"It returns a {self.structure}; the class scores are {self.shape}, {words}{undone}."
        if not self.finite:
            yield "The class scores have NaN or infinite values."

    def _of_noise(self) -> Iterator[str]:
        if self.deterministic:
            yield f"Two forward passes agree: the largest difference is {self.difference:.2g}."
        else:
            yield (
                f"Two forward passes differ by {self.difference:.2g}: something random runs in eval mode, "
                "such as functional dropout or a random start of a sampling."
            )
        if self.batch_difference is None:
            yield "Batch independence was not looked at: that takes two samples or more."
        elif self.batch_independent is None:
            yield "Whether samples depend on their batch cannot be told while the outputs vary by themselves."
        elif self.batch_independent:
            yield f"A sample's scores do not depend on its batch: they differ by {self.batch_difference:.1g}."
        else:
            yield f"A sample's scores depend on its batch: alone they differ by {self.batch_difference:.2g}."

    def _of_gradient(self) -> Iterator[str]:
        if not self.gradient:
            yield "No gradient reaches the input."
            if self.block is not None:
                yield self.block.sentence()
            return
        points = "" if self.zero_points is None else f" and at {self.zero_points:.0%} of the points"
        yield f"The gradient reaches the input. It is zero at {self.zero_values:.0%} of the values{points}."
        if not self.gradient_finite:
            yield "The gradient has NaN or infinite values."
        if self.blocked:
            yield f"These modules pass none of it, but it arrives by other ways: {listed(self.blocked)}."


def diagnose(model: Frozen, x: Tensor) -> Diagnosis:
    """Look at a model on a legal batch x (B, *space.shape) of its space. Everything is undone afterwards.

    Where the space is ``Points`` and the model refuses its layout, the other layouts are tried. Raises
    ValueError if x is not legal, if the model refuses it, returns no class scores, or cannot be differentiated.
    """
    model.space.validate(x)
    x = x.detach().to(model.device, model.dtype)
    with model, _undone(model) as written:
        taken, raw = _accepted(model, x)
        scores = pick_output(raw, model.key)
        difference = _largest(scores, pick_output(taken.raw(x), model.key))
        apart = _apart(taken, x, scores) if len(x) > 1 else None
        buffers = written()
        try:
            calls, graph, gradient = followed(taken, x)
        except Exception as error:
            name = type(model.model).__name__
            raise ValueError(f"{name} cannot be differentiated: {_reason(error)}") from error
    limit = TOLERANCE * max(1e-6, float(scores.abs().nan_to_num(0, posinf=0).max()))
    zero = gradient == 0
    reaches = not bool(zero.all())
    on_points = isinstance(taken.space, Points)
    blocked = dict.fromkeys(call.module for call in calls if call.leaf and call.blocks) if reaches else ()
    return Diagnosis(
        model=type(model.model).__name__,
        layout=getattr(taken.space, "layout", None),
        layout_given=getattr(model.space, "layout", None),
        structure=structure(raw),
        shape=tuple(scores.shape),
        finite=bool(scores.isfinite().all()),
        kind=kind_of(scores) if model.output == "auto" else model.output,
        buffers_written=buffers,
        deterministic=difference <= limit,
        difference=difference,
        batch_independent=apart <= limit if apart is not None and difference <= limit else None,
        batch_difference=apart,
        gradient=reaches,
        gradient_finite=bool(gradient.isfinite().all()),
        zero_values=zero.double().mean().item(),
        zero_points=zero.all(-1).double().mean().item() if on_points else None,
        block=None if reaches else gradient_block(calls, graph),
        blocked=tuple(blocked),
    )


@contextmanager
def _undone(model: Frozen) -> Iterator[Any]:
    """Put buffers and torch's random state back at the end. Yields a function that names those changed."""
    kept = [
        (f"{prefix}.{name}".lstrip("."), module, name, buffer, buffer.clone())
        for prefix, module in model.model.named_modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]

    def written() -> tuple[str, ...]:
        values = ((full, getattr(module, name), old) for full, module, name, _, old in kept)
        return tuple(full for full, now, old in values if not torch.equal(now.nan_to_num(), old.nan_to_num()))

    gpus = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), torch.no_grad():
        try:
            yield written
        finally:
            for _, module, name, buffer, old in kept:
                setattr(module, name, buffer.copy_(old))


def _accepted(model: Frozen, x: Tensor) -> tuple[Frozen, Any]:
    """The model with the layout that it accepts, and what it returns."""
    try:
        return model, model.raw(x)
    except Exception as error:  # noqa: BLE001 - whatever a foreign model raises at a wrong shape
        first = error
    name = type(model.model).__name__
    if not isinstance(model.space, Points):
        raise ValueError(f"{name} refuses {tuple(x.shape)}: {_reason(first)}") from first
    given = model.space.layout
    reasons = [f"as {given} ({_reason(first)})"]
    for layout in (each for each in LAYOUTS if each != given):
        turned = model.on(replace(model.space, layout=layout))
        try:
            return turned, turned.raw(x)
        except Exception as error:  # noqa: BLE001
            reasons.append(f"as {layout} ({_reason(error)})")
    raise ValueError(f"{name} takes clouds neither {' nor '.join(reasons)}") from first


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:120]}"


def _apart(model: Frozen, x: Tensor, scores: Tensor) -> float:
    """How far the scores of the first sample are from those that it has alone; infinite where it cannot be alone."""
    try:
        alone = pick_output(model.raw(x[:1]), model.key)
    except Exception:  # noqa: BLE001 - a model may refuse a batch of one
        return float("inf")
    return _largest(scores[:1], alone) if alone.shape == scores[:1].shape else float("inf")


def _largest(a: Tensor, b: Tensor) -> float:
    """Largest absolute difference; infinite where one is finite and the other is not."""
    same = (a == b) | (a.isnan() & b.isnan())
    return torch.where(same, 0.0, (a - b).abs()).nan_to_num(torch.inf).max().item()


def structure(raw: Any) -> str:
    """What a model returned, in words."""
    if isinstance(raw, dict):
        return f"dict of {listed(list(map(str, raw)))}"
    if isinstance(raw, (tuple, list)):
        return f"{type(raw).__name__} of {len(raw)}"
    return "tensor" if isinstance(raw, Tensor) else type(raw).__name__


def listed(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
