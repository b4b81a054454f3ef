"""Reading checkpoints: other people's files, files that do not fit, and files that are not what they say."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from invert3d.data.modelnet import MODELNET40
from invert3d.models import weights
from invert3d.models.dgcnn import DGCNN
from invert3d.models.pointnet import PointNetVanilla
from invert3d.models.weights import (
    WeightCard,
    bundled,
    card_json,
    encoded,
    load_bundled,
    load_checkpoint,
    read_card,
    read_checkpoint,
    save_network,
)
from invert3d.opening.box_detectors import open_box_detector
from invert3d.opening.decoders import open_decoder
from invert3d.opening.detectors import open_detector
from invert3d.opening.networks import open_network


@pytest.fixture
def trained() -> PointNetVanilla:
    torch.manual_seed(1)
    return PointNetVanilla(5).eval()


def same(a: nn.Module, b: nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in a.state_dict().items())


@pytest.mark.parametrize("wrapper", [None, "model_state_dict", "state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_public_wrappings_are_taken_off(tmp_path: Path, trained: nn.Module, wrapper: str | None, prefix: str) -> None:
    state = {prefix + key: value for key, value in trained.state_dict().items()}
    path = tmp_path / "best_model.pth"
    torch.save({"epoch": 7, "class_avg_acc": 0.9, wrapper: state} if wrapper else state, path)
    assert same(trained, load_checkpoint(PointNetVanilla(5), path))


def test_a_checkpoint_in_double_precision_keeps_it(tmp_path: Path, trained: nn.Module) -> None:
    path = tmp_path / "double.pt"
    double = trained.double()
    torch.save(double.state_dict(), path)
    with torch.no_grad():
        double.linear3.weight.add_(1e-12)
    torch.save(double.state_dict(), path)
    assert same(double, load_checkpoint(PointNetVanilla(5).double(), path))
    assert load_checkpoint(PointNetVanilla(5), path).linear3.weight.dtype is torch.float32


@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_numbers_of_numpy_beside_the_weights_are_harmless(tmp_path: Path, trained: nn.Module, module: bytes) -> None:
    """As in every checkpoint of the public PointNet++ code; numpy 2 moved the function that unpickles them."""
    path = tmp_path / "best_model.pth"
    table = {"instance_acc": np.float64(0.92), "epoch": np.int64(3), "model_state_dict": trained.state_dict()}
    torch.save(table, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"numpy._core.multiarray", module).replace(b"numpy.core.multiarray", module))
    assert same(trained, load_checkpoint(PointNetVanilla(5), path))


def test_a_layer_under_two_names_needs_to_be_given_once(tmp_path: Path) -> None:
    model, path = DGCNN(4), tmp_path / "dgcnn.t7"
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("conv1.1.")}
    torch.save(state, path)
    assert same(model, load_checkpoint(DGCNN(4), path))


def broken(state: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    if how == "missing":
        del state["linear1.weight"], state["feature_model.bn3.running_var"]
    elif how == "extra":
        state["decoder.weight"] = torch.zeros(2)
    else:
        state["linear3.weight"] = torch.zeros(40, 256)
    return state


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "missing: .*feature_model.bn3.running_var, linear1.weight"),
        ("extra", "not in the model: decoder.weight"),
        ("shape", r"linear3.weight \(40, 256\) instead of \(5, 256\)"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, trained: nn.Module, how: str, says: str) -> None:
    path, model = tmp_path / "odd.pth", PointNetVanilla(5)
    torch.save(broken(trained.state_dict(), how), path)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=says) as error:
        load_checkpoint(model, path)
    assert "odd.pth" in str(error.value) and "PointNetVanilla" in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "untouched"


def test_long_lists_are_cut_short(tmp_path: Path, trained: nn.Module) -> None:
    path = tmp_path / "half.pth"
    torch.save({k: v for k, v in trained.state_dict().items() if "linear" in k}, path)
    with pytest.raises(ValueError, match="and [0-9]+ more"):
        load_checkpoint(PointNetVanilla(5), path)


class Malicious:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, how: str) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "ran"
    payload = {"model_state_dict": {"a": torch.zeros(1)}, "extra": Malicious(mark)}
    if how == "torch.save":
        torch.save(payload, path)
    else:
        path.write_bytes(pickle.dumps(payload, protocol=2))
    with pytest.raises(ValueError, match="evil.pth cannot be opened safely .*global: .* plain state dict"):
        read_checkpoint(path)
    assert not mark.exists()


JUNK = {
    "empty": b"",
    "text": b"<!DOCTYPE html><html>Not Found</html>",
    "zip": b"PK\x03\x04" + b"\0" * 60,
    "pickle of a number": pickle.dumps(3),
    "noise": np.random.default_rng(0).bytes(500),
}


@pytest.mark.parametrize("suffix", [".pth", ".t7", ".safetensors"])
@pytest.mark.parametrize("what", JUNK)
def test_a_file_that_is_no_checkpoint_is_refused_in_one_sentence(tmp_path: Path, what: str, suffix: str) -> None:
    path = tmp_path / f"junk{suffix}"
    path.write_bytes(JUNK[what])
    with pytest.raises(ValueError, match="junk") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint at .*nowhere.pth"):
        read_checkpoint(tmp_path / "nowhere.pth")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: nn.Module) -> WeightCard:
    """Bundled weights, the only ones."""
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    card = WeightCard(
        name="toy",
        kind="classifier",
        architecture="pointnet_vanilla",
        classes=("a", "b", "c", "d", "e"),
        inputs={"points": 64, "up": "z"},
        scores={"accuracy": 0.2},
        licence="Apache-2.0",
    )
    return save_network(trained, card, tmp_path)


def test_half_precision_weights_and_their_card_round_trip(tmp_path: Path, toy: WeightCard, trained: nn.Module) -> None:
    assert bundled() == bundled("classifier") == {"toy": toy} and not bundled("detector")
    assert toy.parameters == sum(p.numel() for p in trained.parameters())
    assert toy.bytes == (tmp_path / "toy.safetensors").stat().st_size
    for name in ("toy", str(tmp_path / "toy.json")):
        model, read = load_bundled(name)
        assert read == toy and not model.training
        for key, value in trained.state_dict().items():
            assert torch.allclose(model.state_dict()[key].float(), value.float(), atol=1e-3), key
    with pytest.raises(ValueError, match="did you mean toy"):
        load_bundled("tuy")


def test_altered_weights_are_refused(tmp_path: Path, toy: WeightCard) -> None:
    (tmp_path / "toy.json").write_bytes(card_json(replace(toy, sha256="0" * 64)))
    with pytest.raises(ValueError, match="toy.safetensors is not the file its card describes"):
        load_bundled("toy")
    (tmp_path / "toy.safetensors").unlink()
    with pytest.raises(ValueError, match="no weights at .*toy.safetensors"):
        load_bundled("toy")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"architecture": "pointnett"}, "did you mean pointnet"),
        ({"options": {"depth": 3}}, "the card of toy does not fit pointnet_vanilla: .*depth"),
        ({"kind": "detector"}, "toy is a detector, and a classifier is asked for"),
        ({"classes": ("a", "b")}, "toy.safetensors does not fit PointNetVanilla"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, toy: WeightCard, change: dict, says: str) -> None:
    (tmp_path / "toy.json").write_bytes(card_json(replace(toy, **change)))
    with pytest.raises(ValueError, match=says):
        load_bundled("toy")


CARDS = {
    b"": "is an empty file, not a weight card",
    b"{": "is not a weight card: ",
    b"\xff\xfe": "is not a weight card: ",
    b"[1]": "is not a weight card: Expected `object`, got `array`",
    b'{"name": "a"}': "is not a weight card: Object missing required field `kind`",
    b'{"name": "a", "kind": "x", "architecture": "b"}': "is not a weight card: Invalid enum value 'x'",
    b'{"name": "a", "kind": "detector", "architecture": "b", "clases": []}': "unknown key 'clases'; did you mean",
    b'{"name": "a", "kind": "detector", "architecture": "b", "held_out": "many"}': "Expected `int`, got `str`",
}


@pytest.mark.parametrize("data", CARDS)
def test_a_file_that_is_no_card_is_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mine.json").write_bytes(data)
    with pytest.raises(ValueError, match="mine.json") as error:
        read_card(tmp_path / "mine.json")
    assert CARDS[data] in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("read", [read_card, read_checkpoint])
@pytest.mark.parametrize("what", ["a folder", "a long name", "below a file", "not readable"])
def test_what_cannot_be_read_is_named(tmp_path: Path, read: Callable, what: str) -> None:
    path = tmp_path / "here.json"
    if what == "a folder":
        path.mkdir()
    elif what == "a long name":
        path = tmp_path / ("x" * 300)
    elif what == "below a file":
        path.touch()
        path = path / "here.json"
    else:
        path.touch(0)
        if os.access(path, os.R_OK):
            pytest.skip("NOT CHECKED: this user may read every file")
    with pytest.raises(ValueError, match="no (weight card|checkpoint) can be read from .*(here.json|xxx): [A-Z]"):
        read(path)


@pytest.mark.parametrize("name", ["", "..", "../up", "/root", "a/b", "a\\b", ".hidden", " x", "x" * 101, "a\nb", "\0"])
def test_names_that_leave_the_folder_are_refused(
    tmp_path: Path, toy: WeightCard, trained: nn.Module, name: str
) -> None:
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(ValueError, match="the weights: got the name"):
        save_network(trained, replace(toy, name=name), tmp_path)
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_link_in_the_place_of_weights_is_not_written_to(tmp_path: Path, toy: WeightCard, trained: nn.Module) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "linked.safetensors").symlink_to(tmp_path / "target")
    with pytest.raises(ValueError, match="linked.safetensors is a link"):
        save_network(trained, replace(toy, name="linked"), tmp_path)
    assert not (tmp_path / "target").read_bytes() and not (tmp_path / "linked.json").exists()


def test_a_full_disk_leaves_weights_and_card_as_they_were(
    tmp_path: Path, toy: WeightCard, trained: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the weights still fit and the card does not."""
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for room in (0, 1):
        calls = iter(range(9))

        def sync(handle: int, calls: Iterator[int] = calls, room: int = room) -> None:
            if next(calls) >= room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", sync)
        with torch.no_grad():
            trained.linear3.weight.add_(1)
        with pytest.raises(OSError, match="No space left"):
            save_network(trained, toy, tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e5])
