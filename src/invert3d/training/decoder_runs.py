"""``invert3d train decoder``: a decoder of what a layer of a network makes of its inputs, in a run folder."""

import json
import math
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invert3d.engine.progress import Meter
from invert3d.engine.space import Image, Points, Voxels
from invert3d.jobs.folder import write_json
from invert3d.jobs.provenance import fingerprint
from invert3d.methods.descriptors import describe
from invert3d.models.weights import WeightCard, round_to_half, save_network
from invert3d.opening.networks import Network
from invert3d.ops.seeds import HELD_OUT, seed_of
from invert3d.registry import lookup
from invert3d.training.data import Clouds, Grids, training_data
from invert3d.training.decoders import DecoderSettings, Described, decoder_scores, fit_decoder
from invert3d.training.fit import check
from invert3d.training.runs import TrainRun, asked_of
from invert3d.training.terraces import make_terraces


@dataclass(frozen=True, kw_only=True)
class DecoderTraining:
    """A decoder to train.

    Attributes:
        network, layer: names of what it decodes.
        data: of networks of clouds and grids ``shapes``, ``modelnet10-voxels``, or a path as of ``training_data``;
            those of pictures learn from terraces.
        scenes, held_out, views: terraces to train on and to measure on, and pictures of each.
        per_class: procedural shapes of each class.
        width: of the decoder.
        settings: how.
    """

    network: str
    layer: str
    data: str = "shapes"
    scenes: int = 4000
    held_out: int = 50
    views: int = 4
    per_class: int = 400
    width: int = 32
    settings: DecoderSettings = field(default_factory=DecoderSettings)

    def __post_init__(self) -> None:
        for name in ("scenes", "held_out", "views", "per_class", "width"):
            check(name, getattr(self, name), 1, 1_000_000)


def train_decoder(options: DecoderTraining, network: Network, run: TrainRun) -> WeightCard:
    """Train a decoder; measure it on held-out inputs; write weights, card, and the losses as ``losses.json``.

    Raises:
        ValueError: a layer that is not there, data that the network does not take, or a folder that cannot be written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint in the folder.
    """
    asked = {
        **asked_of(options, run),
        "weights": fingerprint(network.frozen.model),
        "space": repr(network.frozen.space),
    }
    settings = options.settings
    if (done := run.finished(asked, "decoder")) is not None:
        return done
    frozen, layer = network.frozen, options.layer
    train, held, source = inputs_of(options, network)
    with Meter("describing", len(train)):
        known, others = (described(network, each, layer) for each in (train, held))
    numbers, side = known.features[0].numel(), side_of(network)
    torch.manual_seed(seed_of(settings.seed, "weights"))
    decoder = lookup("decoder", frozen.space.name)(numbers, side, options.width).to(run.device)
    with run.opened(asked, settings.steps) as opened, frozen:
        frozen.tap([layer])

        def again(x: Tensor) -> Tensor:
            return frozen.outputs(x)[1][layer]

        kept = fit_decoder(
            decoder, known, settings, describe=again, held=others, keep=opened.keep, report=opened.report
        )
        opened.meter.stop()
        rows = [[value if math.isfinite(value) else None for value in row] for row in kept.losses.tolist()]
        write_json(opened.run.path / "losses.json", {"columns": LOSSES, "rows": rows})
        round_to_half(decoder)
        card = WeightCard(
            name=run.name,
            kind="decoder",
            architecture=frozen.space.name,
            options={"numbers": numbers, "side": side, "width": options.width},
            inputs={"network": options.network, "layer": layer, "weights": fingerprint(frozen.model)},
            scores=dict(decoder_scores(decoder.eval(), others, known, again)),
            held_out=len(held),
            data=source,
            command=opened.command,
            seed=settings.seed,
            licence="Apache-2.0",
            environment=f"torch {torch.__version__}, {platform.machine()}, {run.device}",
            notes=f"{settings.steps} steps of {settings.batch}",
        )
        return save_network(decoder, card, opened.run.path)


#: columns of losses.json
LOSSES = ["step", "inputs", "decoder against the critic", "critic", "held-out inputs"]


def read_losses(path: Path) -> dict[str, Tensor]:
    """Columns (T,) of a ``losses.json``, NaN where there is no number. Raises ValueError for another file."""
    try:
        table = json.loads(path.read_text())
        rows = [[math.nan if value is None else value for value in row] for row in table["rows"]]
        columns = table["columns"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold the losses of a decoder") from error
    if columns != LOSSES or not rows:
        raise ValueError(f"{path} has columns {', '.join(columns)}, not {', '.join(LOSSES)}: train again")
    return dict(zip(LOSSES, torch.tensor(rows).T, strict=True))


def side_of(network: Network) -> int:
    """The height of the pictures that a network takes, the points of its clouds, or the voxels of its grids."""
    space = network.frozen.space
    if isinstance(space, Image) and space.height == space.width:
        return space.height
    if isinstance(space, Points | Voxels):
        return space.shape[0] if isinstance(space, Points) else space.size
    raise ValueError(f"{network.name} takes pictures of {space.shape}: a decoder makes square ones")


def inputs_of(options: DecoderTraining, network: Network) -> tuple[Tensor, Tensor, str]:
    """Training and held-out inputs (M, *space.shape), and what they are in words. Raises ValueError for data that the
    network does not take."""
    seed, space, side = options.settings.seed, network.frozen.space, side_of(network)
    if isinstance(space, Image):
        parts: list[Any] = [
            make_terraces(count, options.views, side, seed=first)
            for count, first in ((options.scenes, seed), (options.held_out, seed + HELD_OUT))
        ]
        return parts[0].images.flatten(0, 1), parts[1].images.flatten(0, 1), parts[0].source
    voxels = space if isinstance(space, Voxels) else None
    data = training_data(options.data, per_class=options.per_class, seed=seed, voxels=voxels)
    if isinstance(data, Grids):
        grids = [torch.from_numpy(each)[:, None] for each in (data.train, data.test)]
        return grids[0], grids[1], data.source
    assert isinstance(data, Clouds)
    return torch.from_numpy(data.train[:, :side]), torch.from_numpy(data.test[:, :side]), data.source


def described(network: Network, inputs: Tensor, layer: str) -> Described:
    """Inputs with what a layer makes of them, in half precision."""
    whole = Described(inputs, torch.zeros(0), network.frozen.space)
    parts = [
        describe(network.frozen, whole.x(rows), layer).cpu().half() for rows in torch.arange(len(inputs)).split(100)
    ]
    return Described(inputs, torch.cat(parts), network.frozen.space)
