"""``invert3d data``: a file for each of its commands."""
