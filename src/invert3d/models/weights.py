"""Weights and their cards: what is bundled, where it came from, and how other people's checkpoints are read.

A network is two files: ``NAME.safetensors`` (half precision) and ``NAME.json``, its card; bundled ones are in
``invert3d/weights``. Foreign ``.pth``/``.t7`` files are opened with ``weights_only=True``, so a pickle cannot run code.
"""

import codecs
import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from invert3d.ops.files import write_together
from invert3d.ops.names import checked_name
from invert3d.registry import lookup, unknown

FOLDER = Path(str(resources.files("invert3d"))) / "weights"

WeightKind = Literal["classifier", "decoder", "descriptor", "detector", "2-D detector"]


@dataclass(frozen=True, kw_only=True)
class WeightCard:
    """What one ought to know before trusting a set of weights.

    Attributes:
        name: of its files.
        kind: ``classifier``, ``descriptor`` (of pictures, by a vector), ``decoder`` (of what a layer says),
            ``detector`` (of boxes in space) or ``2-D detector``.
        architecture: the registered name of the network.
        classes: names of its outputs.
        options: keyword arguments of the architecture.
        inputs: what it takes: ``points`` and ``up`` of clouds; ``size`` and ``values`` (what it is fed for an empty and
            for a full voxel) of grids.
        scores: on ``held_out`` samples. ``accuracy`` of a classifier (0 to 1), and ``accuracy_fresh`` without samples
            that equal a training sample; AP of a detector (percent, moderate, 40 recall points), by "view kind".
        data: what it was trained on, and the one that ``command`` and ``seed`` trained it with.
        parameters, bytes, sha256: of the network, of the file, of the file.
    """

    name: str
    kind: WeightKind
    architecture: str
    classes: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    held_out: int = 0
    data: str = ""
    command: str = ""
    seed: int = 0
    licence: str = ""
    parameters: int = 0
    bytes: int = 0
    sha256: str = ""
    environment: str = ""
    notes: str = ""


def bundled(kind: WeightKind | None = None) -> dict[str, WeightCard]:
    """The cards of all bundled weights, or of one kind, by name."""
    cards = {path.stem: read_card(path) for path in sorted(FOLDER.glob("*.json"))}
    return {name: card for name, card in cards.items() if kind in (None, card.kind)}


def read_card(path: Path) -> WeightCard:
    """A card from its JSON file. Raises ValueError, naming the file, if there is none or it is no card."""
    path = Path(path)
    try:
        table = msgspec.json.decode(readable(path, "weight card").read_bytes(), type=dict[str, Any])
        if strange := sorted(set(table) - {each.name for each in fields(WeightCard)}):
            raise msgspec.ValidationError(unknown("key", strange[0], [each.name for each in fields(WeightCard)]))
        return msgspec.convert(table, WeightCard)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a weight card: {error}") from error


def find_card(spec: str, *kinds: WeightKind) -> tuple[WeightCard, Path] | None:
    """The card of bundled weights, or the one at a path that ends in ``.json``, and the file of its weights.

    Returns None where ``spec`` is neither. Raises ValueError if the weights are not there, not the ones that the card
    describes, or of none of the ``kinds``.
    """
    cards = bundled()
    if spec in cards:
        card, path = cards[spec], FOLDER / f"{spec}.safetensors"
    elif spec.endswith(".json"):
        card, path = read_card(Path(spec)), Path(spec).with_suffix(".safetensors")
    else:
        return None
    if card.kind not in kinds:
        known = ", ".join(name for kind in kinds for name in bundled(kind))
        raise ValueError(
            f"{spec} is a {card.kind}, and a {' or '.join(kinds)} is asked for" + (f": {known}" if known else "")
        )
    found = hashlib.sha256(readable(path, "weights").read_bytes()).hexdigest()
    if found != card.sha256:
        raise ValueError(f"{path} is not the file its card describes: sha256 {found[:12]}, not {card.sha256[:12]}")
    return card, path


