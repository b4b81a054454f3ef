"""``invert3d explain``."""

from pathlib import Path
from typing import Any, Literal

from invert3d.cli.show import print_scores, print_table, split_names
from invert3d.study.explaining.job import explain_files
from invert3d.study.inputs import read_inputs
from invert3d.study.networks import Kind, open_network

#: what is measured if nothing else is asked for
MEASURED = ("pointnet-shapes", "pointnet2_ssg-shapes", "dgcnn-shapes", "voxnet-shapes")


def explain(
    *files: str,
    model: str = "pointnet2_ssg-shapes",
    methods: str | None = None,
    layer: str | None = None,
    target: str | None = None,
    against: str | None = None,
    out: Path = Path("runs/explain"),
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
    overwrite: bool = False,
) -> None:
    """Say which points, voxels or pixels made a network decide as it did, by several methods side by side.

    Parameters
    ----------
    files
        Clouds .npy .npz .ply .pcd .txt .xyz, meshes .off .obj .stl .glb, shapes:airplane for a procedural shape; for a
        network of voxels .mat .binvox .npy .npz or meshes; for one of images what Pillow reads.
    model
        Bundled weights (see invert3d models), package.module:factory, or an architecture with --checkpoint.
    methods
        Names, comma separated: gradient, input_x_gradient, smooth_grad, guided, deconvolution, integrated_gradients,
        point_saliency, occlusion, grad_cam, extremal; by default some that fit the network.
    layer
        The layer that grad_cam looks at; by default the deepest that still has places.
    target
        The class to explain; by default what the network says.
    against
        A class to tell it from: the difference of the two logits is explained.
    out
        The folder to write.
    checkpoint
        Weights for the model.
    points_layout
        What the model takes.
    up
        The axis that points up in the model's training data.
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
    overwrite
        Replace the folder.
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
    inputs = read_inputs(files, network.frozen.space, up=file_up)
    asked = split_names(methods)
    table = explain_files(
        network, inputs, asked, layer=layer, out=out, target=target, against=against, overwrite=overwrite
    )
    print_scores(table)
    print(f"open {out / 'index.html'}")


def attribution(
    *models: str,
    methods: str | None = None,
    per_class: int = 1,
    points: int = 1024,
    how: Literal["center", "resample", "empty", "blur"] | None = None,
    seed: int = 0,
    record: bool = False,
    device: str = "cpu",
) -> None:
    """Whether explanations are true: one table, networks by methods.

    Completeness; deletion, insertion and infidelity; sensitivity to jitter (of grids: to a shift by one voxel) and to
    rotation; what is left when the weights are drawn anew; and the correlation with curvature and with known edges.

    Parameters
    ----------
    models
        Bundled weights; by default the networks of the procedural shapes, of points and of voxels.
    methods
        Names, comma separated; random is a ranking by chance, to compare with.
    per_class
        Held-out shapes of each class; those that the network gets wrong are left out.
    points
        Points a cloud.
    how
        What becomes of what is removed: points move to the center, or become copies of points that are kept (resample);
        voxels become empty, or take the mean of those around them (blur).
    seed
        Fixes everything.
    record
        Write docs/results/explain.json.
    device
        cpu, cuda, ...
    """
    from invert3d.jobs.record import record as write_record
    from invert3d.study.explaining.job import default_methods
    from invert3d.study.explaining.truth import COLUMNS, check_question, headline, measure

    rows: list[dict[str, Any]] = []
    work = [
        (network, method)
        for network in (open_network(model, points=points, device=device) for model in models or MEASURED)
        for method in split_names(methods) or (*default_methods(network.frozen.space), "random")
    ]
    for network, method in work:
        check_question(network, method, how)
    for network, method in work:
        rows.append(measure(network, method, per_class=per_class, how=how, seed=seed))
        print(f"{network.name}, {method}: {rows[-1]}", flush=True)
    note = (
        "Deletion: lower is better; insertion: higher. Infidelity: 0 is best, 1 foretells nothing. Jitter, rotation: "
        "relative change. Randomized: rank correlation after a quarter, half, three quarters and all of the layers are "
        "drawn anew. Curvature, edges: rank correlation, with a 95 % interval."
    )
    print_table("Are the explanations true?", list(COLUMNS), [[row[c] for c in COLUMNS] for row in rows], note)
    if record:
        path = write_record(
            "explain", headline(rows), [{"table": f"attribution of {row['network']}", **row} for row in rows]
        )
        print(f"recorded in {path}")


def errors(
    model: str = "voxnet-modelnet10",
    *,
    method: str = "integrated_gradients",
    most: int = 6,
    per_class: int | None = None,
    points: int = 1024,
    out: Path = Path("runs/errors"),
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
) -> None:
    """What a network gets wrong: the confusion matrix, and its surest mistakes, explained.

    Parameters
    ----------
    model
        Bundled weights.
    method
        The method that explains the mistakes.
    most
        Mistakes that are shown.
    per_class
        Held-out shapes of each class; by default all there are, 20 of each procedural one.
    points
        Points a cloud.
    out
        The folder to write.
    seed
        Fixes the procedural shapes.
    device
        cpu, cuda, ...
    overwrite
        Replace the folder.
    """
    from invert3d.study.explaining.errors import analyze

    network = open_network(model, points=points, device=device)
    table = analyze(network, out, method=method, most=most, per_class=per_class, seed=seed, overwrite=overwrite)
    print_scores(table)
    print(f"open {out / 'index.html'}")
