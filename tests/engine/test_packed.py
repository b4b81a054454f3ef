"""Packed batches: the same network packed and dense says the same, and the same gradient reaches x."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invert3d.attribution.features import GradCAM
from invert3d.attribution.integrated import IntegratedGradients
from invert3d.engine.diagnose import diagnose
from invert3d.engine.loop import optimize
from invert3d.engine.model import Frozen
from invert3d.engine.packed import FEATURES, Packed, run
from invert3d.engine.space import Points
from invert3d.evaluate.inversion import randomize
from invert3d.objectives.classes import ClassScore, CrossEntropy
from invert3d.parameterizations.direct import Direct
from invert3d.testing import check_model


class Dense(nn.Module):
    """(B, N, C) -> (B, 5): a layer a point, the maximum over points, a head."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.points, self.norm, self.head = nn.Linear(channels, 8), nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.norm(self.points(x).tanh()).amax(1))

    def pooled(self, x: Tensor, batch: Tensor) -> Tensor:
        """The same of a list (M, C) with the clouds (M,) that its points belong to."""
        made = self.norm(self.points(x).tanh())
        top = made.new_full((int(batch.max()) + 1, 8), -torch.inf)
        return self.head(top.index_reduce(0, batch, made, "amax"))


class ByPosition(Dense):
    def forward(self, pos: Tensor, batch: Tensor) -> Tensor:
        assert pos.shape == (len(batch), 3) and batch.dtype is torch.int64
        return self.pooled(pos, batch)


class ByFeatures(Dense):
    """As torch-pointcloud calls its classifiers."""

    def forward(self, x: Tensor | None, pos: Tensor, batch: Tensor, returns: bool = False) -> Tensor:
        return self.pooled(pos if x is None else x, batch)


class ByObject(Dense):
    """As the examples of PyTorch Geometric."""

    def forward(self, data: Any) -> Tensor:
        return self.pooled(data.pos if data.x is None else data.x, data.batch)


class ByDictionary(Dense):
    """As Pointcept, whose clouds end at ``offset``."""

    def forward(self, data: dict[str, Any]) -> dict[str, Tensor]:
        ends = data["offset"]
        batch = torch.searchsorted(ends, torch.arange(int(ends[-1])), right=True)
        assert torch.equal(batch, data["batch"])
        assert data["grid_coord"].shape == data["coord"].shape and data["grid_coord"].min() == 0
        return {"cls_logits": self.pooled(data["coord"] if data["feat"] is None else data["feat"], batch)}


FORMS = (ByPosition, ByFeatures, ByObject, ByDictionary)


def gradient(model: Frozen, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    with model:
        (found,) = torch.autograd.grad(model.outputs(leaf)[0].square().sum(), leaf)
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("up", ["z", "y"])
def test_a_network_says_the_same_packed_and_dense(clouds, form: type[Dense], up: str) -> None:
    x = clouds(3, 32)
    dense = Frozen(Dense(), Points(points=32, up=up))
    packed = Frozen(form(), Points(points=32, up=up, layout="packed"))
    assert torch.allclose(packed(x), dense(x), atol=1e-6)
    assert torch.allclose(gradient(packed, x), gradient(dense, x), atol=1e-6)
    assert torch.allclose(packed(x[1:2]), dense(x)[1:2], atol=1e-6), "alone as in its batch"


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize(
    "names", [("height",), ("coordinates", "height"), ("normals", "ones", "coordinates"), FEATURES]
)
def test_features_beside_coordinates(clouds, form: type[Dense], names: tuple[str, ...]) -> None:
    normals = "normals" in names
    x = torch.cat([clouds(2, 32), clouds(2, 32)], -1) if normals else clouds(2, 32)
    channels = sum(3 if name in FEATURES[:2] else 1 for name in names)
    for layout in ("bn3", "b3n"):
        space = Points(points=32, normals=normals, features=names, layout=layout)
        shape = (2, 32, channels) if layout == "bn3" else (2, channels, 32)
        assert space.encode(x).shape == shape
    dense = Frozen(Dense(channels), Points(points=32, normals=normals, features=names))
    packed = Frozen(form(channels), Points(points=32, normals=normals, features=names, layout="packed"))
    assert torch.allclose(packed(x), dense(x), atol=1e-6)
    assert torch.allclose(gradient(packed, x), gradient(dense, x), atol=1e-6) and gradient(dense, x).any()


@pytest.mark.parametrize("up", ["z", "y"])
def test_height_is_above_the_lowest_point_and_differentiable(up: str) -> None:
    space = Points(points=16, features=("height", "ones"), up=up)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 16, 3, generator=generator, dtype=torch.float64).requires_grad_()
    fed = space.encode(x)
    assert torch.equal(fed[..., 0], x[..., 2] - x[..., 2].min(1, keepdim=True).values), "of each cloud, z up"
    assert torch.equal(fed[..., 1], torch.ones(2, 16))
    assert torch.autograd.gradcheck(space.encode, (x,))


