"""A sheet to draw figures on: shapes with smooth edges, pictures, and text in DejaVu Sans, in either theme.

Lengths are design pixels; the finished image has `scale` pixels for each, so that it stays sharp in print.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from invert3d.view.color import RGB, ThemeName, rgb, theme_of

if TYPE_CHECKING:
    from PIL import Image, ImageFont

MARGIN = 32.0
_FINE = 2  # shapes are drawn this much larger and shrunk
Anchor = Literal["l", "m", "r"]


@dataclass(frozen=True, kw_only=True)
class _Words:
    """One line of text to be set when the sheet is finished."""

    x: float
    y: float
    text: str
    size: float
    color: RGB
    bold: bool
    anchor: Anchor
    upright: bool


@dataclass(eq=False)
class Sheet:
    """A sheet of (`width`, `height`) design pixels, painted in the order of the calls, text on top."""

    width: float
    height: float
    theme: ThemeName = "light"
    scale: int = 2
    _texts: list[_Words] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        from PIL import Image, ImageDraw

        zoom = self.scale * _FINE
        size = (round(self.width * zoom), round(self.height * zoom))
        self._image = Image.new("RGB", size, theme_of(self.theme).background)
        self._draw = ImageDraw.Draw(self._image)

    def box(
        self, x: float, y: float, width: float, height: float, *, fill: RGB, line: RGB | None = None, corner: float = 0
    ) -> None:
        """A filled rectangle with rounded corners, and a hairline round it where `line` is given."""
        zoom = self.scale * _FINE
        frame = [round(value * zoom) for value in (x, y, x + width, y + height)]
        self._draw.rounded_rectangle(
            [frame[0], frame[1], frame[2] - 1, frame[3] - 1],
            radius=corner * zoom,
            fill=fill,
            outline=line,
            width=round(zoom * 0.75) if line else 0,
        )

    def path(self, points: np.ndarray, *, color: RGB, width: float) -> None:
        """A line through (n, 2) points with round joints and ends."""
        zoom = self.scale * _FINE
        places = [(float(x) * zoom, float(y) * zoom) for x, y in points]
        if len(places) > 1:
            self._draw.line(places, fill=color, width=max(1, round(width * zoom)), joint="curve")
        for x, y in (places[0], places[-1]):
            self.dot(x / zoom, y / zoom, radius=width / 2, color=color)

    def area(self, points: np.ndarray, *, color: RGB, opacity: float = 1.0) -> None:
        """A filled polygon with corners (n, 2), through which what is below shows where `opacity` is below 1."""
        from PIL import ImageDraw

        zoom = self.scale * _FINE
        places = [(float(x) * zoom, float(y) * zoom) for x, y in points]
        ImageDraw.Draw(self._image, "RGBA").polygon(places, fill=(*color, round(255 * opacity)))

    def dot(self, x: float, y: float, *, radius: float, color: RGB) -> None:
        """A filled disc."""
        zoom = self.scale * _FINE
        frame = [(x - radius) * zoom, (y - radius) * zoom, (x + radius) * zoom, (y + radius) * zoom]
        self._draw.ellipse(frame, fill=color)

    def picture(self, x: float, y: float, width: float, height: float, picture: np.ndarray) -> None:
        """An image (H, W), (H, W, 3) or (H, W, 4) uint8 over the given rectangle."""
        from PIL import Image

        zoom = self.scale * _FINE
        size = (round(width * zoom), round(height * zoom))
        image = Image.fromarray(picture).convert("RGBA").resize(size, Image.Resampling.BICUBIC)
        self._image.paste(image, (round(x * zoom), round(y * zoom)), image)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        color: RGB | None = None,
        bold: bool = False,
        anchor: Anchor = "l",
        upright: bool = False,
    ) -> None:
        """One line of text; `y` is the middle of its small letters, `anchor` says which end of it `x` is.

        `upright` text reads from below upward, starts at `y` and has `x` in the middle of its small letters.
        """
        color = color or rgb(theme_of(self.theme).ink)
        self._texts.append(
            _Words(x=x, y=y, text=text, size=size, color=color, bold=bold, anchor=anchor, upright=upright)
        )

    def heading(self, title: str, note: str) -> float:
        """Title and note at the top left; returns where the content may start."""
        y = MARGIN
        width = self.width - 2 * MARGIN
        for line in wrapped(title, 19, width, bold=True) if title else []:
            self.text(MARGIN, y + 9, line, size=19, bold=True)
            y += 26
        for line in wrapped(note, 12.5, width) if note else []:
            self.text(MARGIN, y + 9, line, size=12.5, color=rgb(theme_of(self.theme).muted))
            y += 18
        return y + (14 if y > MARGIN else 0)

    def image(self) -> Image.Image:
        """The finished sheet, RGB, `scale` pixels a design pixel."""
        from PIL import Image, ImageDraw

        size = (round(self.width * self.scale), round(self.height * self.scale))
        image = self._image.resize(size, resample=Image.Resampling.BOX)
        draw = ImageDraw.Draw(image)
        for words in self._texts:
            letters = face(round(words.size * self.scale, 1), words.bold)
            lift = letters.getbbox("x", anchor="ls")[1] / 2
            x, y = words.x * self.scale, words.y * self.scale
            if not words.upright:
                draw.text((x, y - lift), words.text, fill=words.color, font=letters, anchor=words.anchor + "s")
                continue
            left, top, right, bottom = (round(edge) for edge in letters.getbbox(words.text, anchor="ls"))
            mask = Image.new("L", (right + 2, bottom - top + 2))
            ImageDraw.Draw(mask).text((0, -top), words.text, fill=255, font=letters, anchor="ls")
            mask = mask.transpose(Image.Transpose.ROTATE_90)
            image.paste(words.color, (round(x + top - lift), round(y - mask.height)), mask)
        return image


def heading_height(title: str, note: str, width: float) -> float:
    """Where the content of a sheet so wide may start: what `Sheet.heading` will return."""
    lines = len(wrapped(title, 19, width - 2 * MARGIN, bold=True)) if title else 0
    more = len(wrapped(note, 12.5, width - 2 * MARGIN)) if note else 0
    return MARGIN + 26 * lines + 18 * more + (14 if lines or more else 0)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line of text in design pixels."""
    return float(face(round(size * 4, 1), bold).getlength(text)) / 4


def wrapped(text: str, size: float, width: float, *, bold: bool = False) -> list[str]:
    """The text in lines no wider than `width` design pixels; a single word too long for that stays whole."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and text_width(longer, size, bold=bold) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


@cache
def face(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans of a size in pixels, from the copy that matplotlib carries."""
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(_fonts() / name), size)


@cache
def _fonts() -> Path:
    """The folder of fonts that matplotlib carries, found without importing it where that is possible."""
    found = find_spec("matplotlib")
    folder = Path(found.origin or "").parent / "mpl-data" / "fonts" / "ttf" if found else Path()
    if folder.is_dir():
        return folder
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"
