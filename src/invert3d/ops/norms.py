"""Batch norms whose gradient can be trusted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def contiguous_gradients(model: nn.Module) -> Iterator[None]:
    """Every batch norm of a model that is called inside receives a contiguous gradient.

    On CPUs, torch 2.15 misreads the gradient of a batch of one whose channels come last in memory, and returns a wrong
    one without a warning (``BatchNorm2d``, ``BatchNorm3d``). Networks that flatten their maps to tokens send such
    gradients back. No values change.
    """

    handles = [each.register_forward_hook(_watch) for each in model.modules() if isinstance(each, _BatchNorm)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(module: nn.Module, inputs: Any, output: Tensor) -> None:
    if output.requires_grad and output.device.type == "cpu" and len(output) == 1:
        output.register_hook(_contiguous)


def _contiguous(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.contiguous()
