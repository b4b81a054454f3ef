"""Commands called from a test, in this process."""

from __future__ import annotations

from cyclopts import CycloptsError

from invert3d import cli


def words_of(*words: object, **options: object) -> list[str]:
    """The words of a call as they are typed: ``per_class=2`` is ``--per-class 2``, None is left out."""
    typed = [str(word) for word in words]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            typed += [flag] if value else [f"--no-{flag[2:]}"]
        elif isinstance(value, tuple):
            typed += [flag, *map(str, value)]
        elif value is not None:
            typed += [flag, str(value)]
    return typed


def command(*words: object, **options: object) -> None:
    """Run a command. What it refuses is a ValueError here, with the sentence that a user reads."""
    try:
        cli.app(words_of(*words, **options), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise ValueError(cli.sentence(error)) from error
