"""Measure whether explanations are true: one table of networks and methods."""

from typing import Literal

from invert3d.cli.options import Count, MeasureOptions, Measuring, Names, Run, Running, distinct, split_names
from invert3d.cli.show import print_recorded, print_scores

#: what is measured if nothing else is asked for
MEASURED = ("pointnet-shapes", "pointnet2_ssg-shapes", "dgcnn-shapes", "voxnet-shapes")
NOTE = (
    "Deletion: lower is better; insertion: higher. Infidelity: 0 is best, 1 is chance. Jitter, rotation: "
    "relative change. Randomized: rank correlation after a quarter, half, three quarters and all of the layers are "
    "randomized. Curvature, edges: rank correlation, with a 95 % interval."
)


def evaluate_attribution(
    *models: str,
    methods: Names | None = None,
    per_class: Count = 1,
    points: Count = 1024,
    how: Literal["center", "resample", "empty", "blur"] | None = None,
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Measure whether explanations are true: one table of networks and methods.

    The table has completeness; deletion, insertion and infidelity; sensitivity to jitter (for grids: to a shift by one
    voxel) and to rotation; similarity after the weights are randomized; correlation with curvature and known edges.

    Args:
        models: Bundled weights, or a .toml file that names your own (see docs/papers/inverting3d.md); by default the
            networks of points and of voxels that were trained on procedural shapes.
        methods: Names, comma separated; random is a random ranking, as a baseline.
        per_class: Held-out shapes of each class; those that the network gets wrong are left out.
        points: Points per cloud, unless the file says otherwise.
        how: What happens to removed elements: points move to the center, or become copies of points that are kept
            (resample); voxels become empty, or the mean of their neighbors (blur).
        run.out: The run folder; by default runs/attribution.
    """
    from invert3d.jobs.execute import execute
    from invert3d.jobs.report import report
    from invert3d.jobs.rows import rows_of
    from invert3d.opening.networks import open_networks
    from invert3d.study.explaining.truth import attribution_job, headline

    networks = open_networks(distinct(models) or MEASURED, device=measuring.device, points=points)
    job = attribution_job(networks, split_names(methods), per_class=per_class, how=how, device=measuring.device)
    outcome = execute(job, run.at("runs/attribution")).whole()
    rows = rows_of(outcome)
    print_scores(report(outcome.path, "Are the explanations true?", rows, NOTE))
    if measuring.record:
        named = [{"table": f"attribution of {row['network']}", **row} for row in rows]
        print_recorded("explain", headline(rows), named)
