"""
Make shapes
===========

A network that was trained against its own shapes makes new ones: gradient ascent on the score of a class.
"""

import invert3d

found = invert3d.generate("winn3d-modelnet10", ["chair", "toilet"], 2)
for name, grid, before, after in zip(found.classes, found.grids, found.before, found.chances, strict=True):
    print(f"{name}: {int(grid.sum())} voxels, probability {before:.2f} where it began and {after:.2f} in the end")
