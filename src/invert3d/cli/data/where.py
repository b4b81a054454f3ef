"""Say where to get a data set, and under what license."""


def data_where(name: str) -> None:
    """Say where to get a data set, its license and size, and which places are searched for it.

    Args:
        name: A name from invert3d data list.
    """
    from invert3d.data.sources import find_source, places

    source = find_source(name)
    print(f"{source.name}: {source.what}\nget it: {source.where}\nlicense: {source.license}\nsize: {source.size}")
    print(f"layout: {source.layout}\nsearched places:")
    for label, path in places(name):
        print(f"  {label}: {path}{'' if path.exists() else ' (not there)'}")
