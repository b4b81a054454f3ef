"""Heat maps over pictures, and their page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from invert3d.ops.layouts import Layout
from invert3d.view.color import palette
from invert3d.view.heatmaps import HeatCard, HeatRow, framed, heat_map, tinted, write_heat_page

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
NONE = Layout.of_boxes([], torch.zeros(0, 4), 40, 60)


def test_nothing_is_gray_and_most_has_the_last_color() -> None:
    colors = np.full((40, 60, 3), palette("sequential")[-1])
    plain, full = (tinted(PICTURE, colors, np.full((40, 60), amount)) for amount in (0.0, 1.0))
    assert np.ptp(plain.astype(int), axis=-1).max() == 0 and plain.min() >= 96
    assert (full == palette("sequential")[-1]).all()


def test_only_what_is_positive_is_colored_and_a_small_part_too() -> None:
    values = np.full((40, 60), -5.0)
    values[10, 10:14] = [1, 2, 3, 3]  # far less than a hundredth of the picture
    shown = heat_map(PICTURE, values, NONE)
    assert shown.shape == (320, 480, 3), "enlarged by a whole number"
    middle = shown[84, 8 * 10 + 4 : 8 * 14 + 4 : 8].astype(int)
    assert np.abs(middle[3] - palette("sequential")[-1]).max() < 30
    assert np.ptp(shown[200:, :200].astype(int), axis=-1).max() < 12, "gray"
    assert heat_map(PICTURE, np.zeros((40, 60)), NONE).shape == shown.shape, "a map of nothing"


def test_a_page_of_rows(tmp_path: Path) -> None:
    box = Layout.of_boxes(["chair"], torch.tensor([[5.0, 5.0, 30.0, 30.0]]), 40, 60)
    card = HeatCard(name="class: <grad>", picture=framed(PICTURE, box), caption="seen", badges={"highest": "0.1"})
    rows = [HeatRow(title="one", cards=[card, card]), HeatRow(title="two", cards=[card], caption="more")]
    path = write_heat_page(tmp_path / "page", title="Why", subtitle="So", rows=rows, ends=("little", "much"))
    page = path.read_text()
    assert path.name == "index.html" and page.count('class="heat"') == 3 and page.count("<section>") == 2
    assert (
        "class: &lt;grad&gt;" in page
        and "little" in page
        and "<dd>0.1</dd>" in page
        and "http" not in page.split("<body>")[1]
    )
