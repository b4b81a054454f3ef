"""List the data sets that invert3d can read."""

from invert3d.cli.show import print_table


def data_list() -> None:
    """List the data sets that invert3d can read, and whether each is on this machine."""
    from invert3d.data.sources import list_sources, locate

    rows = [[s.name, "yes" if locate(s.name) else "no", s.size, s.what] for s in list_sources()]
    print_table(
        "Data", ["name", "here", "size", "what"], rows, "Licenses and where to get it: invert3d data where NAME"
    )
