"""Where random numbers come from: one derivation for the whole library, and the seeds that are held out.

A run has one seed. Whatever draws in it (a unit, a stage, a judge) has a name, and its own seed follows from both::

    seed_of(0, "airplane-2", "stage 1", "views")

so that no two draws ever share numbers by accident, as ``seed + stage`` lets them.
"""

import hashlib

import numpy as np

#: added to the seed of the training data: nothing bundled was trained on shapes or streets of these seeds
HELD_OUT = 1_000_003
#: the seed of procedural shapes that are given by name (``shapes:chair``)
NAMED_SHAPES = 1
#: that of the shapes that explanations are measured on, and that of those that Chamfer distances go to
EXPLAINED_SHAPES = 7_000
REFERENCE_SHAPES = 2_000_003


def seed_of(seed: int, *path: str | int) -> int:
    """A seed in [0, 2^63) for the draws named by ``path`` in a run with this seed.

    ``numpy.random.SeedSequence`` with the run's seed as entropy and the SHA-256 of the path as spawn key.

    Raises ValueError for a negative seed.
    """
    if seed < 0:
        raise ValueError(f"a seed must be 0 or more, not {seed}")
    digest = hashlib.sha256("\0".join(map(str, path)).encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    return int(np.random.SeedSequence(seed, spawn_key=words).generate_state(1, np.uint64)[0] >> np.uint64(1))
