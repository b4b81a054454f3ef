"""What every objective, prior, projection, parameterization, transform and model promises, for your own::

    from invert3d.testing import check_prior

    def test_my_prior():
        check_prior(MyPrior(strength=2.0))

A check returns nothing, or raises ``AssertionError`` with one sentence on the first promise that is broken. Inputs x
(B, ...) are in float64 and at least three, by default small ones of a kind that is taken; ``smooth`` says whether to
compare the gradient with finite differences.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from invert3d.engine.draws import Draws
from invert3d.engine.examples import CLASSES, StateFactory, blank_state, class_state, example_input, feature_state
from invert3d.engine.examples import example_clouds as example_clouds  # for users' own checks
from invert3d.engine.examples import example_layouts as example_layouts
from invert3d.engine.examples import example_pictures as example_pictures
from invert3d.engine.examples import layout_state as layout_state
from invert3d.engine.objective import Objective
from invert3d.engine.packed import run
from invert3d.engine.parameterization import Parameterization
from invert3d.engine.projection import Projection
from invert3d.engine.space import Points, Space
from invert3d.engine.state import State
from invert3d.engine.transform import Transform
from invert3d.engine.tree import Tree, flattened, leaves, mapped, size_of

#: a function of inputs (B, ...) and the numbers of their samples
Numbered = Callable[[Tensor, Sequence[int]], Tensor]


def require(promise: bool | Tensor, otherwise: str) -> None:
    """Raise AssertionError with the sentence ``otherwise`` unless the promise holds, also under ``-O``."""
    if not bool(promise):
        raise AssertionError(otherwise)


def check_plain(thing: Any) -> str:
    """A frozen keyword-only dataclass of plain values, whose repr is its recipe. Returns the name of its class."""
    name = type(thing).__name__
    require(is_dataclass(thing) and not isinstance(thing, type), f"{name} is not a dataclass")
    frozen = getattr(type(thing), "__dataclass_params__").frozen  # noqa: B009 - pyright does not know it
    require(frozen, f"{name} is not frozen: write @dataclass(frozen=True, kw_only=True)")
    loose = [field.name for field in fields(thing) if field.init and not field.kw_only]
    require(not loose, f"{name} takes {', '.join(loose)} by position: write kw_only=True")
    kinds = dict(_plain_classes(thing, name))
    text = repr(thing)
    for kind in kinds.values():
        text = text.replace(f"{kind.__qualname__}(", f"{kind.__name__}(")
    again = eval(text, {"__builtins__": {}, "inf": math.inf, **kinds})  # noqa: S307 - a repr of our own making
    require(again == thing, f"the repr of {name} does not make an equal one: {text}")
    copy: Any = replace(cast(Any, thing))
    require(copy == thing, f"dataclasses.replace does not copy {name}")
    require(hash(copy) == hash(thing), f"equal {name}s have different hashes")
    return name


def _plain_classes(value: Any, where: str) -> Iterator[tuple[str, type]]:
    """The dataclasses in a nested plain value."""
    if is_dataclass(value) and not isinstance(value, type):
        yield type(value).__name__, type(value)
        for field in fields(value):
            yield from _plain_classes(getattr(value, field.name), f"{where}.{field.name}")
    elif isinstance(value, tuple):
        for i, each in enumerate(value):
            yield from _plain_classes(each, f"{where}[{i}]")
    else:
        plain = value is None or isinstance(value, (bool, int, float, str))
        require(plain, f"{where} is a {type(value).__name__}, not a plain value (number, text, tuple, dataclass)")


def check_objective(
    objective: Objective, state_factory: StateFactory | None = None, *, x: Tensor | None = None, smooth: bool = True
) -> None:
    """One finite number a sample, with a right gradient, that does not depend on the sample's batch-mates.

    It is shown states that ``state_factory`` makes; by default class scores, or features at its taps.
    """
    name = check_plain(objective)
    factory = state_factory or (feature_state(*objective.taps) if objective.taps else class_state)
    x = example_input(objective.spaces) if x is None else x

    def loss(x: Tensor, samples: Sequence[int]) -> Tensor:
        state = factory(x, samples)
        with torch.no_grad():
            objective.update(state)
        _check_memory(name, state)
        return objective(state)

    value = loss(x.clone(), range(len(x)))
    require(value.shape == (len(x),), f"{name} gives shape {tuple(value.shape)}, not one number a sample ({len(x)},)")
    _check_rows(name, loss, x)
    _check_gradient(name, loss, x, smooth)


def check_prior(prior: Objective, *, x: Tensor | None = None, smooth: bool = True) -> None:
    """An objective that looks at the input only: it is shown a state without outputs, features and target."""
    require(not prior.taps, f"{type(prior).__name__} taps layers: it is an objective, not a prior")
    check_objective(prior, blank_state, x=x, smooth=smooth)


def check_projection(
    projection: Projection, state_factory: StateFactory = blank_state, *, x: Tensor | None = None
) -> None:
    """Finite inputs of the same shape, each moved without regard to its batch-mates, twice in a row."""
    name = check_plain(projection)
    x = example_input(projection.spaces) if x is None else x

    def projected(x: Tensor, samples: Sequence[int]) -> Tensor:
        state = state_factory(x, samples)
        state.x = projection(state)
        _check_memory(name, state)
        state.step += 1
        return projection(state)

    with torch.no_grad():
        _check_shape(name, projected, x)
        _check_rows(name, projected, x)


def check_transform(
    transform: Transform,
    *,
    x: Tensor | None = None,
    smooth: bool = True,
    target: Callable[[Sequence[int]], Tree] | None = None,
) -> None:
    """A view of the same shape, random by the draws it is handed only, through which a gradient flows.

    ``target`` makes the targets, (B, ...) each, of samples with these numbers, which move as the inputs do: sample by
    sample. By default they are classes; ``example_layouts`` are those of pictures.
    """
    name = check_plain(transform)
    x = example_input(transform.spaces) if x is None else x

    def given(samples: Sequence[int]) -> Tree:
        return torch.tensor([sample % CLASSES for sample in samples]) if target is None else target(samples)

    def view(x: Tensor, samples: Sequence[int]) -> Tensor:
        seen, moved = transform(x, given(samples), Draws.seeded(0, samples))
        left = size_of(moved, f"the targets of {name}")
        require(left == len(samples), f"{name} loses targets: {left} of {len(samples)} are left")
        return seen

    def moved(x: Tensor, samples: Sequence[int]) -> Tensor:
        before = given(samples)
        after = transform(x, mapped(Tensor.clone, before), Draws.seeded(0, samples))[1]
        table = flattened("target", after)
        for key, leaf in flattened("target", before).items():
            made = table[key]
            same = made.shape == leaf.shape and made.dtype == leaf.dtype
            require(same, f"{name} makes targets {tuple(made.shape)} of {tuple(leaf.shape)}, or of another type")
        return torch.cat([leaf.to(x).view(len(samples), -1) for leaf in leaves(after)], 1)

    _check_shape(name, view, x)
    _, nothing = transform(x.clone(), None, Draws.seeded(0, range(len(x))))
    require(nothing is None, f"{name} makes a target where there is none")
    _check_rows(name, view, x)
    with torch.no_grad():
        _check_rows(f"the target of {name}", moved, x)
    _check_gradient(name, lambda x, samples: view(x, samples).flatten(1).cos().sum(1), x, smooth)


def check_parameterization(
    parameterization: Parameterization,
    space: Space | None = None,
    *,
    fixed: Collection[str] = (),
    smooth: bool = True,
    target: Callable[[Sequence[int]], Tree] | None = None,
) -> None:
    """Legal inputs (B, *space.shape), differentiable in every floating-point entry of theta but the ``fixed`` ones.

    Clouds are in the unit sphere. The batch comes first in every entry; samples do not depend on each other.
    ``target`` makes what is asked of samples, for a parameterization that draws around it.
    """
    space = space or Points(points=64)
    name = check_plain(parameterization)

    def begun(samples: Sequence[int], dtype: torch.dtype) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Theta, and all its entries with the x that they make."""
        draws = Draws.seeded(0, samples)
        theta = parameterization.initialize(torch.empty(len(samples), 0, dtype=dtype), space, draws)
        theta |= parameterization.constants(target and target(samples))
        return theta, [*(theta[key] for key in sorted(theta)), parameterization(theta, space, draws)]

    theta, made = begun(range(3), torch.float64)
    x = made[-1]
    loose = [key for key, value in theta.items() if value.dim() == 0 or len(value) != 3]
    require(not loose, f"the batch is not first in theta of {name}: {', '.join(loose)}")
    require(x.shape == (3, *space.shape), f"{name} makes {tuple(x.shape)}, not a batch of {space.shape}")
    space.validate(x)
    if isinstance(space, Points):
        reach = x[..., :3].norm(dim=-1).max()
        require(reach <= 1 + 1e-6, f"{name} begins with clouds that reach {reach:.3g}: not in the unit sphere")
    for dtype in (torch.float64, torch.float32):
        kinds = {value.dtype for value in begun([0], dtype)[1] if value.is_floating_point()}
        require(kinds == {dtype}, f"{name} was asked for {dtype} and gives {kinds}")
    for samples in ([0, 1, 2], [2, 0], [1]):
        parts = begun(samples, x.dtype)[1]
        same = all(torch.allclose(a[samples], b, atol=1e-9) for a, b in zip(made, parts, strict=True))
        require(same, f"what {name} draws depends on the batch: {samples} differ from those of 0, 1, 2")
    _check_theta(name, parameterization, space, theta, fixed, smooth)
    own = {key: value.clone() for key, value in theta.items()}
    try:
        parameterization.assign(own, 0.5 * x)
    except TypeError:
        return  # it says that it has no x of its own
    again = parameterization(own, space, Draws.seeded(0, range(3)))
    require(torch.allclose(again, 0.5 * x, atol=1e-6), f"{name} does not keep what is assigned")


