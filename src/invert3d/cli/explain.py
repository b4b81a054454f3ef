"""``invert3d explain``."""

from typing import Literal

from invert3d.cli.options import ModelOptions, Names, Opening, Run, Running, split_names
from invert3d.cli.show import print_scores


def explain(
    *files: str,
    model: str = "pointnet2_ssg-shapes",
    methods: Names | None = None,
    layer: str | None = None,
    target: str | None = None,
    against: str | None = None,
    file_up: Literal["z", "y"] = "z",
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Say which points, voxels or pixels made a network decide as it did, by several methods side by side.

    Args:
        files: Clouds .npy .npz .ply .pcd .txt .xyz, meshes .off .obj .stl .glb, shapes:airplane for a procedural shape;
            for a network of voxels .mat .binvox .npy .npz or meshes; for one of images what Pillow reads.
        model: Bundled weights (see invert3d models), package.module:factory, or an architecture with --checkpoint.
        methods: Names, comma separated: gradient, input_x_gradient, smooth_grad, guided, deconvolution,
            integrated_gradients, point_saliency, occlusion, grad_cam, extremal; by default some that fit the network.
        layer: The layer that grad_cam looks at; by default the deepest that still has places.
        target: The class to explain; by default what the network says.
        against: A class to tell it from: the difference of the two logits is explained.
        file_up: The axis that points up in the files.
        run.out: The folder to write; by default runs/explain.
    """
    from invert3d.study.explaining.job import explain_files
    from invert3d.study.inputs import read_inputs

    run = run.at("runs/explain")
    network = opening.open(model)
    table = explain_files(
        network,
        read_inputs(files, network.frozen.space, up=file_up),
        split_names(methods),
        layer=layer,
        options=run,
        target=target,
        against=against,
    )
    print_scores(table)
    print(f"open {run.folder() / 'index.html'}")
