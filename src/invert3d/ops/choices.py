"""What a network chooses, such as neighbors or an order: recorded at one input and replayed on others.

A network jumps where a choice changes. With the choices of x held it is one function without jumps, which is the
network at x::

    with recorded(model, len(x)) as choices:
        model(x)
    with replayed(model, choices):
        model(x + step)          # the same neighbors as at x

Choices are the integers that come out of torch's functions of ``CHOOSING``, whoever calls them inside the model:
indices of ``topk``, ``sort`` or ``argmax``, farthest points, groups of a ball query, random starts. Values of ``max``
and ``min`` stay live: they have no jumps.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function

#: torch functions and methods that choose
CHOOSING = {"topk", "sort", "argsort", "argmax", "argmin", "max", "min", "kthvalue", "median", "mode", "unique"}
CHOOSING |= {"searchsorted", "bucketize", "randint"}
#: those of them whose values are what the indices point at, by where their argument ``dim`` stands
ORDERED = {"topk": 2, "sort": 1}
#: our own: their work is not done again where they are replayed
WHOLE = set[Callable[..., Any]]()


@dataclass
class Choices:
    """The integers that a forward pass of ``batch`` samples chose, in the order it chose them."""

    batch: int
    taken: list[Tensor] = field(default_factory=list)

    def of(self, rows: Sequence[int]) -> "Choices":
        """Those of some of the samples, each as often as it is named."""
        places = list(rows)
        return Choices(len(places), [_rows(each, self.batch, places) for each in self.taken])


def _rows(choice: Tensor, batch: int, rows: list[int]) -> Tensor:
    """The rows of samples in a choice; samples may be flattened into its first axis with what they choose for."""
    if not choice.dim() or len(choice) % batch:
        return choice  # made for all samples together
    return choice.unflatten(0, (batch, -1))[rows].flatten(0, 1)


@contextmanager
def recorded(module: nn.Module, batch: int) -> Iterator[Choices]:
    """Record every choice that the module makes, called once inside the ``with`` block, for ``batch`` samples."""
    choices = Choices(batch)
    with _inside(module, lambda: _Mode(choices, replaying=False)):
        yield choices


@contextmanager
def replayed(module: nn.Module, choices: Choices) -> Iterator[None]:
    """Give the module the recorded choices, from the first at each call, instead of those it makes.

    Raises ValueError where it asks for more of them, or for others.
    """
    with _inside(module, lambda: _Mode(choices, replaying=True)):
        yield


@contextmanager
def _inside(module: nn.Module, make: Callable[[], "_Mode"]) -> Iterator[None]:
    """See every torch function that is called in the module's forward."""
    modes: list[_Mode] = []

    def enter(*_: Any) -> None:
        modes.append(make())
        modes[-1].__enter__()

    def leave(*_: Any) -> None:
        modes.pop().__exit__(None, None, None)

    hooks = (module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        while modes:  # Ctrl-C inside the forward: no hook is called
            leave()


def choosing(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of ours that returns indices: one choice, whatever it calls inside."""

    @wraps(function)
    def choose(*args: Any, **kwargs: Any) -> Tensor:
        if has_torch_function((*args, *kwargs.values())):  # also where a mode is active
            return handle_torch_function(function, (*args, *kwargs.values()), *args, **kwargs)
        return function(*args, **kwargs)

    WHOLE.add(function)
    return choose


class _Mode(TorchFunctionMode):
    """Sees every call of a torch function inside it."""

    def __init__(self, choices: Choices, *, replaying: bool) -> None:
        super().__init__()
        self.choices, self.replaying, self.position = choices, replaying, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in WHOLE:
            return self.next() if self.replaying else self.keep(func(*args, **kwargs))
        name, first = getattr(func, "__name__", ""), args[0] if args else kwargs.get("input")
        found = func(*args, **kwargs)
        if name not in CHOOSING or _follows(name, first):
            return found
        several = found if isinstance(found, tuple) else (found,)
        parts = [self.take(each) if _is_choice(each) else each for each in several]
        if self.replaying and name in ORDERED and len(parts) == 2 and not _is_choice(parts[0]):
            place = ORDERED[name]
            parts[0] = first.gather(kwargs.get("dim", args[place] if len(args) > place else -1), parts[1])
        return type(found)(parts) if isinstance(found, tuple) else parts[0]

    def take(self, found: Tensor) -> Tensor:
        """The choice that was recorded, where choices are replayed; else this one."""
        if not self.replaying:
            return self.keep(found)
        choice = self.next()
        if choice.shape != found.shape:
            raise ValueError(
                f"the model chooses {tuple(found.shape)} where {tuple(choice.shape)} was recorded: its choices depend "
                "on more than the input; groupings='live' holds none"
            )
        return choice

    def keep(self, found: Tensor) -> Tensor:
        """Record a choice."""
        self.choices.taken.append(found.detach().clone())  # the model may write into its own
        return found

    def next(self) -> Tensor:
        """The next choice that was recorded."""
        if self.position >= len(self.choices.taken):
            raise ValueError(f"the model makes more than the {len(self.choices.taken)} choices that were recorded")
        self.position += 1
        return self.choices.taken[self.position - 1].clone()


def _follows(name: str, first: Any) -> bool:
    """Whether the integers follow from others, which are held: all that come from integers, but for those that a mask
    may have been written into, as the public ball query does before it sorts them."""
    return isinstance(first, Tensor) and _is_choice(first) and (name not in ORDERED or first.dim() < 2)


def _is_choice(part: Any) -> bool:
    return isinstance(part, Tensor) and not (part.is_floating_point() or part.is_complex() or part.dtype == torch.bool)
