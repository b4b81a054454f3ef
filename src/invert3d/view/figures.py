"""A sheet of pictures: clouds and images in rows and columns, each with its words."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from invert3d.ops.files import write_bytes
from invert3d.view.camera import THREE_QUARTER, Camera
from invert3d.view.raster import splat
from invert3d.view.style import LEADING, MARGIN, SMALL, Sheet, checked_ending, checked_picture, text_width, wrapped

if TYPE_CHECKING:
    from PIL import Image

_GAP = 14.0
_TITLE = 12.5  # size of type


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One picture of a sheet: a cloud or an image."""

    cloud: np.ndarray | None = None  # (N, 3)
    image: np.ndarray | None = None  # (H, W), (H, W, 3) or (H, W, 4) uint8
    colors: np.ndarray | None = None  # (N, 3) uint8; without them height is the color
    cube: float | None = None  # the points are cubes of this edge length, a voxel grid (see `view.grids`)
    caption: str = ""  # below it


def contact_sheet(
    rows: Sequence[Sequence[Panel | None]],
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    title: str = "",
    note: str = "",
    camera: Camera = THREE_QUARTER,
    panel_size: tuple[int, int] = (200, 200),
    scale: int = 2,
) -> "Image.Image":
    """Panels in rows and columns with their titles: what was asked for down the side, how across the top.

    Args:
        rows: of panels; None leaves a place empty, and a row may be short.
        column_titles: one a column, or none.
        row_titles: one a row, or none.
        title: the headline.
        note: a sentence or two below it.
        camera: for the clouds, all alike so that sizes compare.
        panel_size: (width, height) of a panel in design pixels.
        scale: pixels of the image for each design pixel.

    Raises:
        ValueError: there is no panel, the titles do not match the rows, or a panel has no picture or two.
    """
    wide, high = panel_size
    columns = _columns(rows, column_titles, row_titles)
    side = min(150.0, max((text_width(text, _TITLE, bold=True) + 1 for text in row_titles), default=0.0))
    lefts = MARGIN + (side + 20 if side else 0) + np.arange(columns) * (wide + _GAP)
    tops = [28.0 if column_titles else 0.0]
    for row in rows:
        lines = max((len(_caption(panel, wide)) for panel in row), default=0)
        tops.append(tops[-1] + high + (LEADING * SMALL * lines + 18 if lines else _GAP))
    width = max(lefts[-1] + wide + MARGIN, 380.0 if title or note else 0.0)
    sheet = Sheet(width, tops[-1] + MARGIN - _GAP, title=title, note=note, scale=scale)
    for x, text in zip(lefts, column_titles, strict=False):
        line = wrapped(text, _TITLE, wide, bold=True)[0] if text else ""
        sheet.text(x + wide / 2, tops[0] - 14, line, size=_TITLE, bold=True, anchor="center")
    for y, text in zip(tops, row_titles, strict=False):
        lines = wrapped(text, _TITLE, side, bold=True)
        middle = y + high / 2 - LEADING * _TITLE * (len(lines) - 1) / 2
        sheet.text(MARGIN, middle, "\n".join(lines), size=_TITLE, bold=True)
    for y, row in zip(tops, rows, strict=False):
        for x, panel in zip(lefts, row, strict=False):
            if panel is not None:
                _place(sheet, panel, (x, y), panel_size, camera)
    return sheet.image()


def save_png(image: "Image.Image | np.ndarray", path: str | Path) -> Path:
    """Write an image, or an array (H, W), (H, W, 3) or (H, W, 4) uint8, as PNG; folders are made.

    Raises:
        ValueError: the path does not end in .png, or the array is no image.
    """
    from PIL import Image

    path = checked_ending(path, ".png")
    if not isinstance(image, Image.Image):
        image = Image.fromarray(checked_picture(image, loose=True))
    file = io.BytesIO()
    image.save(file, "PNG")
    return write_bytes(path, file.getvalue())


def save_gif(
    frames: Sequence["Image.Image"], path: str | Path, fps: float = 8.0, *, hold: float = 1.5, dither: bool = False
) -> Path:
    """Write images of one size as GIF, one after the other, again and again; folders are made.

    Args:
        frames: at least one.
        path: a name that ends in .gif.
        fps: images a second, at most 50.
        hold: seconds that the last one stays.
        dither: mix the 256 colors of an image, as suits photographs; flat ones are smaller without.

    Raises:
        ValueError: there is no image, `fps` is out of range, or the name ends otherwise.
    """
    from PIL import Image

    path = checked_ending(path, ".gif")
    if not 0 < fps <= 50 or not frames:
        raise ValueError(f"fps: got {fps} for {len(frames)} images, accepted is above 0, up to 50, for at least one")
    how = Image.Dither.FLOYDSTEINBERG if dither else Image.Dither.NONE
    made = [frame.quantize(palette=frame.quantize(256), dither=how) for frame in frames]
    stays = [max(20, round(100 / fps) * 10)] * len(made)
    stays[-1] = max(stays[-1], round(hold * 100) * 10)
    file = io.BytesIO()
    made[0].save(file, "GIF", save_all=True, append_images=made[1:], duration=stays, loop=0, optimize=False)
    return write_bytes(path, file.getvalue())


def _columns(rows: Sequence[Sequence[Panel | None]], column_titles: Sequence[str], row_titles: Sequence[str]) -> int:
    """How many columns there are, refusing titles that do not match the panels."""
    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise ValueError("rows: got no panel, accepted is at least one")
    for name, titles, count in (("column_titles", column_titles, columns), ("row_titles", row_titles, len(rows))):
        if len(titles) not in (0, count):
            raise ValueError(f"{name}: got {len(titles)}, accepted are 0 or {count}")
    return columns


def _caption(panel: Panel | None, width: float) -> list[str]:
    """The lines of a panel's caption."""
    return wrapped(panel.caption, SMALL, width) if panel is not None and panel.caption else []


def _place(sheet: Sheet, panel: Panel, corner: tuple[float, float], size: tuple[int, int], camera: Camera) -> None:
    """A panel on its card, and the caption below."""
    (x, y), (width, height) = corner, size
    sheet.box(x, y, width, height, fill=sheet.theme.surface, line=sheet.theme.line, corner=9)
    if (panel.cloud is None) == (panel.image is None):
        raise ValueError(f"panel {panel.caption!r}: accepted is a cloud or an image, one of them")
    if panel.cloud is not None:
        fine = (width * sheet.scale, height * sheet.scale)
        picture = splat(panel.cloud, camera=camera, size=fine, cube=panel.cube, colors=panel.colors)
        sheet.picture(x, y, width, height, picture)
    else:
        picture = checked_picture(panel.image, f"panel {panel.caption!r}: image", loose=True)
        shrink = min((width - 12) / picture.shape[1], (height - 12) / picture.shape[0])
        wide, high = picture.shape[1] * shrink, picture.shape[0] * shrink
        sheet.picture(x + (width - wide) / 2, y + (height - high) / 2, wide, high, picture)
    words = "\n".join(_caption(panel, width))
    sheet.text(x + width / 2, y + height + 15, words, size=SMALL, color=sheet.theme.muted, anchor="center")
