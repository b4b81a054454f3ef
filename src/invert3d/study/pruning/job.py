"""``invert3d prune``: a folder with the pruned weights, their card, the numbers and the filters."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from invert3d.engine.progress import Meter
from invert3d.engine.space import Points, Voxels
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Context, Job, Made, Unit
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import command_line, fingerprint
from invert3d.jobs.report import report
from invert3d.models.weights import WeightCard, checked_name
from invert3d.opening.networks import Network
from invert3d.ops.files import write_bytes
from invert3d.registry import registered
from invert3d.training.classifiers import TrainSettings, save
from invert3d.training.data import Data, training_data
from invert3d.training.pruning import Way, prune, steps_of

#: accuracy of VRN whole, pruned, after one epoch, and the weights left (*3D Point Cloud Feature Explanations*, table 1)
PAPER = (87.77, 62.39, 87.18, 5.0)


@dataclass(frozen=True, kw_only=True)
class PruneNetwork:
    """The worker: one way and one density a unit. It cannot go on after an interruption: the unit begins again."""

    network: Network
    data: Data
    settings: TrainSettings
    epochs: float
    name: str
    command: str

    @property
    def device(self) -> str:
        """Where the network is."""
        return str(self.network.frozen.device)

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made]:
        return [self._pruned(unit, context) for unit in units]

    def _pruned(self, unit: Unit, context: Context) -> Made:
        steps = steps_of(self.epochs, self.data, self.settings)
        done = prune(
            self.network.frozen.model,
            self.data,
            unit.values["density"],
            unit.values["way"],
            epochs=self.epochs,
            settings=self.settings,
            report=lambda step, loss: context.report(min(1.0, step / steps), f"loss {loss:.3f}"),
            begun=lambda words: context.report(0.0, words),
        )
        known = registered("model").items()
        card = WeightCard(
            name=self.name,
            kind="classifier",
            architecture=next((key for key, cls in known if cls is type(done.model)), type(done.model).__name__),
            command=self.command,
            options=dict(self.network.options),
            notes=f"{unit.values['way']} pruning to {done.density_after:.2%}, {self.epochs:g} epochs more",
        )
        with tempfile.TemporaryDirectory() as folder:
            save(done.model, self.data, self.settings, card, Path(folder))
            files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        facts = {key: value for key, value in vars(done).items() if key not in ("model", "filters")}
        return Made(facts=facts, arrays=done.filters, files=files)


def prune_and_save(
    network: Network,
    data: str,
    density: float,
    way: Way,
    *,
    epochs: float,
    settings: TrainSettings,
    name: str,
    options: RunOptions,
    per_class: int = 400,
) -> tuple[dict[str, Any], dict[str, float], list[dict[str, Any]]]:
    """Prune a network into a run folder: weights, card, table.json, filters.png.

    Returns the table, and what is recorded of it: the headline and the rows.

    Raises:
        ValueError: for a density outside 0 to 1, data that is not there or has other classes, a folder that is.
        KeyboardInterrupt: after Ctrl-C.
    """
    with Meter(f"getting {data} to train on", show=options.progress):
        shapes = checked_data(network, data, density, per_class, settings.seed)
    worker = PruneNetwork(
        network=network,
        data=shapes,
        settings=settings,
        epochs=epochs,
        name=checked_name(name, "the weights"),
        command=command_line(),
    )
    asked = {"model": network.name, "weights": fingerprint(network.frozen.model), "data": shapes.source}
    job = Job(
        kind="pruning",
        units=(Unit(name=f"{way}-{density:g}", values={"way": way, "density": density}),),
        worker=worker,
        settings={**asked, "name": name, "epochs": epochs, "fit": asdict(settings)},
        label=f"pruning {network.name}",
    )
    outcome = execute(job, options).whole()
    ((unit, made),) = outcome.each()
    for file in (f"{name}.safetensors", f"{name}.json"):
        write_bytes(outcome.path / file, made.files[file])
    row = row_of(network, way, made.facts)
    draw_filters(outcome.path / "filters.png", network.name, str(made.facts["layer"]), made.arrays)
    note = (
        f"Shares of {len(shapes.test)} held-out shapes classified right. The paper, VRN: {PAPER[0]} whole, {PAPER[1]} "
        f"pruned, {PAPER[2]} after one epoch, {PAPER[3]:g} % of the weights left."
    )
    table = report(outcome.path, f"{network.name}, pruned", [row], note, [("Filters", outcome.path / "filters.png")])
    paper = epochs == 1 and "VRN" in type(network.frozen.model).__name__
    headline = headline_of(made.facts, density) if paper else {}
    return table, headline, [{"table": f"pruning {network.name} {unit.name.replace('-', ' ')}", **row}]


def checked_data(network: Network, data: str, density: float, per_class: int, seed: int) -> Data:
    """What a network is pruned on. Raises ValueError where it does not fit, or the density is outside 0 to 1."""
    if not 0 < density < 1:
        raise ValueError(f"density must lie between 0 and 1, not {density}")
    space = network.frozen.space
    if isinstance(space, Points) and (space.layout, space.up, space.shape[1], space.features) != ("bn3", "z", 3, ()):
        raise ValueError(
            "networks of clouds are pruned on clouds (B, N, 3), z up, without normals or features; this takes others"
        )
    voxels = space if isinstance(space, Voxels) else None
    shapes = training_data(data, per_class=per_class, seed=seed, clutter="clutter" in network.classes, voxels=voxels)
    if shapes.classes != network.classes:
        raise ValueError(f"{data} has the classes {', '.join(shapes.classes)}; {network.name} has other ones")
    return shapes


def row_of(network: Network, way: str, done: Mapping[str, Any]) -> dict[str, str]:
    """A line of table 1."""
    return {
        "network": network.name,
        "way": way,
        "weights left": f"{done['density_after']:.2%}",
        "whole": f"{done['accuracy_full']:.2%}",
        "pruned": f"{done['accuracy_pruned']:.2%}",
        "trained": f"{done['accuracy_after']:.2%}",
        "lost": f"{100 * (done['accuracy_full'] - done['accuracy_after']):+.2f}",
    }


def headline_of(done: Mapping[str, Any], density: float) -> dict[str, float]:
    """What is recorded of VRN after one epoch: the paper's 5 %, or the goal of 2 %."""
    names = {
        0.02: {"weights_left_ours": "density_after", "accuracy_ours": "accuracy_after"},
        0.05: {
            "accuracy_full": "accuracy_full",
            "accuracy_pruned": "accuracy_pruned",
            "accuracy_after_one_epoch": "accuracy_after",
            "weights_left": "density_after",
        },
    }
    return {name: round(done[key], 4) for name, key in names.get(density, {}).items()}


