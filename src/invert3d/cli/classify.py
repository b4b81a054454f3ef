"""Classify clouds, meshes, voxel grids or images."""

from invert3d.cli.options import Files, ModelOptions, Opening, Up, Weights
from invert3d.cli.show import print_table


def classify(model: Weights, *files: Files, file_up: Up = "z", opening: Opening = ModelOptions()) -> None:
    """Print the most probable classes of clouds, meshes, voxel grids or images, and their probabilities."""
    from invert3d.opening.inputs import read_inputs

    network = opening.open(model)
    rows = []
    for name, x in read_inputs(files, network.frozen.space, up=file_up, facing=network.facing).items():
        network.frozen.space.validate(x[None])
        chances = network.frozen(x[None].to(network.frozen.device))[0].softmax(-1).cpu()
        best = chances.topk(min(3, len(chances)))
        rows.append([name, *(f"{network.classes[i]} {p:.2f}" for p, i in zip(best.values, best.indices, strict=True))])
    header = ["shape", "first", "second", "third"][: len(rows[0])]
    print_table(f"Classes and probabilities, {network.name}", header, rows, network.guessed.strip())
