"""``invert3d train introspective`` and its rivals: voxel networks that classify and make shapes, in a run folder."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from invert3d.engine.progress import Meter
from invert3d.engine.space import Voxels
from invert3d.methods.introspection import largest_piece
from invert3d.models.voxel_vae import VoxelVAE
from invert3d.models.weights import WeightCard, load_checkpoint
from invert3d.models.winn3d import STEMS, WINN3D
from invert3d.ops.files import write_bytes
from invert3d.ops.seeds import seed_of
from invert3d.registry import unknown
from invert3d.training.cascades import CascadeSettings, train_cascades
from invert3d.training.classifiers import TrainSettings
from invert3d.training.data import Grids, training_data
from invert3d.training.fit import FitSettings, check
from invert3d.training.introspective import IntrospectiveSettings, coarse, train_introspective
from invert3d.training.runs import TrainRun, asked_of, measured
from invert3d.training.vae import VAESettings, train_vae

#: steps of training from one picture of pseudo-negatives to the next, at least
SOON = 8


@dataclass(frozen=True, kw_only=True)
class GeneratorTraining:
    """A network of voxels to train.

    Attributes:
        data: ``modelnet10-voxels``, ``shapes``, or the path of an .npz like that of ``modelnet10-voxels``.
        per_class: procedural shapes of each class.
        size: voxels a side, 16 or 32: shapes of 32 are halved to 16.
        width: of the network.
        labels: whether it is told classes; without them all shapes are of one.
        start: a checkpoint to begin with.
        settings: how.
    """

    data: str = "modelnet10-voxels"
    per_class: int = 400
    size: int = 32
    width: int = 16
    labels: bool = True
    start: Path | None = None
    settings: Any = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        check("per_class", self.per_class, 1, 100_000)
        check("width", self.width, 1, 256)
        if self.size not in (16, 32):
            raise ValueError(f"size must be 16 or 32, not {self.size}")


@dataclass(frozen=True, kw_only=True)
class IntrospectiveTraining(GeneratorTraining):
    """A network of 3DWINN to train, with a stem of ``models.winn3d``."""

    stem: str = "folded"
    settings: IntrospectiveSettings = field(default_factory=IntrospectiveSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stem not in STEMS:
            raise ValueError(unknown("stem", self.stem, STEMS))


@dataclass(frozen=True, kw_only=True)
class CascadeTraining(IntrospectiveTraining):
    """A network of 3DWINN to train as published."""

    stem: str = "full"
    settings: CascadeSettings = field(default_factory=CascadeSettings)  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class VAETraining(GeneratorTraining):
    """An autoencoder of ``models.voxel_vae`` to train, with so many ``codes``."""

    codes: int = 64
    settings: VAESettings = field(default_factory=VAESettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check("codes", self.codes, 1, 4096)


def train_introspection(options: IntrospectiveTraining, run: TrainRun) -> WeightCard:
    """Train a network against its own shapes, and draw some of them, about eight times, as ``made-STEP.png``. All else
    as ``trained``."""
    every = max(SOON, options.settings.steps // 8)

    def train(model: WINN3D, data: Grids, settings: IntrospectiveSettings, **how: Any) -> None:
        def watch(step: int, made: Tensor) -> None:
            if settings.alpha and step % every == 0:
                draw_made(run.folder / f"made-{step:06d}.png", made, data.classes, step)

        train_introspective(model, data, settings, watch=watch, **how)

    args = {
        "width": options.width,
        "size": options.size,
        "stem": options.stem,
        "components": options.settings.components,
    }
    return trained(WINN3D, "winn3d", args, train, "its own shapes", options, run)


def draw_made(path: Path, made: Tensor, classes: Sequence[str], step: int) -> None:
    """Draw the first pseudo-negatives of each class, of those that are kept in 8 bits (K, kept, S, S, S)."""
    from invert3d.view.figures import contact_sheet, save_png
    from invert3d.view.grids import grid_panel

    rows = [[grid_panel(grid > 127) for grid in own[:6].numpy()] for own in made]
    title = f"Pseudo-negatives after {step:,} steps"
    picture = contact_sheet(
        rows, row_titles=list(classes), title=title, note="Color shows height.", panel_size=(110, 110)
    )
    save_png(picture, path)


def train_published(options: CascadeTraining, run: TrainRun) -> WeightCard:
    """Train a network as published, and write the shapes that its cascades end with as ``voxels.npz``. All else as
    ``trained``."""

    def train(model: WINN3D, data: Grids, settings: CascadeSettings, **how: Any) -> None:
        source = train_cascades(model, data, settings, **how)
        grids, labels = source.shapes()
        buffer = io.BytesIO()
        # begun at noise, they are full of dust that gaps would keep
        binary = largest_piece((grids > 127)[:, None].float(), gaps=False)[:, 0].to(torch.uint8)
        np.savez_compressed(buffer, voxels=binary.numpy(), labels=labels.numpy(), classes=np.array(data.classes))
        write_bytes(run.folder / "voxels.npz", buffer.getvalue())

    args = {"width": options.width, "size": options.size, "stem": options.stem}
    return trained(WINN3D, "winn3d", args, train, "cascades of its own shapes", options, run)


def train_autoencoder(options: VAETraining, run: TrainRun) -> WeightCard:
    """Train a variational autoencoder. All else as ``trained``."""
    args = {"width": options.width, "size": options.size, "codes": options.codes}
    return trained(VoxelVAE, "voxel_vae", args, train_vae, "", options, run)


def trained(
    network: Callable[..., nn.Module],
    architecture: str,
    args: Mapping[str, Any],
    train: Callable[..., Any],
    against: str,
    options: GeneratorTraining,
    run: TrainRun,
) -> WeightCard:
    """Train a network; measure it as a classifier of held-out shapes; write weights and card.

    Raises:
        ValueError: data or a checkpoint that is not there or does not fit, or a folder that cannot be written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint in the folder.
    """
    asked, settings = asked_of(options, run), options.settings
    if (done := run.finished(asked, "classifier")) is not None:
        return done
    with Meter(f"getting {options.data} to train on"):
        whole = training_data(options.data, per_class=options.per_class, seed=settings.seed, voxels=Voxels(size=32))
    assert isinstance(whole, Grids)
    sized = coarse(whole) if options.size == 16 else whole
    data = sized if options.labels else sized.unlabeled()
    few = [name for i, name in enumerate(data.classes) if (data.train_labels == i).sum() < 2]
    if few:
        raise ValueError(f"{options.data} has fewer than two training shapes of {', '.join(few)}")
    torch.manual_seed(seed_of(settings.seed, "weights"))
    model = network(len(data.classes), **args)
    if options.start is not None:
        load_checkpoint(model, options.start)
    model.to(run.device)
    with run.opened(asked, settings.steps) as opened:
        train(model, data, settings, keep=opened.keep, report=opened.report)
        card = WeightCard(
            name=run.name,
            kind="classifier",
            architecture=architecture,
            command=opened.command,
            options=dict(args),
            notes=f"{settings.steps} steps of {settings.batch}" + (f" against {against}" if against else ""),
        )
        return measured(model.eval(), data, TrainSettings(seed=settings.seed), card, opened)
