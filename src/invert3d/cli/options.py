"""Options that several commands share: each has its help text, and what it accepts, once. Imports nothing heavy."""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from invert3d.jobs.options import RunOptions
from invert3d.opening import options

if TYPE_CHECKING:
    from invert3d.opening.networks import Network
    from invert3d.training.runs import TrainRun


def accepts(check: Callable[[Any], str | None]) -> Parameter:
    """A parameter whose values are checked one by one: ``check`` returns what is wrong with one, or None."""

    def validate(_: Any, value: Any) -> None:
        for each in value if isinstance(value, list | tuple) else () if value is None else (value,):
            if (problem := check(each)) is not None:
                raise ValueError(problem)

    return Parameter(validator=validate)


def between(low: float, high: float) -> Parameter:
    """A parameter of finite numbers from ``low`` to ``high``."""

    def check(value: float) -> str | None:
        return None if low <= value <= high else f"must be between {low:,} and {high:,}, not {value}"

    return accepts(check)


def above_zero(high: float) -> Parameter:
    """A parameter of finite numbers above 0, up to ``high``."""
    return accepts(lambda value: None if 0 < value <= high else f"must be above 0 and at most {high:,}, not {value}")


def _file(path: Path) -> str | None:
    if not path.exists():
        return f"there is no file {path}"
    if not path.is_file():
        return f"{path} is a folder; a file is wanted"
    return None if path.stat().st_size else f"{path} is an empty file"


def _folder(path: Path) -> str | None:
    if not path.exists():
        return f"there is no folder {path}"
    return None if path.is_dir() else f"{path} is a file; a folder is wanted"


def _new(path: Path, file: bool = False) -> str | None:
    """What is wrong with a folder, or file, that is to be written."""
    if path.exists() and path.is_dir() == file:
        return f"{path} is {'a folder' if file else 'a file'}, so nothing can be written there"
    near = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if near != path.absolute() and not near.is_dir():
        return f"{near} is a file, so nothing can be written below it"
    return None if os.access(near, os.W_OK) else f"{near} is read-only"


def _plain_name(text: str) -> str | None:
    if re.fullmatch(r"[\w+-][\w.+-]{0,99}", text):
        return None
    return f"a name has letters, digits, '.', '_', '+' and '-', up to 100 of them, not {text!r}"


def _list(text: str) -> str | None:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        return f"a name is missing in {text!r}"
    return f"{text!r} names something twice" if len(set(names)) < len(names) else None


Count = Annotated[int, between(1, 1_000_000)]
Starts = Annotated[int, between(1, 1_000)]
Streets = Annotated[int, between(1, 100_000)]
Side = Annotated[int, between(4, 4_096)]
Seed = Annotated[int, between(0, 2**63 - 1)]
Port = Annotated[int, between(1, 65_535)]
Workers = Annotated[int, between(1, 1_024)]
Share = Annotated[float, above_zero(1)]
Levels = Annotated[float, above_zero(255)]
Positive = Annotated[float, above_zero(1_000_000)]
Pair = Annotated[tuple[float, float], between(-1_000_000, 1_000_000)]
Switch = Annotated[bool, Parameter(negative_bool="no-")]  # has a --no- form
File = Annotated[Path, accepts(_file)]
Folder = Annotated[Path, accepts(_folder)]
Folders = Annotated[list[Path], accepts(_folder)]
NewFolder = Annotated[Path, accepts(_new)]
NewFile = Annotated[Path, accepts(lambda path: _new(path, file=True))]
PlainName = Annotated[str, accepts(_plain_name)]
Names = Annotated[str, accepts(_list)]  # comma separated
ClassNames = Annotated[str, accepts(lambda text: None if _is_file(text) else _list(text))]
Device = Annotated[str, Parameter(help="cpu, cuda, cuda:1, ...")]
Up = Annotated[Literal["z", "y"], Parameter(help="Up axis of the files.")]
FILES = (
    "Clouds .npy .npz .ply .pcd .txt .xyz, meshes .off .obj .stl .glb, shapes:airplane for a procedural shape; for a "
    "network of voxels .mat .binvox .npy .npz or meshes; for one of images what Pillow reads."
)
WEIGHTS = "Bundled weights (see invert3d models), package.module:factory, or an architecture with --checkpoint."
Files = Annotated[str, Parameter(help=FILES)]
Weights = Annotated[str, Parameter(help=WEIGHTS)]
Host = Annotated[
    str, accepts(lambda text: None if re.fullmatch(r"[\w.-]{1,253}", text) else f"is no name or IPv4 address: {text!r}")
]


