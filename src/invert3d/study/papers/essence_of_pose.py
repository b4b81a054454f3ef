"""The figures and tables of *The Essence of Pose* (Thatte, Sitzmann & Ruban).

The PoseNet and the street views of the paper are not public: here a network of the same kind was trained on procedural
terraces, and pictures are held-out ones. The paper's numbers stand beside ours to be read together.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invert3d.evaluate.attribution import interval
from invert3d.evaluate.descriptors import color_correlation, edges_found, shown_edges
from invert3d.jobs.execute import execute
from invert3d.jobs.report import report
from invert3d.methods.ranges import varied
from invert3d.methods.recipes import load_recipe, overridden
from invert3d.methods.stages import Recipe
from invert3d.opening.inputs import read_inputs
from invert3d.opening.networks import open_network
from invert3d.parameterizations.direct import Direct
from invert3d.projections.images import ClipImage
from invert3d.registry import register
from invert3d.study.descriptors.decoders import NOTE, made_rows
from invert3d.study.descriptors.job import Inverted, Source, descriptors_job, inverted
from invert3d.study.descriptors.kept import controls_of, named_pictures, picture_side, scenes
from invert3d.study.descriptors.report import sheet_of
from invert3d.study.papers.figure import FigureOptions
from invert3d.transforms.images import Light

PAPER = "The Essence of Pose"
MODEL, LAYERS = "posenet-facades", ("conv4", "fc5")
#: the network in whose layers perceptual distances are measured
JUDGE = "stylenet-facades"
#: relative loss of the paper's best inversion without any prior (section 5.2); the layer is not stated
THEIRS = 0.08
LOSSES = f"Relative losses are means, of what is in the files (8 bits). The paper has {THEIRS:g} without priors."

EDGES = (
    "Edges found: the share of the edges of the original's brightness that the saved picture shows, too, with its 95 % "
    "bootstrap interval (low, high); 0.10 are found by chance."
)


def recipes() -> dict[str, Recipe]:
    """The recipes that are compared, by name: the published one with priors and without, ours, and ours without each
    of its parts, or with more."""
    published = load_recipe("published", "descriptors")
    ours = load_recipe("ours", "descriptors", family="image")
    gray = Direct(start="zero")  # as a spectrum begins
    pixels = tuple(replace(stage, parameterization=gray, projections=(ClipImage(),)) for stage in ours.stages)
    return {
        "published": published,
        "published, no priors": varied(published, {"objective.1.weight": 0.0, "objective.2.weight": 0.0}),
        "ours": ours,
        "ours, free pixels": replace(ours, parameterization=gray, stages=pixels),
        "ours, all frequencies from the first step": replace(
            ours, stages=(replace(ours.stages[-1], steps=ours.steps),)
        ),
        "ours, no total variation": varied(ours, {"objective.1.weight": 0.0}),
        "ours, fixed weight of total variation": varied(replace(ours, balanced=False), {"objective.1.weight": 0.5}),
        "ours, three starts": overridden(ours, {"starts": 3}),
        "ours, random light and noise": replace(ours, transforms=(Light(),)),
    }


def found_by(options: FigureOptions, world: str, names: Sequence[str]) -> dict[str, Inverted]:
    """Held-out pictures of a world, inverted from both layers by recipes, by the names of these."""
    network = open_network(options.model or MODEL, device=options.device)
    inputs = read_inputs([f"{world}:{k}" for k in range(options.pictures or 6)], network.frozen.space)
    known = recipes()
    sources = {name: Source.of(network, LAYERS, known[name], steps=options.steps) for name in names}
    outcome = execute(descriptors_job(sources, inputs), options.run).whole()
    return {name: inverted(outcome, name) for name in names}


def compared(options: FigureOptions, world: str, number: str, title: str) -> dict[str, Any]:
    """Originals and what is found from either layer, by the published recipe and by ours, and a table."""
    from invert3d.view.figures import save_png

    found = found_by(options, world, ("published", "ours"))
    space = open_network(options.model or MODEL).frozen.space
    first = next(iter(found.values()))
    rows = control_rows(first.original[torch.tensor([layer == LAYERS[0] for layer in first.layers])])
    for name, one in found.items():
        rows += rows_of(one, name)
        save_png(sheet_of({"": one}, space, f"{title}: {name}", LOSSES), options.folder / f"{name}.png")
    drawn = [(path.stem, path) for path in sorted(options.folder.glob("*.png"))]
    return report(options.folder, f"{title} ({PAPER}, {number})", rows, f"{LOSSES} {EDGES}", drawn)


def rows_of(found: Inverted, name: str) -> list[dict[str, Any]]:
    """A row of each layer."""
    rows = []
    for layer in LAYERS:
        own = torch.tensor([each == layer for each in found.layers])
        losses = {"relative loss": found.loss_saved, "relative loss of another picture": found.loss_other}
        means = {
            title: "" if each[own].isnan().all() else round(float(each[own].mean()), 4)
            for title, each in losses.items()
        }
        kept = kept_of(found.saved[own], found.original[own])
        rows.append({"method": name, "layer": layer, **means, **kept, "seconds": round(found.seconds, 1)})
    return rows


def control_rows(originals: Tensor) -> list[dict[str, Any]]:
    """What the numbers are of pictures (A, 3, S, S) that are blurred, and of other ones."""
    return [
        {
            "method": each.network,
            "layer": "-",
            "relative loss": "",
            "relative loss of another picture": "",
            **kept_of(each.pictures, originals),
        }
        for each in controls_of(originals)
    ]


def kept_of(pictures: Tensor, originals: Tensor) -> dict[str, float | str]:
    """The share of the edges of originals (A, 3, S, S) that pictures show, with its 95 % bootstrap interval; empty if
    no original shows an edge. The correlation in color, and the mean squared error."""
    pictures, originals = pictures.cpu().float(), originals.cpu().float()
    pairs = list(zip(pictures, originals, strict=True))
    shares = torch.stack([edges_found(picture, *shown_edges(original)).float().mean() for picture, original in pairs])
    shares = shares[shares.isfinite()]
    mean, low, high = interval(shares) if len(shares) else ("", "", "")
    kept = {
        "edges found": mean,
        "low": low,
        "high": high,
        "color correlation": sum(color_correlation(*pair) for pair in pairs) / len(pairs),
        "mean squared error": float((pictures - originals).square().mean()),
    }
    return {name: value if isinstance(value, str) else round(value, 4) for name, value in kept.items()}


@register("figure", "essence-of-pose/fig5")
def figure5(options: FigureOptions) -> dict[str, Any]:
    """Streets of houses, which the network was trained on."""
    return compared(options, "terraces", "figure 5", "Inversion of conv4 and fc5")


@register("figure", "essence-of-pose/fig9")
def figure9(options: FigureOptions) -> dict[str, Any]:
    """Rooms, which the network never saw."""
    return compared(options, "rooms", "figure 9", "Inversion of pictures of rooms")


@register("figure", "essence-of-pose/fig10")
def figure10(options: FigureOptions) -> dict[str, Any]:
    """Cars, which the network never saw."""
    return compared(options, "cars", "figure 10", "Inversion of pictures of cars")


@register("figure", "essence-of-pose/table1")
def table1(options: FigureOptions) -> dict[str, Any]:
    """The paper's settings, with priors and without, and ours, without each of its parts."""
    network = open_network(options.model or MODEL, device=options.device)
    sources = {key: Source.of(network, LAYERS, each, steps=options.steps) for key, each in recipes().items()}
    known = scenes(options.pictures or 6, picture_side({network.name: network}))
    outcome = execute(descriptors_job(sources, named_pictures(known)), options.run).whole()
    rows = made_rows(outcome, known, open_network(JUDGE, device=options.device))
    rows.append({"method": "paper, no priors", "layer": "-", "relative loss": THEIRS})
    note = f"{NOTE.format(judge=JUDGE)} The paper has {THEIRS:g} without priors."
    return report(options.folder, f"Settings of the inversion ({PAPER}, table 1)", rows, note)
