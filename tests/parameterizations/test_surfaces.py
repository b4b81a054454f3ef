"""Clouds drawn from solids and sheets: on the surface, even, symmetric, anew at every call, as many as asked for."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.space import Points, Voxels
from invert3d.ops.points import unit_sphere
from invert3d.parameterizations.direct import Direct
from invert3d.parameterizations.primitives import Primitives, box_surface, choose_in_proportion, drawn_in, face_areas
from invert3d.parameterizations.sheets import Sheets
from invert3d.parameterizations.union import SolidsAndSheet

LIKE = torch.empty(2, 0, dtype=torch.float64)


def drawn(parameterization, points: int = 4000, **theta: Tensor) -> Tensor:
    draws = Draws.seeded(0, range(2))
    space = Points(points=points)
    start = parameterization.initialize(LIKE, space, draws) | theta
    return parameterization(start, space, draws)


def test_unit_sphere() -> None:
    x = 3 + 5 * torch.rand(2, 50, 3)
    y = unit_sphere(x)
    assert torch.allclose(y.mean(1), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(y.norm(dim=-1).amax(1), torch.ones(2))
    assert unit_sphere(torch.zeros(1, 4, 3)).isfinite().all(), "a cloud of one place"


def test_items_are_chosen_in_proportion_to_their_weights() -> None:
    weights = torch.tensor([[1.0, 0.0, 3.0], [0.0, 0.0, 2.0]])
    u = torch.linspace(0.0005, 0.9995, 1000).expand(2, -1)
    counts = torch.stack([row.bincount(minlength=3) for row in choose_in_proportion(weights, u)])
    assert counts.tolist() == [[250, 0, 750], [0, 0, 1000]]
    assert choose_in_proportion(torch.zeros(1, 3), u[:1]).max() <= 2


def test_boxes_have_their_faces_where_they_belong() -> None:
    axis = torch.tensor([[0, 1, 2] * 20])
    x = box_surface(axis, torch.rand(1, 60, 2), torch.rand(1, 60) * 2 - 1)
    assert torch.equal(x.gather(-1, axis[..., None]).abs(), torch.ones(1, 60, 1))
    assert (x.abs() < 1).sum(-1).min() == 2, "free along the two others"
    assert face_areas(torch.tensor([2.0, 3.0, 5.0])).tolist() == [15.0, 10.0, 6.0]


@pytest.mark.parametrize("roundness", [0.1, 0.5, 1.0])
def test_superquadrics_satisfy_their_equation(roundness: float) -> None:
    on_box = box_surface(torch.randint(3, (1, 200)), torch.rand(1, 200, 2), torch.rand(1, 200) - 0.5).double()
    x = drawn_in(on_box, torch.full((1, 200, 2), roundness, dtype=torch.float64)).abs()
    p = 2 / max(roundness, 0.1)
    assert torch.allclose((x**p).sum(-1), torch.ones(1, 200, dtype=torch.float64), atol=1e-3)


def single(kind: str) -> Tensor:
    """Points of one upright solid of half-sizes 1, 2, 3 about the origin, at the scale it has in the unit sphere."""
    half = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).log().expand(2, 1, 3)
    zero = {"angles": torch.zeros(2, 1, 3).double(), "taper": torch.zeros(2, 1, 1).double()}
    solid = Primitives(count=1, kind=kind, mirror="none", least=0.0)
    return drawn(solid, log_size=half.clamp_max(1.5), **zero)


def test_a_cuboid_has_points_on_its_six_faces_only_in_proportion_to_their_areas() -> None:
    x = single("cuboid")
    x = x - (x.amax(1, keepdim=True) + x.amin(1, keepdim=True)) / 2  # centers differ from means by chance
    half = x.abs().amax(1, keepdim=True)
    near_face = ((x.abs() / half) > 0.93).any(-1)
    assert near_face.double().mean() > 0.97
    assert torch.allclose(half[:, 0] / half[:, 0, :1], torch.tensor([1.0, 2.0, 3.0]).double(), rtol=0.05)
    on_x = ((x.abs() / half)[..., 0] > 0.98).double().mean()
    assert abs(float(on_x) - 6 / 11) < 0.06, "two of 2 x 3 out of 2 (2 x 3 + 1 x 3 + 1 x 2)"


@pytest.mark.parametrize("kind", ["ellipsoid"])
def test_an_ellipsoid_is_one(kind: str) -> None:
    x = single(kind)
    half = x.abs().amax(1, keepdim=True)
    assert ((x / half).norm(dim=-1) - 1).abs().max() < 0.05


@pytest.mark.parametrize(("mirror", "axis"), [("x", 0), ("y", 1)])
@pytest.mark.parametrize("make", [Primitives, SolidsAndSheet])
def test_solids_with_a_mirror_are_symmetric(make, mirror: str, axis: int) -> None:
    without_sheet = {"share": 0.0} if make is SolidsAndSheet else {}
    x = drawn(make(count=3, mirror=mirror, **without_sheet), points=3000)
    flipped = x.clone()
    flipped[..., axis] *= -1
    for cloud, other in zip(x.numpy(), flipped.numpy(), strict=True):
        tree = cKDTree(cloud)
        apart, spacing = tree.query(other)[0].mean(), tree.query(cloud, k=2)[0][:, 1].mean()
        assert apart < 2.5 * spacing


@pytest.mark.parametrize(
    "parameterization",
    [Primitives(count=2), Sheets(count=3), SolidsAndSheet(count=2)],
    ids=["solids", "sheets", "both"],
)
@pytest.mark.parametrize("points", [16, 65, 100])
def test_points_are_drawn_anew_and_as_many_as_asked_for(parameterization, points: int) -> None:
    space, draws = Points(points=points), Draws.seeded(0, range(2))
    theta = parameterization.initialize(LIKE, space, draws)
    first, second = (parameterization(theta, space, draws) for _ in range(2))
    assert first.shape == (2, points, 3) and not torch.equal(first, second)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "cubiod"}, "did you mean cuboid"),
        ({"count": 0}, "count must be at least 1"),
        ({"mirror": "z"}, "unknown mirror plane 'z'"),
    ],
)
def test_bad_settings_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Primitives(**settings)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.999, 1.0])
def test_a_share_may_leave_one_side_without_points(share: float) -> None:
    """What is left is all solids, or all sheet, drawn from the same numbers."""
    x = drawn(SolidsAndSheet(count=2, share=share), points=100)
    alone = Primitives(count=2, kind="superquadric") if share < 0.5 else Sheets(width=32)
    assert torch.allclose(x, drawn(alone, points=100), atol=1e-6)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\]"):
        SolidsAndSheet(share=share)


def test_only_clouds_are_drawn_from_surfaces() -> None:
    with pytest.raises(TypeError, match="clouds, not Voxels"):
        SolidsAndSheet().initialize(LIKE, Voxels(size=4), Draws.seeded(0, range(2)))


def test_direct_starts_where_its_space_says() -> None:
    space = Voxels(size=4)
    x = Direct(start="uniform").initialize(LIKE, space, Draws.seeded(0, range(2)))["x"]
    assert torch.equal(x, space.start("uniform", LIKE, Draws.seeded(0, range(2))))
    with pytest.raises(ValueError, match="unknown start"):
        Direct(start="sphere").initialize(LIKE, space, Draws.seeded(0, range(2)))
