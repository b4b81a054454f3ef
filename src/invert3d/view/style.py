"""The look of every figure: a sheet of design pixels in a theme, set in DejaVu Sans, drawn by matplotlib.

Figures are `matplotlib.figure.Figure` on an Agg canvas: no display and no pyplot. A point of type is a design pixel,
and the finished image has `scale` pixels for each, so that it stays sharp in print.
"""

import re
from dataclasses import KW_ONLY, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from invert3d.view.color import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.font_manager import FontProperties
    from PIL import Image

MARGIN = 32.0
TITLE, NOTE, NAME, SMALL = 19.0, 12.5, 12.0, 11.5  # sizes of type
LEADING = 1.36  # from one line of text to the next, in sizes of type
_FONT = "DejaVu Sans"
_HALF_X = 0.2734  # half the height of its small letters, in sizes of type


@dataclass(eq=False)
class Sheet:
    """A figure with its heading above. `axes` counts in design pixels, y down from below the heading."""

    width: float
    height: float  # below the heading
    _: KW_ONLY
    scale: int = 2  # pixels of the image for each design pixel
    title: str = ""
    note: str = ""  # a sentence or two below the title
    top: float = MARGIN  # room above the heading
    theme: Theme = LIGHT

    def __post_init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        scale, dpi = self.scale, 72 * self.scale
        lines, self.head = heading(self.title, self.note, self.width, self.top)
        self.size = round(self.width * scale), round((self.height + self.head) * scale)
        self.width, self.height = self.size[0] / scale, self.size[1] / scale - self.head
        across, down = ((pixels + 1e-3) / dpi for pixels in self.size)  # a hair more: Agg cuts fractions off
        self.canvas = FigureCanvasAgg(Figure((across, down), dpi=dpi, facecolor=self.theme.background))
        self.axes = self.canvas.figure.add_axes((0, 0, 1, 1), xlim=(0, self.width), ylim=(self.height, -self.head))
        self.axes.set_axis_off()
        for y, line, size, bold in lines:
            self.text(MARGIN, y - self.head, line, size=size, bold=bold, color=None if bold else self.theme.muted)

    def plot(self, x: float, y: float, width: float, height: float) -> "Axes":
        """Axes without a frame over a rectangle, their numbers small and muted."""
        whole = self.height + self.head
        place = (x / self.width, (self.height - y - height) / whole, width / self.width, height / whole)
        axes = self.canvas.figure.add_axes(place)
        axes.patch.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=self.theme.muted, labelfontfamily=_FONT)
        axes.set_axisbelow(True)
        return axes

    def box(
        self, x: float, y: float, width: float, height: float, *, fill: str, line: str | None = None, corner: float = 0
    ) -> None:
        """A filled rectangle with rounded corners, and a hairline inside its edge where `line` is given."""
        from matplotlib.patches import FancyBboxPatch

        pen = 0.75 if line else 0.0
        style = {"boxstyle": f"round,pad={-pen / 2},rounding_size={corner}", "linewidth": pen}
        self.axes.add_patch(FancyBboxPatch((x, y), width, height, facecolor=fill, edgecolor=line or "none", **style))

    def picture(self, x: float, y: float, width: float, height: float, picture: np.ndarray) -> None:
        """An image (H, W), (H, W, 3) or (H, W, 4) uint8 over the given rectangle, above what `axes` holds."""
        from PIL import Image

        left, right = (round(edge * self.scale) for edge in (x, x + width))
        top, bottom = (round((edge + self.head) * self.scale) for edge in (y, y + height))
        image = Image.fromarray(picture).convert("RGBA").resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        self.canvas.figure.figimage(np.asarray(image), left, self.size[1] - bottom, origin="upper")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = NAME,
        color: str | None = None,
        bold: bool = False,
        anchor: Literal["left", "center", "right"] = "left",
    ) -> None:
        """Lines of text; `y` is the middle of the small letters of the first, `anchor` says which end `x` is."""
        for place, line in enumerate(text.split("\n")):
            style = {"color": color or self.theme.ink, "ha": anchor, "fontproperties": font(size, bold)}
            self.axes.text(x, y + size * (_HALF_X + LEADING * place), line, parse_math=False, **style)

    def image(self) -> "Image.Image":
        """The finished sheet, RGB."""
        from PIL import Image

        self.canvas.draw()
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


def checked_picture(image: Any, name: str = "image", *, loose: bool = False) -> np.ndarray:
    """The array itself, once it is seen to be a picture, (H, W, 3) uint8; `loose`, also one in gray or with alpha.

    Raises:
        ValueError: it is none; the message names it.
    """
    image = np.asarray(image)
    channels, words = (((), (3,), (4,)), "(H, W), (H, W, 3 or 4)") if loose else (((3,),), "(H, W, 3)")
    if image.dtype != np.uint8 or image.ndim < 2 or image.shape[2:] not in channels or 0 in image.shape:
        raise ValueError(f"{name}: got {image.shape} {image.dtype}, accepted is {words} uint8")
    return image


def checked_ending(path: str | Path, ending: str) -> Path:
    """The path to write to, once its ending is seen to be right; else a ValueError."""
    path = Path(path)
    if path.suffix.lower() != ending:
        raise ValueError(f"path: got {path.name!r}, accepted is a name that ends in {ending}")
    return path


def heading(
    title: str, note: str, width: float, y: float = MARGIN
) -> tuple[list[tuple[float, str, float, bool]], float]:
    """The lines of a heading of a sheet so wide, each (y, text, size, bold), from `y` on, and where it ends."""
    lines = []
    for text, size, bold in ((title, TITLE, True), (note, NOTE, False)):
        for line in wrapped(text, size, width - 2 * MARGIN, bold=bold):
            lines.append((y + 9, line, size, bold))
            y += LEADING * size + (0 if bold else 1)
    return lines, y + (14 if lines else 0)


@cache
def font(size: float, bold: bool = False) -> "FontProperties":
    """DejaVu Sans in a size of design pixels, as matplotlib's `FontProperties`."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=_FONT, size=size, weight="bold" if bold else "normal")


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line of text in design pixels."""
    from matplotlib.textpath import text_to_path

    return text_to_path.get_text_width_height_descent(text, font(size, bold), ismath=False)[0] if text else 0.0


def wrapped(text: str, size: float, width: float, *, bold: bool = False) -> list[str]:
    """The text in lines no wider than `width` design pixels; a word too long for that ends at a hyphen, if it has one,
    and otherwise stays whole."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            parts = re.split("(?<=-)", word) if text_width(word, size, bold=bold) > width else [word]
            for joint, part in zip([" ", *[""] * len(parts)], parts, strict=False):
                longer = f"{line}{joint}{part}".strip()
                if line and text_width(longer, size, bold=bold) > width:
                    lines.append(line)
                    longer = part
                line = longer
        lines.append(line)
    return lines
