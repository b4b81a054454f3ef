"""Heat maps over pictures: what mattered in a picture, for figures and as a page of rows of cards.

One color map with one meaning: where nothing mattered the picture is gray, and the more something mattered, the more it
takes a color, from indigo to yellow. The pictures hold no text, so that they read on a light and on a dark page.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invert3d.view.boxes import draw_layout
from invert3d.view.color import colorize
from invert3d.view.gallery import base64_of, legend
from invert3d.view.page import Table, table_fields, write_document

if TYPE_CHECKING:
    from invert3d.ops.layouts import Layout

#: pixels that a picture on a page is wide at least
_WIDE = 480
#: the share of the positive values of a map that may have its last color
_LAST = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatCard:
    """A picture (H, W, 3) uint8 with its words, and a fact or two by name."""

    name: str
    picture: np.ndarray
    caption: str = ""
    badges: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatRow:
    """Cards side by side below a headline, with a sentence."""

    title: str
    cards: Sequence[HeatCard]
    caption: str = ""


def tinted(picture: np.ndarray, colors: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 in pale gray that takes colors (H, W, 3) by an amount (H, W) in [0, 1]."""
    gray = picture.mean(-1, keepdims=True) * 0.5 + 96
    share = amount[..., None] ** 0.7
    return (gray * (1 - share) + colors * share).round().astype(np.uint8)


def heat_map(picture: np.ndarray, values: np.ndarray, layout: "Layout") -> np.ndarray:
    """A picture (H, W, 3) uint8 with a map (H, W) over it, the positive values only, and the boxes of a layout.

    The last color is for the largest hundredth of them. The result is enlarged where it is small.
    """
    amount = np.maximum(values.astype(np.float64), 0)
    positive = amount[amount > 0]
    amount = np.clip(amount / (np.quantile(positive, 1 - _LAST) if len(positive) else 1.0), 0, 1)
    return framed(tinted(picture, colorize(amount, 0, 1), amount), layout)


def framed(picture: np.ndarray, layout: "Layout") -> np.ndarray:
    """A picture with the boxes of a layout, enlarged where it is small."""
    return draw_layout(picture, layout, scale=max(1, -(-_WIDE // picture.shape[1])), labels=False)


def write_heat_page(
    path: str | Path,
    *,
    title: str,
    subtitle: str,
    rows: Sequence[HeatRow],
    ends: tuple[str, str] = ("none", "most"),
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
) -> Path:
    """Write one HTML file that opens from disk, with rows of heat maps, and return its path.

    Args:
        path: the file, or a folder (it gets ``index.html``); folders are made.
        title, subtitle: the headline and the sentence below it.
        rows: of cards.
        ends: what the two ends of the color map mean.
        tables, notes, provenance: as of ``write_page``.
    """
    fields: dict[str, Any] = {
        "title": title,
        "subtitle": subtitle,
        "legend": legend("sequential", *ends),
        "rows": [{"title": row.title, "caption": row.caption, "cards": [*map(_card, row.cards)]} for row in rows],
        "tables": [table_fields(table) for table in tables],
        "recipe": "",
        "provenance": provenance or {},
        "notes": notes,
    }
    return write_document(path, "heatmaps.html.j2", fields, data={}, scripts=())


def _card(card: HeatCard) -> dict[str, Any]:
    """What the template writes a card from."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(card.picture).save(file, "PNG")
    height, width = card.picture.shape[:2]
    return {
        "name": card.name,
        "caption": card.caption,
        "badges": card.badges,
        "uri": f"data:image/png;base64,{base64_of(file.getvalue())}",
        "size": (width, height),
    }
