"""Data: readers for what people have, where to find it, and procedural worlds for everything else."""
