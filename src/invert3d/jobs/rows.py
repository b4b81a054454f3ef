"""Jobs whose units are rows of one table: each row is what a function returns for a few plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from invert3d.jobs.execute import Outcome
from invert3d.jobs.job import Context, Job, Made, Unit, file_name


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The worker: ``function(**values of the unit, **common, seed=seed)``, which returns a row of plain values.

    The function stands at the top of its module, so that other processes find it.
    """

    function: Callable[..., dict[str, Any]]
    common: Mapping[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """Where the work is done."""
        return str(self.common.get("device", "cpu"))

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made]:
        made = []
        for i, unit in enumerate(units):
            context.report(i / len(units), unit.name)
            made.append(Made(facts=self.function(**unit.values, **self.common, seed=context.seed)))
        return made


def rows_job(
    kind: str, function: Callable[..., dict[str, Any]], rows: Sequence[Mapping[str, Any]], **common: Any
) -> Job:
    """A job of one unit a row, named by the row's values; ``common`` are the values that all rows share.

    Raises ValueError if there is no row, or two are the same.
    """
    units = tuple(Unit(name=file_name("-".join(map(str, row.values()))), values=dict(row)) for row in rows)
    settings = {name: value for name, value in common.items() if name != "device"}
    worker, label = Rows(function=function, common=common), f"measuring {len(units)} rows"
    return Job(kind=kind, units=units, worker=worker, settings=settings, capacity=1, label=label)


def rows_of(outcome: Outcome) -> list[dict[str, Any]]:
    """The rows that are there."""
    return [dict(made.facts) for _, made in outcome.each()]
