"""``invert3d invert``: a file for each of its commands."""
