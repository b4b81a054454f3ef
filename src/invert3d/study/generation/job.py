"""``invert3d.generate``: shapes of a voxel network that was trained against its own, as a job of one unit a shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen, computes_bf16
from invert3d.engine.recorder import Snapshots
from invert3d.engine.space import Voxels
from invert3d.engine.stepper import Stepper
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.job import Context, Job, Made, Progress, Unit, file_name
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import fingerprint
from invert3d.methods.introspection import Starts, begun, largest_piece, synthesize
from invert3d.models.voxel_vae import Decoder
from invert3d.opening.networks import Network, open_network
from invert3d.study.classes.job import class_names

#: shapes that are made together
AT_ONCE = 32
#: of ascent by default
STEPS = 40
#: of the first shape of each class, on its way
FRAMES = 10


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Shapes that a network made, A of them.

    Attributes:
        grids: binary (A, S, S, S), without pieces that are far from the largest one.
        classes: those that were asked for.
        chances: probability of that class, by the network itself, from the binary grid (A,).
        start, before: where each began, and that probability there: what is not owed to the network.
        ways: the first shape of each class as it is made (F, S, S, S), binary, by class.
    """

    grids: Tensor
    classes: tuple[str, ...]
    chances: Tensor
    start: Tensor
    before: Tensor
    ways: dict[str, Tensor]


def generate(
    model: str | Network,
    classes: Sequence[str] | str = "all",
    count: int = 8,
    *,
    steps: int | None = None,
    length: float = 1.0,
    out: str | Path | None = None,
    options: RunOptions = RunOptions(),
) -> Generated:
    """Make voxel shapes with a network of ``invert3d train introspective``.

    Args:
        model: weights by the path of their card, or an opened ``Network``.
        classes: class names, or ``"all"``.
        count: shapes of each.
        steps, length: of gradient ascent on the score of the class, L2; 0 steps give the starts, and are what an
            autoencoder makes by default, others take 40.
        out: a run folder to write; nothing is kept without one.
        options: the seed, workers, and whether a run is gone on with.

    Raises:
        ValueError: for unknown names, a network that cannot say where its shapes begin, or numbers out of range.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    network = model if isinstance(model, Network) else open_network(model)
    job = generate_job(network, classes, count, steps=steps, length=length)
    return generated(execute(job, options.into(out)).whole())


@dataclass(frozen=True, kw_only=True)
class Generate:
    """The worker: a batch of shapes."""

    network: Network
    steps: int
    length: float

    @property
    def device(self) -> str:
        """Where the network is."""
        return str(self.network.frozen.device)

    @torch.no_grad()
    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made]:
        frozen, names = self.network.frozen, [unit.name for unit in units]
        half = computes_bf16(frozen.device)  # what is decided in the end is in full precision
        ascended = Frozen(frozen.model, frozen.space, output=frozen.output, key=frozen.key, bf16=half)
        labels = torch.tensor([self.network.index(unit.values["class"]) for unit in units], device=frozen.device)
        start = begun(starts_of(self.network), labels, Draws.seeded(context.seed, names, "starts"))
        context.report(0.0)
        x, way = start, Snapshots(count=FRAMES)
        if self.steps:
            with torch.enable_grad():
                stepper = Stepper(kind="unit", rate=self.length)
                x = synthesize(
                    ascended,
                    start,
                    labels,
                    steps=self.steps,
                    stepper=stepper,
                    recorders=[Progress(context, self.steps), *([way] if any(map(is_first, units)) else [])],
                    samples=names,
                    seed=context.seed,
                )
        grids = {"start": largest_piece((start > 0.5).float()), "made": largest_piece((x > 0.5).float())}
        chances = {k: frozen(v).softmax(-1).gather(1, labels[:, None])[:, 0] for k, v in grids.items()}
        ways = torch.stack([*(frame for _, frame in way.frames), grids["made"].cpu().float()], 1)[:, :, 0] > 0.5
        return [
            Made(
                facts={"chance": round(float(chances["made"][i]), 5), "before": round(float(chances["start"][i]), 5)},
                arrays={name: each[i, 0].to(torch.uint8) for name, each in grids.items()}
                | ({"way": ways[i].to(torch.uint8)} if is_first(unit) else {}),
            )
            for i, unit in enumerate(units)
        ]


def is_first(unit: Unit) -> bool:
    """Whether a shape is the first of its class, whose way from the start is kept."""
    return unit.values["number"] == 0


def starts_of(network: Network) -> Starts:
    """Where the shapes of a network begin. Raises ValueError if it cannot say."""
    starts = getattr(network.frozen.model, "starts", None)
    if not hasattr(starts, "codes") or not isinstance(network.frozen.space, Voxels):
        raise ValueError(f"{network.name} makes no shapes: train one with invert3d train introspective")
    return cast(Starts, starts)


def generate_job(
    network: Network, classes: Sequence[str] | str, count: int, *, steps: int | None = None, length: float = 1.0
) -> Job:
    """The job of making ``count`` shapes of each class. Raises ValueError as ``generate``."""
    if steps is None:
        steps = 0 if isinstance(starts_of(network), Decoder) else STEPS
    if not 1 <= count <= 100_000:
        raise ValueError(f"between 1 and 100,000 shapes of a class can be made, not {count}")
    if not 0 <= steps <= 1_000_000 or not 0 < length <= 1_000:
        raise ValueError(f"steps must be 0 or more and their length above 0, not {steps} and {length}")
    starts_of(network)
    chosen = class_names(network, classes)
    return Job(
        kind="generated",
        units=tuple(
            Unit(name=file_name(f"{name}-{k:04d}"), values={"class": name, "number": k})
            for name in chosen
            for k in range(count)
        ),
        worker=Generate(network=network, steps=steps, length=length),
        settings={
            "model": network.name,
            "weights": fingerprint(network.frozen.model),
            "classes": chosen,
            "steps": steps,
            "length": length,
        },
        capacity=AT_ONCE,
        label=f"making {len(chosen) * count} shapes",
    )


def generated(outcome: Outcome) -> Generated:
    """What a job of making shapes left."""
    units, made = zip(*outcome.each(), strict=True)

    def numbers(name: str) -> Tensor:
        return torch.tensor([each.facts[name] for each in made])

    def stacked(name: str) -> Tensor:
        return torch.stack([each.arrays[name] for each in made])

    classes: tuple[Any, ...] = tuple(unit.values["class"] for unit in units)
    return Generated(
        grids=stacked("made"),
        classes=classes,
        chances=numbers("chance"),
        start=stacked("start"),
        before=numbers("before"),
        ways={
            unit.values["class"]: each.arrays["way"] for unit, each in zip(units, made, strict=True) if is_first(unit)
        },
    )
