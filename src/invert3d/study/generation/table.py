"""Scores of generated shapes by class and on average, as a job of one unit a source."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invert3d.evaluate.generation import NEIGHBORS, Shapes, check_extra, inception_score, mean_scores, scores_of_class
from invert3d.jobs.job import Job
from invert3d.jobs.provenance import digest, fingerprint
from invert3d.jobs.rows import rows_job
from invert3d.opening.networks import Network, open_network
from invert3d.study.generation.sources import Real, parsed, real_shapes, shapes_of, titled

REFERENCE = "voxel_nin-modelnet10"
MEAN = "mean of classes"


@torch.no_grad()
def seen(network: Network, grids: Tensor, labels: Tensor) -> Shapes:
    """Grids (M, 30, 30, 30) as a reference network sees them: the volumetric network of Qi et al. 2016, its last
    convolution, as in 3DWINN (Huang et al. 2019)."""
    frozen, features, logits = network.frozen, [], []
    model: Any = frozen.model
    with frozen:
        for part in grids.split(64):
            x = frozen.space.encode(part[:, None].to(frozen.device, frozen.dtype))
            features.append(model.features(x).cpu())
            logits.append(model(x).cpu())
    return Shapes(grids=grids, labels=labels, features=torch.cat(features), logits=torch.cat(logits))


def source_row(*, source: str, count: int, reference: str, data: str | None, device: str, seed: int) -> dict[str, Any]:
    """The scores of one source, a table of classes and their mean: ``{"rows": [...]}``.

    Its shapes are compared with as many test shapes; the test shapes themselves with random training shapes.
    """
    real, network = real_shapes(data), open_network(reference, device=device)
    title, source = titled(source)
    made = seen(network, *shapes_of(source, real, count, seed))
    other = "train" if source == "test" else "test"
    against = seen(network, *shapes_of(other, real, count, seed))
    return {"rows": rows_of_source(title, made, against, real)}


def rows_of_source(source: str, made: Shapes, against: Shapes, real: Real) -> list[dict[str, Any]]:
    """A row for each class that there are shapes of, and first that of their means."""
    labels = [label for label in range(len(real.classes)) if (made.labels == label).any()]
    found = [
        scores_of_class(made.of(label), against.of(label), real.train[real.train_labels == label]) for label in labels
    ]
    score, spread = inception_score(made.logits)
    whole = {"inception score": score, "its deviation": spread, **mean_scores(found)}
    each = [(real.classes[label], len(made.of(label)), one) for label, one in zip(labels, found, strict=True)]
    named = [(MEAN, len(made), whole), *each]
    return [
        {
            "source": source,
            "class": name,
            "classes": len(labels),
            "shapes": count,
            **{key: round(value, 4) for key, value in one.items()},
        }
        for name, count, one in named
    ]


def generation_job(
    sources: Sequence[str], count: int, reference: str = REFERENCE, data: str | None = None, device: str = "cpu"
) -> Job:
    """The job of scoring several sources, ``count`` shapes of each class.

    Raises ValueError for data or a reference that is not there, one without ``features``, or an unknown source, and
    ModuleNotFoundError where the extra ``generation`` is not installed.
    """
    check_extra()
    if count < NEIGHBORS + 2:
        raise ValueError(f"scores by {NEIGHBORS} nearest neighbors need at least {NEIGHBORS + 2} shapes of a class")
    real, network = real_shapes(data), open_network(reference, device=device)
    if not hasattr(network.frozen.model, "features") or network.frozen.space.shape != (1, 30, 30, 30):
        raise ValueError(f"{reference} cannot be the reference: it needs features() of voxel grids 30 a side")
    if network.classes != real.classes:
        raise ValueError(f"{reference} knows other classes than ModelNet10: {', '.join(network.classes)}")
    digests = [digest(real.train), digest(real.test)]
    titles = [titled(source)[0] for source in sources]
    if len(set(titles)) < len(titles):
        raise ValueError(f"two sources have one name: {', '.join(titles)}")
    for _, source in map(titled, sources):
        if parsed(source)[0].endswith(".npz"):
            grids, labels = shapes_of(source, real, count)
            if few := [i for i, n in enumerate(labels.bincount().tolist()) if 0 < n < NEIGHBORS + 2]:
                name = real.classes[few[0]]
                raise ValueError(f"{source} has fewer than {NEIGHBORS + 2} shapes of class {name}: too few to score")
            digests.append(digest(grids))
    rows = [{"source": each} for each in sources]
    job = rows_job("generation", source_row, rows, count=count, reference=reference, data=data, device=device)
    settings = {**job.settings, "inputs": digests, "weights": fingerprint(network.frozen.model)}
    return replace(job, settings=settings)


def headline_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Headline numbers of the source that is called ``ours``, beside the test shapes and other sources: of each, the
    share of classes in which the Fréchet distance of ours is lower. Nothing without ``ours`` and ``test``."""
    tables: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        tables.setdefault(row["source"], {})[row["class"]] = row
    if not {"ours", "test"} <= set(tables):
        return {}
    ours, test = tables["ours"], tables["test"]
    gaps = [test[name]["class probability"] - row["class probability"] for name, row in ours.items() if name != MEAN]
    found = {
        "class_probability_mean": ours[MEAN]["class probability"],
        "class_probability_real": test[MEAN]["class probability"],
        "class_probability_worst_gap": round(max(gaps), 4),
        "pairwise_iou": ours[MEAN]["pairwise IoU"],
        "pairwise_iou_real": test[MEAN]["pairwise IoU"],
        "one_nna": ours[MEAN]["1-NNA"],
    }
    for name, table in tables.items():
        if name not in ("ours", "test", "train") and set(ours) <= set(table):
            won = [
                row["Fréchet distance"] < table[each]["Fréchet distance"] for each, row in ours.items() if each != MEAN
            ]
            found[f"frechet_wins_over_{name.replace(':', '')}"] = sum(won) / len(won)
    return found
