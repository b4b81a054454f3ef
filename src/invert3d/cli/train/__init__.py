"""``invert3d train``: a file for each of its commands."""