def check_model(
    factory: Callable[[], nn.Module],
    space: Space | None = None,
    *,
    besides: Sequence[str] = (),
    batch: int = 2,
    seed: int = 0,
) -> None:
    """A classifier (B, ...) -> (B, K): deterministic, sample by sample, differentiable, trainable.

    ``factory`` makes a new network; it is called twice. Its inputs are by default clouds of 128 points. ``besides``
    names modules that the scores of classes do not need, such as a decoder.
    """
    space = space or Points(points=128)
    draws = Draws.seeded(seed, range(batch))
    x = space.start("uniform", torch.empty(batch, 0), draws)
    torch.manual_seed(seed)
    model, other = factory().eval(), factory().eval()
    name = type(model).__name__
    with torch.no_grad():
        _check_scores(name, model, space, x)
        other.load_state_dict(model.state_dict())
        logits, double = run(model, space.encode(x)), run(other, space.encode(x))
        require(torch.equal(logits, double), f"the state dict of {name} does not hold all that matters")
        double = run(other.double(), space.encode(x.double()))
        require(double.dtype is torch.float64, f"{name} in float64 gives {double.dtype}")
        require(_near(double.float(), logits), f"{name} gives other scores in float64")
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(run(model, space.encode(leaf)).max(1).values.sum(), leaf)
    reaches = gradient.isfinite().all() and gradient.flatten(1).any(1).all()
    require(reaches, f"{name} has no finite gradient at its input")
    torch.manual_seed(0)
    logits = run(model.train(), space.encode(x))
    nn.functional.cross_entropy(logits, torch.arange(len(x)) % logits.shape[1]).backward()
    gradients = {k: value.grad for k, value in model.named_parameters() if not k.startswith(tuple(besides))}
    without = [key for key, value in gradients.items() if value is None or not value.isfinite().all()]
    require(not without, f"in training, {name} has no finite gradient for {', '.join(without[:3])}")


