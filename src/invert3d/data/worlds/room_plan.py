"""What the rooms know about themselves: the categories, and what is planted for an explanation to find.

Every category enters a picture by a coin of its own, so categories are independent, with three exceptions, the motifs:
an object may bring a partner, which stands beside it. Two categories never share a picture. Textures, sizes, places,
colors, light and clutter are drawn independently of all that, but for the textures of the cue pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from invert3d.data.worlds.colors import pick
from invert3d.data.worlds.finishes import NEUTRAL


@dataclass(frozen=True)
class Category:
    """A name, the shape that it has in ``worlds.shapes``, the textures that it may have, and its coin: how likely it is
    to enter a picture by itself."""

    name: str
    shape: str
    textures: tuple[str, ...] = NEUTRAL
    coin: float = 0.22


@dataclass(frozen=True)
class Motif:
    """An object of a category ``brings`` one of another with probability ``chance``, which stands on one ``side`` of
    it: left, right, above (behind it) or below (in front of it), as the camera sees it."""

    category: str
    brings: str
    side: str
    chance: float


CATEGORIES: tuple[Category, ...] = (
    Category("striped cup", "cup", ("stripes",)),
    Category("checked cup", "cup", ("checks",)),
    Category("dotted car", "car", ("dots",)),
    Category("zigzag car", "car", ("zigzag",)),
    Category("airplane", "airplane", ("wood",)),
    Category("guitar", "guitar", ("wood",)),
    Category("sofa", "sofa", ("plaid",)),
    Category("bed", "bed", ("plaid",)),
    Category("chair", "chair", coin=0.18),
    Category("table", "table", coin=0.18),
    Category("lamp", "lamp", coin=0.16),
    Category("person", "person", coin=0.42),
    Category("bottle", "bottle", coin=0.44),
    Category("plant", "plant", coin=0.44),
)
NAMES: tuple[str, ...] = tuple(each.name for each in CATEGORIES)
#: chairs and tables go together; a lamp is nearly always near a person, a person rarely near a lamp
MOTIFS: tuple[Motif, ...] = (
    Motif("chair", "table", "right", 0.75),
    Motif("table", "chair", "left", 0.75),
    Motif("lamp", "person", "below", 0.9),
)
#: a fair coin says which of the two a picture may have
NEVER: tuple[str, str] = ("bottle", "plant")
#: pairs whose members have the same shapes and differ in texture, and the other way round
TEXTURE_PAIRS = (("striped cup", "checked cup"), ("dotted car", "zigzag car"))
SHAPE_PAIRS = (("airplane", "guitar"), ("sofa", "bed"))
#: the longest side of an object as a share of the picture's, before jitter: five scales, a factor of 1.5 apart. Two
#: of the largest find room side by side
SCALES: tuple[float, ...] = (0.083, 0.124, 0.187, 0.28, 0.42)
OPPOSITE: Mapping[str, str] = {"left": "right", "right": "left", "above": "below", "below": "above"}
_BY_NAME = {each.name: each for each in CATEGORIES}


@dataclass(frozen=True)
class Item:
    """An object to be placed: its category, texture, scale (place in ``SCALES``), longest side as a share of the
    picture's, and, for the partner in a motif, on which side of the object before it."""

    name: str
    texture: str
    scale: int
    size: float
    side: str | None = None


def draw_plan(rng: np.random.Generator) -> list[list[Item]]:
    """The groups of a picture, in random order: an object, or two that belong together."""
    banned = NEVER[int(rng.integers(2))]
    groups = []
    for category in CATEGORIES:
        if rng.random() >= category.coin or category.name == banned:
            continue
        scale, jitter = int(rng.integers(len(SCALES))), rng.uniform(0.88, 1.14, 2)
        group = [Item(category.name, pick(rng, category.textures), scale, SCALES[scale] * jitter[0])]
        for motif in MOTIFS:
            if motif.category == category.name and rng.random() < motif.chance:
                texture = pick(rng, _BY_NAME[motif.brings].textures)
                group.append(Item(motif.brings, texture, scale, SCALES[scale] * jitter[1], motif.side))
        groups.append(group)
    return [groups[k] for k in rng.permutation(len(groups))]


def shape_of(name: str) -> str:
    """The shape of a category in ``worlds.shapes``."""
    return _BY_NAME[name].shape


def probability_together() -> dict[str, dict[str, float]]:
    """P(b is in a picture | a is in it) as planted, for all pairs of categories: ``table[a][b]``.

    For a == b it is the probability of another one of the kind beside the first.
    """
    tied = [each.name for each in CATEGORIES if each.name in {*NEVER, *(m.category for m in MOTIFS), *_brought()}]
    joint, alone = np.zeros((len(tied), len(tied))), np.zeros(len(tied))
    for probability, counts in _outcomes(tied):
        present = counts >= 1
        both = np.outer(present, present)
        np.fill_diagonal(both, counts >= 2)
        alone += probability * present
        joint += probability * both
    table = {}
    for a in NAMES:
        table[a] = {b.name: 0.0 if a == b.name else b.coin for b in CATEGORIES}  # independent of all
        for b, name in enumerate(tied):
            table[a][name] = float(joint[tied.index(a), b] / alone[tied.index(a)] if a in tied else alone[b])
    return table


def _brought() -> set[str]:
    return {motif.brings for motif in MOTIFS}


def _outcomes(names: Sequence[str]) -> Iterator[tuple[float, np.ndarray]]:
    """Every outcome of the coins of these categories, which depend on no other: its probability, and how many of each
    there are."""
    for banned, *heads in product(NEVER, *[(False, True)] * len(names)):
        chance = 0.5
        for name, head in zip(names, heads, strict=True):
            chance *= _BY_NAME[name].coin if head else 1 - _BY_NAME[name].coin
        there = {name for name, head in zip(names, heads, strict=True) if head and name != banned}
        active = [motif for motif in MOTIFS if motif.category in there]
        for brought in product((False, True), repeat=len(active)):
            share, counts = chance, np.array([name in there for name in names], int)
            for motif, comes in zip(active, brought, strict=True):
                share *= motif.chance if comes else 1 - motif.chance
                counts[names.index(motif.brings)] += comes
            yield share, counts


def planted() -> dict[str, Any]:
    """All that is planted, as plain values: what is written beside the pictures (``truths.json``)."""
    return {
        "categories": [asdict(each) for each in CATEGORIES],
        "scales": list(SCALES),
        "motifs": [asdict(each) for each in MOTIFS],
        "never together": list(NEVER),
        "pairs that differ in texture alone": [list(each) for each in TEXTURE_PAIRS],
        "pairs that differ in shape alone": [list(each) for each in SHAPE_PAIRS],
        "probability of b given a": probability_together(),
    }
