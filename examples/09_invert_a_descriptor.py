"""
Invert a descriptor
===================

What does a network that finds the pose of pictures keep of one? Find a picture that it describes alike.
"""

import torch

import invert3d
from invert3d.data.worlds.samples import picture

x = torch.from_numpy(picture("terraces", 0, 100)).permute(2, 0, 1)[None] / 255
found = invert3d.invert_descriptor("posenet-facades", x, ["conv4", "fc5"], steps=60)
for layer, loss, saved in zip(found.layers, found.loss, found.loss_saved, strict=True):
    print(f"{layer}: relative loss {loss:.3f}, {saved:.3f} of the saved picture")
