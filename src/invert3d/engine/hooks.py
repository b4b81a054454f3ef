"""Forward hooks that are always taken off again."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from torch import nn


class Taps:
    """Outputs of named modules, recorded as the model runs."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.values: dict[str, Any] = {}
        self.names: tuple[str, ...] = ()
        self._handles: list[Any] = []

    def set(self, names: Sequence[str]) -> None:
        """Watch these modules instead of the ones before. Raises ValueError naming the nearest for an unknown one."""
        if tuple(names) == self.names:
            return
        self.remove()
        modules = dict(self.model.named_modules())
        for name in names:
            if name not in modules:
                near = nearest_modules(self.model, name)
                raise ValueError(f"the model has no module {name!r}; nearest: {', '.join(near)}")
        for name in names:
            self._handles.append(modules[name].register_forward_hook(partial(self._keep, name)))
        self.names = tuple(names)

    def _keep(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        self.values[name] = output

    def taken(self) -> dict[str, Any]:
        """What the watched modules returned in the last pass. Raises ValueError if one was not called."""
        silent = [name for name in self.names if name not in self.values]
        if silent:
            raise ValueError(
                f"the model never calls its module {silent[0]!r} (it uses the weights in it another way), so there "
                "is no output to look at: choose the module around it"
            )
        return dict(self.values)

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles, self.names = [], ()
        self.values.clear()


def nearest_modules(model: nn.Module, name: str) -> list[str]:
    """Up to five module names most like this one, or the first few if none is."""
    names = [each for each, _ in model.named_modules() if each]
    return get_close_matches(name, names, n=5, cutoff=0.3) or names[:5]
