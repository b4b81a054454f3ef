"""Everything that is registered keeps its promises. A new class of clouds is tested here without a line being added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invert3d.attribution.testing import check_attribution
from invert3d.engine.diagnose import diagnose
from invert3d.engine.model import Frozen
from invert3d.engine.projection import Every
from invert3d.engine.space import Image, Points, Voxels
from invert3d.engine.state import State
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.models.detectors.thin import thin_adapter
from invert3d.objectives.classes import ClassScore, CrossEntropy
from invert3d.objectives.features import FeatureDistance, FeatureMatch, RelativeLoss
from invert3d.ops.layouts import Layout
from invert3d.priors.points import Repulsion
from invert3d.priors.statistics import BatchNormStatistics
from invert3d.projections.bounds import Clip
from invert3d.projections.smooth import KnnSmooth
from invert3d.registry import registered
from invert3d.testing import (
    blank_state,
    check_model,
    check_objective,
    check_parameterization,
    check_plain,
    check_prior,
    check_projection,
    check_transform,
    example_layouts,
    example_pictures,
    layout_state,
)

#: what cannot be made without saying more
EXAMPLES: dict[tuple[str, str], Any] = {
    ("objective", "feature_match"): FeatureMatch(layer="features"),
    ("objective", "feature_distance"): FeatureDistance(layer="features"),
    ("objective", "relative_loss"): RelativeLoss(layer="features"),
    ("projection", "clip"): Clip(low=-0.3, high=0.4),
    ("projection", "every"): Every(period=2, projection=KnnSmooth(k=3)),
    ("prior", "batch_norm_statistics"): BatchNormStatistics(layers=("norm",)),
}
#: spaces other than a cloud of 64 points, and arguments that make a network small
SPACES = {"pointnet2_ssg": Points(points=512), "pointnet2_msg": Points(points=512)} | dict.fromkeys(
    ("vrn", "voxnet", "voxel_nin", "winn3d", "voxel_vae"), Voxels(size=32)
)
PICTURES = Image(height=16, width=24)


DETECTOR = CenterNet3D("resnet18", height=32, width=32, options={"width": 8, "deconv": 8, "hidden": 8})


torch.manual_seed(0)
DENSE = thin_adapter("retinanet", ("background", "thing"), size=32, width=8, features=32)


def detector_state(x: Tensor, samples: Sequence[int]) -> State:
    """A state in which a detector is asked for boxes, and has made center maps of pictures."""
    state = layout_state(x, samples)
    state.model = DETECTOR
    return state


def anchored_state(x: Tensor, samples: Sequence[int]) -> State:
    """A state in which a dense detector of 2-D boxes is asked for one, and has said what it sees in the pictures."""
    state, detector = blank_state(x, samples), DENSE.to(x)
    boxes = [torch.tensor([[4.0 + k, 6.0, 20.0 + k, 26.0]]) for k in samples]
    asked = detector.targets([Layout.of_boxes(["thing"], each, 32, 32) for each in boxes])
    state.target = state.view_target = {name: value.to(x.device) for name, value in asked.items()}
    state.model, state.outputs = detector, detector.raw(x)
    return state


def contrasted_state(x: Tensor, samples: Sequence[int]) -> State:
    """The same detector, asked why the box is that one rather than a longer one."""
    state, other = anchored_state(x, samples), anchored_state(x, samples)
    longer = other.target["boxes"] + torch.tensor([0.0, 0.0, 0.0, 3.0]).to(x)
    state.target = state.view_target = {"asked": state.target, "against": {**other.target, "boxes": longer}}
    return state


def normed_state(x: Tensor, samples: Sequence[int]) -> State:
    """A state that knows what a batch norm made of maps of the pictures, and the batch norm."""
    state, norm = blank_state(x, samples), nn.BatchNorm2d(3).eval().to(x)
    state.layers, state.features = {"norm": norm}, {"norm": norm(9 * x**2 - 2)}
    return state


#: what else is said to a check, of what does not take clouds or needs more than an input
SAID: dict[tuple[str, str], dict[str, Any]] = {
    ("objective", "detection_loss"): {"state_factory": detector_state},
    ("objective", "layout_contrast"): {"x": torch.rand(3, 3, 32, 32).double(), "state_factory": contrasted_state},
    ("objective", "published_layout"): {"x": torch.rand(3, 3, 32, 32).double(), "state_factory": anchored_state},
    ("prior", "batch_norm_statistics"): {"x": example_pictures(), "state_factory": normed_state},
    **{("transform", name): {"target": example_layouts} for name in ("flip_scene", "move_scene", "light")},
    **{("parameterization", name): {"space": PICTURES} for name in ("normalized", "fourier")},
    ("parameterization", "solid_scene"): {"space": PICTURES, "target": example_layouts},
}
SMALL = {
    "vrn": {"width": 4},
    "voxnet": {"width": 4},
    "voxel_nin": {"width": 6},
    "winn3d": {"width": 4},
    "voxel_vae": {"width": 2},
}
#: modules that class scores do not need
BESIDES = {"voxel_vae": ("starts", "moments")}


def example(kind: str, name: str) -> Any:
    if (kind, name) in EXAMPLES:
        return EXAMPLES[kind, name]
    try:
        return registered(kind)[name]()
    except TypeError as error:
        pytest.fail(f"the {kind} {name!r} has no defaults ({error}): add one to EXAMPLES in {__file__}")


@pytest.mark.parametrize("name", registered("objective"))
def test_objective(name: str) -> None:
    check_objective(example("objective", name), **SAID.get(("objective", name), {}))


@pytest.mark.parametrize("name", registered("prior"))
def test_prior(name: str) -> None:
    said = SAID.get(("prior", name), {})
    if "state_factory" in said:  # it needs to be told of more than an input
        check_objective(example("prior", name), **said)
    else:
        check_prior(example("prior", name), **said)


@pytest.mark.parametrize("name", registered("projection"))
def test_projection(name: str) -> None:
    check_projection(example("projection", name), **SAID.get(("projection", name), {}))


@pytest.mark.parametrize("name", registered("transform"))
def test_transform(name: str) -> None:
    check_transform(example("transform", name), **SAID.get(("transform", name), {}))


@pytest.mark.parametrize("name", registered("parameterization"))
def test_parameterization(name: str) -> None:
    check_parameterization(example("parameterization", name), **SAID.get(("parameterization", name), {}))


@pytest.mark.parametrize("name", registered("attribution"))
def test_attribution(name: str) -> None:
    check_attribution(example("attribution", name))


@pytest.mark.parametrize("name", registered("model"))
def test_model(name: str) -> None:
    factory = registered("model")[name]
    space, besides = SPACES.get(name, Points(points=64)), BESIDES.get(name, ())
    check_model(lambda: factory(10, **SMALL.get(name, {})), space, besides=besides)


@pytest.mark.parametrize("name", registered("model"))
def test_the_doctor_finds_nothing_wrong_with_a_model(name: str) -> None:
    torch.manual_seed(0)
    space = SPACES.get(name, Points(points=64))
    x = torch.rand(2, *space.shape) - (0.5 if isinstance(space, Points) else 0)
    found = diagnose(Frozen(registered("model")[name](10, **SMALL.get(name, {})), space), x)
    assert found.layout == ("bn3" if isinstance(space, Points) else None)
    assert found.kind == "logits" and found.shape == (2, 10)
    assert found.deterministic and found.batch_independent and found.gradient and found.gradient_finite
    assert not found.blocked and not found.buffers_written and found.block is None


def test_a_weighted_sum_keeps_the_promises_of_its_terms() -> None:
    total = CrossEntropy() - 0.5 * ClassScore() + 3.0 * Repulsion(k=3)
    check_plain(total)
    check_objective(total)


@pytest.mark.parametrize("kind", ["cuboid", "cylinder", "ellipsoid"])
def test_solids_of_one_kind_do_not_learn_their_roundness(kind: str) -> None:
    solids = registered("parameterization")["primitives"]
    check_parameterization(solids(kind=kind), fixed=("roundness",))