def test_what_is_in_a_packed_batch(clouds) -> None:
    x = clouds(3, 20)
    fed = Points(points=20, layout="packed", grid_size=0.25).encode(x)
    assert isinstance(fed, Packed) and fed.x is None and fed["feat"] is None
    assert torch.equal(fed.pos, x.flatten(0, 1)) and fed.pos is fed["coord"]
    assert fed.offset.tolist() == [20, 40, 60] and fed.batch.bincount().tolist() == [20] * 3
    cells = fed.grid_coord.view(3, 20, 3)
    assert (cells.amin(1) == 0).all() and fed.grid_size == 0.25
    lowest = x.amin(1, keepdim=True)
    assert ((cells * 0.25 - (x - lowest)).abs() <= 0.25 + 1e-6).all()
    with pytest.raises(AttributeError, match="a packed batch has x, pos, batch, .*, no normal"):
        fed.normal  # noqa: B018
    normals = Points(points=20, layout="packed", normals=True).encode(torch.cat([x, -x], -1))
    assert torch.equal(normals.x, -x.flatten(0, 1)), "by default the normals, if there are any"


class Edges(nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        raise AssertionError


class Positional(nn.Module):
    def forward(self, coords: Tensor, features: Tensor, batch_idxs: Tensor) -> Tensor:
        raise AssertionError


@pytest.mark.parametrize(("model", "needs"), [(Edges(), "edge_index"), (Positional(), "features, batch_idxs")])
def test_a_forward_that_needs_more_is_refused_by_name(model: nn.Module, needs: str) -> None:
    fed = Points(points=16, layout="packed").encode(torch.zeros(1, 16, 3))
    with pytest.raises(
        ValueError, match=rf"of {type(model).__name__} takes no packed batch: it needs {needs}; a packed"
    ):
        run(model, fed)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layout": "pakced"}, "unknown points layout 'pakced'; did you mean packed"),
        ({"features": ("hight",)}, "unknown feature 'hight'; did you mean height"),
        ({"features": ("normals",)}, "normals are among the features, but the clouds have none"),
        ({"grid_size": 0.0}, "grid_size must be a finite number above 0, not 0.0"),
        ({"grid_size": float("nan")}, "grid_size must be a finite number above 0, not nan"),
    ],
)
def test_spaces_that_make_no_sense_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Points(**options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", ["bn3", "b3n", "packed"])
def test_the_doctor_finds_the_layout(clouds, form: type[Dense], given: str) -> None:
    found = diagnose(Frozen(form(), Points(points=32, layout=given)), clouds(3, 32))
    assert found.layout == "packed" and found.layout_given == given
    assert found.gradient and found.deterministic and found.batch_independent
    assert "takes clouds as one list (B N, 3) with a batch index: layout packed" in found.lines()[0]


def test_the_doctor_says_how_each_layout_was_refused(clouds) -> None:
    with pytest.raises(
        ValueError, match=r"Edges takes clouds neither as bn3 .* nor as b3n .* nor as packed .*edge_index"
    ):
        diagnose(Frozen(Edges(), Points(points=32)), clouds(2, 32))


@pytest.mark.parametrize("form", FORMS)
def test_packed_networks_are_inverted_and_explained(clouds, form: type[Dense]) -> None:
    space = Points(points=32, layout="packed")
    target = torch.tensor([1, 4])
    result = optimize(Frozen(form(), space), CrossEntropy(), Direct(), target=target, steps=3)
    same = optimize(Frozen(Dense(), Points(points=32)), CrossEntropy(), Direct(), target=target, steps=3)
    assert torch.allclose(result.x, same.x, atol=1e-5)
    x = clouds(2, 32)
    for method in (IntegratedGradients(), GradCAM(), GradCAM(layer="points")):
        found = method(Frozen(form(), space), ClassScore(), x, target)
        dense = method(Frozen(Dense(), Points(points=32)), ClassScore(), x, target)
        assert torch.allclose(found.values, dense.values, atol=1e-4)
    with pytest.raises(ValueError, match="Linear returns .2, 5., which is no map over the points"):
        GradCAM(layer="head")(Frozen(form(), space), ClassScore(), x, target)


@pytest.mark.parametrize("form", FORMS)
def test_packed_networks_keep_the_promises_of_a_model(form: type[Dense]) -> None:
    space = Points(points=32, layout="packed")
    if form is not ByDictionary:  # which returns a dictionary
        check_model(form, space)
    shuffled = randomize(form(), space.encode(torch.rand(2, 32, 3)), seed=1)
    assert not torch.equal(shuffled.points.weight, Dense().points.weight)


def test_a_packed_batch_can_be_written_into_without_harm(clouds) -> None:
    class Writes(ByPosition):
        def forward(self, pos: Tensor, batch: Tensor) -> Tensor:
            return self.pooled(pos.mul_(2), batch)

    x = clouds(2, 32)
    kept = x.clone()
    Frozen(Writes(), Points(points=32, layout="packed"))(x)
    assert torch.equal(x, kept)
