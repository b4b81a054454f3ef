"""Sparse convolutions give what dense ones give, and pruned weights survive their file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from invert3d.methods.pruning import Operation, Surgery, prune_by_magnitude
from invert3d.methods.sparse import Doubled, SparseConv3d, sparsified
from invert3d.models.voxnet import VoxelNIN
from invert3d.models.vrn import VRN
from invert3d.models.weights import encoded, load_checkpoint, packed, unpacked


def pruned(module: nn.Module, density: float = 0.1) -> nn.Module:
    with Operation(module, Surgery()) as operation:
        prune_by_magnitude(operation, density)
        return operation.finish()


@pytest.mark.parametrize("kernel", [1, 3, (3, 1, 2)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_a_sparse_convolution_is_the_dense_one(
    kernel: int | tuple[int, int, int], stride: int, padding: int, bias: bool
) -> None:
    torch.manual_seed(0)
    dense = pruned(nn.Conv3d(5, 7, kernel, stride=stride, padding=padding, bias=bias))
    assert isinstance(dense, nn.Conv3d)
    x = torch.randn(2, 5, 8, 7, 6)
    with torch.no_grad():
        assert torch.allclose(SparseConv3d(dense)(x), dense(x), atol=1e-5)


def test_a_dilated_one_too_but_no_groups() -> None:
    torch.manual_seed(0)
    dense = nn.Conv3d(3, 4, 3, dilation=2, padding=2)
    x = torch.randn(1, 3, 9, 9, 9)
    with torch.no_grad():
        assert torch.allclose(SparseConv3d(dense)(x), dense(x), atol=1e-5)
    with pytest.raises(ValueError, match="takes no groups"):
        SparseConv3d(nn.Conv3d(4, 4, 3, groups=2))


@pytest.mark.parametrize("make", [lambda: VRN(5, width=4), lambda: VoxelNIN(5, width=6)])
def test_a_network_runs_the_same_whatever_is_chosen(make) -> None:  # noqa: ANN001
    torch.manual_seed(0)
    model, x = pruned(make().eval(), 0.05), (torch.rand(1, 1, 32, 32, 32) < 0.1).float()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fast, choices = sparsified(model, x, repeats=1)
    with torch.no_grad():
        assert torch.allclose(fast(x), model(x), atol=1e-4)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv3d)]
    assert len(choices) == len(convolutions) and all(0 <= c.density <= 1 for c in choices)
    for way, kind in (("sparse", SparseConv3d), ("doubled", Doubled)):
        assert sum(isinstance(m, kind) for m in fast.modules()) == sum(c.faster == way for c in choices)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_pruned_weights_are_stored_small_and_come_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = pruned(VoxelNIN(5, width=6), 0.05)
    (tmp_path / "small.safetensors").write_bytes(encoded(model))
    (tmp_path / "whole.safetensors").write_bytes(encoded(VoxelNIN(5, width=6)))
    small, whole = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("small", "whole"))
    assert small < 0.25 * whole
    again = load_checkpoint(VoxelNIN(5, width=6), tmp_path / "small.safetensors")
    for key, value in model.state_dict().items():
        near = value.half().float() if value.is_floating_point() else value
        assert torch.equal(again.state_dict()[key], near), key


def test_what_is_not_mostly_zero_is_stored_as_it_is() -> None:
    state = {"a": torch.randn(4, 5), "b": torch.zeros(3), "c": torch.zeros(6, 7)}
    state["c"][2, 3] = 2.5
    table = packed(state)
    assert set(table) == {"a", "b", "c:kept", "c:values", "c:shape"}
    assert all(torch.equal(unpacked(table)[key], value) for key, value in state.items())
