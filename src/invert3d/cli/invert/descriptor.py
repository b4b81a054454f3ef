"""Find inputs that a layer of a network describes like given ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import (
    Count,
    Files,
    ModelOptions,
    Names,
    Opening,
    Run,
    Running,
    Share,
    Starts,
    Up,
    Weights,
    split_names,
)
from invert3d.cli.show import print_scores


@dataclass(frozen=True, kw_only=True)
class DescriptorOptions:
    """What is inverted, and how.

    Attributes:
        layer: Names of modules, comma separated; by default conv4,fc5.
        recipe: ours, published, or a TOML file.
        steps: Steps in all, instead of the recipe's.
        loss: End each stage of the recipe at this relative loss; by default all steps are done.
        starts: Starts of each input, instead of the recipe's.
        decoder: Decoders, comma separated, bundled ones by name and others by their cards (invert3d train decoder):
            also show what they make, and what a few steps from there make of it.
    """

    layer: Names = "conv4,fc5"
    recipe: str = "ours"
    steps: Count | None = None
    loss: Share | None = None
    starts: Starts | None = None
    decoder: Names | None = None


def invert_descriptor(
    *files: Files,
    model: Weights = "posenet-facades",
    making: Annotated[DescriptorOptions, Parameter(name="*")] = DescriptorOptions(),
    file_up: Up = "z",
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Find inputs that a layer of a frozen network describes like given ones: what does it keep of them?

    Pictures are resized to what the network takes; terraces:0, cars:0 and rooms:0 are procedural ones.

    Args:
        run.out: The run folder; by default runs/descriptor-MODEL.
    """
    from invert3d.engine.progress import Meter
    from invert3d.jobs.execute import execute
    from invert3d.opening.inputs import read_inputs
    from invert3d.study.descriptors.job import Source, descriptors_job
    from invert3d.study.descriptors.report import write_descriptors

    network = opening.open(model)
    inputs = read_inputs(files, network.frozen.space, up=file_up, facing=network.facing)
    layers = split_names(making.layer) or []
    sources = {"": Source.of(network, layers, making.recipe, steps=making.steps, starts=making.starts)}
    for card in split_names(making.decoder) or []:
        if Path(card).stem in sources:
            raise ValueError(f"two decoders are called {Path(card).stem}")
        for end, refined in (("", False), (" refined", True)):
            sources[f"{Path(card).stem}{end}"] = Source.decoded(network, card, refined=refined)
    if making.loss is not None:
        sources = {key: source.until(making.loss) for key, source in sources.items()}
    job = descriptors_job(sources, inputs)
    run = run.at(f"runs/descriptor-{Path(network.name.split(':')[-1].replace(' ', '-')).stem}")
    outcome = execute(job, run).whole()
    with Meter("drawing", show=run.progress):
        scores = write_descriptors(outcome, network)
    print_scores(scores)
    print(f"open {run.folder() / 'index.html'}")
