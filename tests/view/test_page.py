"""The page: self-contained, complete, safe against what is written on it, and readable back."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from invert3d.view.camera import to_z_up
from invert3d.view.gallery import Cloud
from invert3d.view.page import Table, write_page

RNG = np.random.default_rng(0)
VOID = {"meta", "link", "input", "br", "img", "hr"}


def cloud(name: str, count: int = 128, snapshots: int = 0, **more: object) -> Cloud:
    points = RNG.normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1).max()
    way = points + RNG.normal(size=(snapshots, count, 3)) * np.linspace(0.5, 0, snapshots)[:, None, None]
    return Cloud(name=name, points=points, snapshots=way if snapshots else None, **more)


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps the text, the attributes and the data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(f"{tag} {dict(attrs).get('id', '')}".strip())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop().split()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script data":
            self.data += data
        elif self.open and self.open[-1].split()[0] not in ("script", "style"):
            self.words.append(data)


def read(path: Path) -> Reader:
    reader = Reader(path.read_text("utf-8"))
    assert reader.open == []
    return reader


def unpacked(entry: dict) -> np.ndarray:
    """What the browser makes of a cloud, in the units it was given in: (T, N, 3)."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(entry["states"])), np.uint8).reshape(2, -1)
    change = np.ascontiguousarray(planes.T).view("<i2").reshape(len(entry["steps"]), entry["count"], 3)
    levels = np.cumsum(change, axis=0, dtype=np.int16)
    return levels * entry["unit"] * entry["reach"] + entry["center"]


def full(path: Path) -> Path:
    clouds = [
        cloud("chair", snapshots=5, snapshot_steps=[0, 10, 20, 30, 40], caption="made", badges={"seen as": "chair"}),
        cloud("desk", values=RNG.normal(size=128), kind="diverging"),
        cloud("lamp", count=60),
    ]
    return write_page(
        path,
        title="Ten classes",
        subtitle="from noise",
        clouds=clouds,
        trace={"step": range(5), "loss": [5, 4, 3, np.nan, 1], "norm": [1, 0.1, 1e-2, 1e-3, 1e-5]},
        tables=[Table(title="Scores", columns=["model", "hits"], rows=[["a", 0.51234], ["b", None]], note="of 40")],
        recipe="steps = 300\n",
        provenance={"seed": "0"},
        notes=["Read with care."],
    )


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    text = full(tmp_path / "run.html").read_text("utf-8")
    links = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text)) - {"http://www.w3.org/2000/svg"}
    assert links == set()
    attributes = Reader(text).attributes
    assert all(value == "data:," for name, value in attributes if name in ("src", "href"))
    policy = next(value for name, value in attributes if name == "content" and value and "default-src" in value)
    assert "default-src 'none'" in policy
    assert "@import" not in text
    assert "url(" not in text


def test_everything_given_is_on_the_page(tmp_path: Path) -> None:
    path = full(tmp_path)
    assert path == tmp_path / "index.html"
    words = " ".join(read(path).words)
    for word in ("Ten classes", "from noise", "chair", "made", "seen as", "desk", "lamp", "loss", "log scale"):
        assert word in words
    for word in ("Scores", "0.5123", "of 40", "steps = 300", "seed", "Read with care.", "Play all"):
        assert word in words


def test_every_state_of_every_cloud_is_on_the_page(tmp_path: Path) -> None:
    clouds = [
        cloud("a", snapshots=6),
        cloud("b", count=40),
        Cloud(name="far", points=RNG.normal(size=(50, 3)) * 30 + 200),
    ]
    data = json.loads(read(write_page(tmp_path, title="t", clouds=clouds)).data)
    assert [entry["name"] for entry in data["clouds"]] == ["a", "b", "far"]
    for entry, given in zip(data["clouds"], clouds, strict=True):
        states = unpacked(entry)
        assert np.abs(states[-1] - given.points).max() <= entry["unit"] * entry["reach"] * 0.51
        if given.snapshots is not None:
            assert np.abs(states[:-1] - given.snapshots).max() <= entry["unit"] * entry["reach"] * 0.51
    assert data["clouds"][0]["steps"] == [f"step {number}" for number in range(6)] + ["result"]


