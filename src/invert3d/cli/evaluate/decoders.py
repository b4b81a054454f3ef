"""Compare what is made from a descriptor by optimization and by decoders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.evaluate.descriptor import TerraceOptions
from invert3d.cli.options import MeasureOptions, Measuring, Run, Running, Share, distinct, split_names
from invert3d.cli.show import print_recorded, print_scores


@dataclass(frozen=True, kw_only=True)
class MadeOptions(TerraceOptions):
    """What is made, and how.

    Attributes:
        loss: Relative loss at which optimization stops.
        judge: The network in which perceptual distances are measured.
    """

    loss: Share = 0.04
    judge: str = "stylenet-facades"


def evaluate_decoders(
    *cards: str,
    made: Annotated[MadeOptions, Parameter(name="*")] = MadeOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Compare three ways to invert a descriptor: optimization, a decoder, and optimization from a decoder's picture.

    From a decoder's picture 300 steps are done at most, if --steps says nothing else.

    Args:
        cards: Decoders: bundled ones by name, others by the paths of their cards (invert3d train decoder). Optimization
            inverts the network of the first decoder; headline numbers are of that decoder. Of decoders of clouds and
            grids only the scores on their cards are shown.
        run.out: The run folder; by default runs/decoders.
    """
    from invert3d.jobs.execute import execute
    from invert3d.opening.decoders import open_decoder
    from invert3d.opening.networks import open_network
    from invert3d.study.descriptors.decoders import (
        STOPPED,
        Losses,
        Making,
        card_row,
        features_of,
        headline,
        made_rows,
        sources_of,
    )
    from invert3d.study.descriptors.decoders_report import write_made
    from invert3d.study.descriptors.job import descriptors_job
    from invert3d.study.descriptors.kept import named_pictures, picture_side, scenes

    names = {Path(card).stem: card for card in distinct(cards)}
    if len(names) < len(distinct(cards)):
        raise ValueError(f"two decoders have one name: {', '.join(distinct(cards))}")
    opened = {name: open_decoder(card)[1] for name, card in names.items()}
    pictures = {name: card for name, card in names.items() if opened[name].architecture == "image"}
    if not pictures:
        raise ValueError("name at least one decoder of pictures: a bundled one, or the path of its card")
    losses = {name: found for name, card in names.items() if (found := Losses.read(card)) is not None}
    making = Making(loss=made.loss, steps=made.steps, recipe=made.recipe)
    sources = sources_of(pictures, split_names(made.layer) or [], making, measuring.device)
    judge = open_network(made.judge, device=measuring.device)
    networks = {"judge": judge, **{name: source.network for name, source in sources.items()}}
    known = scenes(made.scenes, picture_side(networks), made.first)
    features_of(judge, known[0].picture[None])
    job = descriptors_job(sources, named_pictures(known))
    outcome = execute(job, run.at("runs/decoders")).whole()
    tables = {
        "Pictures": made_rows(outcome, known, judge, made.loss),
        "Decoders": [card_row(card) for card in opened.values()],
        "Adversarial training": [{"decoder": name, **each.convergence()} for name, each in losses.items()],
    }
    tables = {title: rows for title, rows in tables.items() if rows}
    note = STOPPED.format(loss=made.loss, judge=judge.name)
    print_scores(write_made(outcome, known, tables, losses, note))
    print(f"open {outcome.path / 'index.html'}")
    if measuring.record:
        rows = [{"table": f"decoders, {name.lower()}", **row} for name, each in tables.items() for row in each]
        print_recorded("descriptor", headline(tables, next(iter(pictures))), rows)
