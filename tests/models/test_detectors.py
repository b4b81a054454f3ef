"""Detectors: the public checkpoint's keys and shapes, deformable convolution by hand, and the protocol's promises."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from invert3d import registry
from invert3d.models.detectors import Detector, detect
from invert3d.models.detectors.centernet3d import MEAN, STD, CenterNet3D
from invert3d.models.detectors.dla import ModulatedConv, bilinear
from invert3d.models.detectors.networks import CenterNetDLA34, CenterNetResNet18
from invert3d.opening.detectors import open_detector
from invert3d.ops.boxes import project
from invert3d.ops.centers import HEADS, CenterCodec
from invert3d.ops.layouts import Layout
from invert3d.ops.objects import pack
from invert3d.registry import registered
from tests.layouts import camera, encoded, random_layout, split
from tests.ops.test_centers import PROJECTED

TINY = {
    "dla34": {"channels": (4, 4, 8, 8, 16, 16), "hidden": 8},
    "resnet18": {"width": 8, "deconv": 16, "hidden": 8},
    "small": {"width": 8, "features": 16, "fine": 8, "hidden": 8},
}


TINY_SKIPS = {**TINY["resnet18"], "skips": True}


def tiny(backbone: str = "small", height: int = 32, width: int = 64, **settings) -> CenterNet3D:
    """A detector with random weights, its batch norms used to noise, its heads loud enough to find something."""
    torch.manual_seed(0)
    detector = CenterNet3D(backbone, height=height, width=width, options=TINY[backbone], **settings)
    detector.train()
    with torch.no_grad():
        for name in HEADS:
            detector.network.get_submodule(name)[-1].weight.mul_(3)
        detector.raw(torch.rand(4, 3, height, width))
    return detector.eval()


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def dla() -> nn.Module:
    """DLA-34 in full."""
    torch.manual_seed(0)
    return CenterNetDLA34()


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """ResNet-18 in full."""
    return CenterNetResNet18()


def test_dla_34_has_the_parameters_and_entries_of_the_public_checkpoint(dla: nn.Module) -> None:
    """20.10 M parameters and 410 entries of the state, heads included (reference, section 2)."""
    assert round(sum(p.numel() for p in dla.parameters()) / 1e6, 2) == 20.10
    assert len(dla.state_dict()) == 410


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("base.base_layer.0.weight", (16, 3, 7, 7)),
        ("base.base_layer.1.running_mean", (16,)),
        ("base.level0.0.weight", (16, 16, 3, 3)),
        ("base.level1.1.bias", (32,)),
        ("base.level2.tree1.conv1.weight", (64, 32, 3, 3)),
        ("base.level2.root.conv.weight", (64, 128, 1, 1)),
        ("base.level2.project.0.weight", (64, 32, 1, 1)),
        ("base.level3.tree1.tree1.conv1.weight", (128, 64, 3, 3)),
        ("base.level3.tree1.root.conv.weight", (128, 256, 1, 1)),
        ("base.level3.tree2.root.conv.weight", (128, 448, 1, 1)),
        ("base.level3.project.0.weight", (128, 64, 1, 1)),
        ("base.level4.tree2.root.conv.weight", (256, 896, 1, 1)),
        ("base.level5.root.conv.weight", (512, 1280, 1, 1)),
        ("base.level5.root.bn.running_var", (512,)),
        ("dla_up.ida_0.proj_1.conv.weight", (256, 512, 3, 3)),
        ("dla_up.ida_0.proj_1.conv.conv_offset_mask.weight", (27, 512, 3, 3)),
        ("dla_up.ida_0.up_1.weight", (256, 1, 4, 4)),
        ("dla_up.ida_1.node_2.conv.bias", (128,)),
        ("dla_up.ida_1.proj_2.conv.weight", (128, 256, 3, 3)),
        ("dla_up.ida_2.proj_3.conv.weight", (64, 128, 3, 3)),
        ("dla_up.ida_2.node_3.actf.0.running_mean", (64,)),
        ("ida_up.proj_1.conv.weight", (64, 128, 3, 3)),
        ("ida_up.up_1.weight", (64, 1, 4, 4)),
        ("ida_up.up_2.weight", (64, 1, 8, 8)),
        ("ida_up.node_2.conv.conv_offset_mask.bias", (27,)),
        ("hm.0.weight", (256, 64, 3, 3)),
        ("hm.2.bias", (3,)),
        *((f"{name}.2.weight", (channels, 256, 1, 1)) for name, channels in HEADS.items()),
    ],
)
def test_dla_34_has_the_public_keys(dla: nn.Module, key: str, shape: tuple[int, ...]) -> None:
    assert shapes(dla)[key] == shape


def test_dla_34_has_no_other_families_of_keys(dla: nn.Module) -> None:
    keys = list(dla.state_dict())
    assert {key.split(".")[0] for key in keys} == {"base", "dla_up", "ida_up", *HEADS}
    stages = {key.split(".")[1] for key in keys if key.startswith("base.")}
    assert stages == {"base_layer", *(f"level{i}" for i in range(6))}, "no base.fc"
    for i in range(3):
        names = {key.split(".")[2] for key in keys if key.startswith(f"dla_up.ida_{i}.")}
        assert names == {f"{what}_{j}" for what in ("proj", "up", "node") for j in range(1, i + 2)}


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("conv1.weight", (64, 3, 7, 7)),
        ("bn1.running_mean", (64,)),
        ("layer1.0.conv1.weight", (64, 64, 3, 3)),
        ("layer2.0.downsample.0.weight", (128, 64, 1, 1)),
        ("layer4.1.bn2.weight", (512,)),
        ("deconv_layers.0.weight", (512, 256, 4, 4)),
        ("deconv_layers.1.running_var", (256,)),
        ("deconv_layers.6.weight", (256, 256, 4, 4)),
        ("hm.0.weight", (64, 256, 3, 3)),
        ("rot.2.weight", (8, 64, 1, 1)),
    ],
)
def test_resnet_18_has_the_public_keys(resnet: nn.Module, key: str, shape: tuple[int, ...]) -> None:
    assert shapes(resnet)[key] == shape


def test_the_kernels_of_the_growing_layers_are_bilinear_and_stay_apart() -> None:
    assert torch.allclose(bilinear(4), torch.tensor([1.0, 3, 3, 1]).outer(torch.tensor([1.0, 3, 3, 1])) / 16)
    network = CenterNetDLA34(**TINY["dla34"])
    assert torch.equal(network.ida_up.up_2.weight[5, 0], bilinear(8))
    ramp = torch.arange(6.0).expand(1, 8, 6, 6)
    grown = network.ida_up.up_1(ramp)
    assert torch.allclose(grown[0, 0, 6, 2:-2].diff(), torch.tensor(0.5)), "a ramp stays a ramp"


def sample(plane: np.ndarray, y: float, x: float) -> float:
    """A value between pixels, linearly, zero outside."""
    total, top, left = 0.0, math.floor(y), math.floor(x)
    for j, wy in ((top, top + 1 - y), (top + 1, y - top)):
        for i, wx in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= j < plane.shape[0] and 0 <= i < plane.shape[1]:
                total += wy * wx * plane[j, i]
    return total


def test_deformable_convolution_is_the_slow_loop_with_offsets_y_then_x() -> None:
    torch.manual_seed(1)
    conv = ModulatedConv(2, 3).double()
    nn.init.normal_(conv.conv_offset_mask.weight, std=0.3)
    nn.init.normal_(conv.conv_offset_mask.bias, std=0.7)
    nn.init.normal_(conv.bias)
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        found, said = conv(x)[0], conv.conv_offset_mask(x)[0]
    weight, planes = conv.weight.detach().numpy(), x[0].numpy()
    for y in range(4):
        for i in range(5):
            total = conv.bias.detach().numpy().copy()
            for tap in range(9):
                dy, dx = float(said[2 * tap, y, i]), float(said[2 * tap + 1, y, i])
                share = 1 / (1 + math.exp(-float(said[18 + tap, y, i])))
                at = y - 1 + tap // 3 + dy, i - 1 + tap % 3 + dx
                for c in range(2):
                    total += weight[:, c, tap // 3, tap % 3] * share * sample(planes[c], *at)
            assert np.allclose(found[:, y, i].numpy(), total)


def test_a_fresh_deformable_convolution_is_half_an_ordinary_one() -> None:
    conv, x = ModulatedConv(3, 4), torch.randn(2, 3, 6, 7)
    assert torch.allclose(conv(x), nn.functional.conv2d(x, conv.weight / 2, conv.bias, padding=1), atol=1e-5)


@pytest.fixture
def shrunk(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """``dla34`` is a small one with the same keys; a trained state of it."""
    registered("center_network")
    small = partial(CenterNetDLA34, **TINY["dla34"])
    monkeypatch.setitem(registry._entries["center_network"], "dla34", small)
    torch.manual_seed(3)
    network = small()
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return network


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    """As the public code saves: a number, and the state of a network in parallel."""
    torch.save({"epoch": 70, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    return path


def test_a_checkpoint_in_the_public_layout_is_opened(tmp_path: Path, shrunk: nn.Module) -> None:
    state = {**shrunk.state_dict(), "base.fc.weight": torch.zeros(1000, 16, 1, 1), "base.fc.bias": torch.zeros(1000)}
    path = saved(tmp_path / "ddd_3dop.pth", state)
    detector = open_detector("dla34", checkpoint=path, height=64, width=128)
    assert not detector.training and detector.order == "bgr" and detector.codec == CenterCodec()
    found = detector.network.state_dict()
    assert all(torch.equal(found[key], value) for key, value in shrunk.state_dict().items())
    with torch.no_grad():
        raw = detector.raw(torch.rand(1, 3, 64, 128))
    assert raw["hm"].shape == (1, 3, 16, 32) and all(value.isfinite().all() for value in raw.values())
    mine = open_detector("dla34", checkpoint=path, codec=CenterCodec(center="projected"))
    assert (mine.height, mine.width, mine.codec.center) == (384, 1280, "projected")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("hm.2.weight", torch.zeros(80, 8, 1, 1), "hm.2.weight"),
        ("rot.0.bias", None, "rot.0.bias"),
        ("hps.0.weight", torch.zeros(3), "hps.0.weight"),
    ],
)
def test_a_checkpoint_of_another_task_is_refused_by_the_key(tmp_path, shrunk, key, value, says) -> None:
    state = {**shrunk.state_dict(), key: value}
    state = {k: v for k, v in state.items() if v is not None}
    with pytest.raises(ValueError, match=f"other.pth does not fit.*{says}"):
        open_detector("dla34", checkpoint=saved(tmp_path / "other.pth", state))


def test_the_whole_of_dla_34_comes_through_a_checkpoint(tmp_path: Path, dla: nn.Module) -> None:
    detector = open_detector("dla34", checkpoint=saved(tmp_path / "x.pth", dla.state_dict()), height=64, width=128)
    with torch.no_grad():
        raw = detector.raw(torch.rand(1, 3, 64, 128))
    assert raw["rot"].shape == (1, 8, 16, 32) and all(value.isfinite().all() for value in raw.values())
    assert torch.equal(detector.network.state_dict()["base.level5.root.conv.weight"], dla.base.level5.root.conv.weight)


@pytest.mark.parametrize(("name", "says"), [("dla43", "did you mean dla34"), ("centernet", "the path of a card")])
def test_unknown_detectors_name_the_nearest(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        open_detector(name)
    with pytest.raises(ValueError, match="unknown backbone"):
        open_detector(name, checkpoint=tmp_path / "x.pth")


@pytest.mark.parametrize("backbone", TINY)
def test_what_a_detector_says_is_what_its_parts_say_bit_for_bit(backbone: str) -> None:
    detector = tiny(backbone)
    torch.manual_seed(2)
    x, cameras = torch.rand(3, 3, 32, 64), camera(32, 64).float().expand(3, 3, 4)
    with torch.no_grad():
        raw = detector.raw(x)
        stride = detector.codec.stride
        assert {name: tuple(value.shape) for name, value in raw.items()} == {
            name: (3, channels, 32 // stride, 64 // stride) for name, channels in HEADS.items()
        }
        assert all(torch.equal(value, raw[name]) for name, value in detector(x).items())
    found, whole = detector.finalize(raw, cameras, 0.05), detect(detector, x, cameras, 0.05)
    assert sum(len(layout) for layout in whole) > 0
    for one, other in zip(found, whole, strict=True):
        assert one.kinds == other.kinds and (one.height, one.width) == (32, 64)
        for name in ("scores", "boxes", "sizes", "centers", "yaws"):
            assert torch.equal(getattr(one, name), getattr(other, name))
    for name, value in detector.raw(x[1:2]).items():
        assert torch.allclose(raw[name][1:2], value, atol=1e-4), "a picture does not mind its batch"


def test_skips_bring_resnet_18_to_half_the_size() -> None:
    """One more transposed convolution, and the stem's maps at their own size, whose zeros take its part away."""
    torch.manual_seed(0)
    network = CenterNetResNet18(**TINY_SKIPS).eval()
    x = torch.rand(2, 3, 64, 96)
    maps = network(x)["hm"]
    assert maps.shape == (2, 3, 32, 48) and len(network.across) == 4
    assert CenterNet3D("resnet18", height=64, width=96, options=TINY_SKIPS).codec.stride == 2
    for lateral in network.across:
        for value in lateral.parameters():
            nn.init.zeros_(value)
    published = CenterNetResNet18(**TINY["resnet18"])
    assert not len(published.across) and published.stride == 4
    assert {k for k in published.state_dict() if k.startswith(("conv1", "layer"))} <= set(network.state_dict())
    assert (network(x)["hm"] - maps).abs().max() > 1e-4


