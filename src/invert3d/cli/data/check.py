"""What is there of a data set, and what is missing."""

from invert3d.cli.options import Folder


def data_check(name: str, root: Folder | None = None) -> None:
    """What is there of a data set, and what is missing.

    Args:
        name: A name of invert3d data list.
        root: Where it is; by default it is looked for.
    """
    from invert3d.data.sources import check

    found = check(name, root)
    for finding in found:
        print(f"{finding.status}: {finding.text}")
    if any(finding.status != "present" for finding in found):
        raise SystemExit(1)
