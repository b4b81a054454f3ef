"""Generate voxel shapes by gradient ascent on the class score of a network."""

from typing import Annotated

from invert3d.cli.options import Count, ModelOptions, Opening, Positive, Run, Running, between, distinct
from invert3d.cli.show import print_scores


def generate(
    model: str,
    *classes: str,
    each: Count = 8,
    steps: Annotated[int, between(0, 1_000_000)] | None = None,
    length: Positive = 1.0,
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Generate voxel shapes with a network of invert3d train introspective, by ascent on a class score, or train vae.

    The folder has voxels.npz, which invert3d evaluate generation scores, pictures, meshes (GLB) and a page. Of
    each shape the largest piece is kept.

    Args:
        model: Bundled weights, or the card (.json) beside its weights.
        classes: Class names; by default all.
        each: Shapes of each class.
        steps: Steps of ascent; 0 gives the shapes that it starts from. By default 40, for an autoencoder 0.
        length: L2 norm of a step.
        run.out: The run folder; by default runs/generate.
    """
    from invert3d.engine.progress import Meter
    from invert3d.jobs.execute import execute
    from invert3d.study.generation.job import generate_job
    from invert3d.study.generation.report import write_generated

    job = generate_job(opening.open(model), distinct(classes) or "all", each, steps=steps, length=length)
    run = run.at("runs/generate")
    outcome = execute(job, run).whole()
    with Meter("drawing", show=run.progress):
        print_scores(write_generated(outcome))
    print(f"open {run.folder() / 'index.html'}")