def draw_filters(path: Path, name: str, layer: str, filters: Mapping[str, Tensor], most: int = 8) -> None:
    """The strongest kernels of a convolution that was thinned out, whole, pruned and trained, on one scale."""
    from invert3d.view.color import colorize
    from invert3d.view.figures import Panel, contact_sheet, save_png
    from invert3d.view.grids import cubes

    if filters["whole"].dim() != 5:
        return
    kernels = {state: each.float().cpu().flatten(0, 1) for state, each in filters.items()}
    order = kernels["whole"].flatten(1).norm(dim=1).argsort(descending=True)[:most]
    reach = float(kernels["whole"][order].abs().max())
    rows = []
    for each in kernels.values():
        row = []
        for kernel in each[order]:
            values = kernel.numpy()
            places, edge, _ = cubes(np.ones_like(values))
            there = values.reshape(-1) != 0
            if not there.any():
                row.append(Panel(image=np.zeros((8, 8, 4), np.uint8), caption="nothing left"))
                continue
            colors = colorize(values.reshape(-1)[there], -reach, reach, "diverging")
            row.append(Panel(cloud=places[there], cube=edge * 0.8, colors=colors))
        rows.append(row)
    sheet = contact_sheet(
        rows,
        row_titles=list(kernels),
        panel_size=(130, 130),
        title=f"Kernels of {layer} of {name}",
        note="Red: positive, blue: negative; pruned weights are not drawn. The strongest kernels of the first "
        "convolution that lost half of its weights.",
    )
    save_png(sheet, path)
