"""The accuracy of the bundled networks, measured again."""

from collections.abc import Iterator
from pathlib import Path

import torch

from invert3d.engine.progress import Meter
from invert3d.engine.space import Voxels
from invert3d.models.weights import WeightCard
from invert3d.opening.networks import open_network


def measured_one_by_one(cards: dict[str, WeightCard]) -> Iterator[tuple[str, WeightCard]]:
    """The networks, while it is shown how many of them are measured."""
    with Meter(f"measuring {len(cards)} networks", len(cards)) as meter:
        for i, (name, card) in enumerate(cards.items()):
            yield name, card
            meter.update(i + 1, facts=name)


def record_accuracies(cards: dict[str, WeightCard]) -> Path:
    """Measure the accuracy of the bundled networks on what they were not trained on, and write it down.

    Networks of ModelNet10's grids are measured on its test grids, with and without those that equal a training grid.
    """
    from invert3d.jobs.record import record
    from invert3d.training.classifiers import accuracy_by_class, predictions
    from invert3d.training.data import held_out_shapes, modelnet10_grids

    with Meter("making held-out shapes"):
        clouds, labels = held_out_shapes()
    headline, rows, real, grids = {}, [], {}, []
    for name, card in measured_one_by_one(cards):
        accuracy, fresh = card.scores["accuracy"], card.scores.get("accuracy_fresh", 0.0)
        measured, model = "by its card", open_network(name).frozen
        if card.data.startswith("procedural shapes") and "points" in card.inputs:
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
        if "size" in card.inputs:
            grids.append({"table": "accuracy of voxels", **row, "without repeats": round(fresh, 4)})
        else:
            rows.append({"table": "accuracy", **row})
    record("explain", real, grids)
    return record("points", headline, rows)
