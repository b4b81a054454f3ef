"""Where a gradient flows: every call of a module is watched, and the place where none passes is named."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.tree import leaves


@dataclass
class Call:
    """One call of a module. ``leaf``: it called no other. ``gradient_*``: None where none arrived at all."""

    module: str
    type: str
    leaf: bool = True
    graph_in: bool = False
    graph_out: bool = False
    numbers_out: bool = False  # it returned floating tensors, not indices only
    gradient_in: bool | None = None
    gradient_out: bool | None = None

    def __str__(self) -> str:
        return f"{self.module!r} ({self.type})"

    @property
    def blocks(self) -> bool:
        """A graph entered and none left, or a gradient entered backwards and only zeros left."""
        cut = self.graph_in and self.numbers_out and not self.graph_out
        return cut or bool(self.graph_in and self.gradient_out and not self.gradient_in)


@dataclass(frozen=True, kw_only=True)
class GradientBlock:
    """Where the gradient ends: in a module, or between two of them in code that is not a module.

    ``before`` lies on the side of the input, ``after`` on the side of the output.
    """

    kind: Literal["cut", "zero"]  # nothing to differentiate leaves it forwards, or only zeros backwards
    before: str
    after: str
    module: str | None = None
    type: str | None = None

    def sentence(self) -> str:
        """What to tell the user."""
        cut = self.kind == "cut"
        if self.module is None:
            code = "detach, argmax, numpy" if cut else "rounding, sign, a dead rectifier"
            return f"It dies between {self.before} and {self.after}, in code that is not a module ({code}?)."
        why = "nothing differentiable leaves this module" if cut else "only zeros leave it backwards (rounding? dead?)"
        return f"It dies in {self.module!r} ({self.type}): {why}."


@contextmanager
def watched(model: nn.Module) -> Iterator[list[Call]]:
    """Watch the calls of all modules inside ``model``, in the order they begin, until the block ends."""
    calls: list[Call] = []
    running: list[Call] = []

    def begins(name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        call = Call(name, type(module).__name__)
        if running:
            running[-1].leaf = False
        running.append(call)
        calls.append(call)
        for value in leaves((args, kwargs)):
            if value.requires_grad:
                call.graph_in = True
                value.register_hook(partial(note, call, "gradient_in"))

    def ends(module: nn.Module, args: Any, output: Any) -> None:
        call = running.pop()
        for value in leaves(output):
            call.numbers_out |= value.is_floating_point()
            if value.requires_grad:
                call.graph_out = True
                value.register_hook(partial(note, call, "gradient_out"))

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if name:
                hooks.enter_context(module.register_forward_pre_hook(partial(begins, name), with_kwargs=True))
                hooks.enter_context(module.register_forward_hook(ends))
        yield calls


def note(call: Call, field: str, gradient: Tensor) -> None:
    """Note in a call whether some of a gradient is not zero."""
    setattr(call, field, bool(getattr(call, field)) or bool((gradient != 0).any()))


@torch.enable_grad()
def followed(model: Frozen, x: Tensor) -> tuple[list[Call], bool, Tensor]:
    """All module calls on x, whether the outputs have a graph, and the gradient of each sample's largest outputs."""
    leaf = x.detach().clone().requires_grad_()
    with watched(model.model) as calls:
        outputs = model.read(model.raw(leaf))
        found = [value.flatten(1).max(1).values.sum() for value in leaves(outputs) if value.requires_grad]
        if not found:
            return calls, False, torch.zeros_like(x)
        (gradient,) = torch.autograd.grad(torch.stack(found).sum(), leaf, allow_unused=True)
    return calls, True, torch.zeros_like(x) if gradient is None else gradient


def gradient_block(calls: list[Call], graph: bool) -> GradientBlock:
    """Where the gradient ended, given that none reached the input. ``graph``: the output has one."""
    calls = [call for call in calls if call.leaf]
    if graph:
        ended = next((call for call in calls if call.blocks and call.graph_out), None)
        unused = [i for i, call in enumerate(calls) if call.graph_out and call.gradient_out is None]
        last = max([i for i, call in enumerate(calls) if call.gradient_out is False] or unused, default=-1)
        after = next((str(call) for call in calls[last + 1 :] if call.gradient_in), "the output")
    else:
        last = max((i for i, call in enumerate(calls) if call.graph_in), default=-1)
        ended = calls[last] if last >= 0 and not calls[last].graph_out else None
        after = str(calls[last + 1]) if last + 1 < len(calls) else "the output"
    kind = "zero" if graph else "cut"
    if ended is not None:
        return GradientBlock(kind=kind, before=str(ended), after=str(ended), module=ended.module, type=ended.type)
    return GradientBlock(kind=kind, before=str(calls[last]) if last >= 0 else "the input", after=after)
