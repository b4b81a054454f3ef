"""Check a model: its input, its output, determinism, and where gradients die."""

from dataclasses import replace

from invert3d.cli.options import ModelOptions, Opening, Weights


def doctor(*, model: Weights, opening: Opening = ModelOptions()) -> None:
    """Check a model: its input layout, its output, determinism, and where gradients die.

    It also shows the model shapes of its classes with either axis up, rotated, and in other sizes or values. Which of
    these the model recognizes tells how its training data was oriented, and whether its class names are in order.
    """
    import torch

    from invert3d.engine.diagnose import diagnose
    from invert3d.engine.draws import Draws
    from invert3d.engine.progress import Meter
    from invert3d.engine.space import Image, Points
    from invert3d.study.recognition import wanted

    unnamed = replace(opening, class_names=None).open(model, classes=["?"])
    space = unnamed.frozen.space
    like = torch.zeros(4, 0, dtype=unnamed.frozen.dtype, device=unnamed.frozen.device)
    x = space.start("ball" if isinstance(space, Points) else "uniform", like, Draws.seeded(0, range(4)))
    with Meter(f"trying {model}"):
        found = diagnose(unnamed.frozen, x)
    print(*found.lines(), sep="\n", flush=True)
    if found.finite and not isinstance(space, Image):
        network = replace(opening, layout=found.layout or opening.layout).open(model)
        print(*wanted(network), sep="\n")
