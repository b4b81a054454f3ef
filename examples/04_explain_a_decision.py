"""
Explain a decision
==================

Why does this network say so? By two methods, for a network of clouds and one of voxel grids, and is it complete?
"""

import invert3d
from invert3d.data.worlds.shapes import make_clouds, make_grids

cloud, _ = make_clouds(["airplane"], 1, 512, seed=1)
found = invert3d.explain("pointnet_vanilla-shapes", cloud, "integrated_gradients", against="bench")
print(f"{found.facts['evaluations']} runs, incomplete by {found.facts['completeness_error'][0]:.2%}")
print("the points that matter most:", found.per_element("sum")[0].topk(3).indices.tolist())

grid, _ = make_grids(["chair"], 1, 32, seed=1)
found = invert3d.explain("voxnet-shapes", grid[:, None].astype("float32"), "guided")
print(f"{found.facts['rectifiers']} rectifiers found, all changed")
