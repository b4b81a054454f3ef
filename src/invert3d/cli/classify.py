"""``invert3d classify``."""

from typing import Literal

from invert3d.cli.options import ModelOptions, Opening
from invert3d.cli.show import print_table


def classify(model: str, *files: str, file_up: Literal["z", "y"] = "z", opening: Opening = ModelOptions()) -> None:
    """Say what a network takes clouds, meshes, voxel grids or images for.

    Args:
        model: Bundled weights, package.module:factory, or an architecture with --checkpoint.
        files: Clouds .npy .npz .ply .pcd .txt .xyz, meshes .off .obj .stl .glb, shapes:airplane for a procedural shape;
            for a network of voxels .mat .binvox .npy .npz or meshes; for one of images what Pillow reads.
        file_up: The axis that points up in the files.
    """
    from invert3d.study.inputs import read_inputs

    network = opening.open(model)
    rows = []
    for name, x in read_inputs(files, network.frozen.space, up=file_up).items():
        network.frozen.space.validate(x[None])
        chances = network.frozen(x[None].to(network.frozen.device))[0].softmax(-1).cpu()
        best = chances.topk(min(3, len(chances)))
        rows.append([name, *(f"{network.classes[i]} {p:.2f}" for p, i in zip(best.values, best.indices, strict=True))])
    print_table(f"What {network.name} takes them for", ["shape", "first", "second", "third"][: len(rows[0])], rows)
