"""The commands, named as strings: a command's module is imported when it runs, so ``--help`` of any is instant."""

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import App, Parameter

from invert3d import __version__

COMMANDS = {
    "demo": "Invert person, car, airplane and chair, score them, make the page.",
    "doctor": "Say of a model: layout, output, determinism, where gradients die.",
    "models": "List the bundled networks and the architectures.",
    "classify": "Say what a network takes clouds, grids or images for.",
    "reproduce": "Make a figure or table of a paper, with our numbers.",
    "view": "Turn the shapes of a run in a browser, live.",
    "explain": "Which points, voxels or pixels made a network decide as it did?",
    "prune": "Take most weights away from a trained network, and say what that cost.",
    "recipes": "List the inversion recipes, or print one.",
    "cite": "Print what to cite.",
}

#: a group is a package, a command a module in it (``class`` is no name for one: ``classes``)
GROUPS: dict[str, Any] = {
    "invert": (
        "Ask a frozen model for the input it would recognize.",
        {
            "class": "What does this network think an airplane is?",
            "boxes": "In which picture would this 3-D detector see exactly these boxes?",
        },
    ),
    "evaluate": (
        "Measure whether what was made means anything.",
        {
            "inversion": "Score a run: success, recognition by other networks, Chamfer, control.",
            "transfer": "The transfer matrix over three architectures, for one or more recipes.",
            "ablation": "What each ingredient of the recipe adds.",
            "attribution": "Whether explanations are true: one table, networks by methods.",
            "pruning": "Whether explanations survive pruning.",
            "boxes": "What detectors read from inverted pictures, as saved.",
            "layouts": "The transfer matrix of layout inversion, detectors by detectors.",
            "heads": "Which head of a 3-D detector needs which cue?",
            "kitti": "Average precision of a detector's result files by KITTI's rules.",
            "errors": "What a network gets wrong: confusion matrix and surest mistakes, explained.",
        },
    ),
    "train": (
        "Train a reference network: an architecture of clouds or voxels, or centernet3d.",
        {
            "shapes": "A classifier of clouds or voxels; train ARCHITECTURE is short for it.",
            "centernet3d": "A monocular 3-D detector, on streets or a KITTI folder.",
        },
    ),
    "data": (
        "Data sets: make them, find them, check them.",
        {
            "make": (
                "Write procedural data.",
                {
                    "shapes": "Shapes of 20 classes as clouds, voxels or meshes.",
                    "streets": "Streets with labels, in KITTI's layout.",
                },
            ),
            "list": "What data invert3d can read.",
            "check": "What is there of a data set, and what is missing.",
            "where": "Where to get a data set, and what it costs.",
        },
    ),
}


def command_line_app() -> App:
    """The whole command line. ``--no-...`` and ``--empty-...`` exist only for options that ask for them."""
    app = App(
        name="invert3d",
        version=__version__,
        help="Look inside 3-D vision networks.",
        default_parameter=Parameter(negative_bool=(), negative_iterable=()),
        result_action="return_value",
    )
    add(app, {**COMMANDS, **GROUPS}, ())
    return app


def add(app: App, commands: Mapping[str, Any], path: tuple[str, ...]) -> None:
    """Add commands, and groups of them with their help, below ``path``."""
    for name, entry in commands.items():
        here = (*path, {"class": "classes"}.get(name, name))
        if isinstance(entry, str):
            app.command(f"invert3d.cli.{'.'.join(here)}:{'_'.join(here)}", name=name, help=entry)
        else:
            summary, inner = entry
            add(sub := App(name=name, help=summary), inner, here)
            app.command(sub)


app = command_line_app()


@app["train"].default
def train_architecture(architecture: str, *words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """``invert3d train pointnet ...`` is ``invert3d train shapes pointnet ...``, whose --help lists the options."""
    app(["train", "shapes", architecture, *words], exit_on_error=False, print_error=False)
