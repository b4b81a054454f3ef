"""Compare how well networks find the relative pose of two pictures."""

from invert3d.cli.options import distinct
from invert3d.cli.show import print_recorded, print_scores


def evaluate_pose(*models: str, record: bool = False) -> None:
    """Compare networks by the errors of relative poses on their cards. Nothing is measured again.

    Args:
        models: Networks: posenet-facades, which is the default, or paths of cards (invert3d train posenet).
        record: Also write the numbers to docs/results.
    """
    from invert3d.jobs.report import in_columns
    from invert3d.study.descriptors.pose import NOTE, pose_row

    rows = [pose_row(each) for each in distinct(models) or ["posenet-facades"]]
    columns, cells = in_columns(rows)
    print_scores({"title": "Relative poses of two pictures", "columns": columns, "rows": cells, "note": NOTE})
    if record:
        print_recorded("descriptor", {}, [{"table": "pose", **row} for row in rows])
