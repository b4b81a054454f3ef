"""Figures of inverted pictures: sizes, captions, films, and input that is refused before a file is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from invert3d.ops.layouts import Layout
from invert3d.view.boxes import SceneFrame
from invert3d.view.boxfigures import four_panels, picture_sheet, strip, write_gif
from invert3d.view.color import LIGHT, rgb

H, W = 60, 200
P2 = torch.tensor([[120.0, 0, 100, 7.0], [0, 120, 27, 0.1], [0, 0, 1, 0.003]])
SCENE = Layout.of(
    ("Car", "Pedestrian"),
    torch.tensor([[1.5, 1.6, 4.0], [1.8, 0.6, 0.8]]),
    torch.tensor([[-3.0, 1.5, 14.0], [2.0, 1.5, 9.0]]),
    torch.tensor([0.3, 1.2]),
    P2,
    H,
    W,
    torch.tensor([0.9, 0.6]),
)
PHOTO = np.random.default_rng(0).integers(40, 220, (H, W, 3)).astype(np.uint8)


@pytest.mark.parametrize("original", [PHOTO, None])
def test_four_panels_with_and_without_a_picture(tmp_path: Path, original: np.ndarray | None) -> None:
    scene = SceneFrame(
        name="A scene",
        truth=SCENE,
        original=original,
        on_original=SCENE if original is not None else None,
        inverted=PHOTO,
        on_inverted=SCENE,
    )
    path = four_panels(tmp_path / "new" / "figure.png", scene, {"AP 3-D": "91.2 %", "loss": 0.0123})
    picture = np.asarray(Image.open(path))
    assert tuple(picture[0, 0]) == rgb(LIGHT.background)
    pictures = 3 if original is None else 4
    assert picture.shape[0] > 2 * pictures * 620 * H / W
    assert picture.shape[1] > 2 * (620 + 240)


def test_four_panels_takes_an_inversion_of_another_size(tmp_path: Path) -> None:
    scene = SceneFrame(name="", truth=SCENE, original=PHOTO, inverted=PHOTO[::2, ::2].copy(), on_inverted=SCENE)
    half = SCENE.resized(H // 2, W // 2)
    assert four_panels(tmp_path / "a.png", replace(scene, on_inverted=half)).is_file()
    with pytest.raises(ValueError, match="layout: is for a picture of 60 x 200, but the image has 30 x 100"):
        four_panels(tmp_path / "b.png", replace(scene, on_original=SCENE))
    with pytest.raises(ValueError, match=r"inverted: got \(60, 200\)"):
        four_panels(tmp_path / "b.png", replace(scene, inverted=PHOTO[..., 0]))
    assert not (tmp_path / "b.png").exists()


def test_a_figure_is_the_same_twice(tmp_path: Path) -> None:
    scene = SceneFrame(name="", truth=SCENE, original=PHOTO, on_original=SCENE, inverted=PHOTO, on_inverted=SCENE)
    one, two = (four_panels(tmp_path / f"{i}.png", scene) for i in (1, 2))
    assert one.read_bytes() == two.read_bytes()


def test_a_sheet_has_rows_and_a_strip_its_boxes(tmp_path: Path) -> None:
    one = picture_sheet(tmp_path / "1.png", [PHOTO] * 5, list("abcde"), 5, width=100)
    two = picture_sheet(tmp_path / "2.png", [PHOTO] * 5, list("abcde"), 2, width=100)
    wide, high = Image.open(one).size
    assert Image.open(two).size[0] < wide
    assert Image.open(two).size[1] > 2 * high
    bare, drawn = (
        strip(tmp_path / f"{name}.png", [PHOTO, PHOTO], [None, layout], ["theirs", "ours"], truth=SCENE)
        for name, layout in (("bare", None), ("drawn", SCENE))
    )
    assert Image.open(bare).size == Image.open(drawn).size
    assert bare.read_bytes() != drawn.read_bytes()


def test_a_film_runs_for_ever_and_holds_its_end(tmp_path: Path) -> None:
    frames = [np.full((H, W, 3), 40 * step, np.uint8) for step in range(4)]
    path = write_gif(tmp_path / "way.gif", frames, [f"step {step}" for step in range(4)], fps=10, hold=2)
    film = Image.open(path)
    stays = []
    for place in range(film.n_frames):
        film.seek(place)
        stays.append(film.info["duration"])
        assert abs(int(film.convert("RGB").getpixel((100, 20))[1]) - 40 * place) <= 4
    assert stays == [100, 100, 100, 2000]
    assert film.info["loop"] == 0
    assert film.size[0] == 600
    assert film.size[1] > 180  # the caption stands below
    foot = np.asarray(film.convert("RGB"))[182:]
    assert foot.max() > 180
    assert (
        path.read_bytes()
        == write_gif(tmp_path / "b.gif", frames, [f"step {i}" for i in range(4)], 10, hold=2).read_bytes()
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda path: picture_sheet(path / "a.png", [], []), "got 0 and 0"),
        (lambda path: picture_sheet(path / "a.png", [PHOTO], ["a", "b"]), "got 1 and 2"),
        (lambda path: picture_sheet(path / "a.png", [PHOTO], ["a"], 0), "columns: got 0"),
        (lambda path: picture_sheet(path / "a.jpg", [PHOTO], ["a"]), r"ends in \.png"),
        (lambda path: strip(path / "a.png", [PHOTO], [], ["a"]), "layouts: got 0 for 1 images"),
        (lambda path: strip(path / "a.png", [PHOTO[:9]], [SCENE], ["a"]), "is for a picture of 60 x 200"),
        (lambda path: write_gif(path / "a.png", [PHOTO], ["a"]), r"ends in \.gif"),
        (lambda path: write_gif(path / "a.gif", [PHOTO], ["a"], fps=0), "fps: got 0"),
        (lambda path: write_gif(path / "a.gif", [PHOTO, PHOTO[:9]], ["a", "b"]), "accepted is one size"),
        (lambda path: write_gif(path / "a.gif", [PHOTO / 255], ["a"]), "image 0: got"),
    ],
)
def test_bad_figures_are_refused_and_nothing_is_written(tmp_path: Path, call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(tmp_path)
    assert not list(tmp_path.iterdir())
