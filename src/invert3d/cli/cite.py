"""Print what to cite."""


def cite() -> None:
    """Print what to cite: invert3d, and the paper its inversion of classifiers comes from."""
    from invert3d import __version__

    print(f"""@software{{invert3d,
  title = {{invert3d: look inside 3-D vision networks}},
  author = {{The invert3d authors}},
  version = {{{__version__}}},
  year = {{2026}}
}}
@misc{{agarwalla_inverting3d,
  title = {{Inverting 3D Deep Learning Architectures}},
  author = {{Agarwalla, Abhinav and Mittal, Paritosh and Gupta, Shubham}}
}}""")
