"""The command line. Commands are named here as strings and imported when they run, so ``--help`` is instant."""

import os
import sys
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from invert3d import __version__

app = App(name="invert3d", version=__version__, help="Look inside 3-D vision networks.")

for name, where, words in (
    ("demo", "demo:demo", "Invert person, car, airplane and chair, score them, make the page."),
    ("doctor", "models:doctor", "Say of a model: layout, output, determinism, where gradients die."),
    ("models", "models:models", "List the bundled networks and the architectures."),
    ("classify", "models:classify", "Say what a network takes clouds, grids or images for."),
    ("reproduce", "reproduce:reproduce", "Make a figure or table of a paper, with our numbers."),
    ("view", "view:view", "Turn the shapes of a run in a browser, live."),
    ("explain", "explain:explain", "Which points, voxels or pixels made a network decide as it did?"),
    ("prune", "prune:prune", "Take most weights away from a trained network, and say what that cost."),
    ("recipes", "models:recipes", "List the inversion recipes, or print one."),
    ("cite", "models:cite", "Print what to cite."),
):
    app.command(f"invert3d.cli.{where}", name=name, help=words)

for group, summary, commands in (
    (
        "invert",
        "Ask a frozen model for the input it would recognize.",
        (
            ("class", "invert:invert_class", "What does this network think an airplane is?"),
            ("boxes", "layouts:invert_boxes", "In which picture would this 3-D detector see exactly these boxes?"),
        ),
    ),
    (
        "evaluate",
        "Measure whether what was made means anything.",
        (
            (
                "inversion",
                "evaluate:inversion",
                "Score a run: success, recognition by other networks, Chamfer, control.",
            ),
            ("transfer", "evaluate:transfer", "The transfer matrix over three architectures, for one or more recipes."),
            ("ablation", "evaluate:ablation", "What each ingredient of the recipe adds."),
            ("attribution", "explain:attribution", "Whether explanations are true: one table, networks by methods."),
            ("pruning", "prune:survival", "Whether explanations survive pruning."),
            ("boxes", "layouts:evaluate_boxes", "What detectors read from inverted pictures, as saved."),
            ("layouts", "layouts:evaluate_layouts", "The transfer matrix of layout inversion, detectors by detectors."),
            ("heads", "layouts:evaluate_heads", "Which head of a 3-D detector needs which cue?"),
            ("kitti", "boxes:kitti", "Average precision of a detector's result files by KITTI's rules."),
            ("errors", "explain:errors", "What a network gets wrong: confusion matrix and surest mistakes, explained."),
        ),
    ),
    (
        "train",
        "Train a reference network: an architecture of clouds or voxels, or centernet3d.",
        (
            ("shapes", "train:train", "A classifier of clouds or voxels; train ARCHITECTURE is short for it."),
            ("centernet3d", "detectors:train_centernet3d", "A monocular 3-D detector, on streets or a KITTI folder."),
        ),
    ),
    (
        "data",
        "Data sets: make them, find them, check them.",
        (
            ("make", "data:make", "Write procedural shapes as clouds, voxels or meshes."),
            ("list", "data:list_data", "What data invert3d can read."),
            ("check", "data:check", "What is there of a data set, and what is missing."),
            ("where", "data:where", "Where to get a data set, and what it costs."),
        ),
    ),
):
    sub = App(name=group, help=summary)
    for name, where, words in commands:
        sub.command(f"invert3d.cli.{where}", name=name, help=words)
    app.command(sub)


@app["train"].default
def train_shapes(architecture: str, *words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """``invert3d train pointnet ...`` is ``invert3d train shapes pointnet ...``, whose --help lists the options."""
    app(["train", "shapes", architecture, *words], exit_on_error=False)


def main() -> None:
    """Run the command line: bad input ends in one sentence and exit code 2, Ctrl-C in 130."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))  # more threads fight each other
    try:
        app(sys.argv[1:], exit_on_error=False)  # prints what is wrong with the words themselves
    except CycloptsError:
        sys.exit(2)
    except (ValueError, TypeError) as error:
        if "INVERT3D_DEBUG" in os.environ:
            raise
        print(f"invert3d: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
