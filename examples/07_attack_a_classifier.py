"""
Attack a classifier
===================

How many voxels must be flipped until a VoxNet is wrong about a chair? Each grid stays empty or full.
"""

import torch

import invert3d
from invert3d.data.worlds.shapes import make_grids

network = invert3d.open_network("voxnet-shapes")
grids = torch.from_numpy(make_grids(["chair", "lamp"], 1, 32, seed=5)[0])[:, None].float()
for recipe in ("flips", "flips_surface"):
    found = invert3d.attack(network, grids, recipe, classes=["chair", "lamp"], budget=16)
    for name, says, flips in zip(found.classes, found.after_saving, found.sizes["l0"].tolist(), strict=True):
        print(f"{recipe}: a {name} with {flips:.0f} voxels flipped is classified as {says}")
