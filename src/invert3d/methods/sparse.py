"""Running a pruned network: each convolution dense, or as a sparse matrix, whichever is measured to be faster here.

A third way is dense on the input and a copy of it: for a single grid PyTorch takes a slow kernel on a CPU, for two not.

A convolution is a matrix product of its kernels (out, in * k^3) with the patches of its input (in * k^3, places). With
a few percent of the kernel there, a product in compressed rows does a few percent of the work, but the patches of a
kernel of 3 are 27 copies of the input, which costs more than it saves on large grids of many channels. Nobody knows
beforehand, so all are timed, layer by layer, on the input that the layer gets.
"""

import copy
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SparseConv3d(nn.Module):
    """A ``Conv3d`` whose kernels are a compressed-row matrix: (B, in, D, H, W) -> the same as the dense one.

    Without gradients, and without groups. Channels that no kernel reads are not gathered.
    """

    matrix: Tensor
    used: Tensor
    bias: Tensor | None

    def __init__(self, dense: nn.Conv3d) -> None:
        super().__init__()
        if dense.groups != 1 or dense.padding_mode != "zeros" or isinstance(dense.padding, str):
            raise ValueError("a sparse convolution takes no groups, and pads with a number of zeros")
        self.kernel, self.stride, self.dilation = dense.kernel_size, dense.stride, dense.dilation
        self.padding = dense.padding
        flat = dense.weight.detach().flatten(1)
        used = flat.any(0).nonzero()[:, 0]  # columns of the matrix, rows of the patches, that matter
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # compressed rows are called a beta feature
            matrix = flat[:, used].to_sparse_csr()
        self.register_buffer("matrix", matrix, persistent=False)
        self.register_buffer("used", used, persistent=False)
        self.register_buffer("bias", None if dense.bias is None else dense.bias.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = F.pad(x, [side for size in reversed(self.padding) for side in (size, size)])
        for axis, (size, stride, gap) in enumerate(zip(self.kernel, self.stride, self.dilation, strict=True), start=2):
            x = x.unfold(axis, (size - 1) * gap + 1, stride)
            x = x[..., ::gap]
        batch, channels, *places = x.shape[:5]
        patches = x.permute(1, 5, 6, 7, 0, 2, 3, 4).reshape(channels * x.shape[5:].numel(), -1)
        if len(self.used) < len(patches):
            patches = patches[self.used]
        out = (self.matrix @ patches).view(-1, batch, *places).transpose(0, 1)
        return out if self.bias is None else out + self.bias[:, None, None, None]


class Doubled(nn.Module):
    """A layer run on its input and a copy of it, of which the second result is thrown away."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.cat([x, x]))[: len(x)]


@dataclass(frozen=True)
class Choice:
    """What was measured of one layer: its name, the share of its weights that is there, and seconds by way."""

    name: str
    density: float
    seconds: dict[str, float]

    @property
    def faster(self) -> str:
        """``dense``, ``doubled`` or ``sparse``."""
        return min(self.seconds, key=self.seconds.__getitem__)


@torch.no_grad()
def sparsified(model: nn.Module, x: Tensor, repeats: int = 5) -> tuple[nn.Module, list[Choice]]:
    """A copy of a pruned model in which every 3-D convolution runs the way that is fastest on this machine.

    It is timed on an input x (B, 1, S, S, S), of the batch size that matters, so many times each way, of which the
    shortest counts. Returns the copy, in eval mode, and what was measured of each layer.

    Raises:
        ValueError: for fewer than one repeat.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, not {repeats}")
    fast = copy.deepcopy(model).eval()
    seen: dict[str, Tensor] = {}
    layers = {name: module for name, module in fast.named_modules() if isinstance(module, nn.Conv3d)}
    with ExitStack() as hooks:
        for name, module in layers.items():
            hooks.enter_context(module.register_forward_pre_hook(partial(_keep, seen, name)))
        fast(x)
    choices = []
    for name in [name for name in layers if name in seen]:
        layer = layers[name]
        ways: dict[str, nn.Module] = {"dense": layer, "doubled": Doubled(layer)}
        if layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
            ways["sparse"] = SparseConv3d(layer)
        seconds = {way: fastest(partial(each, seen[name]), repeats, x.device) for way, each in ways.items()}
        choices.append(Choice(name, float(layer.weight.count_nonzero()) / layer.weight.numel(), seconds))
        fast.set_submodule(name, ways[choices[-1].faster])
    return fast, choices


def _keep(seen: dict[str, Tensor], name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    seen[name] = inputs[0]


def fastest(run: Callable[[], object], repeats: int, device: torch.device) -> float:
    """The shortest of so many runs after one to warm up, in seconds: of the processor on a CPU, else of the clock."""
    clock, times = time.process_time if device.type == "cpu" else time.perf_counter, []
    for _ in range(repeats + 1):
        begun = clock()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - begun)
    return min(times[1:])
