"""Show which points, voxels or pixels a prediction depends on."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from invert3d.cli.options import (
    Files,
    ModelOptions,
    Names,
    Opening,
    Run,
    Running,
    Share,
    Up,
    Weights,
    between,
    split_names,
)
from invert3d.cli.show import print_scores

if TYPE_CHECKING:
    from invert3d.jobs.execute import Outcome
    from invert3d.jobs.job import Job

    Work = tuple[Job, Callable[[Outcome], dict[str, Any]]]  # and what writes its tables and pictures

DEFAULT = "pointnet2_ssg-shapes"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is explained.

    Attributes:
        layer: The layer that grad_cam uses; by default the deepest that still has positions.
        target: The class to explain; by default the predicted class.
        test: Also remove this share of the points or voxels, those that each method ranks highest or as many at random,
            and show what the network then predicts. Of a detection: blur as many pixels as this share of its box.
        against: A second class: the difference of the two logits is explained.
    """

    layer: str | None = None
    target: str | None = None
    against: str | None = None
    test: Share | None = None


@dataclass(frozen=True, kw_only=True)
class Detections:
    """What is explained of a 2-D detector.

    Attributes:
        detector: Explain detections in pictures instead, of a bundled 2-D detector (invert3d models), a card (.json)
            beside its weights, one of torchvision's with --checkpoint, or package.module:factory.
        detection: Number of the detection to explain; 0 has the highest score. By default the best three.
        object: Explain all detections of this category.
        heads: Heads to explain, comma separated: class, box, mask, or the detector's own names; by default the first
            three, as far as it has them.
    """

    detector: str | None = None
    detection: Annotated[int, between(0, 1_000)] | None = None
    object: str | None = None
    heads: Names | None = None


def explain(
    *files: Files,
    model: Weights = DEFAULT,
    methods: Names | None = None,
    question: Annotated[Question, Parameter(name="*")] = Question(),
    detections: Annotated[Detections, Parameter(name="*")] = Detections(),
    file_up: Up = "z",
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Show which points, voxels or pixels a prediction depends on, by several methods side by side.

    With --detector: by which pixels of a picture a 2-D detector found an object, each of its heads by itself.

    Args:
        methods: Names, comma separated: gradient, input_x_gradient, smooth_grad, guided, deconvolution,
            integrated_gradients, point_saliency, occlusion, grad_cam, extremal, rise, and d_rise for detections; by
            default some that fit the network.
        run.out: The folder to write; by default runs/explain.
    """
    from invert3d.engine.progress import Meter
    from invert3d.jobs.execute import execute

    check_mixture(model, question, detections)
    run = run.at("runs/explain")
    if detections.detector is not None:
        job, write = detections_of(files, detections, opening, split_names(methods), question.test)
    else:
        job, write = predictions_of(files, model, question, opening, split_names(methods), file_up)
    outcome = execute(job, run).whole()
    with Meter("drawing", show=run.progress):
        scores = write(outcome)
    print_scores(scores)
    print(f"open {run.folder() / 'index.html'}")


def check_mixture(model: str, question: Question, detections: Detections) -> None:
    """Raise ValueError where a detector is asked as a classifier, or the other way round."""
    if detections.detector is None:
        given = [name for name, value in asdict(detections).items() if value is not None]
        if given:
            raise ValueError(f"--{given[0]} is about detections: name a --detector")
        return
    if model != DEFAULT:
        raise ValueError("--model names a classifier and --detector a detector: give one of them")
    for name in ("layer", "target", "against"):
        if getattr(question, name) is not None:
            raise ValueError(f"--{name} is about a classifier: ask a detector with --detection, --object and --heads")


def detections_of(
    files: "Sequence[str]",
    asked: Detections,
    opening: ModelOptions,
    methods: "Sequence[str] | None",
    test: float | None,
) -> "Work":
    """The job of explaining detections in pictures."""
    from invert3d.opening.inputs import read_pictures
    from invert3d.study.explaining.detections_job import Asked, detections_job
    from invert3d.study.explaining.detections_report import write_detections

    name = str(asked.detector)
    detector = opening.open_detector(name)
    heads = split_names(asked.heads)
    question = Asked(detection=asked.detection, kind=asked.object, heads=heads, methods=methods, test=test)
    job = detections_job(detector, read_pictures(files), question, model=name)
    return job, lambda outcome: write_detections(outcome, name)


def predictions_of(
    files: "Sequence[str]",
    model: str,
    question: Question,
    opening: ModelOptions,
    methods: "Sequence[str] | None",
    up: Up,
) -> "Work":
    """The job of explaining predictions of a classifier."""
    from invert3d.opening.inputs import read_inputs, true_classes
    from invert3d.study.explaining.job import explaining_job, write_explanations

    network = opening.open(model)
    inputs = read_inputs(files, network.frozen.space, up=up, facing=network.facing)
    truth = true_classes(files, list(inputs))
    job = explaining_job(network, inputs, methods, truth=truth, **asdict(question))
    return job, lambda outcome: write_explanations(outcome, network, question.against)