@pytest.mark.parametrize("backbone", TINY)
def test_a_gradient_reaches_every_pixel(backbone: str) -> None:
    detector = tiny(backbone)
    x = torch.rand(2, 3, 64, 96, requires_grad=True)
    (gradient,) = torch.autograd.grad(sum(value.square().sum() for value in detector.raw(x).values()), x)
    assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.95


def test_the_public_order_of_channels_is_a_quirk_that_is_kept() -> None:
    """Blue first, with the statistics of red first."""
    bgr, rgb = tiny(order="bgr"), tiny(order="rgb")
    rgb.load_state_dict(bgr.state_dict())
    x = torch.rand(1, 3, 32, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    with torch.no_grad():
        for name in HEADS:
            assert torch.equal(bgr.raw(x)[name], bgr.network((x[:, [2, 1, 0]] - mean) / std)[name])
            assert torch.equal(rgb.raw(x)[name], rgb.network((x - mean) / std)[name])
            assert torch.equal(bgr.raw(x)[name], rgb.raw(x.flip(1))[name])


def test_targets_are_the_fields_of_packed_layouts() -> None:
    detector = tiny()
    layouts = [random_layout(n, n, 32, 64, dtype=torch.float32) for n in (1, 3)]
    found, wanted = detector.targets(layouts), pack(layouts, detector.kinds).fields()
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in found)
    assert detector.kinds == ("Pedestrian", "Car", "Cyclist")


