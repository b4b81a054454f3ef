"""``invert3d models``, ``doctor``, ``classify``, ``recipes`` and ``cite``."""

from pathlib import Path
from typing import Literal

import torch

from invert3d.cli.show import print_table, read_cloud, split_names
from invert3d.engine.draws import Draws
from invert3d.models.weights import WeightCard, bundled
from invert3d.registry import registered
from invert3d.study.networks import open_network
from invert3d.study.recipe import load_recipe, recipe_names, recipe_toml


def models(*, record: bool = False) -> None:
    """List the bundled networks, from their cards, and the architectures.

    Parameters
    ----------
    record
        Measure the networks of the procedural shapes again, on held-out shapes, and write docs/results/points.json.
    """
    cards = bundled()
    rows = [
        [name, card.architecture, len(card.classes), f"{card.accuracy:.1%}", card.data,
         f"{card.parameters / 1e6:.2f} M", f"{card.bytes / 1e6:.1f} MB"]
        for name, card in cards.items()
    ]  # fmt: skip
    columns = ["weights", "architecture", "classes", "held out", "trained on", "size", "file"]
    print_table("Bundled networks", columns, rows)
    print(
        "Architectures, for --checkpoint of your own or of the public code: "
        + ", ".join(name for name, made in registered("model").items() if not getattr(made, "takes_grids", False))
    )
    if record:
        print(f"recorded in {record_accuracies(cards)}")


def record_accuracies(cards: dict[str, WeightCard]) -> Path:
    """Measure the accuracy of the bundled networks on the held-out shapes and write it down."""
    from invert3d.study.datasets import held_out_shapes
    from invert3d.study.runs import record
    from invert3d.study.train import predictions

    clouds, labels = held_out_shapes()
    headline, rows = {}, []
    for name, card in cards.items():
        accuracy, measured = card.accuracy, "by its card"
        if card.data.startswith("procedural shapes"):
            network = open_network(name)
            right = predictions(network.frozen.model, clouds, 1024) == torch.from_numpy(labels)
            accuracy, measured = right.double().mean().item(), f"{len(labels)} held-out shapes"
            headline[
                {"pointnet2_ssg": "accuracy_pointnet2"}.get(card.architecture, f"accuracy_{card.architecture}")
            ] = round(accuracy, 4)
        rows.append({"table": "accuracy", "weights": name, "accuracy": round(accuracy, 4), "measured on": measured,
                     "trained on": card.data, "MB": round(card.bytes / 1e6, 1)})  # fmt: skip
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
    print_table("Recipes", ["name", "steps", "starts", "points", "about"],
                [[r.name, r.steps, r.starts, r.points, r.about] for r in known])  # fmt: skip


def doctor(
    *, model: str, checkpoint: Path | None = None, points_layout: Literal["bn3", "b3n"] = "bn3",
    up: Literal["z", "y"] | None = None, points: int = 1024, device: str = "cpu",
) -> None:  # fmt: skip
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
    device
        cpu, cuda, ...
    """
    network = open_network(
        model, checkpoint=checkpoint, layout=points_layout, up=up, points=points, device=device, classes=["?"]
    )
    like = torch.zeros(4, 0, dtype=network.frozen.dtype, device=network.frozen.device)
    x = network.frozen.space.start("ball", like, Draws.seeded(0, range(4)))
    if network.frozen.space.shape[1] == 6:
        x = torch.cat([x, torch.nn.functional.normalize(x, dim=-1)], -1)
    for line in network.frozen.diagnose(x).lines():
        print(line)


def classify(
    model: str, *files: Path, checkpoint: Path | None = None, points_layout: Literal["bn3", "b3n"] = "bn3",
    up: Literal["z", "y"] | None = None, class_names: str | None = None, points: int = 1024,
    file_up: Literal["z", "y"] = "z",
    device: str = "cpu",
) -> None:  # fmt: skip
    """Say what a network takes point clouds or meshes for.

    Parameters
    ----------
    model
        As for doctor.
    files
        .npy .npz .ply .pcd .txt .xyz, or meshes .off .obj .stl .glb, of whose surface points are drawn.
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
    device
        cpu, cuda, ...
    """
    network = open_network(
        model, checkpoint=checkpoint, layout=points_layout, up=up, classes=split_names(class_names), points=points,
        device=device,
    )  # fmt: skip
    if not files:
        raise ValueError("name at least one file to classify")
    rows = []
    for file in files:
        x = torch.from_numpy(read_cloud(str(file), points, file_up))[None]
        network.frozen.space.validate(x)
        chances = network.frozen(x.to(network.frozen.device))[0].softmax(-1).cpu()
        best = chances.topk(min(3, len(chances)))
        rows.append(
            [file.name, *(f"{network.classes[i]} {p:.2f}" for p, i in zip(best.values, best.indices, strict=True))]
        )
    print_table(f"What {network.name} takes them for", ["file", "first", "second", "third"][: len(rows[0])], rows)


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
