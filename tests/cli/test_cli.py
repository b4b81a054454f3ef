"""The command line: every kind of bad input is refused before work starts, in one sentence, with exit code 2."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from invert3d import cli
from invert3d.study.classes.job import read_shapes
from invert3d.study.classes.report import write_film

pytestmark = pytest.mark.usefixtures("coarse")


def run(monkeypatch, capsys, *words):
    """Exit code, standard output and standard error of a command."""
    monkeypatch.setattr(sys, "argv", ["invert3d", *map(str, words)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    out = capsys.readouterr()
    return code, out.out, out.err


NET = ("--model", "pointnet_vanilla-shapes", "--no-progress", "--points", "64", "--steps", "4", "--judge", "own")


class Trap:
    """A pickle that would run code."""

    def __reduce__(self):
        return (print, ("this must not be printed",))


@pytest.fixture
def bad(tmp_path):
    torch.save({"weights": Trap()}, tmp_path / "trap.pth")
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "mine.toml").write_text("pionts = 3\n")
    (tmp_path / "big_k.toml").write_text(
        'points = 64\nparameterization = { name = "direct" }\n[[stages]]\nsteps = 2\n'
        'projections = [{ name = "knn_smooth", k = 64 }]\n'
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("")
    np.save(tmp_path / "transposed.npy", np.zeros((3, 100)))
    np.save(tmp_path / "nan.npy", np.full((100, 3), np.nan))
    np.save(tmp_path / "small.npy", np.zeros((3, 3)))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("invert", "class", "airplne", *NET), "did you mean airplane"),
        (("invert", "class", *NET), "name a class"),
        (("invert", "class", "chair", "--model", "pointnet2_sgg-shapes"), "did you mean pointnet2_ssg"),
        (("invert", "class", "chair", *NET, "--recipe", "{}/mine.toml"), "did you mean points"),
        (("invert", "class", "chair", *NET[:3], "--recipe", "{}/big_k.toml"), "K = 64"),
        (("invert", "class", "chair", *NET, "--out", "{}/full"), "--overwrite"),
        (("invert", "class", "chair", *NET, "--out", "{}/full", "--overwrite"), "not a run folder"),
        (("invert", "class", "chair", *NET, "--out", "{}/none", "--resume"), "nothing to resume"),
        (("invert", "class", "chair", *NET, "--device", "cuda:77"), "no device"),
        (("invert", "class", "chair", *NET[:-2], "--judge", "nobody"), "unknown model"),
        (("invert", "class", "chair", "--model", "pointnet", "--checkpoint", "{}/trap.pth"), "weights_only"),
        (("invert", "class", "chair", "--model", "pointnet", "--checkpoint", "{}/other.pth"), "does not fit pointnet"),
        (("invert", "class", "chair", *NET, "--checkpoint", "{}/other.pth"), "missing: feature_model"),
        (("invert", "class", "chair", "--model", "pointnet_vanilla-shapes", "--points", "3"), "16 points"),
        (("classify", "pointnet_vanilla-shapes", "{}/nan.npy"), "."),
        (("classify", "pointnet_vanilla-shapes", "{}/transposed.npy"), "."),
        (("classify", "pointnet_vanilla-shapes", "{}/small.npy"), "."),
        (("evaluate", "inversion", "{}"), "not a run folder"),
        (("view", "{}"), "not a run folder"),
        (("reproduce", "inverting3d/fig6"), "did you mean inverting3d/fig"),
        (("train", "pointnett"), "did you mean pointnet"),
        (("data", "where", "modelnet99"), "modelnet"),
        (("data", "make", "shapes", "{}/x.npz", "--classes", "char"), "did you mean chair"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(monkeypatch, capsys, bad, words, says):
    code, out, err = run(monkeypatch, capsys, *(word.replace("{}", str(bad)) for word in words))
    assert code == 2, (out, err)
    assert says in err
    assert err.startswith("invert3d: ")
    assert err.count("\n") == 1
    assert "must not be printed" not in out


def test_an_unknown_option_is_refused_with_exit_code_2(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "invert", "class", "chair", "--modle", "x")[0] == 2


def test_inverting_writes_a_folder_that_opens_and_can_be_scored_again(monkeypatch, capsys, tmp_path):
    out = tmp_path / "run"
    code, text, _ = run(monkeypatch, capsys, "invert", "class", "chair", "cup", *NET, "--starts", "2", "--out", out)
    assert code == 0
    assert "index.html" in text
    for name in (
        "index.html",
        "gallery.png",
        "trace.png",
        "scores.json",
        "recipe.toml",
        "shapes/chair.ply",
        "shapes/cup.glb",
    ):
        assert (out / name).is_file(), name
    page = (out / "index.html").read_text()
    assert page.count("<h3>inverted</h3>") == 2 and "<h3>nearest cup</h3>" in page and "two of the class" in page
    with Image.open(write_film(out)) as film:
        assert film.n_frames == len(read_shapes(out)[1].snapshot_steps) + 1
    code, text, _ = run(monkeypatch, capsys, "evaluate", "inversion", out)
    assert code == 0
    assert "chair" in text
    table = json.loads((out / "run.json").read_text())
    table["settings"]["sources"][""]["weights"] = "others"
    (out / "run.json").write_text(json.dumps(table))
    code, _, error = run(monkeypatch, capsys, "evaluate", "inversion", out)
    assert code == 2 and "inverted other weights than pointnet_vanilla-shapes opens" in error


def test_a_demo_replaces_the_one_before_and_nothing_else(monkeypatch, capsys, tmp_path):
    seen = []

    def inverting(*classes, run, **_):
        folder = run.at("elsewhere").folder()
        seen.append(sorted(path.name for path in folder.glob("*")))
        (folder / "run.json").write_text("{}")

    monkeypatch.setattr("invert3d.cli.invert.classes.invert_classes", inverting)
    monkeypatch.setattr("invert3d.study.classes.report.write_film", lambda folder: folder / "film.webp")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert [run(monkeypatch, capsys, "demo")[0] for _ in range(2)] == [0, 0]
    assert seen == [[], ["run.json"]]
    assert run(monkeypatch, capsys, "demo", "--resume")[0] == 0
    code, _, says = run(monkeypatch, capsys, "demo", "--out", "mine")
    assert code == 2 and "mine is not a run folder (no run.json): it is left as it is" in says


def test_data_are_made_from_a_seed(monkeypatch, capsys, tmp_path):
    for name in ("a", "b"):
        words = (
            "data",
            "make",
            "shapes",
            tmp_path / f"{name}.npz",
            "--per-class",
            "2",
            "--points",
            "32",
            "--classes",
            "chair,cup",
        )
        assert run(monkeypatch, capsys, *words)[0] == 0
    first, second = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    assert first["clouds"].shape == (4, 32, 3)
    assert np.array_equal(first["clouds"], second["clouds"])


@pytest.mark.parametrize("words", [("models",), ("recipes",), ("recipes", "ours"), ("data", "list"), ("cite",)])
def test_lists_are_printed(monkeypatch, capsys, words):
    code, text, _ = run(monkeypatch, capsys, *words)
    assert code == 0
    assert text.strip()


def test_doctor_says_what_a_model_takes(monkeypatch, capsys):
    code, text, _ = run(monkeypatch, capsys, "doctor", "--model", "pointnet_vanilla-shapes", "--points", "64")
    assert code == 0
    assert "gradient" in text
