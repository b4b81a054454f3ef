"""
Invert a layout
===============

In which picture would a 3-D detector see exactly these boxes? And does another detector see them too?
"""

import torch

import invert3d
from invert3d.data.kitti import usual_projection
from invert3d.evaluate.layouts import errors

detector = invert3d.open_detector("centernet3d-small")
layout = invert3d.Layout.of(
    ["Car", "Pedestrian"],
    sizes=torch.tensor([[1.5, 1.7, 4.1], [1.75, 0.6, 0.7]]),  # height, width, length in meters
    centers=torch.tensor([[-2.0, 1.65, 14.0], [3.0, 1.65, 11.0]]),  # of the bottom faces: right, down, forward
    yaws=torch.tensor([1.57, 0.0]),
    projection=usual_projection(96, 320),
    height=96,
    width=320,
)
run = invert3d.invert_boxes(detector, [layout], recipe=invert3d.layout_recipe("ours", detector, steps=60))
print(f"{run.steps[0]} steps; the detector reads {', '.join(run.found[0].kinds[:4])}")
print({name: round(value, 2) for name, value in errors(run.asked[0], run.found[0]).means().items()})