def _check_scores(name: str, model: nn.Module, space: Space, x: Tensor) -> None:
    fed, state = space.encode(x), {key: value.clone() for key, value in model.state_dict().items()}
    given = [leaf.clone() for leaf in leaves(fed)]
    logits = run(model, fed)
    right = logits.dim() == 2 and len(logits) == len(x)
    require(right, f"{name} gives {tuple(logits.shape)}, not class scores ({len(x)}, K)")
    require(logits.isfinite().all(), f"{name} gives NaN or infinite scores")
    require(all(map(torch.equal, leaves(fed), given)), f"{name} writes into its input")
    same = all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())
    require(same, f"{name} changes its state in eval mode")
    require(torch.equal(logits, run(model, space.encode(x))), f"{name} gives other scores the second time")
    require(_near(logits.flip(0), run(model, space.encode(x.flip(0)))), f"{name} mixes up a permuted batch")
    require(_near(logits[:1], run(model, space.encode(x[:1]))), f"the scores of {name} depend on the batch")


def _near(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def _check_shape(name: str, function: Numbered, x: Tensor) -> None:
    shape = function(x.clone(), range(len(x))).shape
    require(shape == x.shape, f"{name} makes {tuple(shape)} of an input {tuple(x.shape)}")


def _check_rows(name: str, function: Numbered, x: Tensor) -> None:
    """A function of a batch of numbered samples: finite, repeatable, of x's dtype, row by row."""
    require(len(x) >= 3, f"give at least three samples, not {len(x)}")
    samples, given = list(range(len(x))), x.clone()
    value = function(x, samples)
    require(torch.equal(x, given), f"{name} writes into its input")
    require(value.isfinite().all(), f"{name} gives NaN or infinite values")
    require(torch.equal(value, function(x, samples)), f"{name} gives something else the second time")
    for rows in (samples[::-1], samples[1:], samples[:1]):
        same = torch.allclose(value[rows], function(x[rows], rows), rtol=1e-6, atol=1e-9)
        require(same, f"{name} depends on the batch: samples {rows} have other values than within {samples}")
    for dtype in (torch.float64, torch.float32):
        found = function(x.to(dtype), samples).dtype
        require(found is dtype, f"{name} makes {found} of {dtype}")


def _check_gradient(name: str, function: Numbered, x: Tensor, smooth: bool) -> None:
    samples = range(len(x))
    leaf = x.clone().requires_grad_()
    value = function(leaf, samples)
    require(value.requires_grad, f"{name} cannot be differentiated: nothing in it depends on the input")
    (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    require(gradient is not None and gradient.isfinite().all(), f"{name} has no finite gradient at the input")
    require(gradient.any(), f"the gradient of {name} is zero everywhere")
    if smooth:
        _check_differences(name, lambda x: function(x, samples), [leaf])


def _check_differences(name: str, function: Callable[..., Tensor], leaves: list[Tensor]) -> None:
    right = torch.autograd.gradcheck(function, leaves, fast_mode=True, raise_exception=False)
    require(right, f"the gradient of {name} is not that of its values (finite differences in float64)")


def _check_memory(name: str, state: State) -> None:
    for key, value in flattened("memory", state.memory).items():
        first = value.dim() > 0 and len(value) == len(state.x)
        require(first, f"{name} remembers {key.split('/')[-1]!r} without the batch first: samples could not leave")


def _check_theta(
    name: str,
    parameterization: Parameterization,
    space: Space,
    theta: dict[str, Tensor],
    fixed: Collection[str],
    smooth: bool,
) -> None:
    draws = Draws.seeded(5, range(3))
    leaves = {key: value.clone().requires_grad_() for key, value in theta.items() if value.is_floating_point()}
    x = parameterization({**theta, **leaves}, space, draws.copy())
    require(x.requires_grad, f"{name} cannot be differentiated: nothing in it depends on theta")
    wave = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad((x * wave).sum(), list(leaves.values()), allow_unused=True)
    for (key, value), gradient in zip(leaves.items(), gradients, strict=True):
        require(torch.equal(value, theta[key]), f"{name} writes into its theta {key!r}")
        if key not in fixed:
            require(gradient is not None and gradient.isfinite().all(), f"{name} has no finite gradient in {key!r}")
            require(gradient.flatten(1).any(1).all(), f"the gradient of {name} in {key!r} is zero for some sample")
    if smooth:
        free = [key for key in leaves if key not in fixed]

        def again(*values: Tensor) -> Tensor:
            return parameterization({**theta, **dict(zip(free, values, strict=True))}, space, draws.copy())

        _check_differences(name, again, [leaves[key] for key in free])
