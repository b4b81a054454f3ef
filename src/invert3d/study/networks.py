"""Opening a network by what a user calls it: bundled weights, a public checkpoint, or a factory of their own."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.space import Image, Points, Space, Voxels
from invert3d.models.weights import WeightCard, bundled, load_bundled, load_checkpoint, read_checkpoint
from invert3d.registry import lookup, registered, unknown

Kind = Literal["auto", "points", "voxels", "image"]

CLUTTER = "clutter"  # the class of the bundled networks that means "none of the others"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A frozen classifier with the names of its classes, and its card if it is bundled."""

    name: str
    frozen: Frozen
    classes: tuple[str, ...]
    card: WeightCard | None = None
    options: dict[str, Any] = field(default_factory=dict)  # keyword arguments of the architecture

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
    *,
    checkpoint: str | Path | None = None,
    layout: str = "bn3",
    up: str | None = None,
    classes: Sequence[str] | None = None,
    points: int = 1024,
    output: str = "auto",
    device: str = "cpu",
    kind: Kind = "auto",
    size: int | None = None,
    values: tuple[float, float] | None = None,
) -> Network:
    """Open a network.

    Args:
        spec: the name of bundled weights (``invert3d models``), of an architecture (then with a checkpoint in the key
            layout of its public code), ``package.module:factory``, or an ``nn.Module``.
        checkpoint: ``.pth``, ``.pt``, ``.t7`` or ``.safetensors``, opened without running code.
        layout: what the model takes, ``bn3`` for (B, N, 3) or ``b3n`` for (B, 3, N).
        up: the axis that points up in what the model was trained on; ``y`` for public ModelNet40 checkpoints.
        classes: names of the outputs; by default those of ModelNet10 or ModelNet40 where the number fits.
        points: points a cloud.
        output: what the model returns: ``logits``, ``log_probabilities``, ``probabilities`` or ``auto``.
        kind: what the model takes: ``points``, ``voxels``, ``image``, or what its card or class says (``auto``).
        size: voxels or pixels a side; by default those of the card, 32 voxels, 224 pixels.
        values: what a model of voxels is fed for an empty and a full one; by default those of the card, or 0 and 1.

    Raises:
        ValueError: for an unknown name, a factory that cannot be imported, a checkpoint that does not fit, a missing
            device.
    """
    where = checked_device(device)
    card, theirs = None, False
    options: dict[str, Any] = {}
    if isinstance(spec, nn.Module):
        model, name = spec, type(spec).__name__
    elif spec in bundled():
        model, card = load_bundled(spec)
        name, classes, up = spec, classes or card.classes, up or card.up
        if checkpoint is not None:  # somebody's weights for the same architecture
            name, theirs = f"{card.architecture} from {Path(checkpoint).name}", True
    elif ":" in spec:
        model, name = made(spec), spec
    elif spec in registered("model") and checkpoint is not None:
        (model, options), name = fitted(spec, Path(checkpoint)), f"{spec} from {Path(checkpoint).name}"
        up = up or ("z" if hasattr(model, "grid_sizes") else "y")
    elif spec in registered("model"):
        raise ValueError(f"{spec} is an architecture: give --checkpoint, or one of the weights {', '.join(bundled())}")
    else:
        raise ValueError(unknown("model", spec, [*bundled(), *registered("model")]) + ", or package.module:factory")
    if checkpoint is not None and not (isinstance(spec, str) and spec in registered("model")):
        load_checkpoint(model, Path(checkpoint))
    sizes = (card.size,) if card and card.size else getattr(model, "grid_sizes", ())
    if kind == "voxels" or (kind == "auto" and sizes):
        space: Space = Voxels(size=size or (sizes or (32,))[0], **_range(values or (card.values if card else ())))
        if sizes and space.shape[-1] not in sizes:
            raise ValueError(f"{name} takes grids of {' or '.join(map(str, sizes))} voxels a side, not {size}")
    elif kind == "image":
        space = Image(height=size or 224, width=size or 224)
    else:
        normals = bool(card and card.options.get("normals")) or getattr(model, "normals", False)
        if points < (least := getattr(model, "least_points", 1)):
            raise ValueError(f"{name} needs clouds of at least {least} points, not {points}")
        space = Points(points=points, layout=layout, up=up or "z", normals=normals)  # type: ignore[arg-type]
    frozen = Frozen(model.to(where), space, output=output)  # type: ignore[arg-type]
    options = dict(card.options) if card else options
    names = tuple(classes or class_names(frozen))
    return Network(name=name, frozen=frozen, classes=names, card=None if theirs else card, options=options)


def _range(values: Sequence[float]) -> dict[str, float]:
    return {"low": values[0], "high": values[1]} if values else {}


def made(spec: str) -> nn.Module:
    """The module that ``package.module:factory`` returns; the current directory is searched too."""
    module, _, factory = spec.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        thing: Any = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot make a model from {spec!r}: {error}") from error
    if not isinstance(thing, nn.Module):
        raise ValueError(f"{spec} returns {type(thing).__name__}, not an nn.Module")
    return thing


def fitted(architecture: str, checkpoint: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A registered architecture with the classes and inputs that a checkpoint was trained with, and its weights; and
    its keyword arguments."""
    state = read_checkpoint(checkpoint)
    grids = hasattr(lookup("model", architecture), "grid_sizes")
    names = ("fc2.weight",) if grids else ("fc3.weight", "linear3.weight")
    last = [key for key in names if key in state]
    if not last:
        raise ValueError(f"{checkpoint.name} does not fit {architecture}: missing: {' or '.join(names)}")
    options: dict[str, Any] = {"normals": True} if _channels(architecture, state) == 6 else {}
    if grids:  # the first convolution comes first, and its kernels are the width
        options = {"width": len(next(value for value in state.values() if value.dim() == 5))}
    model = lookup("model", architecture)(len(state[last[0]]), **options)
    model.normals = bool(options.get("normals"))
    return load_checkpoint(model, checkpoint), options


def _channels(architecture: str, state: dict[str, torch.Tensor]) -> int:
    """How many numbers a point the first layer of a checkpoint takes."""
    first = {
        "pointnet": "feat.conv1.weight",
        "pointnet2_ssg": "sa1.mlp_convs.0.weight",
        "pointnet2_msg": "sa1.conv_blocks.0.0.weight",
    }.get(architecture)
    return state[first].shape[1] if first in state else 3


def class_names(frozen: Frozen) -> list[str]:
    """Names for the outputs of a network, by their number: ModelNet10's, ModelNet40's, else class_0, class_1, ..."""
    from invert3d.data.modelnet import MODELNET10, MODELNET40

    space = frozen.space
    like = torch.zeros(2, 0, device=frozen.device, dtype=frozen.dtype)
    probe = space.start("uniform", like, Draws.seeded(0, range(2)))
    try:
        count = frozen(probe).shape[1]
    except (RuntimeError, IndexError) as error:
        reason, taken = str(error).split("\n")[0], tuple(space.encode(probe).shape)
        hint = "try the other --points-layout (bn3 or b3n), or --kind voxels or image"
        raise ValueError(f"the model does not take inputs {taken} ({reason}); {hint}") from error
    known = {10: MODELNET10, 40: MODELNET40}.get(count)
    return list(known) if known else [f"class_{i}" for i in range(count)]
