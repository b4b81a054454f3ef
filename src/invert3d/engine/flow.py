"""Where a gradient flows: every call of a module is watched, and the place where none passes is named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn


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
    module: str | None
    type: str | None
    before: str
    after: str

    def sentence(self) -> str:
        """What to tell the user."""
        if self.module is None:
            code = "detach, argmax, numpy" if self.kind == "cut" else "rounding, sign, a dead rectifier"
            return f"It dies between {self.before} and {self.after}, in code that is not a module ({code}?)."
        if self.kind == "cut":
            return f"It dies in {self.module!r} ({self.type}): nothing differentiable leaves this module."
        return f"It dies in {self.module!r} ({self.type}): only zeros leave it backwards (rounding? dead?)."


@contextmanager
def watched(model: nn.Module) -> Iterator[list[Call]]:
    """Watch the calls of all modules inside ``model``, in the order they begin, until the block ends."""
    calls: list[Call] = []
    running: list[Call] = []

    def begins(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            call = Call(name, type(module).__name__)
            if running:
                running[-1].leaf = False
            running.append(call)
            calls.append(call)
            for value in tensors((args, kwargs)):
                if value.requires_grad:
                    call.graph_in = True
                    value.register_hook(noting(call, "gradient_in"))

        return hook

    def ends(module: nn.Module, args: Any, output: Any) -> None:
        call = running.pop()
        for value in tensors(output):
            call.numbers_out |= value.is_floating_point()
            if value.requires_grad:
                call.graph_out = True
                value.register_hook(noting(call, "gradient_out"))

    handles = []
    try:
        for name, module in model.named_modules():
            if name:
                handles.append(module.register_forward_pre_hook(begins(name), with_kwargs=True))
                handles.append(module.register_forward_hook(ends))
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def noting(call: Call, field: str) -> Callable[[Tensor], None]:
    """A tensor hook that notes in a call whether some of a gradient is not zero."""

    def note(gradient: Tensor) -> None:
        setattr(call, field, bool(getattr(call, field)) or bool((gradient != 0).any()))

    return note


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors(each)


def gradient_block(calls: list[Call], graph: bool) -> GradientBlock:
    """Where the gradient ended, given that none reached the input. ``graph``: the output has one."""
    leaves = [call for call in calls if call.leaf]
    return _no_gradient(leaves) if graph else _no_graph(leaves)


def _no_graph(calls: list[Call]) -> GradientBlock:
    last = max((i for i, call in enumerate(calls) if call.graph_in), default=-1)
    if last >= 0 and not calls[last].graph_out:
        return _inside("cut", calls[last])
    after = str(calls[last + 1]) if last + 1 < len(calls) else "the output"
    return _between("cut", str(calls[last]) if last >= 0 else "the input", after)


def _no_gradient(calls: list[Call]) -> GradientBlock:
    for call in calls:
        if call.blocks and call.graph_out:
            return _inside("zero", call)
    unused = [i for i, call in enumerate(calls) if call.graph_out and call.gradient_out is None]
    silent = [i for i, call in enumerate(calls) if call.gradient_out is False] or unused
    last = max(silent, default=-1)
    after = next((str(call) for call in calls[last + 1 :] if call.gradient_in), "the output")
    return _between("zero", str(calls[last]) if last >= 0 else "the input", after)


def _inside(kind: Literal["cut", "zero"], call: Call) -> GradientBlock:
    return GradientBlock(kind=kind, module=call.module, type=call.type, before=str(call), after=str(call))


def _between(kind: Literal["cut", "zero"], before: str, after: str) -> GradientBlock:
    return GradientBlock(kind=kind, module=None, type=None, before=before, after=after)
