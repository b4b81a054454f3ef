"""The pages in a real browser: shapes turn, sliders act, and nothing is said on the console.

Needs playwright and a Chromium; without them the tests are skipped, and say so.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.view.test_page import cloud
from tests.view.test_scenes import TRUTH
from tests.view.test_scenes import full as scene_page

from invert3d.view.boxes import SceneFrame
from invert3d.view.gallery import Cloud
from invert3d.view.grids import cubes
from invert3d.view.page import write_page
from invert3d.view.scenes import write_scene_page

# WebGL in software, and canvases whose pixels do not depend on how often they are read
SOFTWARE = [
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-accelerated-2d-canvas",
]

NO_WEBGL = """const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind) {
  return kind === "2d" ? get.call(this, kind) : null;
};"""


def not_checked(why: str) -> None:
    """Skip, with a warning: pytest shows the reason of a skip only where it is asked to."""
    reason = f"NOT CHECKED in a browser: {why}"
    warnings.warn(reason, stacklevel=2)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, by playwright or of the system, drawing WebGL in software."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        not_checked("playwright is not installed")
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                args=["--no-sandbox", *SOFTWARE],
            )
        except Error as error:
            not_checked(f"Chromium does not start: {str(error).splitlines()[0]}")
        yield started
        started.close()


class Visit:
    """Opens pages and keeps what they say on the console, what they throw, and what they ask of a network."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.complaints: list[str] = []

    def __call__(self, path: Path) -> Any:
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda sent: sent.url.startswith(("file:", "data:")) or self.complaints.append(sent.url))
        page.goto(path.resolve().as_uri())
        return page


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """``visit(path)`` opens a page; a test that used it fails where a page complained."""
    context = browser.new_context(viewport={"width": 860, "height": 640})
    opened = Visit(context)
    yield opened
    context.close()
    assert opened.complaints == []


def pixels(page: Any, place: int) -> str:
    """What a canvas shows, or "" while nothing is drawn on it."""
    return (
        page.locator("canvas")
        .nth(place)
        .evaluate(
            """canvas => {
          const empty = canvas.cloneNode().toDataURL(), seen = canvas.toDataURL();
          return seen === empty ? "" : seen;
        }"""
        )
    )


def settled(page: Any, place: int = 0) -> str:
    """What a canvas shows once it has been drawn and no longer changes."""
    page.locator("canvas").nth(place).scroll_into_view_if_needed()
    before, seen = "", ""
    for _ in range(150):
        before, seen = seen, pixels(page, place)
        if seen and seen == before:
            return seen
        page.wait_for_timeout(60)
    raise AssertionError("the canvas stays empty or never rests")


def drag(page: Any, place: int = 0) -> None:
    """Turn a shape by a pull of the mouse."""
    canvas = page.locator("canvas").nth(place)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 20, steps=3)
    page.mouse.up()


def slide(page: Any, query: str, value: float) -> None:
    """Move the first slider of that kind, as a hand does."""
    page.locator(query).first.evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        value,
    )


@pytest.mark.parametrize("painter", ["webgl2", "2d"])
def test_clouds_turn_and_their_slider_goes_back_in_time(tmp_path: Path, visit: Visit, painter: str) -> None:
    clouds = [cloud("chair", 300, snapshots=4, snapshot_steps=[0, 10, 20, 30]), cloud("desk", 300)]
    path = write_page(tmp_path, title="Clouds", clouds=clouds, trace={"loss": [3.0, 2.0, 1.0]}, recipe="steps = 3")
    if painter == "2d":  # a browser without WebGL
        visit.context.add_init_script(NO_WEBGL)
    page = visit(path)
    if painter == "webgl2" and not page.evaluate("() => !!document.createElement('canvas').getContext('webgl2')"):
        not_checked("this Chromium has no WebGL 2")
    first, other = settled(page, 0), settled(page, 1)
    drag(page)
    turned = settled(page)
    assert turned != first
    assert settled(page, 1) != other  # they turn together
    slide(page, ".player input", 0)
    assert settled(page) != turned
    assert page.locator(".player output").first.inner_text() == "step 0"
    page.locator("canvas").first.dblclick()
    slide(page, ".player input", 4)
    assert settled(page) == first


def test_the_threshold_fades_voxels(tmp_path: Path, visit: Visit) -> None:
    grid = np.zeros((8, 8, 8))
    grid[1:7, 1:7, 1:4], grid[3:5, 3:5, 4:7] = 1, 3
    centers, edge, values = cubes(grid)
    page = visit(write_page(tmp_path, title="Grid", clouds=[Cloud(name="a", points=centers, cube=edge, values=values)]))
    whole = settled(page)
    slide(page, "#least", 0.5)
    strong = settled(page)
    assert strong != whole
    drag(page)
    assert settled(page) != strong
    page.locator("canvas").dblclick()
    slide(page, "#least", 0)
    assert settled(page) == whole


@pytest.mark.parametrize("painter", ["webgl2", "2d"])
def test_what_is_taken_away_stays_as_a_ghost(tmp_path: Path, visit: Visit, painter: str) -> None:
    whole, half = cloud("whole", 200), np.arange(200) < 100
    parts = [replace(whole, row="a", ghost=given) for given in (None, half, np.ones(200, bool))]
    path = write_page(tmp_path, title="Ghosts", clouds=[*parts, replace(whole, row="b", points=whole.points[100:])])
    if painter == "2d":
        visit.context.add_init_script(NO_WEBGL)
    page = visit(path)
    seen = [settled(page, place) for place in range(4)]
    assert len(set(seen)) == 4, "ghosts are neither points nor nothing"
    assert page.locator("h3.row").all_inner_texts() == ["a", "b"]


def test_scenes_turn_and_show_what_is_chosen(tmp_path: Path, visit: Visit) -> None:
    page = visit(scene_page(tmp_path))
    whole = settled(page)
    drag(page)
    turned = settled(page)
    assert turned != whole
    page.locator("input[value=nothing]").check()
    without = settled(page)
    assert without != turned
    page.locator("#points").uncheck()
    assert settled(page) != without
    page.locator(".view").first.click()
    above = settled(page)
    page.locator("tbody tr").first.dispatch_event("pointerenter")
    assert settled(page) != above


def test_a_scene_without_a_camera_opens(tmp_path: Path, visit: Visit) -> None:
    flat = replace(TRUTH, centers=torch.full((3, 3), torch.nan), projection=torch.full((3, 4), torch.nan))
    page = visit(write_scene_page(tmp_path, [SceneFrame(name="flat", truth=flat)]))
    before = settled(page)
    drag(page)
    assert settled(page) != before


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("console.error('bad news')", "bad news"),
        ("undefined_()", "undefined_ is not defined"),
        ("new Image().src = 'http://localhost:9/a.png'", "localhost:9"),
    ],
)
def test_complaints_of_a_page_are_heard(tmp_path: Path, visit: Visit, script: str, complaint: str) -> None:
    path = tmp_path / "bad.html"
    path.write_text(f"<!doctype html><script>{script}</script>", "utf-8")
    visit(path).wait_for_timeout(100)
    assert any(complaint in said for said in visit.complaints)
    visit.complaints.clear()
