"""``invert3d.invert_descriptor``: from inputs to others that a layer describes alike, a job of a unit an input and
layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from invert3d.engine.space import Image
from invert3d.jobs.execute import Outcome, execute
from invert3d.jobs.job import Context, Job, Made, Progress, Unfinished, Unit, file_name, trace_of
from invert3d.jobs.options import RunOptions
from invert3d.jobs.provenance import digest, fingerprint
from invert3d.methods.descriptors import at_layer, describe, until
from invert3d.methods.recipes import filled, load_recipe, overridden, recipe_table
from invert3d.methods.stages import Recipe, run_stages
from invert3d.methods.stages import Unfinished as Stopped
from invert3d.objectives.features import relative_loss
from invert3d.opening.decoders import open_decoder
from invert3d.opening.networks import Network, open_network

#: inputs that are inverted together, times the starts of each
AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """Inputs, and others that a layer describes alike, A of them.

    Attributes:
        names, layers: of each.
        original: (A, *space.shape) whose descriptors were asked for.
        x: (A, *space.shape) what was found, in the user's units.
        saved: what a file keeps of it: pictures in 8 bits, binary voxels, points as they are.
        loss, loss_saved: (A,) relative loss of ``x`` and of ``saved``, 0 where the layer describes them alike.
        loss_other: (A,) mean relative loss of the other originals of the layer; NaN of a single one.
        seconds: an input, on average.
    """

    names: tuple[str, ...]
    layers: tuple[str, ...]
    original: Tensor
    x: Tensor
    saved: Tensor
    loss: Tensor
    loss_saved: Tensor
    loss_other: Tensor
    seconds: float


def invert_descriptor(
    model: str | Network,
    x: Tensor | np.ndarray,
    layers: str | Sequence[str],
    recipe: str = "ours",
    *,
    steps: int | None = None,
    starts: int | None = None,
    out: str | Path | None = None,
    options: RunOptions = RunOptions(),
) -> Inverted:
    """Find inputs that a layer of a frozen network describes like given ones (*The Essence of Pose*, section 3.1).

    Args:
        model: bundled weights by name, or an opened ``Network`` (see ``open_network`` for your own).
        x: pictures (A, 3, H, W) in [0, 1], clouds (A, N, 3) or grids (A, 1, S, S, S), as the network takes them.
        layers: names of modules: ``fc5``, or several.
        recipe: ``ours``, ``published``, or a TOML file.
        steps, starts: in place of the recipe's.
        out: a run folder to write, in place of that of the options; nothing is kept without one.
        options: the seed, workers, and whether a run is gone on with.

    Raises:
        ValueError: for unknown names, an input that is not legal, or a layer that is not there, with the nearest names.
        KeyboardInterrupt: after Ctrl-C; what was done is in the run folder.
    """
    network = model if isinstance(model, Network) else open_network(model)
    inputs = torch.as_tensor(x).detach().to(network.frozen.dtype)
    if inputs.dim() == len(network.frozen.space.shape):
        raise ValueError(f"give a batch of inputs, x[None] for one: this is {tuple(inputs.shape)}")
    named = {f"{i:04d}": each for i, each in enumerate(inputs)}
    names = [layers] if isinstance(layers, str) else list(layers)
    source = Source.of(network, names, recipe, steps=steps, starts=starts)
    return inverted(execute(descriptors_job({"": source}, named), options.into(out)).whole())


@dataclass(frozen=True, kw_only=True)
class Source:
    """A network, the layers that are inverted, and how: by a recipe, which leaves the layer open, by a decoder, or by a
    recipe that begins with what a decoder makes."""

    network: Network
    layers: tuple[str, ...]
    recipe: Recipe | None = None
    decoder: nn.Module | None = None

    def __post_init__(self) -> None:
        if not self.layers or (self.recipe is None and self.decoder is None):
            raise ValueError("name at least one layer to invert, and a recipe or a decoder")

    @classmethod
    def of(cls, network: Network, layers: Sequence[str], recipe: str | Recipe, **overrides: Any) -> "Source":
        """With a recipe: one by name or from a file, as it is for the network's inputs, or one that is given, with some
        plain values replaced. Means of pictures are the network's own. Raises ValueError for no layer, or an unknown
        recipe or value."""
        space = network.frozen.space
        if isinstance(recipe, str):
            chosen = load_recipe(recipe, "descriptors", family=space.name, **overrides)
        else:
            chosen = overridden(recipe, overrides)
        if isinstance(space, Image):
            mean = space.mean[::-1] if space.order == "bgr" else space.mean
            chosen = filled(chosen, {"mean": lambda _: mean})
        return cls(network=network, layers=tuple(layers), recipe=chosen)

    def until(self, loss: float) -> "Source":
        """The same, stopping at a relative loss. Raises ValueError for one that is not between 0 and 1."""
        return replace(self, recipe=until(self.recipe, loss)) if self.recipe else self

    @classmethod
    def decoded(cls, network: Network, card: str, *, refined: bool, **overrides: Any) -> "Source":
        """By a decoder, from its card; ``refined`` by the recipe ``refine``, with some plain values replaced. Raises
        ValueError as ``open_decoder``, and for a decoder of other weights."""
        decoder, found = open_decoder(card)
        if found.inputs.get("weights") != fingerprint(network.frozen.model):
            theirs = found.inputs.get("network")
            raise ValueError(f"{found.name} decodes {theirs}, and the weights of {network.name} are others")
        whole = replace(
            cls.of(network, [str(found.inputs["layer"])], "refine", **overrides),
            decoder=decoder.to(network.frozen.device),
        )
        return whole if refined else replace(whole, recipe=None)

    def facts(self, x: Tensor) -> dict[str, Any]:
        """What is found for inputs (B, *space.shape) depends on these, as plain values. Raises ValueError for a layer
        that is not there."""
        return {
            "model": self.network.name,
            "weights": fingerprint(self.network.frozen.model),
            "layers": {each: describe(self.network.frozen, x[:2], each)[0].numel() for each in self.layers},
            "recipe": recipe_table(self.recipe) if self.recipe else None,
            "decoder": fingerprint(self.decoder) if self.decoder else None,
        }


@dataclass(frozen=True, kw_only=True)
class InvertDescriptors:
    """The worker: a batch of inputs at one layer of one source."""

    sources: Mapping[str, Source]

    @property
    def device(self) -> str:
        """Where the networks are."""
        return str(next(iter(self.sources.values())).network.frozen.device)

    def __call__(self, units: Sequence[Unit], context: Context) -> Sequence[Made] | Unfinished:
        source, layer = self.sources[units[0].values["source"]], units[0].values["layer"]
        frozen = source.network.frozen
        original = torch.stack([unit.values["x"] for unit in units]).to(frozen.device)
        wanted = describe(frozen, original, layer)
        x = start = None if source.decoder is None else decoded(source.decoder, wanted)
        left, traces = None, {}
        if source.recipe is not None:
            result, left = run_stages(
                frozen,
                wanted,
                at_layer(source.recipe, layer),
                seed=context.seed,
                start=start,
                samples=[unit.name for unit in units],
                recorders=[Progress(context, source.recipe.steps)],
                resume=Stopped.from_bytes(context.checkpoint) if context.checkpoint else None,
            )
            x, traces = result.x.detach(), result.trace
        assert x is not None
        saved = frozen.space.saved(x)
        losses = {
            name: relative_loss(describe(frozen, each, layer), wanted) for name, each in (("loss", x), ("saved", saved))
        }
        made = [
            Made(
                facts={name: round(float(each[i]), 6) for name, each in losses.items()},
                arrays={"original": original[i], "x": x[i], "saved": saved[i], **trace_of(traces, i)},
            )
            for i in range(len(units))
        ]
        return made if left is None else Unfinished(made=made, checkpoint=left.to_bytes())


@torch.no_grad()
def decoded(decoder: nn.Module, features: Tensor) -> Tensor:
    """What a decoder makes of features (B, ...)."""
    return decoder(features.float()).to(features.dtype)


def descriptors_job(sources: Mapping[str, Source], inputs: Mapping[str, Tensor]) -> Job:
    """The job of inverting what layers of one or more networks of the same space make of named inputs (*space.shape).

    A unit is called after the source, the input and the layer. Raises ValueError for no input, one that is not legal,
    or a layer that cannot be inverted.
    """
    if not inputs:
        raise ValueError("name at least one input to invert")
    x = torch.stack(list(inputs.values()))
    next(iter(sources.values())).network.frozen.space.validate(x)
    facts = {key: source.facts(x) for key, source in sources.items()}
    units = tuple(
        Unit(
            name=file_name("-".join(part for part in (key, label, layer) if part)),
            cost=source.recipe.starts if source.recipe else 1,
            group=f"{key}/{layer}",
            values={"source": key, "layer": layer, "label": label, "x": each},
        )
        for key, source in sources.items()
        for layer in source.layers
        for label, each in inputs.items()
    )
    return Job(
        kind="descriptors",
        units=units,
        worker=InvertDescriptors(sources=sources),
        settings={"sources": facts, "inputs": digest(x)},
        capacity=AT_ONCE,
        label=f"inverting {len(units)} descriptor{'s' * (len(units) > 1)}",
    )


def inverted(outcome: Outcome, key: str = "") -> Inverted:
    """What a job that was done to its end left of one source."""
    units, made = zip(*(each for each in outcome.each() if each[0].values["source"] == key), strict=True)
    network: Network = outcome.job.worker.sources[key].network  # type: ignore[attr-defined]

    def stacked(name: str) -> Tensor:
        return torch.stack([each.arrays[name] for each in made])

    layers: tuple[Any, ...] = tuple(unit.values["layer"] for unit in units)
    original = stacked("original")
    return Inverted(
        names=tuple(unit.values["label"] for unit in units),
        layers=layers,
        original=original,
        x=stacked("x"),
        saved=stacked("saved"),
        loss=torch.tensor([each.facts["loss"] for each in made]),
        loss_saved=torch.tensor([each.facts["saved"] for each in made]),
        loss_other=torch.cat(
            [others(network, original[[each == layer for each in layers]], layer) for layer in dict.fromkeys(layers)]
        ),
        seconds=outcome.seconds([unit.name for unit in units]) / len(units),
    )


def others(network: Network, x: Tensor, layer: str) -> Tensor:
    """(A,) the mean relative loss of the descriptors of all other inputs (A, *space.shape)."""
    found = describe(network.frozen, x, layer).cpu()
    table = torch.stack([relative_loss(found, one.expand_as(found)) for one in found])
    table.fill_diagonal_(torch.nan)
    return table.nanmean(1)
