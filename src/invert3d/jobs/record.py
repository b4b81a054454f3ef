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
    "transfer_search_only": "recognized by the other networks, search and judge without a step",
    "transfer_control": "recognized by the other networks, our recipe on shuffled weights (the control)",
    "transfer_published": "recognized by the other networks, the published recipe",
    "own_success_ours": "recognized by the inverted network itself, our recipe",
    "seconds_a_shape_whole": "seconds a shape, our recipe: search, steps and judge",
    "transfer_real": "networks of real shapes: recognized by the others, our recipe",
    "transfer_real_search_only": "networks of real shapes: recognized by the others, search without a step",
    "transfer_real_control": "networks of real shapes: recognized by the others, our recipe on shuffled weights",
    "accuracy_real_pointnet": "accuracy of PointNet on ModelNet10's test shapes, as clouds",
    "accuracy_real_pointnet2": "accuracy of PointNet++ on ModelNet10's test shapes, as clouds",
    "accuracy_real_dgcnn": "accuracy of DGCNN on ModelNet10's test shapes, as clouds",
    "accuracy_pointnet": "accuracy of PointNet on held-out shapes",
    "accuracy_pointnet2": "accuracy of PointNet++ on held-out shapes",
    "accuracy_dgcnn": "accuracy of DGCNN on held-out shapes",
    "accuracy_pointnet_vanilla": "accuracy of the judge, a PointNet without transforms",
    "loop_overhead_pointnet2": "time of a step of the loop over the bare forward, backward and step (PointNet++)",
    "pointnet2_speedup_like_for_like": "PointNet++ input gradient, times faster than textbook code with frozen weights "
    "and our allocator setting",
    "pointnet2_speedup_as_shipped": "PointNet++ input gradient, times faster than textbook code as it ships",
    "batch_exponent": "time grows with the batch to the power of",
    "points_exponent": "time grows with the points to the power of",
    "help_seconds": "seconds of `invert3d --help`",
    "guided_error_ours": "guided and deconvolution, over all ways to write a rectifier: largest relative error, ours",
    "guided_error_captum_worst": "guided and deconvolution, over all ways to write a rectifier: largest error, captum",
    "completeness_error_default": "integrated gradients: largest error of completeness with the defaults",
    "completeness_error_graph_network": "integrated gradients: largest error on a graph network in plain torch",
    "ig_evaluations_ratio_vs_captum": "captum's runs of the network over ours, at the error captum reaches (median)",
    "ig_time_ratio_vs_captum": "captum's time over ours, both with their defaults (median)",
    "ig_memory_ratio_vs_captum": "captum's memory over ours, both with their defaults (median)",
    "edge_correlation_best": "rank correlation of attributions with closeness to sharp edges, the best method",
    "modelnet10_accuracy_vrn": "ModelNet10, test grids: Voxception-ResNet",
    "modelnet10_accuracy_volumetric": "ModelNet10, test grids: volumetric network in network",
    "modelnet10_accuracy_voxnet": "ModelNet10, test grids: VoxNet",
    "accuracy_full": "VRN on ModelNet10, all weights: accuracy",
    "accuracy_pruned": "VRN cut to 5 % of the weights: accuracy",
    "accuracy_after_one_epoch": "VRN cut to 5 % of the weights and trained for one epoch: accuracy",
    "weights_left": "weights left, at 5 %",
    "accuracy_ours": "VRN cut to 2 % of the weights and trained for one epoch: accuracy",
    "weights_left_ours": "weights left, at 2 %",
    "sparse_speed_ratio_batch1": "one grid, 5 % of the weights: time of the better dense way over our mix with sparse",
}
#: the same for topics whose keys mean something else; AP is in percent already
MEANINGS = {
    "jobs": {
        "faults_tried": "planted faults",
        "faults_survived": "of which were survived",
        "bad_inputs_tried": "bad inputs, given to every command",
        "bad_inputs_refused": "of which were refused in one line, with nothing written",
        "help_seconds_worst": "seconds of the slowest --help",
        "workers_speedup": "times faster with two workers than with one, the worse of two jobs",
        "lines_src": "lines of the program",
        "lines_study": "lines of study/",
    },
    "detector3d": {
        "ap3d_streets_small": "the small detector's 3-D AP on held-out streets",
        "ap3d_inverted_ours": "the small detector's 3-D AP on pictures inverted from streets, our recipe",
        "ap3d_inverted_ours_clutter": "the small detector's 3-D AP on pictures inverted from full streets, our recipe",
        "ap3d_inverted_published": "the small detector's 3-D AP on pictures inverted from streets, published recipe",
        "transfer_ours": "one detector's 3-D AP on pictures inverted from the other, our recipe (mean)",
        "agreement_streets": "one detector's 3-D AP against what the other reads, on the streets themselves (mean)",
        "transfer_ours_shuffled": "one detector's 3-D AP on pictures inverted from shuffled weights (control)",
        "transfer_published": "one detector's 3-D AP on pictures inverted from the other, published recipe",
        "ap3d_inverted_solids": "the small detector's 3-D AP on pictures drawn with solids",
        "transfer_solids": "one detector's 3-D AP on pictures drawn with solids for the other (mean)",
        "frames_solids": "streets that the drawing with solids is measured on",
        "frames_ours": "streets that ours is measured on",
        "frames_ours_clutter": "streets full of cars that ours is measured on",
        "frames_published": "streets that the published recipe is measured on",
        "steps_ours": "steps of ours a picture, until it reads exactly what was asked (at most 300)",
        "loop_overhead_centernet3d": "time of a step of the loop over the bare forward, backward and step (CenterNet)",
        "streets_frames_per_second_96x320": "street frames a second at 96 x 320 on one core",
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
