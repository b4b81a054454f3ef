"""Weights and their cards: what is bundled, where it came from, and how other people's checkpoints are read.

A bundled network is two files in ``invert3d/weights``: ``NAME.safetensors`` (half precision) and ``NAME.json``, its
card. Foreign ``.pth``/``.t7`` files are opened with ``weights_only=True``, so a pickle cannot run code.
"""

import codecs
import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from invert3d.registry import lookup, unknown

FOLDER = Path(str(resources.files("invert3d"))) / "weights"


@dataclass(frozen=True, kw_only=True)
class WeightCard:
    """What one ought to know before trusting a set of weights."""

    name: str
    architecture: str  # registered model name
    classes: tuple[str, ...]
    data: str
    command: str
    seed: int
    accuracy: float  # share of held-out shapes classified right, 0 to 1
    held_out: int  # how many shapes that is measured on
    points: int  # points a cloud it was trained with
    up: str  # the axis that points up, "z" or "y"
    licence: str
    parameters: int
    bytes: int
    sha256: str
    environment: str
    options: dict[str, Any] = field(default_factory=dict)  # keyword arguments of the architecture
    notes: str = ""
    accuracy_fresh: float = 0.0  # without the held-out shapes that equal a training shape; 0 where it was not measured
    size: int = 0  # voxels a side of the grids it takes; 0 for clouds
    values: tuple[float, ...] = ()  # what it is fed for an empty and for a full voxel


def bundled() -> dict[str, WeightCard]:
    """The cards of all bundled weights, by name."""
    return {path.stem: read_card(path) for path in sorted(FOLDER.glob("*.json"))}


def read_card(path: Path) -> WeightCard:
    """A card from its JSON file."""
    table = json.loads(path.read_text())
    return WeightCard(**{**table, "classes": tuple(table["classes"]), "values": tuple(table.get("values", ()))})


def load_bundled(name: str) -> tuple[nn.Module, WeightCard]:
    """A bundled network in eval mode and its card. Raises ValueError for an unknown name or altered weights."""
    cards = bundled()
    if name not in cards:
        raise ValueError(unknown("model", name, cards))
    card = cards[name]
    path = FOLDER / f"{name}.safetensors"
    if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != card.sha256:
        raise ValueError(f"{path.name} is not the file its card describes: sha256 {found[:12]}, not {card.sha256[:12]}")
    model = lookup("model", card.architecture)(len(card.classes), **card.options)
    return load_checkpoint(model, path).eval(), card


def save_weights(model: nn.Module, path: Path) -> tuple[str, int]:
    """Write the state of a model in half precision, pruned tensors packed; returns the file's sha256 and its bytes."""
    from safetensors.torch import save

    state = {k: v.half() if v.is_floating_point() else v for k, v in unique_state(model).items()}
    data = save({k: v.contiguous() for k, v in packed(state).items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest(), len(data)


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
    seen: set[int] = set()
    state = {}
    for key, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            state[key] = value.detach().cpu()
    return state


def write_card(card: WeightCard, path: Path) -> None:
    """Write a card as JSON."""
    path.write_text(json.dumps(asdict(card), indent=2) + "\n")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict inside a ``.safetensors``, ``.pth``, ``.pt`` or ``.t7`` file, unwrapped and without ``module.``.

    Raises ValueError if the file is missing, needs more than tensors to open, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return unpacked(load_file(path))
        except SafetensorError as error:
            raise ValueError(f"{path.name} is not a safetensors file: {error}") from error
    try:
        with torch.serialization.safe_globals(_plain_numbers()):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        text = str(error).partition("Unpickler error:")[2] or str(error)
        reason = text.strip().split("\n")[0].split(". Please")[0][:160]
        raise ValueError(
            f"{path.name} cannot be opened safely (weights_only): {reason}. Save it again as a plain state dict"
        ) from error
    for key in ("model_state_dict", "state_dict", "model", "net"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not any(isinstance(v, Tensor) for v in loaded.values()):
        raise ValueError(f"{path.name} holds {type(loaded).__name__}, not a state dict")
    state = {str(key).removeprefix("module."): value for key, value in loaded.items() if isinstance(value, Tensor)}
    return {k: v.float() if v.is_floating_point() and v.dtype is not torch.float64 else v for k, v in state.items()}


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
    wrong = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        f"{what}: {', '.join(keys[:3])}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        for what, keys in (("missing", missing), ("not in the model", extra), ("other shape", wrong))
        if keys
    ]
    if problems:
        raise ValueError(f"{Path(path).name} does not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict(state, strict=False)
    return model