def test_a_center_network_is_a_detector_and_says_what_it_lacks() -> None:
    detector = tiny()
    assert isinstance(detector, Detector) and not isinstance(detector.network, Detector)
    with pytest.raises(ValueError, match="give the projections"):
        detector.finalize(detector.raw(torch.rand(1, 3, 32, 64)))
    flat = Layout.of_boxes(["Car"], torch.tensor([[1.0, 2, 3, 4]]), 32, 64)
    with pytest.raises(ValueError, match="layout 1 has boxes in the picture only"):
        detector.targets([random_layout(1, 1, 32, 64), flat])


def agrees(raw: Tensor, *layouts: Layout, codec: CenterCodec = PROJECTED) -> list[bool]:
    """Whether maps (B, 19, h, w) stand for exactly these layouts."""
    detector = tiny("resnet18", 64, 160, codec=codec)
    return detector.agrees(split(raw.float()), detector.targets(layouts), threshold=0.3, within=0.02).tolist()


def exact(raw: Tensor, layout: Layout) -> bool:
    return agrees(raw[None], layout)[0]


@pytest.fixture
def scene() -> Layout:
    return replace(random_layout(3, 5, 48, 160), kinds=("Car", "Pedestrian", "Car"))


def cell(layout: Layout, i: int) -> tuple[int, int]:
    objects = pack([layout], PROJECTED.kinds)
    x, y = PROJECTED.cells(objects, layout.height // 4, layout.width // 4)[0, i].tolist()
    return y, x


@pytest.mark.parametrize(("height", "width"), [(30, 64), (32, 70), (0, 64)])
def test_sizes_that_32_does_not_divide_are_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        CenterNet3D("small", height=height, width=width, options=TINY["small"])
    if height:
        with pytest.raises(ValueError, match="multiples of 32"):
            tiny().raw(torch.rand(1, 3, height, width))


def test_an_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean small"):
        CenterNet3D("smal", height=32, width=64)


def dot(u: float, v: float, height: int, width: int, sigma: float = 3.0) -> Tensor:
    """A picture (3, H, W) of a bright dot."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2)).expand(3, height, width)


def centroid(picture: Tensor) -> tuple[float, float]:
    """The middle of what is bright in a picture (3, h, w)."""
    plane = picture[0].double()
    plane = torch.where(plane > 0.1 * plane.max(), plane, 0)
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in plane.shape), indexing="ij")
    return float((plane * x).sum() / plane.sum()), float((plane * y).sum() / plane.sum())


@pytest.mark.parametrize("size", [(188, 621), (60, 200), (240, 320), (96, 320)])
def test_a_prepared_layout_lies_on_the_prepared_picture(size: tuple[int, int]) -> None:
    """Dots at the corners of a box in a larger, a smaller, a taller picture stay at its corners."""
    detector = tiny(height=96, width=320)
    layout = random_layout(1, 5, *size)
    corners = project(layout.corners[0], layout.projection)[:, :2]
    for k, (u, v) in enumerate(corners.tolist()):
        image, moved = detector.prepare(dot(u, v, *size).float(), layout)
        assert image.shape == (3, 96, 320) and (moved.height, moved.width) == (96, 320)
        at = project(moved.corners[0], moved.projection)[k, :2]
        if (at > 12).all() and (at < torch.tensor([308.0, 84.0])).all():
            assert centroid(image) == pytest.approx(tuple(at.tolist()), abs=0.1)
    assert torch.equal(moved.boxes, detector.prepare_layout(layout).boxes)
    assert moved.centers is layout.centers, "space stays as it is"


def test_a_wide_picture_is_scaled_by_its_width_and_centered_on_black() -> None:
    image, _ = tiny(height=64, width=128).prepare(torch.ones(3, 40, 256), random_layout(1, 6, 40, 256))
    assert image[:, 22:42].min() == 1 and image[:, :22].max() == 0 and image[:, 42:].max() == 0
    tall, _ = tiny(height=32, width=64).prepare(torch.ones(3, 100, 64), random_layout(1, 6, 100, 64))
    assert tall.min() == 1, "what is too tall is cut above and below"


def test_a_picture_of_another_size_than_its_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="the picture is 10 x 20, its layout says 96 x 320"):
        tiny().prepare(torch.zeros(3, 10, 20), random_layout(1, 7))


def test_what_is_written_is_read_exactly(scene: Layout) -> None:
    assert exact(encoded(scene, PROJECTED), scene)
    nothing = Layout.empty(camera(), 48, 160)
    assert exact(encoded(nothing, PROJECTED), nothing)
    assert not exact(encoded(nothing, PROJECTED), scene) and not exact(encoded(scene, PROJECTED), nothing)


def test_a_missing_a_quiet_and_a_mistaken_object_are_not_exact(scene: Layout) -> None:
    y, x = cell(scene, 1)
    raw = encoded(scene, PROJECTED)
    raw[0, y, x] = -1.0  # a score of 0.27
    assert not exact(raw, scene)
    raw[0, y, x] = -0.5
    assert exact(raw, scene)
    raw[:3, y, x] = torch.tensor([-7.0, -7.0, 3.0])  # a cyclist
    assert not exact(raw, scene)


def test_a_stray_object_is_not_exact(scene: Layout) -> None:
    raw = encoded(scene, PROJECTED)
    raw[2, 1, 1] = 0.0
    assert not exact(raw, scene)
    raw[2, 1, 1] = -2.0
    assert exact(raw, scene), "below the threshold nobody sees it"
    y, x = cell(scene, 0)
    raw[1, y, x + 1] = 2.5
    assert exact(raw, scene), "beside a higher cell it is no peak"
    raw[1, y, x + 1], raw[1, y, x + 2] = -7.0, 2.5
    assert not exact(raw, scene), "two cells off it is another car"


@pytest.mark.parametrize(("channel", "by"), [(3, 0.3), (6, 0.5), (12, 0.4), (17, 1.0)])
def test_a_wrong_depth_angle_size_or_place_is_not_exact(scene: Layout, channel: int, by: float) -> None:
    y, x = cell(scene, 2)
    raw = encoded(scene, PROJECTED)
    raw[channel, y, x] += by
    if channel == 6:
        raw[10, y, x] += by
    assert not exact(raw, scene)


def test_neighbors_may_be_seen_or_not(scene: Layout) -> None:
    asked = replace(scene, kinds=("Car", "Van", "DontCare"))
    raw = encoded(replace(scene, kinds=("Car", "Car", "Cyclist")), PROJECTED)
    assert exact(raw, asked), "a van taken for a car, and anything in a region"
    assert exact(encoded(scene.select(torch.tensor([0])), PROJECTED), asked)
    y, x = cell(scene, 1)
    assert not exact(encoded(scene.select(torch.tensor([1])), PROJECTED), asked), "but the car must be"


def test_what_is_seen_beside_a_region_is_forgiven_up_to_two_cells(scene: Layout) -> None:
    asked = replace(scene.select(torch.tensor([0, 2])), kinds=("Car", "DontCare"))
    y, x = cell(asked, 1)
    for away, right in ((2, True), (3, False)):
        raw = encoded(asked.select(torch.tensor([0])), PROJECTED)
        raw[0, y, x - away] = 3.0
        assert exact(raw, asked) == right


def test_agreement_is_told_sample_by_sample(scene: Layout) -> None:
    other = random_layout(1, 9, 48, 160)
    raw = torch.stack([encoded(layout, PROJECTED) for layout in (scene, other, scene)])
    assert agrees(raw, scene, other, other) == [True, True, False]
