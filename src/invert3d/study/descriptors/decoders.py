"""``invert3d evaluate decoders``: what is made from a descriptor by optimization, by decoders, and by optimization that
begins with what a decoder made, side by side.

Optimization makes the relative loss as small as one has patience for, and that alone says nothing of the picture. So
whatever is optimized here stops at the same relative loss, and pictures are compared by what the loss does not see:
true edges, squared errors, and the distance that another network sees (``perceptual_distance``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from invert3d.evaluate.attribution import interval
from invert3d.evaluate.descriptors import perceptual_distance
from invert3d.jobs.execute import Outcome
from invert3d.methods.descriptors import describe
from invert3d.models.weights import WeightCard
from invert3d.opening.decoders import open_decoder
from invert3d.opening.networks import Network, open_network
from invert3d.projections.images import blurred
from invert3d.study.descriptors.job import Source
from invert3d.study.descriptors.kept import BLUR, OTHERS, STREET, Reconstructed, Scene, reconstructions, shares_found
from invert3d.training.decoders import PAUSED

#: what is made without a decoder, in the table
OPTIMIZED = "optimization from noise"
#: groups of edges (``kept.groups``) that the table has, and their titles there
EDGES = {
    "all": "edges found",
    STREET: "along the street",
    OTHERS: "not along the street",
    "border of the sky, all": "border of the sky",
}
#: layers of the network that judges pictures
JUDGED = ("conv1", "conv2", "conv3", "conv4")


@dataclass(frozen=True, kw_only=True)
class Making:
    """How pictures are made: a relative loss at which optimization stops, its most steps, and its recipe."""

    loss: float = 0.03
    steps: int = 300
    recipe: str = "ours"


def sources_of(cards: Mapping[str, str], layers: Sequence[str], making: Making, device: str) -> dict[str, Source]:
    """Optimization of layers of the first decoder's network; then each decoder, by its card, without optimization and
    with. Raises ValueError as ``Source.decoded``, or for a network that is not there."""
    networks = {
        name: open_network(str(open_decoder(card)[1].inputs["network"]), device=device) for name, card in cards.items()
    }
    first = next(iter(networks.values()))
    sources = {OPTIMIZED: Source.of(first, layers, making.recipe, steps=making.steps).until(making.loss)}
    for name, card in cards.items():
        sources[name] = Source.decoded(networks[name], card, refined=False)
        refined = Source.decoded(networks[name], card, refined=True, steps=making.steps)
        sources[f"{name}, refined"] = refined.until(making.loss)
    return sources


def made_rows(outcome: Outcome, known: Sequence[Scene], judge: Network) -> list[dict[str, Any]]:
    """A row of each way to make pictures, and of two controls: relative loss, the share of edges that is found with its
    95 % bootstrap interval, the same of groups of them, squared error, perceptual distance, milliseconds; means of
    scenes. Of a group that no picture shows enough edges of it is NaN."""
    originals = torch.stack([scene.picture for scene in known])
    controls = [
        Reconstructed(network=f"original, blurred by {BLUR:g} pixels", pictures=blurred(originals, BLUR)),
        Reconstructed(network="another original", pictures=originals.roll(1, 0)),
    ]
    rows = []
    for each in [*controls, *reconstructions(outcome)]:
        shares = [shares_found(scene, picture) for scene, picture in zip(known, each.pictures, strict=True)]
        found = {title: [one[group] for one in shares if group in one] for group, title in EDGES.items()}
        _, low, high = interval(torch.tensor(found["edges found"]))
        measured = {
            "edges found": float(torch.tensor(found.pop("edges found")).mean()),
            "low": low,
            "high": high,
            **{title: float(torch.tensor(values).mean()) for title, values in found.items()},
            "squared error": float((each.pictures - originals).square().mean()),
            "perceptual distance": float(seen_apart(judge, each.pictures, originals).mean()),
        }
        rows.append(
            {
                "made by": each.network,
                "layer": each.layer,
                "relative loss": "" if each.losses is None else round(float(each.losses.mean()), 4),
                **{name: round(value, 4) for name, value in measured.items()},
                "milliseconds": "" if each.losses is None else round(1000 * seconds_of(outcome, each), 1),
            }
        )
    return rows


def seen_apart(judge: Network, one: Tensor, other: Tensor) -> Tensor:
    """(A,) the perceptual distance of pictures (A, 3, S, S) in the layers of a network."""
    both = [[describe(judge.frozen, x, layer).cpu().float() for layer in JUDGED] for x in (one, other)]
    return perceptual_distance(*both)


def seconds_of(outcome: Outcome, made: Reconstructed) -> float:
    """What a picture took, on average: describing the original, making, saving, and describing what was saved."""
    names = [
        unit.name
        for unit, _ in outcome.each()
        if (unit.values["source"], unit.values["layer"]) == (made.network, made.layer)
    ]
    return outcome.seconds(names) / len(names)


def card_row(card: WeightCard) -> dict[str, Any]:
    """What a training of a decoder measured on held-out inputs."""
    return {"decoder": card.name, "network": card.inputs["network"], "layer": card.inputs["layer"], **card.scores}


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of a training of a decoder with an adversary, by step (T,): of held-out inputs, and of the critic."""

    steps: Tensor
    held_out: Tensor
    critic: Tensor

    @classmethod
    def read(cls, card: Path) -> "Losses | None":
        """From ``losses.json`` beside a card; None where there is none, or no adversary."""
        path = card.parent / "losses.json"
        if not path.is_file():
            return None
        table = msgspec.json.decode(path.read_bytes())
        columns = {
            name: torch.tensor([float("nan") if row[i] is None else row[i] for row in table["rows"]])
            for i, name in enumerate(table["columns"])
        }
        if not len(table["rows"]) or columns["critic"].isnan().all():
            return None
        return cls(steps=columns["step"], held_out=columns["held-out inputs"], critic=columns["critic"])

    def convergence(self) -> dict[str, Any]:
        """Whether a training converged. In its last quarter the critic has not won (its hinge loss is above the value
        at which it pauses, on average), and neither loss changes by a tenth from one half of that quarter to the other;
        and the held-out error is at most twice the smallest there was, as a sample has twice the mean squared error of
        the mean."""
        last = slice(-max(2, len(self.steps) // 4), None)
        begun, held = self.critic[last], self.held_out[last]
        changes = [changed(each) for each in (begun, held)]
        facts = {
            "loss of the critic": round(float(begun.mean()), 3),
            "change of the critic": round(changes[0], 3),
            "held-out error": round(float(held.mean()), 5),
            "change of the error": round(changes[1], 3),
            "smallest held-out error": round(float(self.held_out.min()), 5),
        }
        good = (
            PAUSED < float(begun.mean()) < float("inf")
            and all(change < 0.1 for change in changes)
            and float(held.mean()) <= 2 * float(self.held_out.min())
        )
        return {**facts, "converged": "yes" if good else "no"}


def changed(values: Tensor) -> float:
    """How far the mean of the second half of values (T,) is from that of the first, relative to this."""
    one, other = (float(each.mean()) for each in values.tensor_split(2))
    return abs(other - one) / abs(one) if one else float("inf")


def headline(tables: Mapping[str, Sequence[Mapping[str, Any]]], first: str) -> dict[str, float]:
    """Relative loss of the first decoder, without optimization and with, and how many adversarial trainings
    converged."""
    losses = {row["made by"]: row["relative loss"] for row in tables["Pictures"]}
    found = {"relative_loss_decoder": losses[first], "relative_loss_refined": losses[f"{first}, refined"]}
    if trained := tables.get("Adversarial training"):
        found["gan_seeds_converged"] = sum(row["converged"] == "yes" for row in trained)
    return found
