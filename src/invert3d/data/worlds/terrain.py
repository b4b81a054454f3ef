"""The ground of a street: the road's plane and the raised pavements with their kerbs, as one template."""

import numpy as np

from invert3d.data.worlds.parts import Part, joined
from invert3d.data.worlds.road import Road
from invert3d.data.worlds.templates import Material, Template
from invert3d.data.worlds.tracing import Instance

_FAR = 130.0


def ground_instance(road: Road) -> Instance:
    """The ground round the camera as an instance, in camera coordinates."""
    y = road.height
    plane = np.array([[-900, y, -30], [900, y, -30], [900, y, 900], [-900, y, 900]])
    stretches = [(-12.0, _FAR)]
    if road.crossing is not None:  # no pavement on the side road
        half = road.side_width / 2
        stretches = [(-12.0, road.crossing - half), (road.crossing + half, _FAR)]
    sides = zip(road.edges, (-1, 1), strict=True)
    slabs = [_slab(road, edge, sign, start, end) for edge, sign in sides for start, end in stretches]
    whole = joined([Part(plane, np.array([[0, 1, 2], [0, 2, 3]])), *slabs])
    points, triangles = whole.vertices, whole.faces
    template = Template(
        vertices=points.astype(np.float32),
        faces=triangles.astype(np.int32),
        normals=np.zeros((len(triangles), 3, 3), np.float32),  # ground is flat: the stage takes those of its faces
        colors=np.full((len(triangles), 3), 0.3, np.float32),
        materials=np.full(len(triangles), Material.GROUND, np.int8),
        size=(0.0, 0.0, 0.0),
    )
    return Instance(template, (0.0, 0.0, 0.0), 0.0, contact=False)


def _slab(road: Road, edge: float, sign: int, start: float, end: float) -> Part:
    """A raised side from the kerb far out: its top, its kerb and the kerbs of its ends."""
    s = np.linspace(start, end, 14 if road.bend else 2)
    low, high = road.height, road.height - road.kerb
    rows = []
    for t, y in ((edge, low), (edge, high), (edge + sign * 90.0, high), (edge + sign * 90.0, low)):
        x, z = road.place(s, t)
        rows.append(np.stack([x, np.full_like(x, y), z], -1))
    points = np.concatenate(rows)
    count = len(s)
    k = np.arange(count - 1)
    faces = []
    for row in (0, 1):
        a, b = row * count + k, (row + 1) * count + k
        faces += [np.stack([a, a + 1, b], -1), np.stack([b, a + 1, b + 1], -1)]
    for a, b, c, d in (np.arange(4) * count, np.arange(4) * count + count - 1):
        faces.append(np.array([[a, b, c], [a, c, d]]))
    return Part(points, np.concatenate(faces))
