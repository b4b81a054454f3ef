"""Guided back-propagation and deconvolution, exact whatever way a rectifier was called.

The rules change what a rectifier y = f(x) hands back when it is given the derivative g:

    gradient          f'(x) g
    deconvolution     max(g, 0)              (Zeiler & Fergus 2014)
    guided            f'(x) max(g, 0)        (Springenberg et al. 2015)

For the rectified linear unit these are the rules of the papers (and of *3D Point Cloud Feature Explanations*, section
III); for smooth and leaky ones (ELU, SiLU, ...) they are this library's generalization of them.

They are applied to the nodes of the autograd graph, after the model ran as it is: module, function, method, in place,
one module used twice, a tensor with other readers make no difference, and the model is not touched. A forward hook
on modules, as elsewhere, misses functions and acts on tensors instead of operations.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.tree import Tree
from invert3d.registry import plain

Rule = Literal["guided", "deconvolution"]

#: names of autograd nodes, without ``Backward`` and a number at their end, of functions that rectify
RECTIFIERS = (
    *("Relu", "LeakyRelu", "PreluKernel", "Prelu", "RreluWithNoise", "Elu", "Celu", "Silu", "Gelu"),
    *("Softplus", "Mish", "Hardtanh", "Hardswish", "Threshold", "ClampMin"),
)


def rectifiers(outcome: Tensor) -> Iterator[Any]:
    """The nodes behind ``outcome`` that rectify, each once. A clamp counts if it cuts off at zero from below only."""
    seen, waiting = set(), [outcome.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting.extend(parent for parent, _ in node.next_functions)
        if node.name().rstrip("0123456789").removesuffix("Backward") in RECTIFIERS or clamps_at_zero(node):
            yield node


def clamps_at_zero(node: Any) -> bool:
    """Whether the node is ``clamp(min=0)``."""
    if not node.name().startswith("ClampBackward"):
        return False
    low, high = getattr(node, "_saved_min", None), getattr(node, "_saved_max", None)
    return low is not None and not isinstance(low, Tensor) and float(low) == 0 and high is None


def handed_back(rule: Rule, on_inputs: tuple[Any, ...], on_outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a node hands back under a rule, from what it would hand back and what it was given."""
    given, first = on_outputs[0], on_inputs[0]
    if given is None or first is None:
        return on_inputs
    changed = given.clamp_min(0) if rule == "deconvolution" else torch.where(given > 0, first, 0)
    return (changed, *on_inputs[1:])


@dataclass(frozen=True, kw_only=True)
class Rectified(Method):
    """The gradient with a rule on every rectifier. ``facts["rectifiers"]`` is how many were found, and all changed.

    Raises ValueError if the model has none: the result would be the plain gradient under another name.
    """

    local = True
    reduction = "norm"
    rule: Rule = "guided"

    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        found: list[str] = []

        def differentiate(outcome: Tensor, leaf: Tensor) -> Tensor:
            nodes = list(rectifiers(outcome))
            found.extend(node.name() for node in nodes)
            with ExitStack() as hooks:
                for node in nodes:
                    hooks.enter_context(node.register_hook(partial(handed_back, self.rule)))
                return torch.autograd.grad(outcome, leaf)[0]

        gradient, _ = input_gradient(model, -score, x, target, differentiate=differentiate)
        if not found:
            raise ValueError(
                f"{self.rule}: no rectifier was found between the input and the score, so the rule changes nothing; "
                f"known are {', '.join(RECTIFIERS)}: use the plain gradient"
            )
        return Attribution(gradient, {"evaluations": 1, "rectifiers": len(found), "kinds": sorted(set(found))})


@plain("attribution", "guided")
class Guided(Rectified):
    """Guided back-propagation."""

    rule: Rule = "guided"


@plain("attribution", "deconvolution")
class Deconvolution(Rectified):
    """Deconvolution."""

    rule: Rule = "deconvolution"
