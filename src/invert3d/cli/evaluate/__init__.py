"""``invert3d evaluate``: a file for each of its commands."""