def read_args(_: Any, tokens: Sequence[Any]) -> dict[str, Any]:
    """Keyword arguments from words NAME=VALUE or JSON objects. Raises ValueError for other words, and a name twice."""
    found: dict[str, Any] = {}
    for text in (token.value for token in tokens):
        given = literal(text)
        if not isinstance(given, dict):
            name, equals, value = text.partition("=")
            if not equals or not name.isidentifier():
                raise ValueError(f"arguments are NAME=VALUE or a JSON object, not {text!r}")
            given = {name: literal(value)}
        if twice := sorted(found.keys() & given.keys()):
            raise ValueError(f"argument {twice[0]!r} is given twice")
        found |= given
    return found


def literal(text: str) -> Any:
    """What a word says as JSON, or in Python's spelling of true, false and null; else the word itself."""
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except (ValueError, RecursionError):
        return text


def read_features(_: Any, tokens: Sequence[Any]) -> tuple[str, ...]:
    """Features from a comma-separated list. Raises ValueError for one that is there twice."""
    return tuple(split_names(",".join(token.value for token in tokens)) or ())


def _is_file(text: str) -> bool:
    return len(text) < 4096 and Path(text).is_file()


def split_names(names: str | None) -> list[str] | None:
    """Names from a comma-separated list. Raises ValueError for one that is there twice."""
    return None if names is None else distinct(name.strip() for name in names.split(","))


def read_class_names(names: str | None) -> list[str] | None:
    """Class names from a comma-separated list, or from a file with one a line. ValueError for none or one twice."""
    if names is None or not _is_file(names):
        return split_names(names)
    found = distinct(line.strip() for line in Path(names).read_text().splitlines() if line.strip())
    if not found:
        raise ValueError(f"there are no class names in {names}")
    return found


def recipe_and_control(text: str) -> tuple[str, bool]:
    """A recipe, and whether it is followed by ``:shuffled``, which asks for its control. Raises ValueError for another
    mark."""
    name, colon, mark = text.partition(":")
    if colon and mark != "shuffled":
        raise ValueError(f"{name}: a recipe may be followed by :shuffled, not by :{mark}")
    return name, bool(colon)


def distinct(names: Iterable[str]) -> list[str]:
    """The names as a list. Raises ValueError for one that is there twice."""
    found = list(names)
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise ValueError(f"{twice[0]!r} is named twice")
    return found


