"""Choices of any network, recorded and replayed: the same function at x, and no jump beside it."""

from __future__ import annotations

from contextlib import nullcontext

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

    def forward(self, x: Tensor) -> Tensor:
        x = self.edges(self.edges(x, self.first), self.second)
        best = torch.sort(x.sum(-1), dim=1, descending=True)[1][:, :8]
        return x.gather(1, best[..., None].expand(-1, -1, x.shape[-1])).flatten(1).sum(1)


@pytest.fixture
def case() -> tuple[Graph, Tensor]:
    torch.manual_seed(0)
    return Graph().double(), torch.randn(3, 24, 3, dtype=torch.float64)


def test_at_x_a_replay_is_the_network_for_any_rows(case) -> None:
    model, x = case
    with recorded(3) as choices:
        whole = model(x)
    assert torch.equal(whole, model(x)) and len(choices.taken) == 3 + 2  # two neighborhoods, sort, two maxima
    for rows in ([0, 1, 2], [2], [1, 1, 0, 2, 1]):
        with replayed(choices.of(rows)):
            assert torch.allclose(model(x[rows]), whole[rows], atol=1e-12)


def test_with_choices_held_the_function_has_no_jumps(case) -> None:
    """Along a path the fundamental theorem holds to the error of the rule; live it does not."""
    model, x = case
    x = x[:1]
    with recorded(1) as choices:
        model(x)
    places = ((torch.arange(400, dtype=torch.float64) + 0.5) / 400)[:, None, None]

    def at(points: Tensor, held: bool) -> Tensor:
        with replayed(choices.of([0] * len(points))) if held else nullcontext():
            return model(points)

    def missed(held: bool) -> float:
        path = (x * places).requires_grad_()
        (gradient,) = torch.autograd.grad(at(path, held).sum(), path)
        difference = (at(x, held) - at(0 * x, held)).item()
        return abs(float((gradient * x).sum()) / 400 - difference) / abs(difference)

    assert missed(held=True) < 1e-3 < 0.02 < missed(held=False)


def test_values_of_an_order_follow_its_indices_and_maxima_stay_live() -> None:
    x, y = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[1.0, 5.0, 4.0]])
    with recorded(1) as choices:
        x.topk(2), torch.sort(x, descending=True), x.max(1), x.argmax(1), torch.max(x)
    with replayed(choices):
        top, order, most, best, all_of_it = y.topk(2), torch.sort(y, 1, True), y.max(1), y.argmax(1), torch.max(y)
    assert top.indices.tolist() == [[0, 2]] and top.values.tolist() == [[1.0, 4.0]]
    assert order[0].tolist() == [[1.0, 4.0, 5.0]] and order.indices.tolist() == [[0, 2, 1]]
    assert most.values.tolist() == [5.0] and most.indices.tolist() == [0] == best.tolist() and float(all_of_it) == 5


def test_random_starts_are_replayed() -> None:
    with recorded(4) as choices:
        one = torch.randint(0, 1000, (4,))
    with replayed(choices):
        assert torch.equal(torch.randint(0, 1000, (4,)), one)


def test_a_function_of_ours_is_one_choice_and_not_called_again() -> None:
    calls = []

    @choosing
    def nearest(x: Tensor) -> Tensor:
        calls.append(x)
        return x.abs().argmin(1)

    x = torch.tensor([[1.0, -0.1], [0.2, 3.0]])
    assert nearest(x).tolist() == [1, 0]
    with recorded(2) as choices:
        nearest(x)
    with replayed(choices.of([1])):
        assert nearest(-x[:1]).tolist() == [0]
    assert len(choices.taken) == 1 and len(calls) == 2


def test_another_model_is_refused() -> None:
    x = torch.randn(2, 5)
    with recorded(2) as choices:
        x.argmax(1)
    with replayed(choices), pytest.raises(ValueError, match=r"chooses \(2, 3\) where \(2,\) was recorded"):
        x.topk(3)
    with replayed(choices), pytest.raises(ValueError, match="more than the 1 choices"):
        x.argmax(1), x.argmax(1)
