"""Opening networks: options that are nonsense, models that are none, names that do not fit, and pickles."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.model import Frozen
from invert3d.engine.space import Image, Points, Voxels
from invert3d.models.weights import WeightCard, save_network
from invert3d.opening.networks import open_network, open_networks
from invert3d.opening.options import UNNAMED, ModelOptions
from tests.conftest import TinyNet


class Constant(nn.Module):
    """Returns the same for any input."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Any:
        return self.value


@pytest.mark.parametrize(
    ("options", "says"),
    [
        *(
            ({name: value}, f"{name} must be between 1 and .* not {value}")
            for name in ("points", "size")
            for value in (0, -3)
        ),
        ({"size": 10**9}, "size must be between 1 and 4096"),
        *(
            ({"values": pair}, "values must be two finite numbers, the lower one first")
            for pair in ((1, 1), (5, -1), (float("nan"), 1), (0, float("inf")))
        ),
        ({"classes": ()}, "no class names were given"),
        ({"classes": ("a", "b", "a")}, "class names must differ: a is there more than once"),
        ({"kind": "pionts"}, "unknown kind 'pionts'; did you mean points"),
        ({"layout": "nb3"}, "unknown layout 'nb3'; did you mean"),
        ({"up": "x"}, "unknown up 'x'"),
        ({"output": "logit"}, "unknown output 'logit'; did you mean logits"),
    ],
)
def test_options_that_are_nonsense_are_refused(options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ModelOptions(**options)
    with pytest.raises(ValueError, match=says):
        open_network(TinyNet(), **options)


def test_options_and_keywords_say_the_same_and_keywords_win() -> None:
    options = ModelOptions(points=64, layout="bn3", classes=("a", "b", "c", "d"), output="logits")
    model = TinyNet()
    one, two = (
        open_network(model, options),
        open_network(model, points=64, classes=["a", "b", "c", "d"], output="logits"),
    )
    assert one.classes == two.classes == ("a", "b", "c", "d") and one.frozen.space == two.frozen.space == Points(
        points=64
    )
    assert one.frozen.output == two.frozen.output == "logits"
    assert open_network(model, options, points=32).space.points == 32
    assert open_network(Constant(torch.zeros(2, 5)), kind="image", size=16).frozen.space == Image(height=16, width=16)
    grids = open_network(Constant(torch.zeros(2, 5)), kind="voxels", size=8, values=(-1, 5))
    assert grids.frozen.space == Voxels(size=8, low=-1, high=5)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_as_many_names_as_outputs(count: int) -> None:
    names = [f"c{i}" for i in range(count)]
    was = "class name was" if count == 1 else "class names were"
    with pytest.raises(ValueError, match=f"the network has 4 outputs, {count} {was} given"):
        open_network(TinyNet(4), classes=names, points=32)
    with pytest.raises(ValueError, match=f"the network has 21 outputs, {count} {was} given"):
        open_network("pointnet_vanilla-shapes", classes=names)


def test_a_model_that_is_to_be_diagnosed_is_not_run() -> None:
    network = open_network(Constant(None), classes=UNNAMED)
    assert network.classes == UNNAMED


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.zeros(2), r"no .B, K. tensor of class scores.* it has \(2,\)"),
        (torch.zeros(2, 3, 4), r"no .B, K. tensor of class scores.* it has \(2, 3, 4\)"),
        (torch.zeros(2, 0), r"no .B, K. tensor of class scores.* it has \(2, 0\)"),
        (torch.zeros(1, 4), r"the model returns \(1, 4\) for 2 inputs"),
        (torch.full((2, 4), torch.nan), "NaN or infinite class scores"),
        (torch.full((2, 4), torch.inf), "NaN or infinite class scores"),
        (None, "no .B, K. tensor of class scores"),
        ({"boxes": torch.zeros(2)}, "no .B, K. tensor of class scores"),
    ],
)
def test_models_that_do_not_classify_are_refused(value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        open_network(Constant(value), points=16)


FACTORIES = """
import torch

def broken():
    raise RuntimeError("no weights here\\nand more")

def number():
    return 3

def leave():
    import nowhere_at_all

good = torch.nn.Identity
"""


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("factories:broken", "cannot make a model from 'factories:broken': RuntimeError: no weights here"),
        ("factories:number", "factories:number returns int, not an nn.Module"),
        ("factories:leave", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("factories:nothing", "AttributeError: .*nothing"),
        ("factories:good:bad", "AttributeError: .*good:bad"),
        ("factories:", "cannot make a model from 'factories:'"),
        (":good", "cannot make a model from ':good'"),
        ("bad syntax:x", "ModuleNotFoundError"),
    ],
)
def test_factories_that_fail_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, says: str) -> None:
    (tmp_path / "factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "factories", raising=False)
    with pytest.raises(ValueError, match=says) as error:
        open_network(spec)
    assert "\n" not in str(error.value)


def test_a_detector_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="centernet3d-small is a detector, and a classifier is asked for: dgcnn-shapes"
    ):
        open_network("centernet3d-small")


