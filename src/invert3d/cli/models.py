"""``invert3d models``, ``doctor``, ``classify``, ``recipes`` and ``cite``."""

from pathlib import Path
from typing import Literal

import torch

from invert3d.cli.show import print_table, split_names
from invert3d.engine.draws import Draws
from invert3d.engine.space import Points, Voxels
from invert3d.methods.recipes import load_recipe, recipe_names, recipe_toml
from invert3d.models.weights import WeightCard, bundled
from invert3d.registry import registered
from invert3d.study.detectors import detector_cards
from invert3d.study.inputs import read_inputs
from invert3d.study.networks import Kind, open_network


def models(*, record: bool = False) -> None:
    """List the bundled networks, from their cards, and the architectures.

    Parameters
    ----------
    record
        Measure them again, on held-out shapes and on ModelNet10's test grids; write docs/results/points.json and
        explain.json.
    """
    cards = bundled()
    rows = [
        [
            name,
            card.architecture,
            len(card.classes),
            f"{card.accuracy:.1%}",
            card.data,
            f"{card.parameters / 1e6:.2f} M",
            f"{card.bytes / 1e6:.1f} MB",
        ]
        for name, card in cards.items()
    ]
    columns = ["weights", "architecture", "classes", "held out", "trained on", "size", "file"]
    print_table("Bundled networks", columns, rows)
    detectors = [
        [
            name,
            card.backbone,
            f"{card.height} x {card.width}",
            f"{card.ap.get('2d Car', 0):.0f} / {card.ap.get('bev Car', 0):.0f} / {card.ap.get('3d Car', 0):.0f}",
            card.data,
            f"{card.parameters / 1e6:.2f} M",
            f"{card.bytes / 1e6:.1f} MB",
        ]
        for name, card in detector_cards().items()
    ]
    if detectors:
        columns = ["detector", "backbone", "pictures", "AP of cars: 2-D / BEV / 3-D", "trained on", "size", "file"]
        print_table("Bundled monocular 3-D detectors", columns, detectors)
    print(
        "Architectures, for --checkpoint of your own or of the public code: "
        + ", ".join(name for name in registered("model"))
    )
    if record:
        print(f"recorded in {record_accuracies(cards)}")


def record_accuracies(cards: dict[str, WeightCard]) -> Path:
    """Measure the accuracy of the bundled networks on what they were not trained on, and write it down.

    Networks of ModelNet10's grids are measured on its test grids, with and without those that equal a training grid.
    """
    from invert3d.jobs.record import record
    from invert3d.training.classifiers import accuracy_by_class, predictions
    from invert3d.training.data import held_out_shapes, modelnet10_grids

    clouds, labels = held_out_shapes()
    headline, rows, real, grids = {}, [], {}, []
    for name, card in cards.items():
        accuracy, fresh, measured, model = card.accuracy, card.accuracy_fresh, "by its card", open_network(name).frozen
        if card.data.startswith("procedural shapes") and not card.size:
            right = predictions(model.model, torch.from_numpy(clouds[:, :1024])) == torch.from_numpy(labels)
            accuracy, measured = right.double().mean().item(), f"{len(labels)} held-out shapes"
            headline[
                {"pointnet2_ssg": "accuracy_pointnet2"}.get(card.architecture, f"accuracy_{card.architecture}")
            ] = round(accuracy, 4)
        if isinstance(model.space, Voxels) and "ModelNet10" in card.data:
            data = modelnet10_grids(None, model.space)
            shares = accuracy_by_class(model.model, data, 0)
            accuracy, fresh, measured = shares["all"], shares["fresh"], f"{len(data.test)} test grids"
            if "pruning" not in card.notes:
                key = {"voxel_nin": "volumetric"}.get(card.architecture, card.architecture)
                real[f"modelnet10_accuracy_{key}"] = round(accuracy, 4)
        row = {
            "weights": name,
            "accuracy": round(accuracy, 4),
            "measured on": measured,
            "trained on": card.data,
            "MB": round(card.bytes / 1e6, 1),
        }
        if card.size:
            grids.append({"table": "accuracy of voxels", **row, "without repeats": round(fresh, 4)})
        else:
            rows.append({"table": "accuracy", **row})
    record("explain", real, grids)
    return record("points", headline, rows)


