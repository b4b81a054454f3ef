"""The figures and tables of *3D Volumetric Modeling with Introspective Neural Networks* (Huang et al. 2019, 3DWINN).

A network that was trained against its own shapes, beside the same network that was trained without pseudo-negatives and
without attacked views, and what the paper has. The networks of the paper are not public, and its reference network was
trained on other data: its numbers stand beside ours to be read together, not to be compared digit by digit.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from invert3d.jobs.execute import execute
from invert3d.jobs.folder import MARK
from invert3d.jobs.options import RunOptions
from invert3d.jobs.report import report
from invert3d.jobs.rows import rows_of
from invert3d.opening.networks import Network, open_network
from invert3d.registry import register
from invert3d.study.attacks.robustness import robustness, warnings_of, ways_of
from invert3d.study.classification import classification_job
from invert3d.study.explaining.held_out import held_out
from invert3d.study.generation.job import Generated, generate
from invert3d.study.generation.report import write_shapes
from invert3d.study.generation.sources import real_shapes, resized
from invert3d.study.generation.table import MEAN, REFERENCE, generation_job, seen
from invert3d.study.papers.figure import FigureOptions
from invert3d.training.generators import IntrospectiveTraining, train_introspection
from invert3d.training.introspective import IntrospectiveSettings
from invert3d.training.runs import TrainRun

PAPER = "3D Volumetric Modeling with Introspective Neural Networks"
MODEL, BASELINE = "winn3d-modelnet10", "winn3d-modelnet10-classifier"
#: shapes of each class that are scored; the real test set has 50 of the rarer ones
EACH = 50
CLASSES = ("bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet")
#: table 2
INCEPTION = {
    "3D ShapeNets": 4.13,
    "3D-GAN": 8.66,
    "3D VAE": 11.02,
    "3D-DescriptorNet": 11.77,
    "3DWINN, one network": 7.81,
    "3DWINN, ten networks": 10.25,
}
#: tables 3 and 4, by class in the order above
FRECHET = {
    "3D-GAN": (None, None, 469, 651, None, None, None, 517, None, None),
    "3D-DescriptorNet": (None, 574, 490, None, 414, 511, 517, 494, 538, 662),
    "3DWINN": (305, 222, 225, 322, 305, 181, 456, 151, 220, 474),
}
PROBABILITY = {
    "3D-GAN": (0.7017, 0.7775, 0.97, 0.7936, 0.6314, 0.2493, 0.6853, 0.9276, 0.8377, 0.8569),
    "3D-DescriptorNet": (0.8348, 0.9202, 0.992, 0.8203, 0.7678, 0.9473, 0.7195, 0.948, 0.891, 0.9701),
    "3D-VAE": (0.719, 0.3963, 0.9892, 0.8145, 0.701, 0.8559, 0.6592, 0.3017, 0.8751, 0.6943),
    "3D ShapeNets": (0.1644, 0.3239, 0.8482, 0.1068, 0.2166, 0.2767, 0.4969, 0.4888, 0.7902, 0.8832),
    "3DWINN": (0.9477, 0.9301, 0.9938, 0.9184, 0.8114, 0.982, 0.5723, 0.9538, 0.9055, 0.957),
}
#: tables 5 and 6
SUPERVISED = {
    "3D ShapeNets": 0.835,
    "DeepPano": 0.855,
    "VoxNet": 0.92,
    "ORION": 0.938,
    "baseline": 0.931,
    "3DWINN": 0.936,
}
UNSUPERVISED = {"VConv-DAE": 0.805, "3D-GAN": 0.91, "3D-DescriptorNet": 0.924, "3DWINN": 0.919}
#: table 7: adversarial error of the baseline and of 3DWINN, correction rate by the baseline and by 3DWINN
ATTACKS = {
    "fgsm:0.005": (0.2764, 0.1905, 0.4612, 0.7398),
    "ifgsm_growing@5": (0.305, 0.1927, 0.506, 0.7006),
    "ifgsm_growing@10": (0.5319, 0.4383, 0.5188, 0.7546),
}


def opened(options: FigureOptions) -> Network:
    """The network that was trained against its own shapes."""
    return open_network(options.model or MODEL, device=options.device)


def made_shapes(options: FigureOptions, each: int) -> Generated:
    """Shapes of all classes."""
    found = generate(opened(options), "all", each, steps=options.steps, options=options.run)
    write_shapes(options.folder, found)
    return found


def below(options: FigureOptions, name: str) -> RunOptions:
    """How a second job is run, in a folder below that of the first; it goes on where that was begun."""
    folder = options.folder / name
    return replace(options.run, out=folder, overwrite=False, resume=options.run.resume and (folder / MARK).is_file())


def scored(options: FigureOptions) -> list[dict[str, Any]]:
    """Rows of scores, by class and on average: of the network's shapes, of real test shapes, and of Gaussians."""
    made_shapes(options, options.pictures or EACH)
    sources = [f"ours={options.folder / 'voxels.npz'}", "test", "gaussians:64"]
    job = generation_job(sources, options.pictures or EACH, device=options.device)
    rows = rows_of(execute(job, below(options, "scores")).whole())
    return [row for found in rows for row in found["rows"]]


