"""``invert3d search descriptor``: the settings of a recipe with which descriptors are inverted best, by Optuna.

Each trial is a unit of a job. It draws values for the ranges of ``methods.ranges``, inverts all inputs with them, and
tells a storage that all workers share how well that went. With the sampler ``random`` a trial draws what follows from
the seed and its own name: any number of workers gives the same trials. With ``tpe`` it follows from the trials that are
done, so the order in which they are done counts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from invert3d.jobs.execute import Outcome
from invert3d.jobs.job import Context, Job, Made, Progress, Unit
from invert3d.jobs.provenance import digest, fingerprint
from invert3d.methods.descriptors import at_layer, describe
from invert3d.methods.ranges import Range, Value, check_ranges, varied
from invert3d.methods.recipes import recipe_table
from invert3d.methods.stages import Recipe, run_stages
from invert3d.objectives.features import relative_loss
from invert3d.opening.networks import Network
from invert3d.ops.seeds import seed_of
from invert3d.study.descriptors.job import Source

if TYPE_CHECKING:
    import optuna

Sampler = Literal["random", "tpe"]


@dataclass(frozen=True, kw_only=True)
class SearchDescriptor:
    """The worker: trials of one search.

    Attributes:
        x: the inputs (B, *space.shape) that each trial inverts.
        storage: a file, or the address of a database, that workers share.
        identity: of the search; a storage of another one is refused.
    """

    network: Network
    layer: str
    recipe: Recipe
    ranges: tuple[Range, ...]
    x: Tensor
    sampler: Sampler
    storage: str
    identity: str

    @property
    def device(self) -> str:
        """Where the network is."""
        return str(self.network.frozen.device)

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made]:
        import optuna

        made = []
        for i, unit in enumerate(units):
            context.report(i / len(units))
            study = opened(self.storage, self.identity, sampler_of(self.sampler, seed_of(context.seed, unit.name)))
            abandon(study, unit.name)
            trial = study.ask(fixed_distributions={each.path: distribution(each) for each in self.ranges})
            trial.set_user_attr("unit", unit.name)
            score = self.score(trial.params, context)
            failed = optuna.trial.TrialState.FAIL if math.isnan(score) else None
            study.tell(trial, None if failed else score, state=failed)
            made.append(Made(facts={"values": trial.params, "relative loss": None if failed else round(score, 8)}))
        return made

    def score(self, values: Mapping[str, Value], context: Context) -> float:
        """The mean relative loss of what files keep; NaN where what was found, or the loss it begins with, is not
        finite."""
        frozen = self.network.frozen
        x = self.x.to(frozen.device)
        wanted = describe(frozen, x, self.layer)
        recipe = at_layer(varied(self.recipe, values), self.layer)
        try:
            result, left = run_stages(
                frozen, wanted, recipe, seed=context.seed, recorders=[Progress(context, recipe.steps)]
            )
        except ValueError:  # the loop refuses values that give no number
            return math.nan
        if left is not None:
            raise KeyboardInterrupt
        return float(relative_loss(describe(frozen, frozen.space.saved(result.x), self.layer), wanted).mean())


def sampler_of(name: Sampler, seed: int) -> "optuna.samplers.BaseSampler":
    """A sampler of Optuna with a seed."""
    import optuna

    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed % 2**32)
    return optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True)


def opened(storage: str, identity: str, sampler: "optuna.samplers.BaseSampler") -> "optuna.Study":
    """The study in a storage, made where there is none. Raises ValueError if it belongs to another search."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept: Any = storage if "://" in storage else optuna.storages.JournalStorage(JournalFileBackend(storage))
    study = optuna.create_study(study_name="invert3d", storage=kept, sampler=sampler, load_if_exists=True)
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", identity)
    elif known != identity:
        raise ValueError(f"{storage} belongs to another search: name another --storage")
    return study


