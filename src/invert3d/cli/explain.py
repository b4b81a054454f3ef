"""Show which points, voxels or pixels a prediction depends on."""

from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter

from invert3d.cli.options import Files, ModelOptions, Names, Opening, Run, Running, Share, Up, Weights, split_names
from invert3d.cli.show import print_scores


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is explained.

    Attributes:
        layer: The layer that grad_cam uses; by default the deepest that still has positions.
        target: The class to explain; by default the predicted class.
        test: Also remove this share of the points or voxels, those that each method ranks highest or as many at random,
            and show what the network then predicts.
        against: A second class: the difference of the two logits is explained.
    """

    layer: str | None = None
    target: str | None = None
    against: str | None = None
    test: Share | None = None


def explain(
    *files: Files,
    model: Weights = "pointnet2_ssg-shapes",
    methods: Names | None = None,
    question: Annotated[Question, Parameter(name="*")] = Question(),
    file_up: Up = "z",
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Show which points, voxels or pixels a prediction depends on, by several methods side by side.

    Args:
        methods: Names, comma separated: gradient, input_x_gradient, smooth_grad, guided, deconvolution,
            integrated_gradients, point_saliency, occlusion, grad_cam, extremal; by default some that fit the network.
        run.out: The folder to write; by default runs/explain.
    """
    from invert3d.engine.progress import Meter
    from invert3d.jobs.execute import execute
    from invert3d.opening.inputs import read_inputs, true_classes
    from invert3d.study.explaining.job import explaining_job, write_explanations

    run = run.at("runs/explain")
    network = opening.open(model)
    inputs = read_inputs(files, network.frozen.space, up=file_up, facing=network.facing)
    truth = true_classes(files, list(inputs))
    job = explaining_job(network, inputs, split_names(methods), truth=truth, **asdict(question))
    outcome = execute(job, run).whole()
    with Meter("drawing", show=run.progress):
        scores = write_explanations(outcome, network, question.against)
    print_scores(scores)
    print(f"open {run.folder() / 'index.html'}")
