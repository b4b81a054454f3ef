"""Say of a model: layout, output, determinism, where gradients die."""

from invert3d.cli.options import ModelOptions, Opening, Weights


def doctor(*, model: Weights, opening: Opening = ModelOptions()) -> None:
    """Say of a model: input layout, output, determinism, where gradients die."""
    import torch

    from invert3d.engine.diagnose import diagnose
    from invert3d.engine.draws import Draws
    from invert3d.engine.space import Points

    network = opening.open(model, classes=["?"])
    space = network.frozen.space
    like = torch.zeros(4, 0, dtype=network.frozen.dtype, device=network.frozen.device)
    x = space.start("ball" if isinstance(space, Points) else "uniform", like, Draws.seeded(0, range(4)))
    for line in diagnose(network.frozen, x).lines():
        print(line)
