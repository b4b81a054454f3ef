"""How the rate of a stepper falls over a run. Every schedule is registered, so a recipe names it."""

import math

from invert3d.registry import plain


class Schedule:
    """``progress`` -> the share of the rate: progress is 0 at the first step of a run and 1 at the last.

    Subclasses are frozen keyword-only dataclasses of plain values.
    """

    def __call__(self, progress: float) -> float:
        raise NotImplementedError


@plain("schedule", "constant")
class Constant(Schedule):
    """The whole rate at every step."""

    def __call__(self, progress: float) -> float:
        return 1.0


@plain("schedule", "cosine")
class Cosine(Schedule):
    """Half a period of a cosine, from the whole rate to zero (Loshchilov & Hutter 2017)."""

    def __call__(self, progress: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * progress))


@plain("schedule", "step")
class StepDecay(Schedule):
    """The rate times ``factor`` after every ``period``, a share of the run.

    A factor of 0.6 after each quarter is what the published layout inversions do, every 500 of 2,000 steps.
    """

    factor: float = 0.6
    period: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1 or not 0 < self.period <= 1:
            raise ValueError(f"factor and period of a step decay must be in (0, 1], not {self.factor}, {self.period}")

    def __call__(self, progress: float) -> float:
        return self.factor ** min(math.ceil(1 / self.period) - 1, int(progress / self.period))