def abandon(study: "optuna.Study", name: str) -> None:
    """Close the trials of a unit that was interrupted."""
    import optuna

    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    for trial in running:
        if trial.user_attrs.get("unit") == name:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def distribution(what: Range) -> "optuna.distributions.BaseDistribution":
    """A range as Optuna has it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if what.choices:
        return CategoricalDistribution(what.choices)
    if what.whole:
        return IntDistribution(round(what.low), round(what.high))
    return FloatDistribution(what.low, what.high, log=what.log)


def search_job(
    network: Network,
    inputs: Mapping[str, Tensor],
    layer: str,
    recipe: str,
    ranges: Sequence[Range],
    *,
    trials: int = 200,
    sampler: Sampler = "random",
    storage: str,
) -> Job:
    """The job of a search on named inputs (*space.shape).

    Raises ValueError for no input, a layer or a place that is not there, a range that the recipe refuses, or if Optuna
    is not installed. A storage that belongs to another search is refused by the first trial.
    """
    if find_spec("optuna") is None:
        raise ValueError("searching needs Optuna: pip install 'invert3d[search]'")
    if not inputs:
        raise ValueError("name at least one input to invert")
    x = torch.stack(list(inputs.values()))
    network.frozen.space.validate(x)
    describe(network.frozen, x[:2], layer)
    chosen = Source.of(network, [layer], recipe).recipe
    assert chosen is not None
    check_ranges(chosen, ranges)
    settings = {
        "model": network.name,
        "weights": fingerprint(network.frozen.model),
        "layer": layer,
        "recipe": recipe_table(chosen),
        "vary": [repr(each) for each in ranges],
        "sampler": sampler,
        "inputs": digest(x),
    }
    identity = repr(settings)
    worker = SearchDescriptor(
        network=network,
        layer=layer,
        recipe=chosen,
        ranges=tuple(ranges),
        x=x,
        sampler=sampler,
        storage=storage,
        identity=identity,
    )
    units = tuple(Unit(name=f"trial-{k:05d}") for k in range(trials))
    return Job(kind="search", units=units, worker=worker, settings=settings, capacity=1, label=f"{trials} trials")


@dataclass(frozen=True, kw_only=True)
class Trials:
    """What a search found: of each trial that ended with numbers its name, values and relative loss, the best first;
    how many did not; how much each value matters (PED-ANOVA; NaN where there are too few trials), and the recipe with
    the best ones."""

    names: tuple[str, ...]
    values: tuple[dict[str, Value], ...]
    losses: tuple[float, ...]
    failed: int
    importance: dict[str, float]
    best: Recipe


def trials_of(outcome: Outcome) -> Trials:
    """What there is of a search. Raises KeyboardInterrupt if that is nothing, ValueError if all trials failed."""
    whole = list(outcome.each())
    if not whole:
        outcome.whole()
    found = [each for each in whole if each[1].facts["relative loss"] is not None]
    if not found:
        raise ValueError(f"none of {len(whole)} trials ended with numbers: choose smaller steps")
    found.sort(key=lambda each: (each[1].facts["relative loss"], each[0].name))
    worker: SearchDescriptor = outcome.job.worker  # type: ignore[assignment]
    values = tuple(dict(made.facts["values"]) for _, made in found)
    losses = tuple(float(made.facts["relative loss"]) for _, made in found)
    return Trials(
        names=tuple(unit.name for unit, _ in found),
        values=values,
        losses=losses,
        failed=len(whole) - len(found),
        importance=importance(worker.ranges, values, losses),
        best=varied(worker.recipe, values[0]),
    )


def importance(
    ranges: Sequence[Range], values: Sequence[Mapping[str, Value]], losses: Sequence[float]
) -> dict[str, float]:
    """How much each value matters for the loss to be among the best, shares that add up to 1 (Watanabe et al. 2023)."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for each, loss in zip(values, losses, strict=True):
        known = {one.path: distribution(one) for one in ranges}
        study.add_trial(optuna.trial.create_trial(params=dict(each), distributions=known, value=loss))
    if len(values) < 10 or len(set(losses)) < 2:
        return {each.path: float("nan") for each in ranges}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