def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, trained: nn.Module, value: float) -> None:
    with torch.no_grad():
        trained.linear3.weight[0, 0] = value
    with pytest.raises(ValueError, match="not finite in half precision, linear3.weight first"):
        (tmp_path / "bad.safetensors").write_bytes(encoded(trained))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", ["values", "shape"])
def test_packed_weights_without_a_part_are_refused(tmp_path: Path, lost: str) -> None:
    state = {
        "fc:kept": torch.zeros(1, dtype=torch.uint8),
        "fc:values": torch.zeros(0),
        "fc:shape": torch.tensor([2, 2]),
    }
    save_file({key: value for key, value in state.items() if key != f"fc:{lost}"}, tmp_path / "packed.safetensors")
    with pytest.raises(ValueError, match="packed.safetensors is not a safetensors file"):
        read_checkpoint(tmp_path / "packed.safetensors")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, trained: nn.Module, suffix: str) -> None:
    path = tmp_path / f"short{suffix}"
    if suffix == ".pth":
        torch.save(trained.state_dict(), path)
    else:
        path.write_bytes(encoded(trained))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=f"short{suffix}") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", bundled())
def test_bundled_weights_are_what_their_cards_say(name: str) -> None:
    card, path = bundled()[name], weights.FOLDER / f"{name}.safetensors"
    assert card.name == name and card.licence and card.data and card.command and card.scores and card.held_out
    assert path.stat().st_size == card.bytes
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card.sha256
    opened = {
        "classifier": lambda name: load_bundled(name)[0],
        "descriptor": lambda name: open_network(name).frozen.model,
        "decoder": lambda name: open_decoder(name)[0],
        "detector": open_detector,
        "2-D detector": open_box_detector,
    }
    model = opened[card.kind](name)
    assert sum(p.numel() for p in model.parameters()) == card.parameters
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_the_public_pointnet_calls_an_airplane_an_airplane(real: Path) -> None:
    model = load_checkpoint(PointNetVanilla(40), real / "pointnet_modelnet40" / "best_model.t7").eval()
    cloud = torch.from_numpy(np.load(real / "clouds" / "airplane.npy"))
    assert cloud.shape == (1024, 3)
    probabilities = model(cloud[None, :, [0, 2, 1]]).softmax(-1)[0]
    assert MODELNET40[int(probabilities.argmax())] == "airplane"
    assert probabilities.max() > 0.9
