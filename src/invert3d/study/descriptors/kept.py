"""``invert3d evaluate descriptor``: what is kept of a picture, measured in a world whose edges are known.

*The Essence of Pose* (section 5.2) saw that reconstructions of a pose network keep edges that point toward the main
vanishing point, and neither color nor texture. Here held-out terraces are inverted from several networks by one
recipe, and every true edge that the original shows is looked for in the reconstruction, by the direction that it runs
in and by what it is. What the recipe itself prefers shows in an untrained network, what any network keeps in one that
was trained for another task. And the same scene is described with one thing changed: how far does the
descriptor move?
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.data.worlds.terraces import PAINTS, WINDOWS
from invert3d.data.worlds.true_edges import Direction, Kind
from invert3d.data.worlds.two_views import Changes, View, make_views
from invert3d.engine.space import Image
from invert3d.evaluate.attribution import interval
from invert3d.evaluate.descriptors import CONTRAST, color_correlation, edges_found, sky_overlap, strengths
from invert3d.jobs.execute import Outcome
from invert3d.methods.descriptors import describe
from invert3d.objectives.features import relative_loss
from invert3d.opening.networks import Network
from invert3d.ops.seeds import HELD_OUT, seed_of
from invert3d.projections.images import blurred
from invert3d.study.descriptors.job import inverted

#: a picture with fewer samples of a group of edges is not counted for it
LEAST = 20
NAMES = {
    Direction.STREET: "along the street",
    Direction.VERTICAL: "vertical",
    Direction.DEPTH: "away from the street",
    Direction.OTHER: "other",
}
KINDS = {Kind.SILHOUETTE: "border of the sky", Kind.SOLID: "other edges of solids", Kind.PAINTED: "painted"}
#: groups of edges that are compared
STREET, OTHERS, MINUS = "along the street, all", "not along the street, all", "along the street minus all others"
#: groups that the first table has; all others are in a second one
MAIN = (STREET, OTHERS, MINUS, "border of the sky, all", "painted, all", "all")
BLUR = 3.0  # pixels, of the control
#: what is changed in a scene
VARIANTS: dict[str, Changes] = {
    "other colors": Changes(colors=True),
    "other light": Changes(light=True),
    "no cornices": Changes(cornices=False),
    "camera 5 degrees around the target": Changes(turn=5.0),
    "camera 20 degrees around the target": Changes(turn=20.0),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A held-out picture: its number, what is known of it, the picture (3, S, S), and which of its edges it shows."""

    number: int
    view: View
    picture: Tensor
    shown: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """Pictures (A, 3, S, S) that a layer of a network describes like those of A scenes, as saved, and the relative
    losses (A,), of what is saved and before. Controls that come from no network have the layer ``-`` and no losses."""

    network: str
    pictures: Tensor
    layer: str = "-"
    losses: Tensor | None = None
    unsaved: Tensor | None = None


def picture_side(networks: Mapping[str, Network]) -> int:
    """The height and width of the pictures that networks take. Raises ValueError for other inputs, or several sizes."""
    sizes = {
        (space.height, space.width) if isinstance(space := network.frozen.space, Image) else (0, 1)
        for network in networks.values()
    }
    if len(sizes) > 1 or any(high != wide for high, wide in sizes):
        raise ValueError(f"{', '.join(networks)} must all take square pictures of one size")
    return sizes.pop()[0]


def scenes(count: int, size: int, first: int = 0) -> list[Scene]:
    """The first ``count`` held-out terraces from a number, with the edges that are found in the originals. Raises
    ValueError for fewer than two, as a picture is compared with another one."""
    if count < 2:
        raise ValueError("at least two scenes are needed: a picture is compared with another one")
    return [scene_of(number, size) for number in range(first, first + count)]


def scene_of(number: int, size: int) -> Scene:
    """One of them."""
    view = make_views(number, size=size, seed=HELD_OUT, edges=True)[0]
    picture = pictured(view)
    assert view.edges is not None
    places, angles = (torch.from_numpy(each).float() for each in (view.edges.places, view.edges.angles))
    shown = (strengths(picture, places, angles) >= CONTRAST).numpy()
    return Scene(number=number, view=view, picture=picture, shown=shown)


def named_pictures(known: Sequence[Scene]) -> dict[str, Tensor]:
    """Their pictures by name, as a job takes them."""
    return {f"terraces-{scene.number}": scene.picture for scene in known}


