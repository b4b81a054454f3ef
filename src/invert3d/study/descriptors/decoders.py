"""``invert3d evaluate decoders``: what is made from a descriptor by optimization, by decoders, and by optimization that
begins with what a decoder made, side by side.

Optimization makes the relative loss as small as one has patience for, and that alone says nothing of the picture. So
whatever is optimized here stops at the same relative loss, and pictures are compared by what the loss does not see:
true edges, squared errors, and the distance that another network sees (``perceptual_distance``).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invert3d.evaluate.attribution import interval
from invert3d.evaluate.descriptors import color_correlation, perceptual_distance, tint_correlation
from invert3d.jobs.execute import Outcome
from invert3d.methods.descriptors import describe
from invert3d.models.weights import WeightCard
from invert3d.opening.decoders import open_decoder
from invert3d.opening.networks import Network, open_network
from invert3d.study.descriptors.job import Source
from invert3d.study.descriptors.kept import (
    MINUS,
    OTHERS,
    STREET,
    Reconstructed,
    Scene,
    controls_of,
    reconstructions,
    shares_found,
)
from invert3d.training.decoder_runs import read_losses
from invert3d.training.decoders import PAUSED

#: what is made without a decoder, in the table
OPTIMIZED = "optimization from noise"
#: groups of edges (``kept.groups``) that the table has beside all edges, and their titles there
EDGES = {STREET: "along the street", OTHERS: "not along the street", "border of the sky, all": "border of the sky"}
#: steps of optimization at most, from the picture of a decoder
REFINING = 300
#: what the columns of ``made_rows`` are
NOTE = (
    "The relative loss is that of the saved picture. Edges found: the share of the true edges that the original shows "
    "and this picture shows, too, with its 95 % bootstrap interval (low, high), then by direction and kind; of each "
    "direction 0.10 are found by chance. Street minus others: the difference within a picture, with its interval. "
    "Color: correlation in color alone over the pixels of a picture; mean color: that of the mean colors over "
    "pictures. Perceptual distance: in the layers of {judge}, 0 for the original itself. Milliseconds: the whole call, "
    "descriptors included, a picture."
)
STOPPED = (
    "What is optimized stops at a relative loss of {loss:g}; reached: the share of pictures that got there. " + NOTE
)
#: layers of the network that judges pictures
JUDGED = ("conv1", "conv2", "conv3", "conv4")


@dataclass(frozen=True, kw_only=True)
class Making:
    """How optimization makes pictures: the relative loss at which it stops, its most steps (by default those of the
    recipe, and ``REFINING`` from the picture of a decoder), and its recipe."""

    loss: float = 0.04
    steps: int | None = None
    recipe: str = "ours"


def sources_of(cards: Mapping[str, str], layers: Sequence[str], making: Making, device: str) -> dict[str, Source]:
    """Optimization of layers of the first decoder's network; then each decoder, by its card, without optimization and
    with.

    Raises ValueError as ``Source.decoded``, or for a decoder whose network is not there.
    """
    networks = {name: network_of(card, device) for name, card in cards.items()}
    first = next(iter(networks.values()))
    sources = {OPTIMIZED: Source.of(first, layers, making.recipe, steps=making.steps).until(making.loss)}
    for name, card in cards.items():
        sources[name] = Source.decoded(networks[name], card, refined=False)
        refined = Source.decoded(networks[name], card, refined=True, steps=making.steps or REFINING)
        sources[f"{name} refined"] = refined.until(making.loss)
    return sources


def network_of(decoder: str, device: str) -> Network:
    """The network whose layer a decoder decodes, as its card names it. Raises ValueError if it cannot be opened."""
    card = open_decoder(decoder)[1]
    try:
        return open_network(str(card.inputs["network"]), device=device)
    except ValueError as error:
        raise ValueError(
            f"{card.name} decodes {card.inputs['network']}, which cannot be opened from here: {error}"
        ) from error


def made_rows(
    outcome: Outcome, known: Sequence[Scene], judge: Network, target: float | None = None
) -> list[dict[str, Any]]:
    """A row of each way to make pictures, and of controls, means of scenes: the relative loss, and the share of
    pictures whose loss is at most a ``target``; the share of edges that is found, with its 95 % bootstrap interval, and
    of groups of them, and how many more of those along the street (NaN where no picture shows enough); correlations in
    color, mean squared error, perceptual distance, milliseconds.
    """
    originals = torch.stack([scene.picture for scene in known])
    seen = features_of(judge, originals)
    found, controls = reconstructions(outcome), controls_of(originals)
    decoders = [each for each in found if outcome.job.settings["sources"][each.network]["recipe"] is None]
    controls += [
        Reconstructed(network=f"{each.network}, from another descriptor", pictures=each.pictures.roll(1, 0))
        for each in decoders[:1]
    ]
    rows = []
    for each in [*controls, *found]:
        shares = [shares_found(scene, picture) for scene, picture in zip(known, each.pictures, strict=True)]
        mean, low, high = interval(torch.tensor([one["all"] for one in shares]))
        groups = {
            title: float(torch.tensor([one[group] for one in shares if group in one]).mean())
            for group, title in EDGES.items()
        }
        apart = perceptual_distance(features_of(judge, each.pictures), seen)
        minus, least, most = interval(torch.tensor([one[MINUS] for one in shares if MINUS in one] or [math.nan]))
        colors = [color_correlation(*pair) for pair in zip(each.pictures, originals, strict=True)]
        measured = {
            "edges found": mean,
            "low": low,
            "high": high,
            **groups,
            "street minus others": minus,
            "street minus others, low": least,
            "street minus others, high": most,
            "color": sum(colors) / len(colors),
            "mean color": tint_correlation(each.pictures, originals),
            "mean squared error": float((each.pictures - originals).square().mean()),
            "perceptual distance": float(apart.mean()),
        }
        rows.append(
            {
                "method": each.network,
                "layer": each.layer,
                "relative loss": "" if each.losses is None else round(float(each.losses.mean()), 4),
                **({} if target is None else {"reached": reached(each, target)}),
                **{name: round(value, 4) for name, value in measured.items()},
                "milliseconds": "" if each.losses is None else round(1000 * seconds_of(outcome, each), 1),
            }
        )
    return rows


def features_of(judge: Network, pictures: Tensor) -> list[Tensor]:
    """What the layers ``JUDGED`` of a network make of pictures (A, 3, S, S). Raises ValueError for one without them."""
    return [
        torch.cat([describe(judge.frozen, part, layer).cpu().float() for part in pictures.split(100)])
        for layer in JUDGED
    ]


def reached(made: Reconstructed, target: float) -> float | str:
    """The share of pictures whose relative loss is at most the target, before they are saved; empty of a control."""
    return "" if made.unsaved is None else round(float((made.unsaved <= target + 1e-5).float().mean()), 2)


def seconds_of(outcome: Outcome, made: Reconstructed) -> float:
    """Seconds a picture, on average, of the whole call: describing the original, making, saving, and describing what
    was made, before it is saved and after; in batches of at most ``AT_ONCE``."""
    names = [
        unit.name
        for unit in outcome.job.units
        if (unit.values["source"], unit.values["layer"]) == (made.network, made.layer)
    ]
    return outcome.seconds(names) / len(names)


def card_row(card: WeightCard) -> dict[str, Any]:
    """What a training of a decoder measured on held-out inputs."""
    return {"decoder": card.name, "network": card.inputs["network"], "layer": card.inputs["layer"], **card.scores}


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of a training of a decoder with an adversary, by step (T,): of held-out inputs, and of the critic, NaN
    before it begins."""

    steps: Tensor
    held_out: Tensor
    critic: Tensor

    @classmethod
    def read(cls, card: str) -> "Losses | None":
        """From ``losses.json`` beside a card; None of bundled weights, where there is none, or where there was no
        adversary. Raises ValueError for a file of another version."""
        path = Path(card).parent / "losses.json"
        if not card.endswith(".json") or not path.is_file():
            return None
        table = read_losses(path)
        if table["critic"].isnan().all():
            return None
        return cls(steps=table["step"], held_out=table["held-out inputs"], critic=table["critic"])

    def convergence(self) -> dict[str, Any]:
        """Whether a training converged, judged by its last quarter.

        Nobody has won: the critic's hinge loss is on average between 0.2 and 1.9 (0 where it always can tell, 2 where
        it never can) and below the value at which it pauses in less than a tenth of the steps. It does not swing: its
        standard deviation is less than half of its mean. It has settled: neither loss changes by a tenth from one half
        of that quarter to the other. And the held-out error is at most twice its minimum, as a sample of a posterior
        has twice the mean squared error of its mean. The rate has fallen by then, as the whole recipe has it.
        """
        last = slice(-max(4, len(self.steps) // 4), None)
        critic, held = self.critic[last], self.held_out[last]
        mean, error = float(critic.mean()), float(held.mean())
        facts = {
            "loss of the critic": round(mean, 3),
            "its deviation": round(float(critic.std()), 3),
            "change of the critic": round(changed(critic), 3),
            "held-out error": round(error, 5),
            "change of the error": round(changed(held), 3),
            "smallest held-out error": round(float(self.held_out.min()), 5),
        }
        good = (
            0.2 < mean < 1.9
            and float((critic <= PAUSED).float().mean()) < 0.1
            and float(critic.std()) < 0.5 * mean
            and max(changed(critic), changed(held)) < 0.1
            and error <= 2 * float(self.held_out.min())
        )
        return {**facts, "converged": "yes" if good else "no"}


def changed(values: Tensor) -> float:
    """How far the mean of the second half of values (T,) is from that of the first, relative to this."""
    one, other = (float(each.mean()) for each in values.tensor_split(2))
    return abs(other - one) / abs(one) if one else float("inf")


def headline(tables: Mapping[str, Sequence[Mapping[str, Any]]], first: str) -> dict[str, float]:
    """Relative loss of the first decoder, without optimization and with, and how many adversarial trainings
    converged."""
    losses = {row["method"]: row["relative loss"] for row in tables["Pictures"]}
    found = {"relative_loss_decoder": losses[first], "relative_loss_refined": losses[f"{first} refined"]}
    if trained := tables.get("Adversarial training"):
        found["gan_seeds_converged"] = sum(row["converged"] == "yes" for row in trained)
    return found
