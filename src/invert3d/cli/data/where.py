"""Where to get a data set, and what it costs."""


def data_where(name: str) -> None:
    """Where to get a data set, what it costs, and where it is looked for.

    Args:
        name: A name of invert3d data list.
    """
    from invert3d.data.sources import find_source, places

    source = find_source(name)
    print(f"{source.name}: {source.what}\nget it: {source.where}\nlicense: {source.license}\nsize: {source.size}")
    print(f"layout: {source.layout}\nlooked for in:")
    for label, path in places(name):
        print(f"  {label}: {path}{'' if path.exists() else ' (not there)'}")
