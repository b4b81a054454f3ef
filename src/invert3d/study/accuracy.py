"""The accuracy of the bundled networks, measured again."""

from collections.abc import Iterator
from pathlib import Path

import torch

from invert3d.engine.progress import Meter
from invert3d.engine.space import Voxels
from invert3d.models.weights import WeightCard
from invert3d.opening.networks import Network, open_network

SHORT = {"pointnet2_ssg": "pointnet2", "voxel_nin": "volumetric"}


def measured_one_by_one(cards: dict[str, WeightCard]) -> Iterator[tuple[str, WeightCard]]:
    """The networks, while it is shown how many of them are measured."""
    with Meter(f"measuring {len(cards)} networks", len(cards)) as meter:
        for i, (name, card) in enumerate(cards.items()):
            yield name, card
            meter.update(i + 1, facts=name)


def record_accuracies(cards: dict[str, WeightCard]) -> Path:
    """Measure the accuracy of the bundled networks on what they were not trained on, and write it down.

    Networks of ModelNet10's grids are measured on its test grids, with and without those that equal a training grid;
    networks of clouds on procedural shapes, or, where they learned real ones, on surfaces of ModelNet10's test grids.
    """
    from invert3d.jobs.record import record

    headline, rows, real, grids = {}, [], {}, []
    for name, card in measured_one_by_one(cards):
        network, short = open_network(name), SHORT.get(card.architecture, card.architecture)
        accuracy, fresh, measured = of_grids(network) if "size" in card.inputs else of_clouds(network)
        row = {
            "weights": name,
            "accuracy": round(accuracy, 4),
            "measured on": measured,
            "trained on": card.data,
            "MB": round(card.bytes / 1e6, 1),
        }
        if "size" in card.inputs:
            grids.append({"table": "accuracy of voxels", **row, "without repeats": round(fresh, 4)})
            if "ModelNet10" in card.data and "pruning" not in card.notes:
                real[f"modelnet10_accuracy_{short}"] = round(accuracy, 4)
        else:
            rows.append({"table": "accuracy", **row})
            headline[f"accuracy_{'real_' if 'ModelNet10' in card.data else ''}{short}"] = round(accuracy, 4)
    record("explain", real, grids)
    return record("points", headline, rows)


def of_clouds(network: Network) -> tuple[float, float, str]:
    """Accuracy of a network of clouds, twice, and what it was measured on."""
    from invert3d.study.explaining.held_out import held_out
    from invert3d.training.classifiers import predictions
    from invert3d.training.data import held_out_shapes

    if network.card is not None and "ModelNet10" in network.card.data:
        known = held_out(network)
        x, labels, measured = known.x, known.target, f"{len(known)} shapes of ModelNet10's test set"
    else:
        with Meter("making held-out shapes"):
            clouds, made = held_out_shapes()
        x, labels = torch.from_numpy(clouds[:, : network.space.points]), torch.from_numpy(made)
        measured = f"{len(labels)} held-out shapes"
    accuracy = (predictions(network.frozen.model, x) == labels).double().mean().item()
    return accuracy, accuracy, measured


def of_grids(network: Network) -> tuple[float, float, str]:
    """Accuracy of a network of grids on all its test grids and on those that repeat no training grid, and what it was
    measured on."""
    from invert3d.training.classifiers import accuracy_by_class
    from invert3d.training.data import modelnet10_grids

    card, space = network.card, network.frozen.space
    if card is None or not isinstance(space, Voxels) or "ModelNet10" not in card.data:
        scores = {} if card is None else card.scores
        return scores["accuracy"], scores.get("accuracy_fresh", 0.0), "by its card"
    data = modelnet10_grids(None, space)
    shares = accuracy_by_class(network.frozen.model, data, 0)
    return shares["all"], shares["fresh"], f"{len(data.test)} test grids"
