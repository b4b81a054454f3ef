"""Choices of any network, recorded and replayed: the same function at x, and no jump beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invert3d.ops.choices import choosing, recorded, replayed


def neighbors(x: Tensor, k: int) -> Tensor:
    """As DGCNN's public code has it: (B, C, N) -> (B, N, k)."""
    inner = -2 * torch.matmul(x.transpose(2, 1), x)
    xx = torch.sum(x**2, dim=1, keepdim=True)
    return (-xx - inner - xx.transpose(2, 1)).topk(k=k, dim=-1)[1]


class Graph(nn.Module):
    """A graph network with flattened indices, a second choice among features, and a sort pool."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(32, 16)

    def edges(self, x: Tensor, layer: nn.Linear, k: int = 4) -> Tensor:
        b, n, c = x.shape
        flat = neighbors(x.transpose(1, 2), k) + torch.arange(b).view(-1, 1, 1) * n
        near = x.reshape(b * n, c)[flat.view(-1)].view(b, n, k, c)
        here = x[:, :, None].expand(-1, -1, k, -1)
        return layer(torch.cat([near - here, here], -1)).tanh().max(2)[0]

    def pooled(self, x: Tensor) -> Tensor:
        x = self.edges(self.edges(x, self.first), self.second)
        best = torch.sort(x.sum(-1), dim=1, descending=True)[1][:, :8]
        return x.gather(1, best[..., None].expand(-1, -1, x.shape[-1])).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(x).sum(1)


@pytest.fixture
def case() -> tuple[Graph, Tensor]:
    torch.manual_seed(0)
    return Graph().double(), torch.randn(3, 24, 3, dtype=torch.float64)


def test_at_x_a_replay_is_the_network_for_any_rows(case) -> None:
    model, x = case
    with recorded(model, 3) as choices:
        whole = model(x)
    assert torch.equal(whole, model(x)) and len(choices.taken) == 3 + 2  # two neighborhoods, sort, two maxima
    for rows in ([0, 1, 2], [2], [1, 1, 0, 2, 1]):
        with replayed(model, choices.of(rows)):
            assert torch.allclose(model(x[rows]), whole[rows], atol=1e-12)


def test_with_choices_held_the_function_has_no_jumps(case) -> None:
    """Along a path the fundamental theorem holds to the error of the rule; live it does not."""
    model, x = case
    x = x[:1]
    with recorded(model, 1) as choices:
        model(x)
    places = ((torch.arange(400, dtype=torch.float64) + 0.5) / 400)[:, None, None]

    def at(points: Tensor, held: bool) -> Tensor:
        with replayed(model, choices.of([0] * len(points))) if held else nullcontext():
            return model(points)

    def missed(held: bool) -> float:
        path = (x * places).requires_grad_()
        (gradient,) = torch.autograd.grad(at(path, held).sum(), path)
        difference = (at(x, held) - at(0 * x, held)).item()
        return abs(float((gradient * x).sum()) / 400 - difference) / abs(difference)

    assert missed(held=True) < 1e-3 < 0.02 < missed(held=False)


class Calls(nn.Module):
    """A model that is a function."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def test_values_of_an_order_follow_its_indices_and_maxima_stay_live() -> None:
    model = Calls(lambda x: (x.topk(2), torch.sort(x, 1, True), x.max(1), x.argmax(1), torch.max(x)))
    x, y = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[1.0, 5.0, 4.0]])
    with recorded(model, 1) as choices:
        model(x)
    with replayed(model, choices):
        top, order, most, best, all_of_it = model(y)
    assert top.indices.tolist() == [[0, 2]] and top.values.tolist() == [[1.0, 4.0]]
    assert order[0].tolist() == [[1.0, 4.0, 5.0]] and order.indices.tolist() == [[0, 2, 1]]
    assert most.values.tolist() == [5.0] and most.indices.tolist() == [0] == best.tolist() and float(all_of_it) == 5
    assert y.argmax(1).tolist() == [1] and model(y)[3].tolist() == [1], "outside of the block nothing is held"


def public_ball(x: Tensor, radius: float = 0.8, count: int = 4) -> Tensor:
    """The ball query of PointNet++'s public PyTorch code: a mask is written into indices, which are sorted."""
    batch, points, _ = x.shape
    groups = torch.arange(points).view(1, 1, -1).repeat(batch, points, 1)
    groups[torch.cdist(x, x) > radius] = points
    groups = groups.sort(dim=-1)[0][:, :, :count]
    first = groups[:, :, :1].expand(-1, -1, count)
    return torch.where(groups == points, first, groups)


def test_a_ball_query_by_masks_is_held_and_what_follows_from_integers_is_worked_out_again() -> None:
    model = Calls(lambda x: (public_ball(x), public_ball(x).flatten().argsort(stable=True)))
    torch.manual_seed(0)
    x = torch.randn(3, 10, 3)
    with recorded(model, 3) as choices:
        groups, _ = model(x)
    with replayed(model, choices.of([2, 0])):
        held, order = model(torch.randn(2, 10, 3))
    assert torch.equal(held, groups[[2, 0]])
    assert torch.equal(order, held.flatten().argsort(stable=True))


def test_random_starts_are_replayed_at_every_call() -> None:
    model = Calls(lambda x: torch.randint(0, 10**6, (len(x),)))
    with recorded(model, 4) as choices:
        one = model(torch.zeros(4))
    with replayed(model, choices):
        assert torch.equal(model(torch.zeros(4)), one) and torch.equal(model(torch.ones(4)), one)


def test_a_function_of_ours_is_one_choice_and_not_called_again() -> None:
    calls = []

    @choosing
    def nearest(x: Tensor) -> Tensor:
        calls.append(x)
        return x.abs().argmin(1)

    x, model = torch.tensor([[1.0, -0.1], [0.2, 3.0]]), Calls(nearest)
    assert model(x).tolist() == [1, 0]
    with recorded(model, 2) as choices:
        model(x)
    with replayed(model, choices.of([1])):
        assert model(-x[:1]).tolist() == [0]
    assert len(choices.taken) == 1 and len(calls) == 2


def test_another_model_is_refused_and_hooks_go_after_an_error() -> None:
    x, one, two = torch.randn(2, 5), Calls(lambda x: x.argmax(1)), Calls(lambda x: (x.argmax(1), x.argmax(1)))
    with recorded(one, 2) as choices:
        one(x)
    three = Calls(lambda x: x.topk(3))
    with replayed(three, choices), pytest.raises(ValueError, match=r"chooses \(2, 3\) where \(2,\) was recorded"):
        three(x)
    with replayed(two, choices), pytest.raises(ValueError, match="more than the 1 choices"):
        two(x)
    assert not two._forward_hooks and not two._forward_pre_hooks and two(x)[0].shape == (2,)


def test_what_the_model_writes_into_its_indices_is_not_recorded_and_ctrl_c_leaves_no_mode() -> None:
    def offset(x: Tensor) -> Tensor:
        found = x.topk(2)[1]
        found += 100
        return found

    model, x = Calls(offset), torch.randn(2, 5)
    with recorded(model, 2) as choices:
        there = model(x)
    with replayed(model, choices):
        assert torch.equal(model(-x), there) and torch.equal(model(x), there)

    def stopped(x: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), recorded(Calls(stopped), 2) as nothing:
        Calls(stopped)
        with recorded(model := Calls(stopped), 2):
            model(x)
    x.topk(2)
    assert not nothing.taken
