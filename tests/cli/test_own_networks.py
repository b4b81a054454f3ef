"""A user's own packed network, whose factory takes arguments, through the commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from invert3d import cli
from invert3d.cli.evaluate.inversion import confirmed_model
from invert3d.cli.options import literal

OWN = '''
import torch
from torch import nn


class Own(nn.Module):
    """Packed points and their height -> class scores."""

    def __init__(self, classes, width):
        super().__init__()
        torch.manual_seed(0)
        self.points, self.head = nn.Linear(4, width), nn.Linear(width, classes)

    def forward(self, x, pos, batch):
        made = self.points(x).tanh()
        total = made.new_zeros(int(batch.max()) + 1, made.shape[1]).index_add(0, batch, made)
        return self.head(total / batch.bincount()[:, None])


def make(name, classes=3, width=8):
    return Own(classes, {"small": width, "large": 2 * width}[name])
'''
CLASSES = "chair,table,cup"
MODEL = ("--model", "own:make", "--model-args", "name=small", "classes=3")
SPACE = ("--points-layout", "packed", "--features", "coordinates,height", "--points", "64")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "cloud.xyz").write_text("".join(f"{i % 5 / 9} {i % 7 / 9} {i % 3 / 9}\n" for i in range(64)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own", raising=False)
    return tmp_path


def called(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.run([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_doctor_sees_it(capsys, place: Path) -> None:
    code, said, error = called(capsys, "doctor", *MODEL, *SPACE, "--class-names", CLASSES)
    assert code == 0, error
    assert "Own takes clouds as one list (B N, 3) with a batch index: layout packed." in said
    assert "The gradient reaches the input." in said


def test_it_is_inverted_scored_again_and_explained(capsys, place: Path) -> None:
    how = ("--judge", "own", "--steps", "2", "--starts", "1", "--no-progress", "--out", "run", "--class-names", CLASSES)
    code, _, error = called(capsys, "invert", "class", "chair", *MODEL, *SPACE, *how)
    assert code == 0, error
    facts = json.loads(Path("run/run.json").read_text())["settings"]["sources"][""]
    assert facts["model"] == "own:make" and facts["args"] == {"name": "small", "classes": 3}
    assert (facts["layout"], facts["features"]) == ("packed", ["coordinates", "height"])
    code, said, error = called(capsys, "evaluate", "inversion", "run", *MODEL)
    assert code == 0 and "chair" in said, error
    code, _, error = called(capsys, "evaluate", "inversion", "run")
    again = """confirm it with --model own:make --model-args '{"name": "small", "classes": 3}'"""
    assert code == 2 and again in error
    code, _, error = called(capsys, "evaluate", "inversion", "run", *MODEL[:3], "name=large")
    assert code == 2 and 'inverted own:make with --model-args \'{"name": "small", "classes": 3}\', not' in error
    code, _, error = called(capsys, "explain", "cloud.xyz", *MODEL, *SPACE, *how[-2:], "--methods", "gradient,grad_cam")
    assert code == 0, error


def test_a_checkpoint_is_scored_again(capsys, place: Path) -> None:
    import own  # type: ignore[import-not-found]

    torch.manual_seed(1)
    state = {name: torch.randn_like(value) for name, value in own.make("small").state_dict().items()}
    torch.save(state, "own.pth")
    how = ("--judge", "own", "--steps", "2", "--starts", "1", "--no-progress", "--out", "run", "--class-names", CLASSES)
    code, _, error = called(capsys, "invert", "class", "cup", *MODEL, *SPACE, *how, "--checkpoint", "own.pth")
    assert code == 0, error
    code, _, error = called(capsys, "evaluate", "inversion", "run", *MODEL)
    assert code == 2 and "inverted other weights than own:make opens: give the --checkpoint" in error
    code, said, error = called(capsys, "evaluate", "inversion", "run", *MODEL, "--checkpoint", "own.pth")
    assert code == 0 and "cup" in said, error


def test_its_explanations_are_measured(capsys, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from invert3d.study.explaining import truth

    monkeypatch.setattr(truth, "examples", lambda network, per_class, seed: truth.held_out(network, per_class, seed))
    Path("mine.toml").write_text(
        '[mine]\nmodel = "own:make"\nargs = { name = "small", classes = 3 }\nlayout = "packed"\n'
        'features = ["coordinates", "height"]\nclasses = ["chair", "table", "cup"]\n'
    )
    words = ("evaluate", "attribution", "mine.toml", "--methods", "gradient,random", "--points", "64", "--no-progress")
    code, said, error = called(capsys, *words)
    assert code == 0, error
    assert said.count("mine") == 2
    settings = json.loads(Path("runs/attribution/run.json").read_text())["settings"]
    assert settings["networks"]["mine"]["args"] == {"name": "small", "classes": 3}
    code, _, error = called(capsys, *words[:2], "pointnet_vanilla-shapes", "mine.toml", "nothing.toml")
    assert code == 2 and "there is no file nothing.toml" in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model-args", "small"), "arguments are NAME=VALUE or a JSON object, not 'small'"),
        (("--model-args", "[1]"), "arguments are NAME=VALUE or a JSON object, not '[1]'"),
        (("--model-args", "a b=1"), "arguments are NAME=VALUE or a JSON object"),
        (("--model-args", "=1"), "arguments are NAME=VALUE or a JSON object"),
        (("--model-args", "name=small", "--model-args", '{"name": "large"}'), "argument 'name' is given twice"),
        (("--model-args", "nam=small"), "own:make: unknown argument 'nam'; did you mean name"),
        (("--model-args", "name=small", "width=1e999"), "arguments of a factory are plain values"),
        (("--model-args", "name=huge"), "cannot make a model from 'own:make': KeyError: 'huge'"),
        (("--model-args",), "--model-args requires at least 1 element"),
        ((), "missing 1 required positional argument: 'name'"),
        ((*MODEL[2:], "--points-layout", "pack"), 'Did you mean "packed"'),
        ((*MODEL[2:], "--features", "high"), "unknown feature 'high'; did you mean height"),
        ((*MODEL[2:], "--features", "ones,ones"), "'ones' is named twice"),
        ((*MODEL[2:], "--grid-size", "0"), "must be above 0"),
        ((*MODEL[2:], "--points-layout", "packed"), "does not take inputs in a packed batch"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(capsys, place: Path, words: tuple[str, ...], says: str) -> None:
    code, _, error = called(capsys, "explain", "cloud.xyz", "--model", "own:make", *words)
    assert code == 2 and says in error and len(error.strip().splitlines()) == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("true", True),
        ("False", False),
        ("None", None),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ('"3"', "3"),
        ("pointnet2_ssg", "pointnet2_ssg"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_values_of_arguments(text: str, value: object) -> None:
    assert literal(text) == value and type(literal(text)) is type(value)


def test_a_run_of_ones_own_weights_says_what_to_give() -> None:
    facts = {"model": "pointnet2_ssg from best.pth", "args": {"normals": True}}
    with pytest.raises(ValueError, match="give --model pointnet2_ssg --checkpoint best.pth"):
        confirmed_model(Path("run"), facts, None, {})
    assert confirmed_model(Path("run"), facts, "pointnet2_ssg", {}) == "pointnet2_ssg"
    with pytest.raises(ValueError, match=r"inverted pointnet2_ssg from best.pth, not own:make"):
        confirmed_model(Path("run"), facts, "own:make", {})
    assert confirmed_model(Path("run"), {"model": "voxnet-shapes"}, None, {}) == "voxnet-shapes"
