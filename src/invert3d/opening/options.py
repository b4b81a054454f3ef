"""How a network is opened. Imports nothing heavy: the command line reads it for ``--help``."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from invert3d.registry import unknown

Kind = Literal["auto", "points", "voxels", "image"]
Layout = Literal["bn3", "b3n", "packed"]
Feature = Literal["coordinates", "normals", "height", "ones"]
Up = Literal["z", "y"]
Facing = Literal["front", "stored"]
OutputKind = Literal["auto", "logits", "log_probabilities", "probabilities"]

UNNAMED = ("?",)  # as class names: the outputs of the network are not looked at


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a network is opened.

    Attributes:
        checkpoint: ``.pth``, ``.pt``, ``.t7`` or ``.safetensors``, opened without running code.
        args: Keyword arguments of the factory, where the model is package.module:factory.
        layout: Input layout of the model: ``bn3`` for (B, N, 3), ``b3n`` for (B, 3, N), or ``packed``: one list of
            points with a batch index.
        features: Input channels of a point, in order: ``coordinates``, ``normals``, ``height`` above the lowest point,
            ``ones``. By default the coordinates, and the normals if the model is known to take them. A ``packed`` model
            gets its coordinates as a separate input, and by default no features.
        grid_size: Voxel size that is passed to a ``packed`` model, in the units of the coordinates.
        up: Up axis of the model's training data; by default as in its card. ``y`` for public ModelNet40 checkpoints.
        facing: How shapes face in the model's training data: ``front`` is -y, ``stored`` is as ModelNet stores each
            class. By default as in its card, or ``stored`` for a network without a card.
        classes: Names of the outputs; by default those of ModelNet10 or ModelNet40 if the number matches.
        points: Points per cloud.
        output: What the model returns: ``logits``, ``log_probabilities``, ``probabilities`` or ``auto``.
        kind: Input of the model: ``points``, ``voxels``, ``image``, or ``auto``: as its card or class says.
        size: Voxels or pixels per side; by default as in the card, or 32 voxels, or 224 pixels.
        values: Input values of empty and full voxels; by default those of the card, or 0 and 1.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...

    Raises:
        ValueError: an unknown word; a number below 1; values that are not finite, or not low and high; arguments that
            are not plain values; no class names, or one twice.
    """

    checkpoint: Path | None = None
    args: dict[str, Any] = field(default_factory=dict)
    layout: Layout = "bn3"
    features: tuple[Feature, ...] = ()
    grid_size: float = 0.01
    up: Up | None = None
    facing: Facing | None = None
    classes: tuple[str, ...] | None = None
    points: int = 1024
    output: OutputKind = "auto"
    kind: Kind = "auto"
    size: int | None = None
    values: tuple[float, float] | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, known in (("layout", Layout), ("up", Up), ("facing", Facing), ("output", OutputKind), ("kind", Kind)):
            if (given := getattr(self, name)) is not None and given not in get_args(known):
                raise ValueError(unknown(name, given, get_args(known)))
        for feature in self.features:
            if feature not in get_args(Feature):
                raise ValueError(unknown("feature", feature, get_args(Feature)))
        if not 0 < self.grid_size <= 1_000_000:
            raise ValueError(f"grid_size must be above 0 and at most 1,000,000, not {self.grid_size}")
        checked_args(self.args)
        for name, most in (("points", 1_000_000), ("size", 4096)):
            if (given := getattr(self, name)) is not None and not 1 <= given <= most:
                raise ValueError(f"{name} must be between 1 and {most}, not {given}")
        if self.values is not None:
            low, high = self.values
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"values must be two finite numbers, the lower one first, not {low} and {high}")
        if self.classes is not None:
            checked_classes(self.classes)


def checked_classes(names: Sequence[str]) -> tuple[str, ...]:
    """The names. Raises ValueError if there are none, or one is there twice."""
    if not names:
        raise ValueError("no class names were given")
    if twice := sorted({name for name in names if list(names).count(name) > 1}):
        raise ValueError(f"class names must differ: {', '.join(twice[:3])} is there more than once")
    return tuple(names)


def checked_args(args: Any) -> None:
    """Raise ValueError unless the arguments of a factory can be written down: a table of plain, finite values."""
    try:
        json.dumps(args, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"arguments of a factory are plain values: numbers, words, lists, tables ({error})") from error
    if not isinstance(args, dict) or not all(isinstance(name, str) for name in args):
        raise ValueError(f"arguments of a factory are given by name, not as {type(args).__name__}")
