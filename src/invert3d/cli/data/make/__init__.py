"""``invert3d data make ...``."""
