"""
Invert a class
==============

What does a PointNet think a chair and a cup are? Six lines, a table, and the shapes as arrays.
"""

import invert3d

recipe = invert3d.load_recipe("ours", judge="own", steps=20, starts=2)
result = invert3d.invert("pointnet-shapes", ["chair", "cup"], recipe=recipe)
for name, cloud, right in zip(result.facts["names"], result.x, result.success, strict=True):
    print(f"{name}: {tuple(cloud.shape)} points in the unit sphere, {'as asked' if right else 'not as asked'}")
