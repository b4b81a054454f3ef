"""A procedural world as a job of one unit a picture."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invert3d.jobs.job import Context, Made, Unit

AT_ONCE = 16  # pictures a batch


@dataclass(frozen=True, kw_only=True)
class MakePictures:
    """The worker: ``make`` a picture from its number, the seed and the words of ``scene``, and ``keep`` some of it."""

    make: Callable[..., Any]
    scene: Mapping[str, Any]
    keep: Callable[[str, Any], Made]

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made]:
        made = []
        for i, unit in enumerate(units):
            context.report(i / len(units))
            made.append(self.keep(unit.name, self.make(int(unit.name), seed=context.seed, **self.scene)))
        return made


def link(file: Path, target: Path) -> None:
    """The same file at another place, without a second copy on the disk where its file system can do that.

    Text is copied: who edits a label edits that and not what ``--resume`` compares.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        (shutil.copyfile if file.suffix == ".txt" else os.link)(file, target)
    except OSError:
        shutil.copyfile(file, target)
