"""Say which files of a data set are present, missing or damaged."""

from invert3d.cli.options import Folder


def data_check(name: str, root: Folder | None = None) -> None:
    """Say which files of a data set are present, missing or damaged.

    Args:
        name: A name from invert3d data list.
        root: The folder of the data set; by default the usual places are searched.
    """
    from invert3d.data.sources import check

    found = check(name, root)
    for finding in found:
        print(f"{finding.status}: {finding.text}")
    if any(finding.status != "present" for finding in found):
        raise SystemExit(1)