def load_bundled(name: str) -> tuple[nn.Module, WeightCard]:
    """A classifier in eval mode and its card, by the name of bundled weights or the path of a card beside its weights.

    Raises ValueError for an unknown name, a damaged card, or altered weights.
    """
    found = find_card(name, "classifier")
    if found is None:
        raise ValueError(unknown("model", name, bundled("classifier")))
    return load_card(*found), found[0]


def load_card(card: WeightCard, path: Path) -> nn.Module:
    """The classifier, or the descriptor, that a card describes, in eval mode, with its weights.

    Raises ValueError if they do not fit.
    """
    try:
        if card.kind == "descriptor":
            model = lookup("descriptor", card.architecture)(**card.options)
        else:
            model = lookup("model", card.architecture)(len(card.classes), **card.options)
    except TypeError as error:
        raise ValueError(f"the card of {card.name} does not fit {card.architecture}: {error}") from error
    return load_checkpoint(model, path).eval()


class NotFinite(ValueError):
    """Weights, or the loss that they are trained by, are not finite."""


def save_network(model: nn.Module, card: WeightCard, folder: Path) -> WeightCard:
    """Write a network in half precision and its card: both files, or none.

    Returns the card, with parameters, bytes and sha256. Raises ValueError for a name that is no plain file name, a
    link in the place of a file, or weights that are not finite.
    """
    checked_name(card.name, "the weights")
    weights, about = (Path(folder) / f"{card.name}{end}" for end in (".safetensors", ".json"))
    for path in (weights, about):
        if path.is_symlink():
            raise ValueError(f"{path} is a link: it is not written to")
    data = encoded(model)
    count = sum(p.numel() for p in model.parameters())
    card = replace(card, parameters=count, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    write_together({weights: data, about: card_json(card)})
    return card


def card_json(card: WeightCard) -> bytes:
    """A card as the bytes of its file."""
    return (json.dumps(asdict(card), indent=2) + "\n").encode()


def encoded(model: nn.Module) -> bytes:
    """The state of a model as a safetensors file: half precision, pruned tensors packed.

    Raises NotFinite, a ValueError, for weights that are not finite, or too large for half precision.
    """
    from safetensors.torch import save

    state = {k: v.half() if v.is_floating_point() else v for k, v in unique_state(model).items()}
    if bad := [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]:
        raise NotFinite(f"the weights are not finite in half precision, {bad[0]} first: they are not saved")
    return save({k: v.contiguous() for k, v in packed(state).items()})


def round_to_half(model: nn.Module) -> None:
    """Round the state of a model to half precision, in place."""
    model.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in model.state_dict().items()})


def packed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that are mostly zeros as three: ``KEY:kept`` (a bit an entry), ``KEY:values``, ``KEY:shape``."""
    table: dict[str, Tensor] = {}
    for key, value in state.items():
        if value.dim() < 2 or value.count_nonzero() > 0.8 * value.numel():
            table[key] = value
            continue
        kept = value != 0
        table[f"{key}:kept"] = torch.from_numpy(np.packbits(kept.numpy().reshape(-1)))
        table[f"{key}:values"] = value[kept]
        table[f"{key}:shape"] = torch.tensor(value.shape)
    return table


def unpacked(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that ``packed`` took apart, and all others as they are."""
    table = {key: value for key, value in state.items() if ":" not in key}
    for key in (key.removesuffix(":kept") for key in state if key.endswith(":kept")):
        values, shape = state[f"{key}:values"], state[f"{key}:shape"].tolist()
        bits = np.unpackbits(state[f"{key}:kept"].numpy(), count=int(np.prod(shape))).astype(bool)
        dense = torch.zeros(len(bits), dtype=values.dtype)
        dense[torch.from_numpy(bits)] = values
        table[key] = dense.view(*shape)
    return table


