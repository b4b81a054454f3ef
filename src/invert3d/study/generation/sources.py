"""Where voxel shapes of ModelNet10's classes come from: real ones, rivals that need no training, files.

``test``        the published test shapes that repeat no training shape
``train``       shapes drawn from the training set: what a generator makes that has memorized it
``mean``        the class mean, full where it exceeds a half after smooth noise is added
``gaussians:C`` a Gaussian of each class over C principal components (``models.class_gaussians``)
``FILE.npz``    voxels (M, S, S, S) of 16, 30 or 32 cells a side, labels (M,), classes, as ``generate`` writes them

``NAME=SOURCE`` is called NAME in tables. Of ``mean`` and ``gaussians`` the largest piece is kept, as ``invert3d
generate`` keeps it of what it makes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invert3d.data.arrays import read_arrays
from invert3d.data.voxels import read_modelnet10_grids
from invert3d.methods.introspection import largest_piece
from invert3d.models.class_gaussians import ClassGaussians
from invert3d.ops.seeds import seed_of
from invert3d.registry import unknown
from invert3d.training.data import modelnet10_file

#: of the grids that all sources give
SIZE = 30
SOURCES = ("test", "train", "mean", "gaussians:C", "FILE.npz", "NAME=SOURCE")


@dataclass(frozen=True, kw_only=True)
class Real:
    """ModelNet10's solid grids (M, 30, 30, 30) and labels (M,) of those that are not empty. Test shapes that repeat a
    training shape are left out."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]


def real_shapes(file: str | None = None) -> Real:
    """The real shapes, each in ModelNet's frame. Raises ValueError, saying where to get them, if they are not here."""
    splits = read_modelnet10_grids(modelnet10_file(file), facing="stored")
    fresh = splits.fresh
    return Real(
        train=torch.from_numpy(splits.train).bool(),
        train_labels=torch.from_numpy(splits.train_labels).long(),
        test=torch.from_numpy(splits.test[fresh]).bool(),
        test_labels=torch.from_numpy(splits.test_labels[fresh]).long(),
        classes=splits.names,
    )


def shapes_of(source: str, real: Real, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Grids (M, 30, 30, 30) and labels (M,) of a source, ``count`` of each class or as many as there are.

    Raises ValueError for an unknown source, or a file that does not fit.
    """
    name, number = parsed(source)
    generator = torch.Generator().manual_seed(seed_of(seed, "generation", name))
    if source == "test":
        return _few(real.test, real.test_labels, len(real.classes), count, None)
    if source == "train":
        return _few(real.train, real.train_labels, len(real.classes), count, generator)
    if source.endswith(".npz"):
        return from_file(Path(source), real.classes, count)
    labels = torch.arange(len(real.classes)).repeat_interleave(count)
    if source == "mean":
        means = [real.train[real.train_labels == label].float().mean(0) for label in range(len(real.classes))]
        return whole(torch.stack(means)[labels] + 0.25 * smooth_noise(len(labels), generator) > 0.5), labels
    made = ClassGaussians.fitted(real.train, real.train_labels, len(real.classes), number)
    z = torch.randn(len(labels), number, generator=generator)
    return whole(torch.cat([made(*part) > 0.5 for part in zip(labels.split(50), z.split(50), strict=True)])), labels


def whole(grids: Tensor) -> Tensor:
    """The largest piece of each grid (M, S, S, S)."""
    return largest_piece(grids[:, None].float())[:, 0] > 0.5


def titled(source: str) -> tuple[str, str]:
    """What a source is called in tables, and the source itself."""
    name, equals, rest = source.partition("=")
    return (name, rest) if equals and name.isidentifier() else (source, source)


def parsed(source: str) -> tuple[str, int]:
    """The name of a source, and its number of components. Raises ValueError for an unknown one, or a missing file."""
    name, _, number = source.partition(":")
    if source in ("test", "train", "mean") or (name == "gaussians" and number.isdecimal() and int(number)):
        return name, int(number or 0)
    if source.endswith(".npz"):
        read_arrays(Path(source))
        return source, 0
    raise ValueError(unknown("source of shapes", source, SOURCES))


def _few(
    grids: Tensor, labels: Tensor, classes: int, count: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """``count`` of each class, the first or random ones."""
    rows = []
    for label in range(classes):
        own = (labels == label).nonzero()[:, 0]
        own = own if generator is None else own[torch.randperm(len(own), generator=generator)]
        rows.append(own[:count])
    chosen = torch.cat(rows)
    return grids[chosen], labels[chosen]


def smooth_noise(count: int, generator: torch.Generator, sigma: float = 2.0) -> Tensor:
    """(M, 30, 30, 30) of Gaussian noise, smoothed over ``sigma`` voxels, with variance 1."""
    from scipy.ndimage import gaussian_filter

    noise = torch.randn(count, SIZE, SIZE, SIZE, generator=generator).numpy()
    smooth = gaussian_filter(noise, (0, sigma, sigma, sigma), mode="wrap")
    return torch.from_numpy(smooth / smooth.std())


def from_file(path: Path, classes: Sequence[str], count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` shapes of each class in a file, as grids of 30 cells. Raises ValueError for other files."""
    arrays = read_arrays(path)
    if missing := [each for each in ("voxels", "labels", "classes") if each not in arrays]:
        raise ValueError(f"{path} has no {', '.join(missing)}")
    names = [str(each) for each in arrays["classes"]]
    if strange := [name for name in names if name not in classes]:
        raise ValueError(f"{path}: {unknown('class', strange[0], classes)}")
    grids = resized(torch.from_numpy(np.asarray(arrays["voxels"]) > 0.5))
    numbers = torch.from_numpy(np.asarray(arrays["labels"], np.int64))
    if (
        numbers.shape != (len(grids),)
        or not len(grids)
        or not 0 <= int(numbers.min()) <= int(numbers.max()) < len(names)
    ):
        raise ValueError(
            f"{path}: labels must be places among its {len(names)} classes, one of each of {len(grids)} grids"
        )
    labels = torch.tensor([classes.index(name) for name in names])[numbers]
    return _few(grids, labels, len(classes), count, None)


def resized(grids: Tensor) -> Tensor:
    """Grids (M, S, S, S) of 16, 30 or 32 cells as grids of 30: a cell of 16 becomes eight, the margin of 32 is cut."""
    size = grids.shape[-1]
    if grids.dim() != 4 or size not in (16, SIZE, 32) or len({*grids.shape[1:]}) > 1:
        raise ValueError(f"grids must be (M, S, S, S) with S 16, 30 or 32, not {tuple(grids.shape)}")
    for axis in (1, 2, 3) if size == 16 else ():
        grids = grids.repeat_interleave(2, axis)
    return grids if size == SIZE else grids[:, 1:-1, 1:-1, 1:-1]
