"""Measured numbers: written to docs/results/*.json, and from there into README and docs between their markers.

``make results`` does the second.

A table stands between ``<!-- results:TOPIC NAME -->`` and ``<!-- /results -->``. NAME picks the rows whose "table"
is, or begins with, that name; ``headline`` all headline numbers, ``headline KEY KEY ...`` some of them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from invert3d.jobs.folder import write_json
from invert3d.jobs.provenance import command_line, environment

MARKER = re.compile(r"(<!-- results:(\S+) (.+?) -->\n).*?(<!-- /results -->)", re.DOTALL)

#: what the keys of headlines mean, in the order they are shown in; shares are shown in percent
HEADLINES = {
    "transfer_ours": "recognized by the other networks, our recipe",
    "transfer_search_only": "recognized by the other networks, random search and judge only",
    "transfer_control": "recognized by the other networks, our recipe on shuffled weights (the control)",
    "transfer_published": "recognized by the other networks, the published recipe",
    "own_success_ours": "recognized by the inverted network itself, our recipe",
    "seconds_a_shape_whole": "seconds per shape, our recipe: search, gradient steps and judge",
    "transfer_real": "trained on real shapes: recognized by the other networks, our recipe",
    "transfer_real_search_only": "trained on real shapes: recognized by the other networks, random search only",
    "transfer_real_control": "trained on real shapes: recognized by the other networks, our recipe on shuffled weights",
    "accuracy_real_pointnet": "accuracy of PointNet on ModelNet10's test shapes, as clouds",
    "accuracy_real_pointnet2": "accuracy of PointNet++ on ModelNet10's test shapes, as clouds",
    "accuracy_real_dgcnn": "accuracy of DGCNN on ModelNet10's test shapes, as clouds",
    "accuracy_pointnet": "accuracy of PointNet on held-out procedural shapes",
    "accuracy_pointnet2": "accuracy of PointNet++ on held-out procedural shapes",
    "accuracy_dgcnn": "accuracy of DGCNN on held-out procedural shapes",
    "accuracy_pointnet_vanilla": "accuracy of the judge (a PointNet without transforms) on held-out procedural shapes",
    "loop_overhead_pointnet2": "time of one loop step / bare forward, backward and optimizer step (PointNet++)",
    "pointnet2_speedup_like_for_like": "PointNet++ input gradient, speedup over textbook code with frozen weights and "
    "our allocator setting",
    "pointnet2_speedup_as_shipped": "PointNet++ input gradient, speedup over unmodified textbook code",
    "batch_exponent": "scaling exponent of time with the batch size",
    "points_exponent": "scaling exponent of time with the number of points",
    "help_seconds": "seconds that `invert3d --help` takes",
    "guided_error_ours": "guided back-propagation and deconvolution: largest relative error over all rectifiers, ours",
    "guided_error_captum_worst": "guided back-propagation and deconvolution: largest relative error over four forms "
    "of ReLU, Captum",
    "completeness_error_default": "integrated gradients: largest completeness error with the defaults",
    "completeness_error_graph_network": "integrated gradients: largest completeness error, graph network in plain "
    "torch",
    "ig_evaluations_ratio_vs_captum": "integrated gradients: network runs, Captum / ours, at Captum's error (median)",
    "ig_time_ratio_vs_captum": "integrated gradients: time, Captum / ours, both with their defaults (median)",
    "ig_memory_ratio_vs_captum": "integrated gradients: memory, Captum / ours, both with their defaults (median)",
    "edge_correlation_best": "rank correlation of attribution and closeness to sharp edges, best method",
    "modelnet10_accuracy_vrn": "accuracy of Voxception-ResNet (VRN) on ModelNet10's test grids",
    "modelnet10_accuracy_volumetric": "accuracy of the volumetric network in network on ModelNet10's test grids",
    "modelnet10_accuracy_voxnet": "accuracy of VoxNet on ModelNet10's test grids",
    "accuracy_full": "accuracy of VRN on ModelNet10, all weights",
    "accuracy_pruned": "accuracy of VRN pruned to 5 % of its weights",
    "accuracy_after_one_epoch": "accuracy of VRN pruned to 5 % of its weights and trained for one epoch",
    "weights_left": "VRN pruned to 5 %: share of weights left",
    "accuracy_ours": "accuracy of VRN pruned to 2 % of its weights and trained for one epoch",
    "weights_left_ours": "VRN pruned to 2 %: share of weights left",
    "sparse_speed_ratio_batch1": "pruned VRN, batch 1: largest speedup of sparse and dense layers mixed over the "
    "faster dense version",
}
#: the same for topics whose keys mean something else; AP is in percent already
MEANINGS = {
    "jobs": {
        "faults_tried": "injected faults",
        "faults_survived": "injected faults that were survived",
        "bad_inputs_tried": "bad inputs tried, all commands together",
        "bad_inputs_refused": "bad inputs refused in one line, with nothing written",
        "help_seconds_worst": "seconds that the slowest --help takes",
        "workers_speedup": "speedup with two workers, the lower of two jobs",
        "lines_src": "lines in src/",
        "lines_study": "lines in src/invert3d/study/",
    },
    "layout": {
        "diagonal_ours_min": "COCO's AP of a detector on its own inverted pictures, our recipe, lowest",
        "diagonal_published_min": "COCO's AP of a detector on its own inverted pictures, published recipe, lowest",
        "off_diagonal_ours_mean": "COCO's AP of one detector on another's inverted pictures, our recipe (mean)",
        "off_diagonal_published_mean": "COCO's AP of one detector on another's inverted pictures, published recipe "
        "(mean)",
        "agreement_rooms_mean": "COCO's AP of one detector on real pictures, another's detections as ground truth "
        "(mean)",
        "control_mean": "COCO's AP on pictures inverted from shuffled weights, our recipe (mean)",
        "loop_overhead_retinanet": "time of one loop step / bare forward, losses and backward (RetinaNet of rooms)",
        "loop_overhead_fasterrcnn": "time of one loop step / bare forward, losses and backward (Faster R-CNN of rooms)",
        "rooms_frames_per_second": "rooms generated per second at 160 x 160 on one core",
        "context_rank_correlation": "rank correlation of what appears beside a single object with what is planted",
        "context_rank_correlation_control": "the same of pictures inverted from shuffled weights (the control)",
        "cells_ours_above_published": "share of cells of the transfer matrix that are higher by our recipe than by the "
        "published one",
        "evidence_class_object_grad_cam": "evidence for the class by Grad-CAM: share on the object, less that of a "
        "uniform map over the box",
        "evidence_class_object_d_rise": "evidence for the class by D-RISE: share on the object, less that of a uniform "
        "map over the box",
        "evidence_box_border_grad_cam": "evidence for the box by Grad-CAM: share near the object's border, less that "
        "of a uniform map over the box",
        "evidence_box_border_d_rise": "evidence for the box by D-RISE: share near the object's border, less that of a "
        "uniform map over the box",
    },
    "descriptor": {
        "relative_loss_ours": "relative loss of descriptors (fc5) of saved pictures, our recipe",
        "relative_loss_published": "relative loss of descriptors (fc5) of saved pictures, published recipe",
        "relative_loss_decoder": "relative loss of descriptors (fc5) of saved pictures, decoder",
        "relative_loss_refined": "relative loss of descriptors (fc5) of saved pictures, decoder and a few steps",
        "seconds_a_picture": "seconds to invert a descriptor, our recipe, one process of one thread",
        "edge_recall_vanishing_fc5": "edges along the street that are found again, pose network, fc5 (by chance: 0.1)",
        "edge_recall_other_fc5": "all other edges that are found again, pose network, fc5 (by chance: 0.1)",
        "edge_recall_vanishing_style": "edges along the street that are found again, style network, fc5",
        "edge_recall_other_style": "all other edges that are found again, style network, fc5",
        "pose_error_degrees": "angle between true relative rotation and the one found, median, pose network (degrees)",
        "pose_error_guess": "the same of a guess, the mean pose of the training set (degrees)",
        "gan_seeds_converged": "adversarial trainings of decoders that converged, of three seeds",
        "terraces_pictures_per_second": "pictures of terraces generated per second at 100 x 100 on one core",
        "trials": "trials of a search for the settings of a recipe",
        "loop_overhead_posenet": "time of one loop step / bare forward and backward (PoseNet)",
    },
    "introspective": {
        "class_probability_mean": "class probability of generated shapes under the reference network, ours",
        "class_probability_real": "class probability of real test shapes under the reference network",
        "class_probability_worst_gap": "largest deficit of a class in class probability, ours below real test shapes",
        "pairwise_iou": "IoU of two generated shapes of a class (mean), ours",
        "pairwise_iou_real": "IoU of two real test shapes of a class (mean)",
        "one_nna": "accuracy of a nearest neighbor that tells ours from test shapes (1-NNA; 0.5 is ideal)",
        "frechet_wins_over_vae": "share of classes in which ours has a lower Fréchet distance than the autoencoder",
        "frechet_wins_over_mean": "share of classes in which ours has a lower Fréchet distance than class means "
        "with noise",
        "frechet_wins_over_gaussians64": "share of classes in which ours has a lower Fréchet distance than class "
        "Gaussians",
        "frechet_wins_over_published": "share of classes in which ours has a lower Fréchet distance than the published "
        "training",
        "frechet_wins_over_classifier": "share of classes in which ours has a lower Fréchet distance than ascent on a "
        "plain classifier",
        "seconds_an_object": "seconds to generate a shape, one process of one thread",
        "supervised_accuracy": "accuracy of the network on ModelNet10's test shapes",
        "unsupervised_accuracy": "accuracy of a linear SVM on features that were learned without labels",
        "adversarial_error_fgsm": "adversarial error before saving, FGSM, epsilon 0.005",
        "adversarial_error_ifgsm5": "adversarial error before saving, 5 steps of FGSM, 0.005 each",
        "adversarial_error_ifgsm10": "adversarial error before saving, 10 steps of FGSM, 0.005 each",
        "correction_fgsm": "share of what fools the baseline that ours classifies right, FGSM, epsilon 0.005",
        "correction_ifgsm5": "share of what fools the baseline that ours classifies right, 5 steps of FGSM",
        "correction_ifgsm10": "share of what fools the baseline that ours classifies right, 10 steps of FGSM",
        "flips_ratio_vs_baseline": "median number of flipped voxels (at most the budget), ours / baseline",
        "attack_speed_ratio_vs_torchattacks": "processor time of an iterated FGSM, torchattacks / ours",
    },
    "detector3d": {
        "ap3d_streets_small": "3-D AP of the small detector on held-out streets",
        "ap3d_inverted_ours": "3-D AP of the small detector on its own inverted pictures, our recipe",
        "ap3d_inverted_ours_clutter": "3-D AP of the small detector on its own inverted pictures, streets full of "
        "cars, our recipe",
        "ap3d_inverted_published": "3-D AP of the small detector on its own inverted pictures, published recipe",
        "transfer_ours": "3-D AP of one detector on the other's inverted pictures, our recipe (mean)",
        "agreement_streets": "3-D AP of one detector on the streets themselves, the other's detections as ground "
        "truth (mean)",
        "transfer_ours_shuffled": "3-D AP of one detector on the other's inverted pictures, shuffled weights (control)",
        "transfer_published": "3-D AP of one detector on the other's inverted pictures, published recipe",
        "ap3d_inverted_solids": "3-D AP of the small detector on its own inverted pictures, recipe solids",
        "transfer_solids": "3-D AP of one detector on the other's inverted pictures, recipe solids (mean)",
        "frames_solids": "number of streets, recipe solids",
        "frames_ours": "number of streets, our recipe",
        "frames_ours_clutter": "number of streets full of cars, our recipe",
        "frames_published": "number of streets, published recipe",
        "steps_ours": "steps per picture, our recipe, until the detections match the layout (at most 300)",
        "loop_overhead_centernet3d": "time of one loop step / bare forward, backward and optimizer step (CenterNet)",
        "streets_frames_per_second_96x320": "street frames generated per second at 96 x 320 on one core",
    },
}
#: options that a recorded command is as good without
WITHOUT_EFFECT = ("--resume", "--overwrite", "--progress", "--no-progress")
SHARES = ("transfer", "own_success", "accuracy", "modelnet10_accuracy", "weights_left", "completeness_error")


def headline(key: str, value: float, subject: str = "") -> list[str]:
    """A row: what the number is, and the number."""
    if subject in MEANINGS:
        return [MEANINGS[subject].get(key, key), shown(value)]
    return [HEADLINES.get(key, key), f"{value:.1%}" if key.startswith(SHARES) else shown(value)]


def markdown(columns: list[str], rows: list[list[Any]]) -> str:
    """A table as Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(map(shown, row)) + " |" for row in rows]) + "\n"


