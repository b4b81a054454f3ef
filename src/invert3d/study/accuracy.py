"""The accuracy of the bundled networks, measured again."""

from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from invert3d.engine.progress import Meter
from invert3d.engine.space import Voxels
from invert3d.models.weights import WeightCard
from invert3d.opening.networks import Network, open_network
from invert3d.study.explaining.held_out import held_out
from invert3d.training.classifiers import accuracy_by_class, predictions
from invert3d.training.data import held_out_shapes, modelnet10_grids

SHORT = {"pointnet2_ssg": "pointnet2", "voxel_nin": "volumetric"}


def record_accuracies(cards: dict[str, WeightCard]) -> Path:
    """Measure the accuracy of the bundled networks on what they were not trained on, and write it down.

    Networks of ModelNet10's grids are measured on its test grids, with and without those that equal a training grid;
    networks of clouds on procedural shapes, or, where they learned real ones, on surfaces of ModelNet10's test grids.
    """
    from invert3d.jobs.record import record

    headline, rows, real, grids = {}, [], {}, []
    with Meter(f"measuring {len(cards)} networks", len(cards)) as meter:
        for i, (name, card) in enumerate(cards.items()):
            network, short = open_network(name), SHORT.get(card.architecture, card.architecture)
            row = {"weights": name, "trained on": card.data, "MB": round(card.bytes / 1e6, 1)}
            if "size" in card.inputs:
                row |= of_grids(network, card)
                grids.append({"table": "accuracy of voxels", **row})
                if "ModelNet10" in card.data and "pruning" not in card.notes:
                    real[f"modelnet10_accuracy_{short}"] = row["accuracy"]
            else:
                row |= of_clouds(network, card)
                rows.append({"table": "accuracy", **row})
                headline[f"accuracy_{'real_' if 'ModelNet10' in card.data else ''}{short}"] = row["accuracy"]
            meter.update(i + 1, facts=name)
    record("explain", real, grids)
    return record("points", headline, rows)


@cache
def procedural() -> tuple[Tensor, Tensor]:
    """Procedural clouds (M, 2048, 3) that no bundled network was trained on, and their labels (M,)."""
    with Meter("making held-out shapes"):
        clouds, labels = held_out_shapes()
    return torch.from_numpy(clouds), torch.from_numpy(labels)


def of_clouds(network: Network, card: WeightCard) -> dict[str, Any]:
    """Columns of the row of a network of clouds: its accuracy, and what that was measured on."""
    if "ModelNet10" in card.data:
        known = held_out(network)
        x, labels, of = known.x, known.target, "shapes of ModelNet10's test set"
    else:
        x, labels = procedural()
        x, of = x[:, : network.space.points], "held-out shapes"
    right = predictions(network.frozen.model, x) == labels
    return {"accuracy": round(right.double().mean().item(), 4), "measured on": f"{len(labels)} {of}"}


def of_grids(network: Network, card: WeightCard) -> dict[str, Any]:
    """Columns of the row of a network of grids: its accuracy on all test grids and on those that repeat no training
    grid, and what they are."""
    if "ModelNet10" in card.data:
        data = modelnet10_grids(None, cast(Voxels, network.frozen.space))
        shares, measured = accuracy_by_class(network.frozen.model, data, 0), f"{len(data.test)} test grids"
    else:
        shares = {"all": card.scores["accuracy"], "fresh": card.scores.get("accuracy_fresh", 0.0)}
        measured = "by its card"
    return {"accuracy": round(shares["all"], 4), "without repeats": round(shares["fresh"], 4), "measured on": measured}
