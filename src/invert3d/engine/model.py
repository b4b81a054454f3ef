"""``Frozen``: somebody's model, in eval mode with its weights frozen, left exactly as it was afterwards."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor, nn

from invert3d.engine.hooks import Taps, nearest_modules
from invert3d.engine.memory import keep_freed_memory
from invert3d.engine.packed import run
from invert3d.engine.space import Space
from invert3d.engine.tree import leaves, mapped
from invert3d.ops.norms import contiguous_gradients

OutputKind = Literal["auto", "logits", "log_probabilities", "probabilities", "raw"]


def computes_bf16(device: torch.device) -> bool:
    """Whether a device computes in half precision (bfloat16) itself. Where it does not, that is ten times slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "get_capabilities", dict)()  # newer than the oldest torch that is supported
    return device.type != "cpu" or any(there for name, there in known.items() if name.endswith("bf16"))


class Frozen:
    """A model and the space of its inputs, as a context that undoes itself, also after an exception.

    Leaving the context restores every module's mode and every parameter's flag, and removes every hook. Contexts nest.

    Args:
        output: what the model returns. Log-probabilities and probabilities are undone to logits (up to a constant a
            sample, chosen so that they have mean zero); ``auto`` looks at the values. ``raw`` outputs are handed on as
            they are: a tensor (B, ...) or a dictionary of them, as detectors return.
        key: which output of a tuple (an index) or a dict (a name); by default the first (B, K) tensor.
        bf16: run the model in half precision (autocast); outputs and tapped features are given in that of x. Check
            what comes out in full precision.
    """

    def __init__(
        self,
        model: nn.Module,
        space: Space,
        *,
        output: OutputKind = "auto",
        key: str | int | None = None,
        bf16: bool = False,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"expected an nn.Module, got {type(model).__name__}")
        self.model, self.space, self.key, self.bf16 = model, space, key, bf16
        self.output: OutputKind = output
        self._depth = 0
        self._modes: list[tuple[nn.Module, bool]] = []
        self._flags: list[tuple[Tensor, bool]] = []
        self._taps = Taps(model)
        self._guard = ExitStack()

    def on(self, space: Space, model: nn.Module | None = None) -> "Frozen":
        """The same model on another space, or another model read the same way."""
        return Frozen(model or self.model, space, output=self.output, key=self.key, bf16=self.bf16)

    def __enter__(self) -> "Frozen":
        if self._depth == 0:
            keep_freed_memory()
            self._modes = [(module, module.training) for module in self.model.modules()]
            self._flags = [(parameter, parameter.requires_grad) for parameter in self.model.parameters()]
            self.model.eval()
            self._guard.enter_context(contiguous_gradients(self.model))
            for parameter, _ in self._flags:
                parameter.requires_grad_(False)
        self._depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._taps.remove()
            self._guard.close()
            for module, mode in self._modes:
                module.training = mode
            for parameter, flag in self._flags:
                parameter.requires_grad_(flag)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its first floating weight."""
        return next((p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32)

    def tap(self, names: Sequence[str]) -> None:
        """Record the outputs of these modules. Raises ValueError with the nearest names for one that is not there."""
        self._taps.set(names)

    def raw(self, x: Tensor) -> Any:
        """What the model returns for x (B, *space.shape), unread.

        The model gets a copy, so one that writes into its input harms nobody.
        """
        return run(self.model, self.space.encode(x.clone()))

    def outputs(self, x: Tensor) -> tuple[Any, dict[str, Any]]:
        """The model on x (B, *space.shape): its logits (B, K) or raw outputs, and what the tapped modules returned.

        Raises ValueError for a tapped module that the model never calls.
        """
        self._taps.values.clear()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            raw = self.raw(x)
        outputs, features = self.read(raw), self._taps.taken()
        if not self.bf16:
            return outputs, features

        def full(value: Tensor) -> Tensor:
            return value.to(x.dtype) if value.is_floating_point() else value

        return mapped(full, outputs), mapped(full, features)

    def __call__(self, x: Tensor) -> Any:
        """Logits (B, K) of x (B, *space.shape), or raw outputs."""
        with self:
            return self.outputs(x.to(self.device, self.dtype))[0]

    def read(self, raw: Any) -> Any:
        """The logits (B, K) in what the model returned, or its raw outputs. Raises ValueError if there are none."""
        if self.output == "raw":
            if not leaves(raw if isinstance(raw, (Tensor, dict)) else None):
                raise ValueError(f"raw outputs must be a tensor or a dictionary of them, not {type(raw).__name__}")
            return raw
        outputs = pick_output(raw, self.key)
        kind = kind_of(outputs) if self.output == "auto" else self.output
        if kind == "logits":
            return outputs
        logs = outputs.clamp_min(1e-12).log() if kind == "probabilities" else outputs
        return logs - logs.mean(-1, keepdim=True)

    @property
    def module_names(self) -> list[str]:
        """Names of all modules that can be tapped."""
        return [name for name, _ in self.model.named_modules() if name]

    def nearest(self, name: str) -> list[str]:
        """The module names most like this one."""
        return nearest_modules(self.model, name)


def pick_output(raw: Any, key: str | int | None = None) -> Tensor:
    """The class scores (B, K) in a tensor, tuple, list or dict of outputs. Raises ValueError if there are none."""
    if isinstance(raw, Tensor):
        candidates = [raw]
    elif isinstance(raw, dict):
        if key is not None and key not in raw:
            raise ValueError(f"the model returns {list(raw)}, no {key!r}")
        candidates = [raw[key]] if key is not None else [raw[k] for k in ("logits", "out", "pred") if k in raw]
        candidates = candidates or list(raw.values())
    elif isinstance(raw, (tuple, list)):
        if key is not None and str(key) not in map(str, range(len(raw))):
            raise ValueError(f"the model returns {len(raw)} outputs, no {key!r}")
        candidates = [raw[int(key)]] if key is not None else list(raw)
    else:
        candidates = [getattr(raw, "logits", None)]
    for value in candidates:
        if isinstance(value, Tensor) and value.dim() == 2 and value.shape[1] and value.is_floating_point():
            return value
    found = [f"{tuple(each.shape)} of {each.dtype}" for each in candidates if isinstance(each, Tensor)]
    given = ", ".join(found) or "no tensor"
    raise ValueError(
        f"no (B, K) tensor of class scores in the model's output of type {type(raw).__name__}: it has {given} "
        "(output='raw' hands on what is not a classifier's)"
    )


def kind_of(outputs: Tensor) -> Literal["logits", "log_probabilities", "probabilities"]:
    """What class scores (B, K) are, by their values: rows that are, or exponentiate to, probabilities."""
    values = outputs.detach()
    if values.dim() != 2 or values.shape[1] < 2 or not len(values):
        return "logits"
    one = torch.ones((), dtype=values.dtype, device=values.device)
    if (values <= 1e-6).all() and torch.allclose(values.exp().sum(-1), one, atol=1e-3):
        return "log_probabilities"
    if (values >= 0).all() and torch.allclose(values.sum(-1), one, atol=1e-3):
        return "probabilities"
    return "logits"