def recipes(name: str | None = None) -> None:
    """List the inversion recipes, or print one as TOML to start your own from.

    Parameters
    ----------
    name
        The recipe to print.
    """
    if name is not None:
        print(recipe_toml(load_recipe(name)))
        return
    known = [load_recipe(each) for each in recipe_names()]
    print_table(
        "Recipes",
        ["name", "steps", "starts", "points", "about"],
        [[r.name, r.steps, r.starts, r.points, r.about] for r in known],
    )


def doctor(
    *,
    model: str,
    checkpoint: Path | None = None,
    points_layout: Literal["bn3", "b3n"] = "bn3",
    up: Literal["z", "y"] | None = None,
    points: int = 1024,
    kind: Kind = "auto",
    size: int | None = None,
    values: tuple[float, float] | None = None,
    device: str = "cpu",
) -> None:
    """Say of a model: input layout, output, determinism, where gradients die.

    Parameters
    ----------
    model
        Bundled weights, package.module:factory, or an architecture with --checkpoint.
    checkpoint
        Weights for the model.
    points_layout
        What you think the model takes.
    up
        The axis that points up in its training data.
    points
        Points a cloud.
    kind
        What the model takes: points, voxels, image; auto asks its card or class.
    size
        Voxels or pixels a side, of a model of voxels or images.
    values
        What a model of voxels is fed for an empty and for a full one; by default as its card says, or 0 and 1.
    device
        cpu, cuda, ...
    """
    network = open_network(
        model,
        checkpoint=checkpoint,
        layout=points_layout,
        up=up,
        points=points,
        device=device,
        classes=["?"],
        kind=kind,
        size=size,
        values=values,
    )
    like = torch.zeros(4, 0, dtype=network.frozen.dtype, device=network.frozen.device)
    start = "ball" if isinstance(network.frozen.space, Points) else "uniform"
    x = network.frozen.space.start(start, like, Draws.seeded(0, range(4)))
    for line in network.frozen.diagnose(x).lines():
        print(line)


def classify(
    model: str,
    *files: Path,
    checkpoint: Path | None = None,
    points_layout: Literal["bn3", "b3n"] = "bn3",
    up: Literal["z", "y"] | None = None,
    class_names: str | None = None,
    points: int = 1024,
    file_up: Literal["z", "y"] = "z",
    kind: Kind = "auto",
    size: int | None = None,
    values: tuple[float, float] | None = None,
    device: str = "cpu",
) -> None:
    """Say what a network takes clouds, meshes, voxel grids or images for.

    Parameters
    ----------
    model
        As for doctor.
    files
        Clouds .npy .npz .ply .pcd .txt .xyz, meshes .off .obj .stl .glb, shapes:airplane for a procedural shape; for a
        network of voxels .mat .binvox .npy .npz or meshes; for one of images what Pillow reads.
    checkpoint
        Weights for the model.
    points_layout
        What the model takes.
    up
        The axis that points up in its training data.
    class_names
        The model's classes, comma separated, or a file with one a line.
    points
        Points a cloud.
    file_up
        The axis that points up in the files.
    kind
        What the model takes: points, voxels, image; auto asks its card or class.
    size
        Voxels or pixels a side, of a model of voxels or images.
    values
        What a model of voxels is fed for an empty and for a full one; by default as its card says, or 0 and 1.
    device
        cpu, cuda, ...
    """
    network = open_network(
        model,
        checkpoint=checkpoint,
        layout=points_layout,
        up=up,
        classes=split_names(class_names),
        points=points,
        device=device,
        kind=kind,
        size=size,
        values=values,
    )
    rows = []
    for name, x in read_inputs(files, network.frozen.space, up=file_up).items():
        network.frozen.space.validate(x[None])
        chances = network.frozen(x[None].to(network.frozen.device))[0].softmax(-1).cpu()
        best = chances.topk(min(3, len(chances)))
        rows.append([name, *(f"{network.classes[i]} {p:.2f}" for p, i in zip(best.values, best.indices, strict=True))])
    print_table(f"What {network.name} takes them for", ["shape", "first", "second", "third"][: len(rows[0])], rows)


def cite() -> None:
    """Print what to cite: invert3d, and the paper its inversion of classifiers comes from."""
    from invert3d import __version__

    print(f"""@software{{invert3d,
  title = {{invert3d: look inside 3-D vision networks}},
  author = {{The invert3d authors}},
  version = {{{__version__}}},
  year = {{2026}}
}}
@misc{{agarwalla_inverting3d,
  title = {{Inverting 3D Deep Learning Architectures}},
  author = {{Agarwalla, Abhinav and Mittal, Paritosh and Gupta, Shubham}}
}}""")