def unique_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict with every tensor once (some public networks register a layer under two names)."""
    first: dict[int, tuple[str, Tensor]] = {}
    for key, value in model.state_dict(keep_vars=True).items():
        first.setdefault(id(value), (key, value.detach().cpu()))
    return dict(first.values())


def readable(path: Path, what: str) -> Path:
    """The path, once it is seen that it is a file that can be read and is not empty. Raises ValueError naming it."""
    try:
        with Path(path).open("rb") as file:
            if not file.read(1):
                raise ValueError(f"{path} is an empty file, not a {what}")
    except FileNotFoundError as error:
        raise ValueError(f"no {what} at {path}") from error
    except OSError as error:
        raise ValueError(f"no {what} can be read from {path}: {error.strerror or error}") from error
    return Path(path)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict inside a ``.safetensors``, ``.pth``, ``.pt`` or ``.t7`` file, unwrapped and without ``module.``.

    Raises ValueError if the file is missing, needs more than tensors to open, or holds no state dict.
    """
    path = readable(Path(path), "checkpoint")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return unpacked(load_file(path))
        except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
            raise ValueError(f"{path.name} is not a safetensors file: {first_line(error)}") from error
    try:
        with torch.serialization.safe_globals(_plain_numbers()):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything, and has run nothing
        problem = f"{first_line(error)}. Save it again as a plain state dict"
        raise ValueError(f"{path.name} cannot be opened safely (weights_only): {problem}") from error
    if isinstance(loaded, dict):
        inner = (loaded.get(key) for key in ("model_state_dict", "state_dict", "model", "net"))
        loaded = next((each for each in inner if isinstance(each, dict)), loaded)
    if not isinstance(loaded, dict) or not any(isinstance(v, Tensor) for v in loaded.values()):
        raise ValueError(f"{path.name} holds {type(loaded).__name__}, not a state dict")
    state = {str(key).removeprefix("module."): value for key, value in loaded.items() if isinstance(value, Tensor)}
    return {k: v.float() if v.is_floating_point() and v.dtype is not torch.float64 else v for k, v in state.items()}


def first_line(error: Exception) -> str:
    """What an error of a reader says, in at most 160 characters."""
    text = str(error).partition("Unpickler error:")[2] or str(error) or type(error).__name__
    return text.strip().split("\n")[0].split(". Please")[0][:160]


def _plain_numbers() -> list[Any]:
    """What pickles of numpy's numbers name: public checkpoints keep an accuracy beside the weights. No code runs."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in ("f2", "f4", "f8", "i4", "i8", "?")}
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # before and after numpy 2
    return [*((scalar, name) for name in names), np.dtype, *kinds, codecs.encode]


def load_checkpoint(model: nn.Module, path: Path, without: tuple[str, ...] = ()) -> nn.Module:
    """Load a checkpoint into a model by the keys both have. Raises ValueError naming the first few that disagree.

    Keys that begin as one of ``without`` are left out: parts that the file has and the model does not need.
    """
    state = {key: value for key, value in read_checkpoint(path).items() if not key.startswith(without or ("\0",))}
    own = model.state_dict(keep_vars=True)
    given = {id(own[key]) for key in state if key in own}  # a layer under two names needs to be given once
    missing = [key for key in own if key not in state and id(own[key]) not in given and "num_batches" not in key]
    extra = [key for key in state if key not in own]
    pairs = {key: (tuple(state[key].shape), tuple(own[key].shape)) for key in own if key in state}
    wrong = [f"{key} {given} instead of {needed}" for key, (given, needed) in pairs.items() if given != needed]
    problems = [
        f"{what}: {', '.join(keys[:3])}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        for what, keys in (("missing", missing), ("not in the model", extra), ("other shape", wrong))
        if keys
    ]
    if problems:
        raise ValueError(f"{Path(path).name} does not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict(state, strict=False)
    return model
