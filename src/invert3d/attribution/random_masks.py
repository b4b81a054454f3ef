"""What the score does when random parts of an image are shown: no derivative, and no layer, is asked for.

    A_p = sum_i F(x * m_i) m_ip / sum_i m_ip  -  sum_i F(x * m_i) (1 - m_ip) / sum_i (1 - m_ip)

is the mean score with a pixel less that without it, over masks m_i in [0, 1]. The first term alone, with the expected
sum in place of the sum, is the map of Petsiuk et al. 2018 (*RISE*); it differs by a constant and by chance. D-RISE
(Petsiuk et al. 2021) asks in the same way how much like a detection anything is that is found in x * m.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.attribution.removal import score_of
from invert3d.engine.draws import Draws
from invert3d.engine.model import Frozen
from invert3d.engine.objective import Objective
from invert3d.engine.space import Image
from invert3d.engine.tree import Tree, rows_of
from invert3d.registry import plain

#: masked images that are shown at once
AT_ONCE = 16


@plain("attribution", "rise")
class RISE(Method):
    """The mean score with a pixel shown less that with it hidden, over random ``masks`` (see the module).

    A mask is a grid of ``cells`` x ``cells``, of which each is shown with probability ``keep``, made larger than the
    image by one cell, smoothly, and moved by a random part of a cell. The masks are the same for every image.
    """

    takes = (Image,)
    masks: int = 500
    cells: int = 8
    keep: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.masks < 2 or self.cells < 2 or not 0 < self.keep < 1:
            given = f"{self.masks}, {self.cells} and {self.keep}"
            raise ValueError(f"masks and cells must be 2 or more and keep between 0 and 1, not {given}")

    @torch.no_grad()
    def __call__(self, model: Frozen, score: Objective, x: Tensor, target: Tree | None = None) -> Attribution:
        self.check(model.space)
        model.space.validate(x)
        maps = []
        for row, picture in enumerate(x):

            def answers(pictures: Tensor, row: int = row) -> Tensor:
                return score_of(model, score, pictures, rows_of(target, [row] * len(pictures)))[:, None]

            maps.append(self.maps(picture, answers)[0])
        values = torch.stack(maps)[:, None].expand_as(x) / x.shape[1]
        return Attribution(values, {"evaluations": self.masks})

    @torch.no_grad()
    def maps(self, picture: Float[Tensor, "3 h w"], answers: Callable[[Tensor], Tensor]) -> Float[Tensor, "q h w"]:
        """A map for each of the Q numbers that ``answers`` gives of masked pictures (M, 3, H, W): (M, Q)."""
        shown, hidden, told = 0.0, 0.0, 0.0  # sums over masks: of the masks, of what is hidden, of scores where shown
        unseen: Tensor | float = 0.0
        for masks in self.drawn(picture):
            scores = answers(picture * masks[:, None]).to(masks)
            told = told + torch.einsum("mq,mhw->qhw", scores, masks)
            unseen = unseen + torch.einsum("mq,mhw->qhw", scores, 1 - masks)
            shown, hidden = shown + masks.sum(0), hidden + (1 - masks).sum(0)
        return told / torch.as_tensor(shown).clamp_min(1e-6) - unseen / torch.as_tensor(hidden).clamp_min(1e-6)

    def drawn(self, picture: Float[Tensor, "3 h w"]) -> Iterator[Float[Tensor, "m h w"]]:
        """The masks of a picture, some at a time."""
        height, width = picture.shape[1:]
        steps = [-(-side // self.cells) for side in (height, width)]
        size = [(self.cells + 1) * step for step in steps]
        for start in range(0, self.masks, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, self.masks))
            draws, like = Draws.seeded(self.seed, numbers), picture.new_empty(len(numbers))
            grids = (draws.uniform(like, 0, 1, 1, self.cells, self.cells) < self.keep).to(picture)
            large = F.interpolate(grids, size, mode="bilinear")[:, 0].clamp(0, 1)  # rounding may exceed 1
            moves = (draws.uniform(like, 0, 1, 2) * picture.new_tensor(steps)).long().tolist()
            rows = zip(large, moves, strict=True)
            yield torch.stack([each[top : top + height, left : left + width] for each, (top, left) in rows])