def by_class(rows: Sequence[dict[str, Any]], column: str, theirs: dict[str, Any], digits: int) -> list[dict[str, Any]]:
    """A row for each source, ours and the paper's, a column for each class and one of their mean."""
    table = []
    for source in dict.fromkeys(row["source"] for row in rows):
        found = {row["class"]: round(row[column], digits) for row in rows if row["source"] == source}
        table.append({"shapes": source, **{name: found[name] for name in CLASSES}, "mean": found[MEAN]})
    for name, values in theirs.items():
        there = [value for value in values if value is not None]
        cells = {each: "" if value is None else value for each, value in zip(CLASSES, values, strict=True)}
        table.append({"shapes": f"paper: {name}", **cells, "mean": round(sum(there) / len(there), digits)})
    return table


def finished(
    options: FigureOptions, number: str, title: str, rows: list[dict[str, Any]], note: str = ""
) -> dict[str, Any]:
    """The table and its page."""
    drawn = [(path.stem, path) for path in sorted(options.folder.glob("*.png"))]
    return report(options.folder, f"{title} ({PAPER}, {number})", rows, note, drawn)


@register("figure", "winn3d/table2")
def table2(options: FigureOptions) -> dict[str, Any]:
    """Inception scores."""
    rows = [
        {"shapes": row["source"], "inception score": round(row["inception score"], 2), "classes known": 10}
        for row in scored(options)
        if row["class"] == MEAN
    ]
    rows += [
        {"shapes": f"paper: {name}", "inception score": one, "classes known": 40} for name, one in INCEPTION.items()
    ]
    note = (
        "The reference network of the paper knows 40 classes: ten that are told apart perfectly have 10, and what is "
        "above that is probability of classes that should not be there. Ours knows ten."
    )
    return finished(options, "table 2", "Inception scores", rows, note)


@register("figure", "winn3d/table3")
def table3(options: FigureOptions) -> dict[str, Any]:
    """Fréchet distances by class."""
    note = (
        "Lower is better. The row of test shapes compares them with training shapes, the other rows of ours with test."
    )
    rows = by_class(scored(options), "Fréchet distance", FRECHET, 1)
    return finished(options, "table 3", "Fréchet distances", rows, note)


@register("figure", "winn3d/table4")
def table4(options: FigureOptions) -> dict[str, Any]:
    """Class probabilities by class."""
    rows = by_class(scored(options), "class probability", PROBABILITY, 3)
    return finished(options, "table 4", "Class probabilities under a reference network", rows)


def classified(
    options: FigureOptions, column: str, theirs: dict[str, float], title: str, number: str
) -> dict[str, Any]:
    """Accuracies of our networks and the paper's."""
    names = [options.model] if options.model else [MODEL, BASELINE]
    job = classification_job(names, device=options.device)
    found = rows_of(execute(job, options.run).whole())
    if lacking := [row["weights"] for row in found if column not in row]:
        lacks = "features() to look at" if column.startswith("SVM") else "classes: it was trained without labels"
        raise ValueError(f"{lacking[0]} has no {lacks}")
    rows: list[dict[str, Any]] = [
        {"network": row["weights"], "accuracy": row[column], "without repeats": row[f"{column}, fresh"]}
        for row in found
    ]
    rows += [{"network": f"paper: {name}", "accuracy": value} for name, value in theirs.items()]
    return finished(options, number, title, rows, "71 test shapes repeat a training shape: without repeats.")


@register("figure", "winn3d/table5")
def table5(options: FigureOptions) -> dict[str, Any]:
    """Accuracy of the classifier itself."""
    return classified(options, "accuracy", SUPERVISED, "Supervised classification", "table 5")


