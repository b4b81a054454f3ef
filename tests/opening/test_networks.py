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
        ({"facing": "frnt"}, "unknown facing 'frnt'; did you mean front"),
        ({"output": "logit"}, "unknown output 'logit'; did you mean logits"),
        ({"layout": "pack"}, "unknown layout 'pack'; did you mean packed"),
        ({"features": ("hieght",)}, "unknown feature 'hieght'; did you mean height"),
        *(
            ({"grid_size": size}, "grid_size must be above 0 and at most 1,000,000")
            for size in (0.0, -1.0, 1e7, float("nan"))
        ),
        ({"args": {"act": nn.ReLU}}, "arguments of a factory are plain values"),
        ({"args": {"rate": float("inf")}}, "arguments of a factory are plain values"),
        ({"args": {3: 4}}, "arguments of a factory are given by name"),
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

def sized(classes, *, width=8):
    return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Linear(width, classes))

def anything(**args):
    if args != {"name": "a", "layers": [1, 2]}:
        raise KeyError(f"no {sorted(args)}")
    return torch.nn.Identity()
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module ``factories`` in the current directory."""
    (tmp_path / "factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "factories", raising=False)


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
@pytest.mark.usefixtures("factories")
def test_factories_that_fail_are_named(spec: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        open_network(spec)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("factories")
def test_a_factory_gets_its_arguments() -> None:
    network = open_network("factories:sized", args={"classes": 5, "width": 4}, classes=UNNAMED)
    assert [tuple(value.shape) for value in network.frozen.model.parameters()] == [(4, 3), (4,), (5, 4), (5,)]
    assert network.name == "factories:sized" and network.options == {"classes": 5, "width": 4}
    open_network("factories:anything", args={"name": "a", "layers": [1, 2]}, classes=UNNAMED)


@pytest.mark.parametrize(
    ("spec", "args", "says"),
    [
        (
            "factories:sized",
            {"classes": 5, "widht": 4},
            "factories:sized: unknown argument 'widht'; did you mean width",
        ),
        ("factories:sized", {}, "TypeError: sized.. missing 1 required positional argument: 'classes'"),
        ("factories:sized", {"classes": "many"}, "cannot make a model from 'factories:sized': TypeError"),
        ("factories:number", {"a": 1}, "factories:number: it takes no arguments, 'a' was given"),
        ("factories:anything", {"b": 1}, r"cannot make a model from 'factories:anything': KeyError: .no .'b'."),
        ("pointnet_vanilla-shapes", {"a": 1}, "arguments are for package.module:factory, not for 'pointnet_vanilla-sh"),
        (TinyNet(), {"a": 1}, "arguments are for package.module:factory, not for a TinyNet"),
    ],
)
@pytest.mark.usefixtures("factories")
def test_arguments_that_a_factory_does_not_take_are_refused(spec: Any, args: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        open_network(spec, args=args)
    assert "\n" not in str(error.value)


def test_features_are_what_the_network_is_fed() -> None:
    network = open_network(nn.Linear(4, 3), features=["coordinates", "height"], points=32, classes=UNNAMED)
    assert network.space == Points(points=32, features=("coordinates", "height"))
    assert open_network(TinyNet(), features=["normals"], points=32).space.normals, "the clouds must have them, then"
    with pytest.raises(ValueError, match=r"does not take inputs .2, 32, 4. .*try another --points-layout .*--features"):
        open_network(TinyNet(), features=["coordinates", "ones"], points=32)
    with pytest.raises(ValueError, match=r"does not take inputs in a packed batch .*try another --points-layout"):
        open_network(TinyNet(), layout="packed", points=32)


def test_whatever_a_network_raises_at_its_input_is_told_in_one_sentence() -> None:
    class Asks(nn.Module):
        def forward(self, data: dict[str, Tensor]) -> Tensor:
            return data["segment"]

    with pytest.raises(ValueError, match=r"does not take inputs in a packed batch .KeyError: 'segment'.; try another"):
        open_network(Asks(), layout="packed", points=32)


def test_a_detector_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match="centernet3d-small is a detector, and a classifier or descriptor is asked for: dgcnn-modelnet10",
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
        '[five]\nmodel = "tests.conftest:TinyNet"\nargs = { classes = 5 }\nfeatures = ["normals"]\n'
    )
    mine, other, five, bundled = open_networks([str(path), "pointnet_vanilla-shapes"], points=64)
    assert [each.name for each in (mine, other, five, bundled)] == ["mine", "other", "five", "pointnet_vanilla-shapes"]
    assert len(five.classes) == 5 and five.options == {"classes": 5} and five.space.features == ("normals",)
    assert (other.space.points, bundled.space.points) == (64, 64)
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
        ('[mine]\nmodel = "tests.conftest:TinyNet"\nargs = 3', r"networks.toml, \[mine\]: .*args"),
        (
            '[mine]\nmodel = "tests.conftest:TinyNet"\nargs = { clases = 3 }',
            "unknown argument 'clases'; did you mean cl",
        ),
        ('[mine]\nmodel = "tests.conftest:TinyNet"\nargs = { when = 2020-01-01 }', "arguments of a factory are plain"),
        ('[mine]\nmodel = "tests.conftest:TinyNet"\nfeatures = ["up"]', r"networks.toml, \[mine\]: .*features"),
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


def test_where_fronts_face_is_as_said_or_as_the_card_says() -> None:
    assert open_network(TinyNet(classes=10)).facing == "stored"
    assert open_network(TinyNet(classes=10), facing="front").facing == "front"
    assert open_network("pointnet_vanilla-shapes").facing == "front"
    assert open_network("pointnet_vanilla-shapes", facing="stored").facing == "stored"
