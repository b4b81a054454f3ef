"""``invert3d train introspective``: a voxel network, trained against its own shapes, in a run folder."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from invert3d.engine.progress import Meter
from invert3d.engine.space import Voxels
from invert3d.models.weights import WeightCard, load_checkpoint
from invert3d.models.winn3d import STEMS, WINN3D
from invert3d.ops.seeds import seed_of
from invert3d.registry import unknown
from invert3d.training.classifiers import TrainSettings
from invert3d.training.data import Grids, training_data
from invert3d.training.fit import check
from invert3d.training.introspective import IntrospectiveSettings, coarse, train_introspective
from invert3d.training.runs import TrainRun, asked_of, measured


@dataclass(frozen=True, kw_only=True)
class IntrospectiveTraining:
    """A network of 3DWINN to train.

    Attributes:
        data: ``modelnet10-voxels``, ``shapes``, or the path of an .npz like that of ``modelnet10-voxels``.
        per_class: procedural shapes of each class.
        size: voxels a side, 16 or 32: shapes of 32 are halved to 16.
        width, stem: of ``models.winn3d``.
        start: a checkpoint to begin with.
        settings: how.
    """

    data: str = "modelnet10-voxels"
    per_class: int = 400
    size: int = 32
    width: int = 16
    stem: str = "folded"
    start: Path | None = None
    settings: IntrospectiveSettings = field(default_factory=IntrospectiveSettings)

    def __post_init__(self) -> None:
        check("per_class", self.per_class, 1, 100_000)
        check("width", self.width, 1, 256)
        if self.size not in WINN3D.grid_sizes:
            raise ValueError(f"size must be 16 or 32, not {self.size}")
        if self.stem not in STEMS:
            raise ValueError(unknown("stem", self.stem, STEMS))


def train_introspection(options: IntrospectiveTraining, run: TrainRun) -> WeightCard:
    """Train a network against its own shapes; measure it as a classifier of held-out shapes; write weights and card.

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
    data = coarse(whole) if options.size == 16 else whole
    made = {"width": options.width, "size": options.size, "stem": options.stem, "components": settings.components}
    torch.manual_seed(seed_of(settings.seed, "weights"))
    model = WINN3D(len(data.classes), **made)
    if options.start is not None:
        load_checkpoint(model, options.start)
    model.to(run.device)
    with run.opened(asked, settings.steps) as opened:
        train_introspective(model, data, settings, keep=opened.keep, report=opened.report)
        card = WeightCard(
            name=run.name,
            kind="classifier",
            architecture="winn3d",
            command=opened.command,
            options=made,
            notes=f"{settings.steps} steps of {settings.batch} against its own shapes",
        )
        return measured(model.eval(), data, TrainSettings(seed=settings.seed), card, opened)
