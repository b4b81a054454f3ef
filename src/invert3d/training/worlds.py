"""A procedural world as a job of one unit a picture."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from invert3d.engine.progress import Meter
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.job import Context, Job, Made, Unit
from invert3d.jobs.options import RunOptions

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


def made_in_memory(job: Job, options: RunOptions, seed: int, what: str) -> Iterator[Made]:
    """What is kept of each picture of a seed, in order, made by the workers of ``options`` through a temporary folder.

    Raises KeyboardInterrupt after Ctrl-C.
    """
    crew = replace(options, out=None, seed=seed, threads=1, resume=False, overwrite=False)
    outcome, count = execute(job, crew).whole(), len(job.units)
    with Meter(f"reading {count} {what}", count, show=crew.progress) as meter:
        for i, (_, made) in enumerate(outcome.each()):
            yield made
            meter.update(i + 1)


def linked(outcome: Outcome) -> tuple[list[str], list[dict[str, Any]]]:
    """Put the files of all pictures of a finished run where a reader of the world's form looks for them.

    Returns their names and all their COCO annotations.
    """
    names, found = [], []
    for unit, made in outcome.each():
        for file in made.files:
            link(outcome.path / "units" / unit.name / file, outcome.path / file)
        names.append(unit.name)
        found += made.facts["annotations"]
    return names, found


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
