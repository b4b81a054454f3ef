"""Rays, against walks along them in small steps."""

import pytest
import torch
from torch import Tensor

from invert3d.ops.boxes import project
from invert3d.ops.rays import meet_boxes, meet_ellipsoids, over, pixel_rays

CAMERA = torch.tensor([[180.0, 0.0, 80.0, 12.0], [0.0, 170.0, 30.0, -3.0], [0.0, 0.0, 1.0, 0.2]]).double()
NORMS = {meet_boxes: torch.inf, meet_ellipsoids: 2.0}
MEET = pytest.mark.parametrize("meet", list(NORMS))


def solids(count: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """An origin, rays, and boxes some of which they meet."""
    g = torch.Generator().manual_seed(seed)
    rays = torch.nn.functional.normalize(
        torch.rand(40, 3, generator=g).double() - 0.5 + torch.tensor([0, 0, 1.5]), dim=1
    )
    low = torch.rand(count, 3, generator=g).double() * 4 - torch.tensor([3.0, 3.0, -2.0])
    return torch.zeros(3).double(), rays, low, low + 0.2 + 3 * torch.rand(count, 3, generator=g).double()


def test_the_rays_of_pixels_go_where_the_camera_sees_them() -> None:
    origin, rays = pixel_rays(CAMERA, 6, 9)
    assert torch.allclose(rays.norm(dim=-1), torch.ones(6, 9).double())
    for v in range(6):
        for u in range(9):
            for distance in (1.0, 20.0):
                pixel = project((origin + distance * rays[v, u])[None], CAMERA)[0]
                assert torch.allclose(pixel[:2], torch.tensor([u, v]).double()) and pixel[2] > 0


@MEET
def test_rays_enter_where_a_walk_along_them_does(meet) -> None:
    origin, rays, low, high = solids()
    inside, enters, normal = meet(origin, rays, low, high)
    middle, half = (low + high) / 2, (high - low) / 2
    steps = torch.arange(0, 12, 2e-3).double()
    hits = 0
    for solid in range(len(low)):
        for ray in range(len(rays)):
            scaled = (origin + steps[:, None] * rays[ray] - middle[solid]) / half[solid]
            reach = torch.linalg.vector_norm(scaled, NORMS[meet], dim=1)
            if abs(float(reach.min()) - 1) < 0.01:
                continue  # too close to the edge for the steps to tell
            assert (inside[solid, ray] > 0) == (reach.min() < 1)
            if reach.min() < 1:
                first = float(steps[reach < 1][0])
                assert abs(float(enters[solid, ray]) - first) < 4e-3
                at = (origin + enters[solid, ray] * rays[ray] - middle[solid]) / half[solid]
                out = torch.linalg.vector_norm(at + 0.01 * normal[solid, ray] / half[solid], NORMS[meet])
                assert out > 1 and normal[solid, ray] @ rays[ray] < 0
                hits += 1
    assert hits > 20


@MEET
@pytest.mark.parametrize("aside", [0.0, 1.5, 1.99, 2.01, 2.6])
def test_how_far_inside_is_in_meters(meet, aside: float) -> None:
    low, high = torch.tensor([[-2.0, -2.0, 8.0]]), torch.tensor([[2.0, 2.0, 12.0]])
    inside = meet(torch.tensor([aside, 0.0, 0.0]), torch.tensor([[0.0, 0.0, 1.0]]), low, high)[0]
    assert abs(float(inside) - (2 - aside)) < 1e-4


@MEET
def test_how_far_inside_is_differentiable_in_the_solids(meet) -> None:
    origin, rays, low, high = solids(3)
    shift = torch.tensor([0.03, -0.02, 0.0]).double()
    assert torch.autograd.gradcheck(
        lambda a, b: meet(origin + shift, rays[:7], a, b)[0], (low.requires_grad_(), high.requires_grad_())
    )


def test_layers_are_seen_through_each_other() -> None:
    g = torch.Generator().manual_seed(0)
    colors, opacities, distances = (torch.rand(*shape, generator=g).double() for shape in ((4, 5, 3), (4, 5), (4, 5)))
    light, share = over(colors, opacities, distances)
    for ray in range(5):
        left, seen = 1.0, torch.zeros(3).double()
        for layer in sorted(range(4), key=lambda k: float(distances[k, ray])):
            seen += left * opacities[layer, ray] * colors[layer, ray]
            left *= 1 - float(opacities[layer, ray])
        assert torch.allclose(light[ray], seen) and abs(float(share[ray]) - (1 - left)) < 1e-12
    inputs = colors.requires_grad_(), opacities.requires_grad_()
    assert torch.autograd.gradcheck(lambda c, o: over(c, o, distances), inputs)
