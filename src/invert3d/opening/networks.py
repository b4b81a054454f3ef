"""Opening a network by what a user calls it: bundled weights, a public checkpoint, or a factory of their own."""

import copy
import pickle
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import msgspec
import torch
from torch import Tensor, nn

from invert3d.data.voxels import Facing
from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.space import LAYOUTS, Image, Points, Space, Voxels
from invert3d.models.weights import WeightCard, bundled, find_card, load_card, load_checkpoint, read_checkpoint
from invert3d.opening.factories import made
from invert3d.opening.options import UNNAMED, ModelOptions, Up, checked_classes
from invert3d.ops.names import checked_name
from invert3d.registry import lookup, registered, unknown

CLUTTER = "clutter"  # the class of the bundled networks that means "none of the others"
#: the first layers of the public code, of which a checkpoint tells how many numbers a point it takes
FIRST_LAYERS = {
    "pointnet": "feat.conv1.weight",
    "pointnet2_ssg": "sa1.mlp_convs.0.weight",
    "pointnet2_msg": "sa1.conv_blocks.0.0.weight",
}


@dataclass(frozen=True, kw_only=True)
class Network:
    """A frozen classifier with the names of its classes, and its card if it is bundled.

    ``guessed`` says in a sentence what of it nobody said, and is shown wherever its answers are. ``facing`` says where
    the fronts of the shapes faced that it was trained on: all to -y, or as ModelNet stores each class. Of networks
    without a card the second is supposed.
    """

    name: str
    frozen: Frozen
    classes: tuple[str, ...]
    card: WeightCard | None = None
    options: dict[str, Any] = field(default_factory=dict)  # keyword arguments of the architecture, or of the factory
    guessed: str = ""
    facing: Facing = "stored"

    @property
    def space(self) -> Points:
        """The clouds it takes. Raises ValueError if it takes something else."""
        if not isinstance(self.frozen.space, Points):
            raise ValueError(f"{self.name} takes {self.takes}; this asks networks of clouds")
        return self.frozen.space

    @property
    def takes(self) -> str:
        """What goes in, in words."""
        space = self.frozen.space
        if isinstance(space, Voxels):
            return f"voxel grids {space.size} a side"
        if isinstance(space, Image):
            return f"images {space.width} x {space.height}"
        return f"clouds of {cast(Points, space).points} points"

    @property
    def categories(self) -> tuple[str, ...]:
        """The classes that can be asked for: all but clutter."""
        return tuple(name for name in self.classes if name != CLUTTER)

    def index(self, name: str) -> int:
        """The index of a class. Raises ValueError with the nearest names for one it does not know."""
        if name not in self.classes:
            raise ValueError(unknown("class", name, self.categories))
        return self.classes.index(name)

    def with_points(self, points: int) -> "Network":
        """The same network on clouds of another number of points. Raises ValueError if it takes something else."""
        return replace(self, frozen=self.frozen.on(replace(self.space, points=points)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it for another process: the module on the CPU, and the name of the device that it goes back to.

        Raises ValueError for a module that cannot be pickled.
        """
        frozen = self.frozen
        others = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "frozen"}
        try:
            model = frozen.model if frozen.device.type == "cpu" else copy.deepcopy(frozen.model).cpu()
            data = pickle.dumps(model)
        except Exception as error:  # whatever the user's module raises
            raise ValueError(
                f"{self.name} cannot be sent to a worker process: give it as package.module:factory"
            ) from error
        reading = {"output": frozen.output, "key": frozen.key, "bf16": frozen.bf16}
        return _unpickled, (data, str(frozen.device), frozen.space, reading, others)


def _unpickled(data: bytes, device: str, space: Space, reading: dict[str, Any], others: dict[str, Any]) -> Network:
    model = pickle.loads(data).to(checked_device(device))
    return Network(frozen=Frozen(model, space, **reading), **others)


def checked_device(name: str) -> torch.device:
    """A torch device. Raises ValueError if there is none of that name here."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
        raise ValueError(f"no device {name!r} here; there is {', '.join(here)}") from error
    return device


def open_network(
    spec: str | nn.Module,
    options: ModelOptions | None = None,
    *,
    checkpoint: str | Path | None = None,
    args: dict[str, Any] | None = None,
    layout: str | None = None,
    features: Sequence[str] | None = None,
    grid_size: float | None = None,
    up: str | None = None,
    facing: str | None = None,
    classes: Sequence[str] | None = None,
    points: int | None = None,
    output: str | None = None,
    kind: str | None = None,
    size: int | None = None,
    values: tuple[float, float] | None = None,
    device: str | None = None,
) -> Network:
    """Open a network.

    Args:
        spec: the name of bundled weights (``invert3d models``), the path of a card beside its weights, an architecture
            (then with a checkpoint in the key layout of its public code), ``package.module:factory``, or an
            ``nn.Module``.
        options: how. Each keyword after it replaces one of them.

    Raises:
        ValueError: for an unknown name, a factory that cannot be imported or fails, a checkpoint that does not fit, a
            missing device, outputs that are not (B, K) finite numbers, or another number of class names than outputs.
    """
    given: dict[str, Any] = {
        "checkpoint": Path(checkpoint) if checkpoint is not None else None,
        "args": args,
        "layout": layout,
        "features": tuple(features) if features is not None else None,
        "grid_size": grid_size,
        "up": up,
        "facing": facing,
        "classes": tuple(classes) if classes is not None else None,
        "points": points,
        "output": output,
        "kind": kind,
        "size": size,
        "values": values,
        "device": device,
    }
    chosen = replace(options or ModelOptions(), **{name: value for name, value in given.items() if value is not None})
    where = checked_device(chosen.device)
    found = find_model(spec, chosen)
    frozen = Frozen(found.model.to(where), space_of(found, chosen), output=chosen.output)
    described = found.card is not None and found.card.kind == "descriptor"
    known = found.card.classes if found.card else None
    names = UNNAMED if described else chosen.classes or known
    guesses = []
    if isinstance(frozen.space, Points) and not (chosen.up or found.up):
        guesses.append("that z is up (--up)")
    classes = UNNAMED if names == UNNAMED else named(frozen, names, len(known) if known else None)
    if names is None and not classes[0].startswith("class_"):
        guesses.append(f"that the classes are ModelNet{len(classes)}'s in alphabetical order (--class-names)")
    return Network(
        name=found.name,
        frozen=frozen,
        classes=classes,
        card=None if found.theirs else found.card,
        options=found.options,
        guessed=f" Guessed: {' and '.join(guesses)}." if guesses else "",
        facing=chosen.facing
        or ("stored" if found.theirs or not found.card else found.card.inputs.get("facing", "front")),
    )


def open_networks(names: Sequence[str], *, device: str = "cpu", points: int = 1024) -> list[Network]:
    """Several networks: those that ``open_network`` opens by name, and for a name in .toml all that the file names::

        [mine]                              # what it is called in tables
        model = "mypackage.models:make"     # what ``open_network`` takes
        checkpoint = "my.pth"               # beside the file; this and the rest are the fields of ``ModelOptions``
        layout = "b3n"
        args = { width = 64 }               # keyword arguments of make
        classes = ["chair", "table"]        # or a file with one a line

    Clouds have ``points`` points, unless the file says otherwise. Raises ValueError for a file that cannot be read, an
    unknown field, two of one name, or as ``open_network``.
    """
    found = []
    for name in names:
        one = not name.endswith(".toml")
        found += [open_network(name, device=device, points=points)] if one else networks_of(Path(name), device, points)
    known = [network.name for network in found]
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise ValueError(f"two networks are called {twice[0]}")
    return found


def networks_of(path: Path, device: str, points: int) -> list[Network]:
    """The networks that a TOML file names, see ``open_networks``."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        tables = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    known, found = [each.name for each in fields(ModelOptions)], []
    for name, table in tables.items():
        checked_name(name, f"a network of {path}")
        if not isinstance(table, dict) or not isinstance(table.get("model"), str):
            raise ValueError(f"{path}: [{name}] needs a model, such as mypackage.models:make")
        table = {"device": device, "points": points, **table}
        spec = table.pop("model")
        for key in table:
            if key not in known:
                raise ValueError(f"{path}, [{name}]: {unknown('field', key, known)}")
        try:
            if "checkpoint" in table:
                table["checkpoint"] = path.parent / table["checkpoint"]
            if isinstance(listed := table.get("classes"), str):
                lines = (path.parent / listed).read_text().splitlines()
                table["classes"] = [line.strip() for line in lines if line.strip()]
            options = msgspec.convert(table, ModelOptions, dec_hook=lambda kind, value: kind(value))
            found.append(replace(open_network(spec, options), name=name))
        except (ValueError, TypeError, OSError) as error:
            raise ValueError(f"{path}, [{name}]: {error}") from error
    return found


@lru_cache(maxsize=8)
def cached_network(name: str, points: int = 1024, device: str = "cpu") -> Network:
    """Bundled weights, opened once a process."""
    return open_network(name, points=points, device=device)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A model that was asked for by name."""

    name: str  # what it is called in tables
    model: nn.Module
    card: WeightCard | None = None  # of bundled weights
    theirs: bool = False  # the weights are not those of the card
    up: Up | None = None  # the axis that points up in what it was trained on, where that is known
    options: dict[str, Any] = field(default_factory=dict)  # keyword arguments of the architecture, or of the factory


def find_model(spec: str | nn.Module, options: ModelOptions) -> Found:
    """The model that ``spec`` names. Raises ValueError as ``open_network``."""
    checkpoint = options.checkpoint
    if options.args and not (isinstance(spec, str) and ":" in spec):
        given = repr(spec) if isinstance(spec, str) else f"a {type(spec).__name__}"
        raise ValueError(f"arguments are for package.module:factory, not for {given}")
    if isinstance(spec, str) and spec in registered("model"):
        if checkpoint is None:
            weights = ", ".join(bundled("classifier"))
            raise ValueError(f"{spec} is an architecture: give --checkpoint, or one of the weights {weights}")
        model, keywords = fitted(spec, checkpoint)
        up: Up = "z" if hasattr(model, "grid_sizes") else "y"
        return Found(name=f"{spec} from {checkpoint.name}", model=model, up=up, options=keywords)
    if isinstance(spec, nn.Module):
        found = Found(name=type(spec).__name__, model=spec)
    elif (entry := find_card(spec, "classifier", "descriptor")) is not None:
        model, card = load_card(*entry), entry[0]
        if card.options.get("channels", 3) != 3:
            raise ValueError(f"{card.name} takes two pictures at once: it describes none by itself")
        found = Found(name=card.name, model=model, card=card, up=card.inputs.get("up", "z"), options=dict(card.options))
        if checkpoint is not None:  # somebody's weights for the same architecture
            found = replace(found, name=f"{card.architecture} from {checkpoint.name}", theirs=True)
    elif ":" in spec:
        found = Found(name=spec, model=made(spec, options.args), options=dict(options.args))
    else:
        known = [*bundled("classifier"), *bundled("descriptor"), *registered("model")]
        raise ValueError(unknown("model", spec, known) + ", or package.module:factory")
    if checkpoint is not None:
        load_checkpoint(found.model, checkpoint)
    return found


def space_of(found: Found, options: ModelOptions) -> Space:
    """The input of a model. Raises ValueError for a size, or a number of points, that it does not take."""
    model, inputs = found.model, found.card.inputs if found.card else {}
    sizes = (inputs["size"],) if "size" in inputs else getattr(model, "grid_sizes", ())
    if options.kind == "voxels" or (options.kind == "auto" and sizes):
        size = options.size or (sizes or (32,))[0]
        if sizes and size not in sizes:
            raise ValueError(f"{found.name} takes grids of {' or '.join(map(str, sizes))} voxels a side, not {size}")
        low, high = options.values or inputs.get("values", (0.0, 1.0))
        return Voxels(size=size, low=low, high=high)
    if "image" in inputs:
        side, means = inputs["image"], {name: tuple(inputs[name]) for name in ("mean", "std")}
        return Image(height=side, width=side, order=inputs["order"], **means)
    if options.kind == "image":
        return Image(height=options.size or 224, width=options.size or 224)
    if options.points < (least := getattr(model, "least_points", 1)):
        raise ValueError(f"{found.name} needs clouds of at least {least} points, not {options.points}")
    normals = bool(found.options.get("normals")) or getattr(model, "normals", False) or "normals" in options.features
    return Points(
        points=options.points,
        layout=options.layout,
        up=options.up or found.up or "z",
        normals=normals,
        features=options.features,
        grid_size=options.grid_size,
    )


def fitted(architecture: str, checkpoint: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A registered architecture with the classes and inputs that a checkpoint was trained with, and its weights; and
    its keyword arguments."""
    state = read_checkpoint(checkpoint)
    make = lookup("model", architecture)
    grids = hasattr(make, "grid_sizes")
    names = ("fc2.weight", "fc.weight") if grids else ("fc3.weight", "linear3.weight")
    last = [key for key in names if key in state]
    if not last:
        raise ValueError(f"{checkpoint.name} does not fit {architecture}: missing: {' or '.join(names)}")
    first = FIRST_LAYERS.get(architecture)
    normals = first in state and state[first].shape[1] == 6
    options: dict[str, Any] = {"normals": True} if normals else {}
    if grids:  # the first convolution comes first, and its kernels are the width
        options = {"width": len(next(value for value in state.values() if value.dim() == 5))}
    model = make(len(state[last[0]]), **options)
    model.normals = normals
    return load_checkpoint(model, checkpoint), options


def named(frozen: Frozen, names: Sequence[str] | None, count: int | None = None) -> tuple[str, ...]:
    """Names for the outputs of a network; by their number ModelNet10's, ModelNet40's, else class_0, class_1, ...

    Args:
        names: those that were given.
        count: how many outputs there are, if that is known.

    Raises:
        ValueError: the model does not take the input, does not return finite (B, K) numbers, or as many as names.
    """
    from invert3d.data.modelnet import MODELNET10, MODELNET40

    count = count or count_outputs(frozen)
    if names is None:
        known = {10: MODELNET10, 40: MODELNET40}.get(count)
        return tuple(known or [f"class_{i}" for i in range(count)])
    if len(names) != count:
        many = "class names were" if len(names) > 1 else "class name was"
        raise ValueError(f"the network has {count} outputs, {len(names)} {many} given")
    return checked_classes(names)


def count_outputs(frozen: Frozen) -> int:
    """How many classes a network scores, found by running it. Raises ValueError as ``named``."""
    space = frozen.space
    like = torch.zeros(2, 0, device=frozen.device, dtype=frozen.dtype)
    probe = space.start("uniform", like, Draws.seeded(0, range(2)))
    try:
        with torch.no_grad():
            outputs = frozen(probe)
    except ValueError:
        raise
    except Exception as error:  # the user's code can raise anything
        fed, reason = space.encode(probe), f"{type(error).__name__}: {str(error).split(chr(10))[0]}"
        taken = tuple(fed.shape) if isinstance(fed, Tensor) else "in a packed batch"
        hint = f"try another --points-layout ({', '.join(LAYOUTS)}), --features, or --kind voxels or image"
        raise ValueError(f"the model does not take inputs {taken} ({reason}); {hint}") from error
    if outputs.dim() != 2 or len(outputs) != 2 or not outputs.shape[1]:
        raise ValueError(f"the model returns {tuple(outputs.shape)} for 2 inputs: class scores (2, K) are needed")
    if not outputs.isfinite().all():
        raise ValueError("the model returns NaN or infinite class scores")
    return outputs.shape[1]
