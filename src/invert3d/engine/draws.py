"""Random numbers that belong to samples, so that a result never depends on its batch-mates.

Each sample of a batch has a generator of its own, seeded by the run's seed and the sample's number. When finished
samples leave the batch, the others go on drawing what they would have drawn.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


class Draws:
    """One generator a sample (or one for all, where batches are random anyway, as in training)."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self.generators = list(generators)

    @classmethod
    def seeded(cls, seed: int, samples: Sequence[int]) -> "Draws":
        """The generators of the samples with these numbers in the run with this seed."""
        mixed = [(seed * 1_000_003 + sample * 7_919 + 12_345) % (2**63 - 1) for sample in samples]
        return cls([Generator().manual_seed(value) for value in mixed])

    def uniform(self, like: Tensor, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers (B, *shape) in [low, high), with the dtype and device of ``like`` and its batch size."""
        return low + (high - low) * self._draw(torch.rand, like, shape)

    def normal(self, like: Tensor, *shape: int) -> Tensor:
        """Standard normal numbers (B, *shape), with the dtype and device of ``like`` and its batch size."""
        return self._draw(torch.randn, like, shape)

    def _draw(self, draw, like: Tensor, shape: Sequence[int]) -> Tensor:
        if len(self.generators) == 1:
            drawn = draw(len(like), *shape, generator=self.generators[0], dtype=like.dtype)
        else:
            drawn = torch.stack([draw(*shape, generator=each, dtype=like.dtype) for each in self.generators])
        return drawn.to(like.device, non_blocking=True)

    def select(self, rows: Sequence[int]) -> "Draws":
        """The same generators for the given rows of the batch only."""
        return self if len(self.generators) == 1 and len(rows) == 1 else Draws([self.generators[i] for i in rows])

    def copy(self) -> "Draws":
        """Generators in the same state, which go their own way from here."""
        return copy.deepcopy(self)

    def state(self) -> list[Tensor]:
        """What must be saved to go on from here."""
        return [each.get_state() for each in self.generators]

    @classmethod
    def restored(cls, states: Sequence[Tensor]) -> "Draws":
        """The generators whose ``state()`` was saved."""
        generators = [Generator() for _ in states]
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        return cls(generators)