def pictured(view: View) -> Tensor:
    """The picture of a view, (3, S, S) in [0, 1]."""
    return torch.from_numpy(view.image).permute(2, 0, 1).float() / 255


def found_in(picture: Tensor, view: View) -> np.ndarray:
    """Which of the true edges of a view (M,) a picture (3, S, S) shows, those of each direction for themselves: one
    that is full of vertical lines shows no vertical edge by that."""
    assert view.edges is not None
    places, angles = (torch.from_numpy(each).float() for each in (view.edges.places, view.edges.angles))
    found = np.zeros(len(places), bool)
    for direction in Direction:
        own = view.edges.directions == direction
        found[own] = edges_found(picture, places[own], angles[own]).numpy()
    return found


def groups(view: View) -> dict[str, np.ndarray]:
    """Which of the true edges (M,) are of each group."""
    assert view.edges is not None
    directions, kinds = view.edges.directions, view.edges.kinds
    street = directions == Direction.STREET
    found = {f"{name}, all": directions == each for each, name in NAMES.items()}
    found |= {f"{name}, all": kinds == each for each, name in KINDS.items()}
    found |= {f"along the street, {name}": street & (kinds == each) for each, name in KINDS.items()}
    found |= {f"not along the street, {name}": ~street & (kinds == each) for each, name in KINDS.items()}
    return found | {OTHERS: ~street, "all": street | ~street}


def control(network: Network, seed: int = 0) -> Network:
    """The same network with the weights that a training begins with. (Shuffled ones describe all pictures alike.)

    Raises ValueError for a network that has layers which cannot be set back.
    """
    frozen, model = network.frozen, copy.deepcopy(network.frozen.model)
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(seed, "control"))
        for name, module in model.named_modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                raise ValueError(
                    f"{network.name}: the weights of {name or 'the model'} cannot be set back: --no-control"
                )
    return replace(network, name=f"{network.name} untrained", frozen=frozen.on(frozen.space, model), card=None)


def reconstructions(outcome: Outcome) -> list[Reconstructed]:
    """What a job of ``descriptors_job`` found, of each network and layer in the order of its inputs."""
    found = []
    for key in outcome.job.settings["sources"]:
        whole = inverted(outcome, key)
        for layer in dict.fromkeys(whole.layers):
            own = torch.tensor([each == layer for each in whole.layers])
            pictures, losses, unsaved = whole.saved[own].cpu().float(), whole.loss_saved[own], whole.loss[own]
            found.append(Reconstructed(network=key, layer=layer, pictures=pictures, losses=losses, unsaved=unsaved))
    return found


def controls_of(originals: Tensor) -> list[Reconstructed]:
    """What pictures are compared with that were made from the descriptors of originals (A, 3, S, S): these, blurred,
    and, of several, each other."""
    found = [Reconstructed(network=f"original, blurred by {BLUR:g} pixels", pictures=blurred(originals, BLUR))]
    if len(originals) > 1:
        found.append(Reconstructed(network="another original", pictures=originals.roll(1, 0)))
    return found


def kept_rows(found: Sequence[Reconstructed], known: Sequence[Scene]) -> list[dict[str, Any]]:
    """A row of each network, layer and group of edges: the share of edges that is found in the reconstructions of
    scenes, a mean of pictures with its 95 % bootstrap interval.

    An edge that the original does not show is not asked for. ``along the street minus all others`` are differences
    within a picture. What blurs everything alike is the control of what kinds and directions are easy to find.
    """
    originals = torch.stack([scene.picture for scene in known])
    rows = []
    for each in (controls_of(originals)[0], *found):
        shares: dict[str, list[float]] = {}
        for scene, picture in zip(known, each.pictures, strict=True):
            for name, share in shares_found(scene, picture).items():
                shares.setdefault(name, []).append(share)
        for name, values in shares.items():
            mean, low, high = (round(number, 4) for number in interval(torch.tensor(values)))
            names = {"network": each.network, "layer": each.layer, "edges": name}
            rows.append({**names, "pictures": len(values), "found": mean, "low": low, "high": high})
    return rows


def shares_found(scene: Scene, picture: Tensor) -> dict[str, float]:
    """Which share of the edges that a scene shows is found in a picture (3, S, S), of each group that has enough."""
    hits, shares = found_in(picture, scene.view), {}
    for name, members in groups(scene.view).items():
        asked = members & scene.shown
        if asked.sum() >= LEAST:
            shares[name] = float(hits[asked].mean())
    if {STREET, OTHERS} <= set(shares):
        shares[MINUS] = shares[STREET] - shares[OTHERS]
    return shares


