"""Measure what a descriptor keeps of pictures whose edges are known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import (
    Count,
    MeasureOptions,
    Measuring,
    Names,
    Run,
    Running,
    Switch,
    between,
    distinct,
    split_names,
)
from invert3d.cli.show import print_recorded, print_scores

#: the networks of the headline numbers: trained for pose, and for style
HEADLINE = ("posenet-facades", "stylenet-facades")
#: what the tables are called among the results; no name begins another
RECORDED = {
    "Edges": "kept edges",
    "Pictures": "kept pictures",
    "Changes of a scene": "kept changes of a scene",
    "Edges by direction and kind": "edges by direction and kind",
}
NOTE = (
    "Found: the share of the true edges that the original shows and the reconstruction shows, too, at their place and "
    "in their direction, a mean of pictures with its 95 % bootstrap interval (low, high). By chance 0.10 are found."
)


@dataclass(frozen=True, kw_only=True)
class TerraceOptions:
    """Which pictures are inverted, from which layers, and how.

    Attributes:
        layer: Names of modules that are inverted by optimization, comma separated.
        scenes: Held-out terraces.
        first: Number of the first of them.
        recipe: ours, published, or a TOML file.
        steps: Most steps of optimization, instead of the recipe's.
    """

    layer: Names = "conv4,fc5"
    scenes: Count = 32
    first: Annotated[int, between(0, 1_000_000)] = 0
    recipe: str = "ours"
    steps: Count | None = None


@dataclass(frozen=True, kw_only=True)
class KeptOptions(TerraceOptions):
    """What is inverted, and how.

    Attributes:
        control: Also invert the first network as it was before it was trained.
    """

    control: Switch = True


def evaluate_descriptor(
    *models: str,
    kept: Annotated[KeptOptions, Parameter(name="*")] = KeptOptions(),
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Measure which edges, colors and outlines of held-out terraces survive in reconstructions from descriptors.

    Args:
        models: Networks of pictures. Headline numbers are those of posenet-facades and stylenet-facades, which are the
            default.
        run.out: The run folder; by default runs/kept.
    """
    from invert3d.jobs.execute import execute
    from invert3d.opening.networks import open_network
    from invert3d.study.descriptors.job import Source, descriptors_job
    from invert3d.study.descriptors.kept import (
        MAIN,
        control,
        headline,
        kept_rows,
        moved_rows,
        named_pictures,
        picture_rows,
        picture_side,
        reconstructions,
        scenes,
    )
    from invert3d.study.descriptors.kept_report import write_kept

    names = distinct(models) or list(HEADLINE)
    layers = split_names(kept.layer) or []
    networks = {Path(name.split(":")[-1]).stem: open_network(name, device=measuring.device) for name in names}
    if len(networks) < len(names):
        raise ValueError(f"two networks have one name: {', '.join(networks)}")
    known = scenes(kept.scenes, picture_side(networks), kept.first)
    first = next(iter(networks))
    whole = {**networks, f"{first}, untrained": control(networks[first])} if kept.control else networks
    sources = {key: Source.of(network, layers, kept.recipe, steps=kept.steps) for key, network in whole.items()}
    job = descriptors_job(sources, named_pictures(known))
    outcome = execute(job, run.at("runs/kept")).whole()
    found = reconstructions(outcome)
    edges = kept_rows(found, known)
    tables = {
        "Edges": [row for row in edges if row["edges"] in MAIN],
        "Pictures": picture_rows(found, known),
        "Changes of a scene": moved_rows(whole, layers, known),
        "Edges by direction and kind": [row for row in edges if row["edges"] not in MAIN],
    }
    print_scores(write_kept(outcome.path, found, known, tables, NOTE))
    print(f"open {outcome.path / 'index.html'}")
    if measuring.record:
        end = "" if kept.recipe == "ours" else f"{Path(kept.recipe).stem} "
        rows = [{"table": f"{end}{RECORDED[name]}", **row} for name, each in tables.items() for row in each]
        print_recorded("descriptor", headline(tables, networks, kept.recipe, *HEADLINE), rows)