@register("figure", "winn3d/table6")
def table6(options: FigureOptions) -> dict[str, Any]:
    """Accuracy of a linear SVM on features. The paper's were learned without labels; the bundled network's with them:
    name one that ``train introspective --no-labels`` trained."""
    title = "A linear SVM on features" + ("" if options.model else " (ours learned with labels)")
    return classified(options, "SVM on features", UNSUPERVISED, title, "table 6")


@register("figure", "winn3d/table7")
def table7(options: FigureOptions) -> dict[str, Any]:
    """Adversarial error and correction rate of the network and of the same one that was trained as a classifier."""
    networks = [open_network(name, device=options.device) for name in (BASELINE, options.model or MODEL)]
    shapes = held_out(networks[0], options.pictures, options.run.seed)
    names = [networks[0].classes[int(i)] for i in shapes.target]
    inputs = {f"{name}-{i:04d}": x for i, (name, x) in enumerate(zip(names, shapes.x, strict=True))}
    if networks[0].name == networks[1].name:
        raise ValueError(f"{networks[0].name} is the baseline: name another network")
    found = robustness(networks, inputs, names, ways_of(list(ATTACKS)), options.run)
    rows = []
    for i, (way, theirs) in enumerate(ATTACKS.items()):
        mine = [each for each in found if each.network == networks[0].name][i]
        ours = [each for each in found if each.network == networks[1].name][i]
        values = (mine.error, ours.error, ours.correction(networks[0].name), mine.correction(networks[1].name))
        titles = ("error of the baseline", "error", "corrected by the baseline", "corrected")
        cells = {title: "-" if value != value else round(value, 4) for title, value in zip(titles, values, strict=True)}
        paper = {f"paper: {title}": value for title, value in zip(titles, theirs, strict=True)}
        rows.append({"attack": way, **cells, **paper})
    signs = "".join(f" Warning: {each}." for each in warnings_of(found))
    return finished(options, "table 7", "Adversarial error and correction rate", rows, signs.strip())


@register("figure", "winn3d/fig3")
def figure3(options: FigureOptions) -> dict[str, Any]:
    """Training shapes, shapes that the network made, and the nearest training shape of each, in reference features."""
    from invert3d.view.figures import contact_sheet, save_png
    from invert3d.view.grids import grid_panel

    count = options.pictures or 4
    found, real, reference = made_shapes(options, count), real_shapes(), open_network(REFERENCE, device=options.device)
    made = resized(found.grids)
    labels = torch.tensor([real.classes.index(name) for name in found.classes])
    own = seen(reference, made, labels).features
    sheet, rows = [], []
    for label, name in enumerate(real.classes):
        train = real.train[real.train_labels == label]
        known = seen(reference, train, torch.full((len(train),), label)).features
        places = (labels == label).nonzero()[:, 0]
        nearest = train[torch.cdist(own[places], known).argmin(1)]
        overlap = (made[places] & nearest).flatten(1).sum(1) / (made[places] | nearest).flatten(1).sum(1)
        columns = [*train[:: max(1, len(train) // count)][:count], *made[places], *nearest]
        sheet.append([grid_panel(each.numpy()) for each in columns])
        rows.append({"class": name, "IoU with the nearest training shape": round(float(overlap.mean()), 3)})
    titles = [*["observed"] * count, *["synthesized"] * count, *["nearest neighbor"] * count]
    picture = contact_sheet(
        sheet,
        row_titles=list(real.classes),
        column_titles=titles,
        title="Shapes that the network made, and the nearest training shapes",
        note=f"{PAPER}, figure 3. Color shows height.",
        panel_size=(110, 110),
    )
    save_png(picture, options.folder / "figure.png")
    return finished(options, "figure 3", "Observed, synthesized, nearest", rows)


@register("figure", "winn3d/fig4")
def figure4(options: FigureOptions) -> dict[str, Any]:
    """Pseudo-negatives as a network is trained: one of 16 voxels a side, for a few minutes. No bundled one is used."""
    settings = IntrospectiveSettings(steps=options.steps or 240, seed=options.run.seed)
    folder, again = options.folder, options.run
    run = TrainRun(name="fig4", out=folder, device=options.device, resume=again.resume, overwrite=again.overwrite)
    train_introspection(IntrospectiveTraining(size=16, settings=settings), run)
    drawn = [(f"after {int(path.stem.split('-')[1])} steps", path) for path in sorted(folder.glob("made-*.png"))]
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return report(options.folder, f"Pseudo-negatives during training ({PAPER}, figure 4)", rows, "", drawn)