def picture_rows(found: Sequence[Reconstructed], known: Sequence[Scene]) -> list[dict[str, Any]]:
    """A row of each network and layer: relative loss, correlation in color, overlap of the sky where a tenth to nine
    tenths of the picture are sky; means of pictures."""
    rows = []
    skies = [torch.from_numpy(scene.view.sky) for scene in known]
    partly = [i for i, sky in enumerate(skies) if 0.1 <= float(sky.float().mean()) <= 0.9]
    originals = torch.stack([scene.picture for scene in known])
    controls = [
        Reconstructed(network="the original itself", pictures=originals),
        Reconstructed(network="another original", pictures=originals.roll(1, 0)),
    ]
    for each in (*controls, *found):
        colors = [color_correlation(*pair) for pair in zip(each.pictures, originals, strict=True)]
        overlaps = [sky_overlap(each.pictures[i], skies[i]) for i in partly]
        rows.append(
            {
                "network": each.network,
                "layer": each.layer,
                "relative loss": "" if each.losses is None else round(float(each.losses.mean()), 4),
                "color correlation": round(float(np.mean(colors)), 4),
                "IoU of the sky": round(float(np.mean(overlaps)), 4) if overlaps else None,
            }
        )
    return rows


def moved_rows(networks: Mapping[str, Network], layers: Sequence[str], known: Sequence[Scene]) -> list[dict[str, Any]]:
    """A row of each network, layer and change: how far the descriptor of a scene moves, as a relative loss, and the
    same relative to how far another scene is, means of scenes; and how far its pixels move."""
    size = known[0].picture.shape[-1]
    changed = {name: torch.stack([again(scene, change, size) for scene in known]) for name, change in VARIANTS.items()}
    changed["other paint"] = torch.stack([again(scene, Changes(paint=other_paint(scene)), size) for scene in known])
    pictures = torch.stack([scene.picture for scene in known])
    seen = {("the pixels themselves", "-"): lambda x: x}
    seen |= {
        (key, layer): partial(describe, network.frozen, layer=layer)
        for key, network in networks.items()
        for layer in layers
    }
    rows = []
    for (key, layer), function in seen.items():
        own = function(pictures)
        away = float(relative_loss(own.roll(1, 0), own).mean())
        for name, other in changed.items():
            moved = float(relative_loss(function(other), own).mean())
            names = {"network": key, "layer": layer, "change": name}
            rows.append(
                {**names, "relative loss": round(moved, 4), "relative to another scene": round(moved / away, 4)}
            )
    return rows


def again(scene: Scene, changes: Changes, size: int) -> Tensor:
    """The picture of a scene with changes."""
    return pictured(make_views(scene.number, size=size, seed=HELD_OUT, changes=changes)[0])


def other_paint(scene: Scene) -> str:
    """The paint after a scene's own in ``PAINTS``."""
    names = list(PAINTS)
    return names[(scene.view.style // len(WINDOWS) + 1) % len(names)]


def headline(
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    networks: Mapping[str, Network],
    recipe: str,
    pose: str,
    style: str,
) -> dict[str, float]:
    """Headline numbers of the networks that are called ``pose`` and ``style``: the relative loss of fc5 by a recipe;
    by ours also the share of edges that is found, along the street and elsewhere, and errors of the card."""
    own = [row for row in tables["Pictures"] if (row["network"], row["layer"]) == (pose, "fc5")]
    found = {f"relative_loss_{Path(recipe).stem}": row["relative loss"] for row in own}
    if recipe != "ours" or not own:
        return found
    table = {(row["network"], row["layer"], row["edges"]): row["found"] for row in tables["Edges"]}
    asked = {
        "edge_recall_vanishing_fc5": (pose, "fc5", STREET),
        "edge_recall_other_fc5": (pose, "fc5", OTHERS),
        "edge_recall_vanishing_style": (style, "fc5", STREET),
        "edge_recall_other_style": (style, "fc5", OTHERS),
    }
    found |= {name: table[key] for name, key in asked.items() if key in table}
    if (card := networks[pose].card) is not None:
        errors = {"pose_error_degrees": "rotation error", "pose_error_guess": "rotation error, guess"}
        found |= {name: card.scores[score] for name, score in errors.items()}
    return found
