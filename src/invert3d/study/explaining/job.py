"""``invert3d.explain``: from a model and inputs to attributions, pictures and one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invert3d.attribution.attribution import Attribution, Method
from invert3d.attribution.features import GradCAM
from invert3d.engine.draws import Draws
from invert3d.engine.objective import Objective
from invert3d.engine.progress import Meter
from invert3d.engine.space import Points, Space, Voxels
from invert3d.evaluate.attribution import named, occupied, removed
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.folder import write_json
from invert3d.jobs.job import Context, Job, Made, Unit, file_name
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import digest, fingerprint
from invert3d.objectives.classes import ClassScore, Contrast
from invert3d.opening.networks import Network, open_network
from invert3d.registry import lookup
from invert3d.study.explaining.pictures import Explained, draw, reduction_of

#: inputs that are explained together
AT_ONCE = 4
RANDOM = "at_random"  # how elements are taken away beside those that the methods name

#: what is shown if nothing else is asked for, by what the network takes
METHODS = {
    "points": ("gradient", "guided", "integrated_gradients", "point_saliency", "occlusion"),
    "voxels": ("gradient", "input_x_gradient", "guided", "integrated_gradients", "occlusion", "grad_cam"),
    "image": ("gradient", "guided", "integrated_gradients", "occlusion", "grad_cam"),
}


def explain(
    model: str | Network,
    x: Tensor | np.ndarray,
    method: str | Method = "integrated_gradients",
    *,
    target: str | Sequence[str] | None = None,
    against: str | None = None,
    score: Objective | None = None,
) -> Attribution:
    """Say which points, voxels or pixels made a frozen classifier decide as it did.

    Args:
        model: bundled weights by name, or an opened ``Network`` (see ``open_network`` for your own).
        x: clouds (B, N, 3) in the unit sphere, z up; grids (B, 1, S, S, S) of 0 and 1; images (B, 3, H, W) in [0, 1].
        method: a name (``gradient``, ``guided``, ``integrated_gradients``, ...) or a ``Method``.
        target: the class to explain, or one for each input; by default what the network says.
        against: a class to tell it from: the difference of their logits is explained.
        score: any other function of the outputs to explain, as an ``Objective`` (of which minus is explained).

    Returns:
        An ``Attribution`` with values like x.

    Raises:
        ValueError: for an unknown class, method or weights, an input that is not legal, or one the method does not
            explain.
    """
    network = model if isinstance(model, Network) else open_network(model)
    inputs = torch.as_tensor(x).to(network.frozen.dtype)
    if isinstance(network.frozen.space, Points) and inputs.dim() == 3:
        network = network.with_points(inputs.shape[1])
    checked(network.frozen.space, inputs)
    chosen = lookup("attribution", method)() if isinstance(method, str) else method
    classes = targets_of(network, inputs, target)
    if score is None:
        score = ClassScore() if against is None else Contrast(against=network.index(against))
    return chosen(network.frozen, score, inputs.to(network.frozen.device), classes)


def checked(space: Space, x: Tensor) -> None:
    """Raise ValueError for inputs that are not legal, among them grids that are not 0 and 1."""
    space.validate(x)
    if isinstance(space, Voxels) and not ((x == 0) | (x == 1)).all():
        inside = float(((x > 0) & (x < 1)).double().mean())
        raise ValueError(f"occupancy is 0 or 1, but {inside:.1%} of the voxels lie between: threshold the grids first")


def targets_of(network: Network, x: Tensor, target: str | Sequence[str] | None) -> Tensor:
    """The classes (B,) to explain."""
    if target is None:
        with torch.no_grad():
            return network.frozen(x.to(network.frozen.device)).argmax(-1)
    names = [target] * len(x) if isinstance(target, str) else list(target)
    if len(names) != len(x):
        raise ValueError(f"{len(names)} targets for {len(x)} inputs")
    return torch.tensor([network.index(name) for name in names], device=network.frozen.device)


def default_methods(space: Space) -> tuple[str, ...]:
    """What is shown of an input of this kind."""
    return METHODS["points" if isinstance(space, Points) else "voxels" if isinstance(space, Voxels) else "image"]


@dataclass(frozen=True, kw_only=True)
class ExplainInputs:
    """The worker: a batch of inputs, each explained by all methods.

    ``strict`` raises where a method does not fit the network; otherwise it is left out, and why is said. ``test`` is
    a share of the input that is taken away: what each method names, and as much at random.
    """

    network: Network
    methods: tuple[tuple[str, Method], ...]
    against: str | None = None
    strict: bool = True
    test: float | None = None

    @property
    def device(self) -> str:
        """Where the network is."""
        return str(self.network.frozen.device)

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made]:
        x = torch.stack([unit.values["x"] for unit in units])
        targets = [unit.values["target"] for unit in units]
        found: dict[str, Attribution] = {}
        left_out: list[str] = []
        for i, (name, method) in enumerate(self.methods):
            context.report(i / len(self.methods), name.replace("_", " "))
            try:
                found[name] = explain(self.network, x, method, target=targets, against=self.against)
            except ValueError as error:
                if self.strict:
                    raise
                left_out.append(str(error))
        with torch.no_grad():
            chances = self.network.frozen(x.to(self.network.frozen.device)).softmax(-1).cpu()
        gone: dict[str, Tensor] = {}
        if self.test is not None:
            draws = Draws.seeded(context.seed, [unit.name for unit in units], "test")
            ranked = {RANDOM: draws.uniform(x, 0, 1, *occupied(x).shape[1:])}
            ranked |= {k: v.per_element(reduction_of(k, self.network.frozen.space)).cpu() for k, v in found.items()}
            gone = {name: named(x, values, self.test) for name, values in ranked.items()}
        answers = {name: self.answers(x, each) for name, each in gone.items()}
        made = []
        for i in range(len(units)):
            facts = {
                name: {key: each_of(value, i) for key, value in each.facts.items()} for name, each in found.items()
            }
            for name in found if gone else ():
                facts[name] |= {"without": answers[name][i], "without random": answers[RANDOM][i]}
            arrays = {"x": x[i], "chances": chances[i], **{name: each.values[i] for name, each in found.items()}}
            arrays |= {f"gone.{name}": each[i] for name, each in gone.items()}
            made.append(Made(facts={"target": targets[i], "methods": facts, "left_out": left_out}, arrays=arrays))
        return made

    @torch.no_grad()
    def answers(self, x: Tensor, gone: Tensor) -> list[str]:
        """What the network says of each input without the elements that are gone."""
        frozen = self.network.frozen
        less = removed(x, ~gone, "center" if isinstance(frozen.space, Points) else "empty")
        return said_by(self.network, frozen(less.to(frozen.device)).softmax(-1))


def said_by(network: Network, chances: Tensor) -> list[str]:
    """The likeliest of the classes by their chances (B, classes), each as "chair 98%"."""
    sure, says = chances.max(-1)
    return [f"{network.classes[i]} {p:.0%}" for i, p in zip(says.tolist(), sure.tolist(), strict=True)]


def each_of(value: Any, i: int) -> Any:
    """What a fact says of input i: facts that are lists have an entry for each."""
    return value[i] if isinstance(value, list) and not isinstance(value[0] if value else "", str) else value


def explain_files(
    network: Network,
    inputs: dict[str, Tensor],
    methods: Sequence[str] | None = None,
    *,
    options: RunOptions,
    test: float | None = None,
) -> dict[str, Any]:
    """Explain named inputs (*space.shape) by several methods into a run folder. Returns the table.

    With ``test``, a share, it also says what the network answers without that share of the points or voxels, those that
    a method names, and as many at random: an explanation that is true costs more than chance.

    The folder gets attributions.safetensors, table.json, figure.png, a PLY a cloud or grid and method, and index.html.

    Raises ValueError as ``explaining_job``, and KeyboardInterrupt after Ctrl-C; what was done is in the folder.
    """
    outcome = execute(explaining_job(network, inputs, methods, test=test), options).whole()
    with Meter("drawing", show=options.progress):
        return write_explanations(outcome, network)


def explaining_job(
    network: Network,
    inputs: dict[str, Tensor],
    methods: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    target: str | Sequence[str] | None = None,
    against: str | None = None,
    test: float | None = None,
    truth: Mapping[str, str] | None = None,
) -> Job:
    """The job of explaining named inputs, some of which are known (``truth``) to be of a class.

    Raises ValueError for an unknown class, layer or method, an input that is not legal, or a method that does not fit.
    """
    space, asked = network.frozen.space, list(methods or default_methods(network.frozen.space))
    for name in asked:
        lookup("attribution", name)().check(space)
    if layer is not None and "grad_cam" not in asked:
        raise ValueError("a layer was named, but only grad_cam looks at one: add it to the methods")
    if layer is not None and layer not in network.frozen.module_names:
        raise ValueError(f"{network.name} has no layer {layer!r}; nearest: {', '.join(network.frozen.nearest(layer))}")
    if test is not None and not 0 < test < 1:
        raise ValueError(f"the share that is taken away must lie between 0 and 1, not {test}")
    if test is not None and not isinstance(space, Points | Voxels):
        raise ValueError(f"a test takes points or voxels away; {network.name} takes {network.takes}")
    for name, x in inputs.items():
        if isinstance(space, Voxels) and not x.any():
            raise ValueError(f"{name}: nothing in the grid is filled")
    x = torch.stack(list(inputs.values()))
    checked(space, x)
    targets = targets_of(network, x, target)
    if test is not None and float((test * occupied(x).flatten(1).sum(1)).min()) <= 0.5:
        raise ValueError(f"a share of {test:g} of an input is not one point or voxel: nothing would be taken away")
    if against is not None and (targets == network.index(against)).any():
        raise ValueError(f"{against} against itself explains nothing: name another class to tell it from")
    names = [network.classes[i] for i in targets.tolist()]
    chosen = tuple(
        (name, GradCAM(layer=layer) if layer and name == "grad_cam" else lookup("attribution", name)())
        for name in asked
    )
    return Job(
        kind="explanations",
        units=tuple(
            Unit(
                name=file_name(label),
                values={"x": each, "target": name, "label": label, "truth": (truth or {}).get(label)},
            )
            for (label, each), name in zip(inputs.items(), names, strict=True)
        ),
        worker=ExplainInputs(network=network, methods=chosen, against=against, strict=methods is not None, test=test),
        settings={
            "model": network.name,
            "args": network.options,
            "weights": fingerprint(network.frozen.model),
            "inputs": digest(x),
            "methods": [repr(method) for _, method in chosen],
            "targets": names,
            "against": against,
            "test": test,
        },
        capacity=AT_ONCE,
        label=f"explaining {len(inputs)} input{'s' * (len(inputs) > 1)}",
    )


def write_explanations(outcome: Outcome, network: Network, against: str | None = None) -> dict[str, Any]:
    """Table, pictures and page of a job's explanations, into its folder. Returns the table."""
    units, made = zip(*outcome.each(), strict=True)
    names = [unit.values["label"] for unit in units]
    known = [name for name, _ in outcome.job.worker.methods if all(name in each.facts["methods"] for each in made)]  # type: ignore[attr-defined]
    chances = torch.stack([each.arrays["chances"] for each in made])
    table = table_of(network, names, [each.facts for each in made], chances, known, against)
    if (share := outcome.job.settings["test"]) is not None:
        table["note"] += (
            f" Without: the prediction after {share:.0%} are removed, those ranked highest or as many at random."
        )
    table["note"] += network.guessed
    reasons = dict.fromkeys(reason for each in made for reason in each.facts["left_out"])
    table["note"] += "".join(f" Left out: {reason}." for reason in reasons)
    write_json(outcome.path / "table.json", table)
    explained = [
        Explained(
            name=unit.values["label"],
            x=each.arrays["x"],
            target=each.facts["target"],
            truth=unit.values["truth"],
            says=says,
            found={name: Attribution(each.arrays[name][None]) for name in known},
            without=answers_without(each, known),
        )
        for unit, each, says in zip(units, made, said_by(network, chances), strict=True)
    ]
    draw(outcome.path, network, explained, table)
    return table


