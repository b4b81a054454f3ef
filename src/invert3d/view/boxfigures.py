"""Figures of inverted pictures: beside what they were made from, beside each other, and on their way."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from invert3d.view.axis import short
from invert3d.view.boxes import SceneFrame, draw_found, in_space
from invert3d.view.color import DARK
from invert3d.view.figures import Panel, contact_sheet, save_gif, save_png
from invert3d.view.plan import birds_eye, fitting_reach
from invert3d.view.style import MARGIN, SMALL, Sheet, checked_picture

if TYPE_CHECKING:
    from PIL import Image

    from invert3d.ops.layouts import Layout

_WIDE = 620.0  # of a picture, in design pixels
_GAP, _CAPTION = 16.0, 25.0
_LOW = 260.0  # that a plan and its words are high at least


def four_panels(path: str | Path, scene: SceneFrame, numbers: Mapping[str, float | str] | None = None) -> Path:
    """A scene and its inversion as PNG: what was asked, what is found in both pictures, and all from above.

    Args:
        path: a name that ends in .png; folders are made.
        scene: with an inverted picture, and what is found in it.
        numbers: facts to stand below the headline, by name.

    Raises:
        ValueError: a layout is for a picture of another size than its own, an array is no picture, or the name ends
            otherwise.
    """
    blocks = _blocks(scene)
    facts = {name: short(value) if isinstance(value, float) else value for name, value in (numbers or {}).items()}
    note = " · ".join(f"{name} {value}" for name, value in facts.items())
    heights = [[_WIDE * picture.shape[0] / picture.shape[1] for picture, _ in block[0]] for block in blocks]
    total = [max(_LOW, sum(rows) + _CAPTION * len(rows) + _GAP * (len(rows) - 1)) for rows in heights]
    plan_width = max(240, min(400, round((min(total) - _CAPTION) * 0.78)))
    width = 2 * MARGIN + _WIDE + _GAP + plan_width
    top = 0.0
    sheet = Sheet(width, sum(total) + _GAP * (len(total) - 1) + MARGIN, title=scene.name, note=note)
    reach, letters = fitting_reach(scene.truth, *scene.founds.values()), iter("abcd")
    for (pictures, name), rows, block in zip(blocks, heights, total, strict=True):
        y = top
        for (picture, words), height in zip(pictures, rows, strict=True):
            _picture(sheet, (MARGIN, y, _WIDE, height), picture, f"({next(letters)}) {words}")
            y += height + _CAPTION + _GAP
        size = (plan_width, round(block - _CAPTION))
        found = scene.founds[name]
        plan = birds_eye(scene.truth, found, reach=reach, width=size[0], height=size[1], scale=2 * sheet.scale)
        _picture(sheet, (MARGIN + _WIDE + _GAP, top, *size), plan, f"from above: {name}")
        top += block + _GAP
    return save_png(sheet.image(), path)


def picture_sheet(
    path: str | Path,
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    columns: int = 4,
    *,
    title: str = "",
    note: str = "",
    width: int = 300,
) -> Path:
    """Pictures (H, W, 3) uint8 in rows as PNG, such as those of a sweep, each with its caption.

    Args:
        path: a name that ends in .png.
        images: at least one, each `width` design pixels wide and as high as the highest.
        captions: one a picture.
        columns: pictures in a row.
        title, note: as of `contact_sheet`.

    Raises:
        ValueError: there is no picture, one is none, the captions are not as many, or `columns` is not positive.
    """
    pictures = _checked(images, captions)
    if columns < 1:
        raise ValueError(f"columns: got {columns}, accepted is at least 1")
    columns = min(columns, len(pictures))
    tall = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    panels = [Panel(image=picture, caption=words) for picture, words in zip(pictures, captions, strict=True)]
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    size = (width, round((width - 12) * tall + 12))
    return save_png(contact_sheet(rows, title=title, note=note, panel_size=size), path)


def strip(
    path: str | Path,
    images: Sequence[np.ndarray],
    layouts: Sequence["Layout | None"],
    captions: Sequence[str],
    *,
    truth: "Layout | None" = None,
    title: str = "",
    note: str = "",
    columns: int | None = None,
) -> Path:
    """Several inversions of one layout side by side as PNG, with what is found in each: recipes, parts of a detector.

    Args:
        path: a name that ends in .png.
        images: (H, W, 3) uint8 each.
        layouts: what is found in each; None leaves a picture bare.
        captions: one a picture.
        truth: drawn faintly below what is found, moved to the size of each picture.
        columns: pictures in a row, by default all up to three.
        title, note: as of `contact_sheet`.

    Raises:
        ValueError: the numbers of pictures, layouts and captions differ, or a layout is for another size.
    """
    pictures = _checked(images, captions)
    if len(layouts) != len(pictures):
        raise ValueError(f"layouts: got {len(layouts)} for {len(pictures)} images, accepted is one each, or None")
    both = zip(pictures, layouts, strict=True)
    drawn = [picture if layout is None else draw_found(picture, layout, truth) for picture, layout in both]
    return picture_sheet(path, drawn, captions, columns or min(3, len(drawn)), title=title, note=note, width=420)


def write_gif(
    path: str | Path, images: Sequence[np.ndarray], captions: Sequence[str], fps: float = 8.0, *, hold: float = 1.5
) -> Path:
    """Pictures one after the other, again and again, each with its caption below it, as GIF.

    Args:
        path: a name that ends in .gif; folders are made.
        images: (H, W, 3) uint8, all of one size; small ones are enlarged.
        captions: one a picture.
        fps: pictures a second, at most 50.
        hold: seconds that the last one stays.

    Raises:
        ValueError: there is no picture, sizes differ, the captions are not as many, or `fps` is out of range.
    """
    pictures = _checked(images, captions)
    if len({picture.shape for picture in pictures}) > 1:
        raise ValueError(f"images: got {sorted({picture.shape for picture in pictures})}, accepted is one size")
    frames = [_captioned(picture, words) for picture, words in zip(pictures, captions, strict=True)]
    return save_gif(frames, path, fps, hold=hold, dither=True)


def _blocks(scene: SceneFrame) -> list[tuple[list[tuple[np.ndarray, str]], str]]:
    """The pictures that stand beside one plan, each with its words, and where that was found which the plan shows."""
    if scene.inverted is None or scene.on_inverted is None:
        raise ValueError(f"scene {scene.name!r}: accepted is one with an inverted picture and what is found in it")
    counts = {name: _count(found) for name, found in scene.founds.items()}
    words = {
        "asked": f"asked for: {_count(scene.truth)}" + ("" if scene.original is None else ", on the original"),
        "on original": f"found in the original: {counts.get('original')}",
        "inverted": "the inverted picture",
        "on inverted": f"found in it: {counts.get('inverted')}",
    }
    rows = [(picture, words[name]) for name, picture in scene.shots().items()]
    if scene.original is None or scene.on_original is None:
        return [(rows, "inverted")]
    return [(rows[:2], "original"), (rows[2:], "inverted")]


def _count(layout: "Layout") -> str:
    """How many objects of a layout have a box in space."""
    count = len(in_space(layout))
    return f"{count} object{'' if count == 1 else 's'}"


def _picture(sheet: Sheet, place: tuple[float, float, float, float], picture: np.ndarray, words: str) -> None:
    """A picture in a hairline at (x, y, width, height), and its words below."""
    x, y, width, height = place
    sheet.box(x - 1, y - 1, width + 2, height + 2, fill=sheet.theme.line)
    sheet.picture(*place, picture)
    sheet.text(x, y + height + 14, words, size=SMALL, color=sheet.theme.muted)


def _checked(images: Sequence[np.ndarray], captions: Sequence[str]) -> list[np.ndarray]:
    """The pictures, once each is seen to be one and to have a caption."""
    if len(images) == 0 or len(images) != len(captions):
        raise ValueError(f"images, captions: got {len(images)} and {len(captions)}, accepted is one caption a picture")
    return [checked_picture(image, f"image {place}") for place, image in enumerate(images)]


def _captioned(picture: np.ndarray, words: str) -> "Image.Image":
    """The picture, enlarged where it is small, on a strip with its caption."""
    from PIL import Image

    zoom = max(1, -(-480 // picture.shape[1]))
    height, width = picture.shape[0] * zoom, picture.shape[1] * zoom
    picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
    size = max(13.0, width / 60)
    sheet = Sheet(width, height + round(size * 2), scale=1, top=0, theme=DARK)
    sheet.picture(0, 0, width, height, picture)
    sheet.text(round(size * 0.7), height + size, words, size=round(size, 1))
    return sheet.image()