# ---- to other processes ----


@pytest.mark.parametrize("output", ["logits", "auto"])
def test_a_network_goes_through_a_pickle_bit_for_bit(device: torch.device, output: str) -> None:
    network = open_network("pointnet_vanilla-shapes", points=64, output=output, device=str(device))
    x = torch.rand(3, 64, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    again = pickle.loads(pickle.dumps(network))
    assert torch.equal(again.frozen(x), network.frozen(x))
    assert again.frozen.device == network.frozen.device == device, "the original stays where it was"
    assert (again.name, again.classes, again.card, again.options) == (
        network.name,
        network.classes,
        network.card,
        network.options,
    )
    assert again.frozen.space == network.frozen.space and again.frozen.output == output


def test_a_module_without_a_pickle_is_refused_in_one_sentence() -> None:
    class Local(nn.Identity):
        pass

    network = open_network(Local(), classes=UNNAMED)
    with pytest.raises(
        ValueError, match=r"Local cannot be sent to a worker process: give it as package.module:factory$"
    ):
        pickle.dumps(network)


def test_a_card_of_ones_own_opens_with_its_input(tmp_path: Path) -> None:
    from invert3d.models.voxnet import VoxNet

    card = WeightCard(
        name="mine",
        kind="classifier",
        architecture="voxnet",
        classes=("a", "b"),
        options={"width": 4},
        inputs={"size": 32, "values": [-1.0, 5.0]},
    )
    card = save_network(VoxNet(2, width=4), card, tmp_path)
    network = open_network(str(tmp_path / "mine.json"))
    assert network.card == card and network.frozen.space == Voxels(size=32, low=-1, high=5)
    assert isinstance(network.frozen, Frozen) and network.options == {"width": 4}
    with pytest.raises(ValueError, match="mine takes grids of 32 voxels a side, not 16"):
        open_network(str(tmp_path / "mine.json"), size=16)


def test_a_file_names_networks_of_ones_own(tmp_path: Path) -> None:
    torch.save(TinyNet().state_dict(), tmp_path / "mine.pth")
    (tmp_path / "names.txt").write_text("a\nb \n\n c\nd\n")
    path = tmp_path / "networks.toml"
    path.write_text(
        '[mine]\nmodel = "tests.conftest:TinyNet"\ncheckpoint = "mine.pth"\nclasses = "names.txt"\npoints = 32\n'
        '[other]\nmodel = "tests.conftest:TinyNet"\nclasses = ["a", "b", "c", "d"]\nup = "y"\n'
    )
    mine, other, bundled = open_networks([str(path), "pointnet_vanilla-shapes"])
    assert [each.name for each in (mine, other, bundled)] == ["mine", "other", "pointnet_vanilla-shapes"]
    assert mine.classes == other.classes == ("a", "b", "c", "d")
    assert (mine.space.points, mine.space.up, other.space.up) == (32, "z", "y")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "is not TOML"),
        ('model = "x"', r"\[model\] needs a model"),
        ("[mine]\npoints = 3", r"\[mine\] needs a model, such as"),
        ('[mine]\nmodel = "pointnet_vanilla-shapes"\nlayuot = "b3n"', "unknown field 'layuot'; did you mean layout"),
        ('[mine]\nmodel = "pointnet_vanilla-shapes"\ncheckpoint = "none.pth"', "none.pth"),
        ('[mine]\nmodel = "pointnet_vanilla-shapes"\npoints = "many"', r"networks.toml, \[mine\]: .*points"),
        ('[mine]\nmodel = "pointnet_vanilla-shapes"\nclasses = "none.txt"', r"networks.toml, \[mine\]: .*none.txt"),
        ('[mine]\nmodel = "pointnet_vanilla-shapes"\nvalues = 3', r"networks.toml, \[mine\]: .*values"),
        ('["../mine"]\nmodel = "pointnet_vanilla-shapes"', "mine"),
    ],
)
def test_a_file_of_networks_that_is_wrong_is_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "networks.toml").write_text(text)
    with pytest.raises(ValueError, match=says):
        open_networks([str(tmp_path / "networks.toml")])


def test_two_networks_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two networks are called pointnet_vanilla-shapes"):
        open_networks(["pointnet_vanilla-shapes", "pointnet_vanilla-shapes"])
    with pytest.raises(ValueError, match="there is no file"):
        open_networks([str(tmp_path / "none.toml")])


def test_what_nobody_said_is_guessed_and_said() -> None:
    assert open_network("pointnet_vanilla-shapes").guessed == ""
    ten = Constant(torch.zeros(2, 10))
    assert open_network(ten).guessed == (
        " Guessed: that z is up (--up) and that the classes are ModelNet10's in alphabetical order (--class-names)."
    )
    assert open_network(ten, up="y", classes=[f"c{i}" for i in range(10)]).guessed == ""
    assert "z is up" not in open_network(ten, kind="voxels", size=8).guessed
    assert pickle.loads(pickle.dumps(open_network(TinyNet()))).guessed == " Guessed: that z is up (--up)."