def answers_without(made: Made, methods: Sequence[str]) -> dict[str, tuple[Tensor, str]]:
    """What was taken away by a test, at random and as each method says, and the answer then."""
    facts = made.facts["methods"]
    said = {RANDOM: facts[methods[0]].get("without random"), **{name: facts[name].get("without") for name in methods}}
    return {name: (made.arrays[f"gone.{name}"], answer) for name, answer in said.items() if answer is not None}


def table_of(
    network: Network,
    names: Sequence[str],
    facts: Sequence[Mapping[str, Any]],
    chances: Tensor,
    methods: Sequence[str],
    against: str | None,
) -> dict[str, Any]:
    """What the network says of each input, and what each method cost and how complete it is."""
    rows, missed = [], []
    for i, (name, says) in enumerate(zip(names, said_by(network, chances), strict=True)):
        for method in methods:
            each = facts[i]["methods"][method]
            error, used = each.get("completeness_error"), each.get("evaluations_each", each["evaluations"])
            rows.append(
                [
                    name,
                    says,
                    facts[i]["target"],
                    method.replace("_", " "),
                    used,
                    "–" if error is None else f"{error:.2%}",
                    each.get("rectifiers", "–"),
                    *(each[key] for key in ("without", "without random") if key in each),
                ]
            )
            if error is not None and error > each.get("tolerance", 1):
                equal = ", in equal steps" if each.get("equal_steps") else ""
                missed.append(f"{name} {error:.1%} after {used} runs{equal}")
    versus = f" against {against}" if against else ""
    columns = ["input", "prediction", "explained class", "method", "runs", "completeness error", "rectifiers"]
    if rows and len(rows[0]) > len(columns):
        columns += ["without highest", "without random"]
    return {
        "title": f"Why {network.name} predicts this{versus}",
        "columns": columns,
        "rows": rows,
        "note": "Runs: forward and backward passes of the network. Completeness error: difference of the sum of the "
        "attributions from F(x) - F(baseline), as a share of it. Rectifiers: number found; all were changed."
        + (f" Completeness was not reached: {'; '.join(missed)}." if missed else ""),
    }