ModelArgs = Annotated[
    dict[str, Any],
    Parameter(
        name="--model-args",
        help="Keyword arguments of package.module:factory, as NAME=VALUE ... or a JSON object.",
        converter=read_args,
        accepts_keys=False,
        n_tokens=-1,
        consume_multiple=(1, None),
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Run(RunOptions):
    """``RunOptions`` as the command line checks them."""

    out: NewFolder | None = None
    seed: Seed = 0
    workers: Workers = 1
    threads: Workers = 1
    progress: Switch = True

    def at(self, folder: Path | str) -> "Run":
        """The same, in ``folder`` unless ``--out`` names another. Raises ValueError if it may not be written."""
        from invert3d.jobs.folder import checked_folder

        chosen = self if self.out is not None else replace(self, out=Path(folder))
        checked_folder(chosen.folder(), resume=self.resume, overwrite=self.overwrite)
        return chosen

    def folder(self) -> Path:
        """The run folder. Raises ValueError if there is none."""
        if self.out is None:
            raise ValueError("--out is needed")
        return self.out


@dataclass(frozen=True, kw_only=True)
class ModelOptions(options.ModelOptions):
    """``opening.options.ModelOptions`` as the command line checks them.

    Attributes:
        features: Input channels of a point, comma separated in order: coordinates, normals, height (above the lowest
            point), ones. By default the coordinates, and the normals if the model is known to take them. A packed model
            gets its coordinates as a separate input, and by default no features.
        class_names: The model's classes, comma separated, or a file with one per line.
        points: Points per cloud; by default 1024, or as in the recipe.
    """

    checkpoint: File | None = None
    args: ModelArgs = field(default_factory=dict)
    layout: Annotated[options.Layout, Parameter(name="--points-layout")] = "bn3"
    features: Annotated[
        tuple[options.Feature, ...],
        Parameter(converter=read_features, accepts_keys=False, n_tokens=1, show_default=False),
    ] = ()
    grid_size: Positive = 0.01
    class_names: ClassNames | None = None
    points: Count | None = None  # type: ignore[assignment]
    size: Side | None = None
    values: Pair | None = None
    classes: Annotated[tuple[str, ...] | None, Parameter(parse=False)] = None
    output: Annotated[options.OutputKind, Parameter(parse=False)] = "auto"

    def open_detector(self, name: str) -> Any:
        """A 2-D detector, by name. Raises ValueError for options that a detector has no use for."""
        from invert3d.opening.box_detectors import open_box_detector

        kept = {each: getattr(self, each) for each in ("checkpoint", "args", "class_names", "device")}
        if replace(ModelOptions(), **kept) != self:
            words = "--checkpoint, --class-names, --model-args and --device"
            raise ValueError(f"of the options of a network a detector takes {words} only")
        classes = read_class_names(self.class_names) or ()
        return open_box_detector(name, checkpoint=self.checkpoint, classes=classes, args=self.args, device=self.device)

    def open(self, model: str, points: int = 1024, classes: Sequence[str] | None = None) -> "Network":
        """The network that ``model`` names, on clouds of ``points`` unless ``--points`` says otherwise."""
        from invert3d.opening.networks import open_network

        classes = read_class_names(self.class_names) or classes
        return open_network(model, self, classes=classes, points=self.points or points)


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How a measurement is run.

    Attributes:
        record: Also write the numbers to docs/results.
    """

    record: bool = False
    device: Device = "cpu"


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Where a training is saved.

    Attributes:
        name: Name of the weights; by default ARCHITECTURE-DATA.
        out: The run folder; by default runs/train-NAME.
        resume: Continue an interrupted training.
        overwrite: Replace an existing folder.
    """

    name: PlainName | None = None
    out: NewFolder | None = None
    device: Device = "cpu"
    resume: bool = False
    overwrite: bool = False

    def run(self, name: str) -> "TrainRun":
        """The run of a training that is called ``name`` unless ``--name`` says otherwise."""
        from invert3d.training.runs import TrainRun

        return TrainRun(**asdict(replace(self, name=self.name or name)))


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How networks are trained.

    Attributes:
        batch: Clouds, grids or pictures per batch.
        rate: Largest learning rate.
        bf16: Use half precision, where the processor has it.
    """

    batch: Count = 16
    rate: Positive = 2e-3
    bf16: Switch = True


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """Which layouts are inverted.

    Attributes:
        labels: A label file in KITTI's format; needs --calib.
        calib: The calibration file of --labels.
        image: The real picture of --labels, shown for comparison; it also sets the size (without it, KITTI's size).
        layout: A layout as JSON, instead of --labels.
        frames: A folder in KITTI's format: all its frames, or those of --split, are inverted.
        split: A list of frames in ImageSets.
        streets: Number of held-out procedural streets to use instead of files.
        clutter: Use streets full of cars.
        start: Start from this picture instead of noise, and find the smallest change that shows the given layout.
    """

    labels: File | None = None
    calib: File | None = None
    image: File | None = None
    layout: File | None = None
    frames: Folder | None = None
    split: PlainName | None = None
    streets: Streets | None = None
    clutter: bool = False
    start: File | None = None


@dataclass(frozen=True, kw_only=True)
class CocoOptions:
    """Pictures with labels.

    Attributes:
        coco: Annotations in COCO's form.
        images: The folder of the pictures of --coco; by default images, beside the file.
        image_id: Ids of the pictures of --coco, comma separated; by default all.
    """

    coco: File | None = None
    images: Folder | None = None
    image_id: Names | None = None


@dataclass(frozen=True, kw_only=True)
class FlatOptions(CocoOptions):
    """Layouts of 2-D detectors in files.

    Attributes:
        layout: A layout as JSON, instead of --coco: objects with kind and box.
    """

    layout: File | None = None


@dataclass(frozen=True, kw_only=True)
class ChangeOptions:
    """Which detections are looked at, and how far pictures may change.

    Attributes:
        rooms: Number of held-out rooms to look in, without --coco.
        objects: Number of pairs to take, the first that are found.
        within: Largest changes to try, comma separated, in levels of 255.
        norm: linf, the change of any value, or l2, the root mean square of all changes.
        recipe: accentuate, whose change has to survive random views, or smallest_change, whose change need not, and is
            more often a pattern that only this detector sees.
        steps: Steps in all, instead of the recipe's.
    """

    rooms: Count = 16
    objects: Count = 12
    within: Names = "1,2,4,8,16"
    norm: Literal["linf", "l2"] = "linf"
    recipe: Literal["smallest_change", "accentuate"] = "accentuate"
    steps: Count | None = None


Running = Annotated[Run, Parameter(name="*")]
Opening = Annotated[ModelOptions, Parameter(name="*")]
Measuring = Annotated[MeasureOptions, Parameter(name="*")]
Training = Annotated[TrainOptions, Parameter(name="*")]
Showing = Annotated[SceneOptions, Parameter(name="*")]
