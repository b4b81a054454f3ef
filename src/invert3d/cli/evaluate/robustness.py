"""Measure how robust classifiers are to attacks, and whether the attacks were strong enough to say so."""

from invert3d.cli.options import Count, MeasureOptions, Measuring, Names, Run, Running, distinct, split_names
from invert3d.cli.show import print_recorded, print_scores

NOTE = (
    "Adversarial error: the share of inputs that a network gets wrong after an attack on itself, those included that "
    "it got wrong before. Saved: as a file holds them, voxels empty or full. Corrected by: of these, the share that "
    "another network gets right."
)


def evaluate_robustness(
    *attacks: str,
    models: Names = "voxnet-modelnet10,vrn-modelnet10",
    per_class: Count | None = 10,
    data: str | None = None,
    points: Count = 1024,
    table: str = "robustness",
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Attack classifiers in several ways, and let each classify what was made for the others.

    Args:
        attacks: NAME, NAME@STEPS, NAME:BUDGET,BUDGET, such as ifgsm@5:0.005,0.02 or flips:8,32,128 (invert3d recipes
            lists names); by default fgsm, pgd and noise, which is the control, and for voxels flips.
        models: Networks that take inputs of one shape, comma separated: bundled weights, or a .toml file that names
            your own (see docs/papers/inverting3d.md).
        per_class: Held-out shapes of each class.
        data: shapes, modelnet10-voxels, or the path of a ModelNet folder or .npz; by default as the first network's
            card says.
        points: Points per cloud.
        table: Name of the recorded table.
        run.out: The run folder; by default runs/robustness.
    """
    from invert3d.engine.space import Voxels
    from invert3d.jobs.report import report
    from invert3d.opening.networks import open_networks
    from invert3d.study.attacks.robustness import headline_of, robustness, warnings_of, ways_of
    from invert3d.study.explaining.held_out import held_out

    networks = open_networks(split_names(models) or [], device=measuring.device, points=points)
    first = networks[0]
    usual = ["fgsm", "pgd", "noise", *(("flips", "flips_at_random") if isinstance(first.frozen.space, Voxels) else ())]
    ways = ways_of(distinct(attacks) or usual)
    run = run.at("runs/robustness")
    shapes = held_out(first, per_class, run.seed, data)
    names = [first.classes[int(i)] for i in shapes.target]
    inputs = {f"{name}-{i:04d}": x for i, (name, x) in enumerate(zip(names, shapes.x, strict=True))}
    found = robustness(networks, inputs, names, ways, run)
    rows = [each.row() for each in found]
    signs = "".join(f" Warning: {each}." for each in warnings_of(found))
    print_scores(report(run.folder(), "How robust are these networks?", rows, NOTE + signs))
    if measuring.record:
        print_recorded("introspective", headline_of(found), [{"table": table, **row} for row in rows])