def test_clouds_with_y_up_are_turned(tmp_path: Path) -> None:
    given = cloud("a")
    data = json.loads(read(write_page(tmp_path, title="t", clouds=[given], up="y")).data)
    assert np.abs(unpacked(data["clouds"][0])[0] - to_z_up(given.points, "y")).max() < 1e-3


def test_twenty_clouds_with_their_way_stay_small(tmp_path: Path) -> None:
    path = write_page(tmp_path, title="t", clouds=[cloud(str(i), 1024, 20) for i in range(20)])
    assert path.stat().st_size < 3e6


def test_long_ways_are_thinned_and_keep_their_ends(tmp_path: Path) -> None:
    given = cloud("a", count=16, snapshots=200)
    entry = json.loads(read(write_page(tmp_path, title="t", clouds=[given])).data)["clouds"][0]
    assert len(entry["steps"]) == 33
    assert (entry["steps"][0], entry["steps"][-2:]) == ("step 0", ["step 199", "result"])
    maxima = [value for name, value in read(tmp_path / "index.html").attributes if name == "max"]
    assert "32" in maxima


def test_words_cannot_break_the_page(tmp_path: Path) -> None:
    evil = '</script><img src=x onerror="alert(1)">{{title}} {{{data}}} & "quoted"'
    path = write_page(
        tmp_path,
        title=evil,
        subtitle=evil,
        clouds=[cloud(evil, caption=evil, badges={evil: evil}, snapshots=2)],
        trace={evil: [1, 2]},
        tables=[Table(title=evil, columns=[evil], rows=[[evil]], note=evil)],
        recipe=evil,
        provenance={evil: evil},
        notes=[evil],
    )
    reader = read(path)
    assert not any(name == "onerror" for name, _ in reader.attributes)
    assert evil in reader.words
    assert json.loads(reader.data)["clouds"][0]["name"] == evil


def test_a_page_of_words_alone_is_a_page(tmp_path: Path) -> None:
    words = read(write_page(tmp_path, title="Nothing yet", notes=["The run was stopped at step 0."])).words
    assert "Nothing yet" in words
    assert "Clouds" not in words


def test_traces_of_any_kind(tmp_path: Path) -> None:
    trace = {"one": [3.0], "flat": [2.0, 2.0], "gone": [np.nan, np.inf], "long": np.sin(np.arange(5000))}
    reader = read(write_page(tmp_path, title="t", trace=trace))
    facts = [json.loads(value) for name, value in reader.attributes if name == "data-trace"]
    assert len(facts) == 4
    assert all(len(each["x"]) == len(each["y"]) == len(each["steps"]) <= 402 for each in facts)
    assert facts[2]["values"] == [None, None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clouds": [Cloud(name="a", points=np.zeros((4, 2)))]}, r"cloud 'a': points: got shape \(4, 2\)"),
        ({"clouds": [Cloud(name="a", points=np.full((4, 3), np.nan))]}, "4 of 4 have NaN"),
        ({"clouds": [Cloud(name="a", points=np.zeros((4, 3)), values=np.zeros(3))]}, "values: got shape"),
        ({"clouds": [Cloud(name="a", points=np.zeros((4, 3)), snapshots=np.zeros((2, 5, 3)))]}, r"\(S, 4, 3\)"),
        ({"clouds": [Cloud(name="a", points=np.zeros((4, 3)), snapshot_steps=[1])]}, "no snapshots"),
        (
            {"clouds": [Cloud(name="a", points=np.zeros((4, 3)), snapshots=np.zeros((2, 4, 3)), snapshot_steps=[1])]},
            "1 steps for 2 snapshots",
        ),
        ({"clouds": [Cloud(name="a", points=np.zeros((4, 3)), kind="rainbow")]}, "kind: got 'rainbow'"),
        ({"tables": [Table(title="T", columns=["a", "b"], rows=[[1, 2], [3]])]}, "row 1 has 1 cells for 2 columns"),
        ({"trace": {"step": [0, 1], "loss": [1.0]}}, "1 numbers for 2 steps"),
        ({"trace": {"loss": []}}, "trace 'loss': got shape"),
        ({"clouds": [cloud("a")], "up": "x"}, "up: got 'x'"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_page(tmp_path, title="t", **options)
    assert not list(tmp_path.iterdir())
