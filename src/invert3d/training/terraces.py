"""The two-view world in memory: pictures of terraces, several of each, with their cameras and styles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from invert3d.data.worlds.two_views import View, make_views, relative_pose
from invert3d.jobs.job import Job, Made, Unit
from invert3d.jobs.options import RunOptions
from invert3d.training.worlds import AT_ONCE, MakePictures, made_in_memory


@dataclass(frozen=True)
class Terraces:
    """M terraces, each seen from V places.

    Attributes:
        images: RGB of 0 to 255.
        rotations, eyes: of the cameras, as of ``two_views.Camera``.
        styles: places in ``worlds.terraces.STYLES``.
        source: what they are, in words.
    """

    images: UInt8[Tensor, "m v 3 s s"]
    rotations: Float[Tensor, "m v 3 3"]
    eyes: Float[Tensor, "m v 3"]
    styles: Int[Tensor, "m"]
    source: str

    def __len__(self) -> int:
        return len(self.styles)

    def poses(self, scene: Tensor, one: Tensor, other: Tensor) -> Float[Tensor, "b 6"]:
        """Relative poses of two views of scenes (B,), see ``two_views.relative_pose``."""
        first, second = ((self.rotations[scene, k].numpy(), self.eyes[scene, k].numpy()) for k in (one, other))
        return torch.from_numpy(relative_pose(*first, *second)).float()

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scene, first and second view (P,) of all pairs of views of one scene, in both orders."""
        views = self.images.shape[1]
        one, other = (~torch.eye(views, dtype=torch.bool)).nonzero().T
        scenes = torch.arange(len(self)).repeat_interleave(len(one))
        return scenes, one.repeat(len(self)), other.repeat(len(self))


def terraces_job(count: int, views: int, size: int) -> Job:
    """The job of making the first ``count`` terraces of a seed. Raises ValueError for none, or too small pictures."""
    make_views(0, 1, size=size)
    return Job(
        kind="terraces",
        units=tuple(Unit(name=f"{i:06d}") for i in range(count)),
        worker=MakePictures(make=make_views, scene={"views": views, "size": size}, keep=as_arrays),
        settings={"views": views, "size": size},
        capacity=AT_ONCE,
        label=f"making {count} terraces",
    )


def as_arrays(name: str, views: Sequence[View]) -> Made:
    """Pictures (V, S, S, 3), rotations (V, 3, 3) and eyes (V, 3)."""
    arrays: dict[str, Any] = {
        "images": np.stack([view.image for view in views]),
        "rotations": np.stack([view.camera.rotation for view in views]).astype(np.float32),
        "eyes": np.stack([view.camera.eye for view in views]).astype(np.float32),
    }
    return Made(facts={"style": views[0].style}, arrays={name: torch.from_numpy(each) for name, each in arrays.items()})


def make_terraces(count: int, views: int, size: int, *, seed: int = 0, options: RunOptions = RunOptions()) -> Terraces:
    """The first ``count`` terraces of a seed, made by the workers of ``options``. Raises KeyboardInterrupt."""
    made = list(made_in_memory(terraces_job(count, views, size), options, seed, "terraces"))
    images = torch.stack([each.arrays["images"].permute(0, 3, 1, 2) for each in made])
    rotations, eyes = (torch.stack([each.arrays[name] for each in made]) for name in ("rotations", "eyes"))
    styles = torch.tensor([each.facts["style"] for each in made])
    source = f"procedural terraces, {views} views each, seed {seed}, {size} x {size}"
    return Terraces(images.contiguous(), rotations, eyes, styles, source)
