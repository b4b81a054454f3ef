"""The maximum over groups against all members written out: values, first and second derivatives, edges."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import linear

from invert3d.models.grouping import group_maximum

POINTS, GROUPS, MEMBERS = 30, 12, 7

Network = Callable[..., Tensor]


@pytest.fixture
def arguments() -> list[Tensor]:
    """Points, centers, and the weights and biases of two layers, all with a derivative."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(POINTS, 5), (GROUPS, 5), (6, 5), (6,), (9, 6), (9,)]
    return [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]


@pytest.fixture
def members() -> Tensor:
    """Groups of 1 to 7 different points, padded at the end with their first."""
    generator = torch.Generator().manual_seed(1)
    groups = torch.stack([torch.randperm(POINTS, generator=generator)[:MEMBERS] for _ in range(GROUPS)])
    for group, found in enumerate(torch.arange(GROUPS) % MEMBERS + 1):
        groups[group, found:] = groups[group, 0]
    return groups


def fast(members: Tensor) -> Network:
    return lambda p, c, w0, b0, w1, b1: group_maximum(p, c, members, [(w0, b0), (w1, b1)])


def plain(members: Tensor) -> Network:
    def pooled(p: Tensor, c: Tensor, w0: Tensor, b0: Tensor, w1: Tensor, b1: Tensor) -> Tensor:
        x = linear((p[members] - c[:, None]).relu(), w0, b0)
        return linear(x.relu(), w1, b1).relu().amax(1)

    return pooled


def test_values_and_all_derivatives_are_those_of_all_members(arguments: list[Tensor], members: Tensor) -> None:
    values = [network(members)(*arguments) for network in (fast, plain)]
    torch.testing.assert_close(*values)
    weights = torch.linspace(-1, 1, values[0].numel(), dtype=torch.float64).view_as(values[0])
    ours, theirs = (torch.autograd.grad((value * weights).sum(), arguments) for value in values)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_derivatives_are_those_of_finite_differences(arguments: list[Tensor], members: Tensor) -> None:
    assert gradcheck(fast(members), arguments)
    assert gradgradcheck(fast(members), arguments)


def test_without_gradients_the_values_are_the_same(arguments: list[Tensor], members: Tensor) -> None:
    with torch.no_grad():
        without = fast(members)(*arguments)
    assert torch.equal(without, fast(members)(*arguments).detach())


def test_where_no_channel_is_positive_values_and_derivatives_are_zero(arguments: list[Tensor], members: Tensor) -> None:
    dead = [*arguments[:-1], arguments[-1] - 1000]
    values = fast(members)(*dead)
    assert not values.any()
    assert not torch.autograd.grad(values.sum(), arguments[0])[0].any()


def test_groups_of_one_member_and_layers_without_a_bias(arguments: list[Tensor]) -> None:
    p, c, w0, _, w1, _ = arguments
    alone = torch.arange(GROUPS)[:, None].repeat(1, 4)
    expected = linear(linear((p[:GROUPS] - c).relu(), w0).relu(), w1).relu()
    torch.testing.assert_close(group_maximum(p, c, alone, [(w0, None), (w1, None)]), expected)