def shown(value: Any) -> str:
    """A cell: up to three significant digits after the point, bars escaped."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value).replace("|", "\\|")


def table_of(topic: dict[str, Any], name: str, subject: str = "") -> str:
    """The Markdown of one named table of a topic; a sentence that says so where nothing was recorded yet."""
    first, *chosen = name.split()
    if first == "headline" and topic["headline"]:
        known = chosen or [*MEANINGS.get(subject, HEADLINES), *({} if subject in MEANINGS else topic["headline"])]
        named = {key: topic["headline"][key] for key in known if key in topic["headline"]}
        return markdown(["", "measured"], [headline(key, value, subject) for key, value in named.items()])
    rows = [row for row in topic["rows"] if str(row.get("table", "")).startswith(name)]
    if not rows:
        return "Not recorded yet.\n"
    hidden = ("table", "command")
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in hidden))
    text = markdown(columns, [[row.get(column, "") for column in columns] for row in rows])
    commands = dict.fromkeys(row["command"] for row in rows if "command" in row)
    return text + "".join(f"\nMeasured by `{command}`.\n" for command in commands)


def refreshed(text: str, folder: Path) -> str:
    """A document with all its tables made anew."""

    def replace(match: re.Match[str]) -> str:
        path = folder / f"{match[2]}.json"
        topic = json.loads(path.read_text()) if path.is_file() else {"headline": {}, "rows": []}
        return f"{match[1]}{table_of(topic, match[3], match[2])}{match[4]}"

    return MARKER.sub(replace, text)


def record(topic: str, headline: Mapping[str, float], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write measured numbers to ``docs/results/<topic>.json``, from which README and docs take theirs.

    A headline is merged into what other commands recorded under the topic; rows are replaced table by table.
    """
    path = Path("docs/results") / f"{topic}.json"
    old = json.loads(path.read_text()) if path.is_file() else {"headline": {}, "rows": []}
    command = " ".join(word for word in command_line().split(" ") if word not in WITHOUT_EFFECT)
    tables = {str(row.get("table")) for row in rows}
    kept = [row for row in old["rows"] if str(row.get("table")) not in tables]
    table = {
        "command": command,
        "environment": environment(),
        "headline": {**old["headline"], **headline},
        "rows": kept + [{**row, "command": command} for row in rows],
    }
    write_json(path, table)
    return path


def main() -> None:
    """Refresh README.md and every page of docs."""
    for path in [Path("README.md"), *sorted(Path("docs").rglob("*.md"))]:
        old = path.read_text()
        new = refreshed(old, Path("docs/results"))
        if new != old:
            path.write_text(new)
            print(f"refreshed {path}")


if __name__ == "__main__":
    main()
