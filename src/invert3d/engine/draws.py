"""Random numbers that belong to samples, so that a result never depends on its batch-mates.

Every sample has a key of its own, and all of them share one position in their streams. The words of a stream are a
function of key and position (a counter-based generator, Philox4x32-10), so a few tensor operations make those of a
whole batch on the device of the batch, and a sample draws the same numbers in any batch and on any device.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from invert3d.ops.seeds import seed_of

MULTIPLIERS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
MASK = 0xFFFFFFFF
#: words that are made ahead, of all samples: most draws are small, and to make a few words takes as long as many
AHEAD = 1 << 15
#: blocks that are worked on at once on a CPU: their words stay in its cache
CHUNK = 1 << 15
#: bits of a word that a uniform number takes, so that it is exact in its dtype and below 1
BITS = {torch.float64: 32, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}


class Draws:
    """One stream a sample, or a single one for a whole batch where batches are random anyway, as in training."""

    def __init__(self, keys: Tensor, position: int = 0) -> None:
        self.keys, self.position = keys, position
        self._ahead: tuple[int, Tensor] = (0, torch.empty(len(keys), 0, dtype=torch.int64))  # position, words (B, n)

    @classmethod
    def seeded(cls, seed: int, samples: Sequence[int | str], *path: str | int) -> "Draws":
        """The streams of the samples with these numbers or names, in the run with this seed.

        ``path`` names what draws, so that two of a sample's draws share no numbers: ``"views"``, ``"stage", 1``.
        """
        return cls(torch.tensor([seed_of(seed, *path, str(sample)) for sample in samples], dtype=torch.int64))

    def uniform(self, like: Tensor, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers (B, *shape) in [low, high), with the dtype and device of ``like`` and its batch size.

        They have 32 random bits in double precision, 24 in single.
        """
        words = self._words(like, math.prod(shape))
        return fractions(words, like.dtype).mul_(high - low).add_(low).view(len(like), *shape)

    def normal(self, like: Tensor, *shape: int) -> Tensor:
        """Standard normal numbers (B, *shape), with the dtype and device of ``like`` and its batch size.

        By the method of Box and Muller (1958).
        """
        count = math.prod(shape)
        half = (count + 1) // 2
        dtype = torch.promote_types(like.dtype, torch.float32)
        first, second = self._words(like, 2 * half).split(half, 1)
        radius = first.to(dtype).add_(0.5).mul_(2.0**-32).log_().mul_(-2).sqrt_()
        angle = fractions(second, dtype).mul_(2 * torch.pi)
        drawn = torch.cat([angle.cos().mul_(radius), angle.sin_().mul_(radius)], 1)
        return drawn[:, :count].to(like.dtype).reshape(len(like), *shape)

    def _words(self, like: Tensor, count: int) -> Tensor:
        """The next words (B, count) of every sample; those of a single stream are dealt to the whole batch."""
        if len(self.keys) == 1:
            return self._next(like.device, len(like) * count).view(len(like), count)
        if len(self.keys) != len(like):
            raise ValueError(f"draws of {len(self.keys)} samples for a batch of {len(like)}")
        return self._next(like.device, count)

    def _next(self, device: torch.device, count: int) -> Tensor:
        at, (start, words) = self.position, self._ahead
        self.position = end = at + count
        if words.device != device or end > start + words.shape[1]:
            start = at - at % 4
            words = philox(self.keys.to(device), start // 4, -(-(end - start + AHEAD // len(self.keys)) // 4))
            self._ahead = end, words[:, end - start :].clone()
        return words[:, at - start : end - start]

    def select(self, rows: Sequence[int]) -> "Draws":
        """The streams of the given rows of the batch only, at the same position."""
        return Draws(self.keys[list(rows)], self.position)

    def copy(self) -> "Draws":
        """The same streams at the same position, which go their own way from here."""
        return Draws(self.keys, self.position)

    def state(self) -> dict[str, Any]:
        """What must be saved to go on from here with ``Draws(**state)``: a tensor and a number."""
        return {"keys": self.keys, "position": self.position}


def fractions(words: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers in [0, 1) from words of 32 bits: their leading bits, as many as are exact in this dtype."""
    bits = BITS[dtype]
    return (words >> (32 - bits)).to(dtype).mul_(2.0**-bits)


def philox(keys: Tensor, first: int, blocks: int) -> Tensor:
    """Words (B, 4 * blocks) of 32 bits, as int64, of the streams with these keys (B,), from block ``first`` on.

    Philox4x32-10 with the block's number as its counter (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*,
    2011). Products of 32-bit words are taken modulo 2^64, where signed and unsigned ones have the same bits.
    """
    words = torch.empty(len(keys), blocks, 4, dtype=torch.int64, device=keys.device)
    step = max(1, CHUNK // max(1, len(keys))) if keys.device.type == "cpu" else max(1, blocks)
    for begin in range(0, blocks, step):
        _rounds(words[:, begin : begin + step], keys, first + begin)
    return words.flatten(1)


def _rounds(words: Tensor, keys: Tensor, first: int) -> None:
    """Fill words (B, n, 4) with the blocks from ``first`` on. Words 0 and 2 of a block change places in every round."""
    turns = torch.arange(10, device=keys.device)[:, None, None]
    rounds = torch.stack([keys & MASK, keys >> 32]) + turns * keys.new_tensor(WEYL)[:, None]  # keys (10, 2, B)
    rounds[::2] = rounds[::2].flip(1)
    factors = keys.new_tensor([MULTIPLIERS, MULTIPLIERS[::-1]])[..., None, None]
    counter = torch.arange(first, first + words.shape[1], device=keys.device).expand(words.shape[:2])
    even = torch.stack([counter & MASK, torch.zeros_like(counter)])  # words 0 and 2: (2, B, n)
    odd = torch.stack([counter >> 32, torch.zeros_like(counter)])  # words 1 and 3: their lower halves matter
    product = torch.empty_like(even)
    for turn, key in enumerate(rounds[..., None]):
        torch.mul(even, factors[turn % 2], out=product)
        torch.bitwise_right_shift(product, 32, out=even)
        even[0].bitwise_xor_(odd[1])
        even[1].bitwise_xor_(odd[0])
        even.bitwise_xor_(key).bitwise_and_(MASK)
        odd, product = product, odd
    for lane, value in enumerate((even[0], odd[0], even[1], odd[1])):
        torch.bitwise_and(value, MASK, out=words[..., lane])
