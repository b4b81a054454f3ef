"""Tensors with the batch first, alone or in dictionaries: what targets, outputs and features are.

A classifier returns one tensor, a detector a dictionary of them, and what is asked of it is one too. Whatever the loop
does to a batch (choose rows, move, detach, join) it does to such a tree.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

#: a tensor (B, ...), or a dictionary of trees
Tree = Tensor | dict[str, Any]


def mapped(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The tree of ``function`` of every tensor; None stays None."""
    if isinstance(tree, dict):
        return {name: mapped(function, value) for name, value in tree.items()}
    return None if tree is None else function(tree)


def leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    return [] if tree is None else [tree]


def size_of(tree: Tree, what: str) -> int:
    """How many samples a tree has. Raises ValueError, naming it, unless all its tensors have as many."""
    sizes = {len(leaf) if leaf.dim() else 0 for leaf in leaves(tree)}
    if len(sizes) != 1:
        raise ValueError(f"{what} must be tensors (B, ...) of one batch size B, these have {sorted(sizes) or 'none'}")
    return sizes.pop()


def rows_of(tree: Any, rows: Tensor | Sequence[int]) -> Any:
    """The given rows (numbers or booleans) of every tensor."""
    places = rows if isinstance(rows, Tensor) else torch.tensor(list(rows), dtype=torch.long)
    return mapped(lambda leaf: leaf[places.to(leaf.device)], tree)


def copied(tree: Any) -> Any:
    """The same tensors in dictionaries of their own."""
    return mapped(lambda leaf: leaf, tree)


def detached(tree: Any) -> Any:
    """The same values without a graph."""
    return mapped(Tensor.detach, tree)


def moved(tree: Any, device: torch.device | str) -> Any:
    """The same values on a device."""
    return mapped(lambda leaf: leaf.to(device), tree)


def joined(parts: Sequence[Any]) -> Any:
    """Trees of the same names, their batches one after the other."""
    if isinstance(parts[0], dict):
        return {name: joined([part[name] for part in parts]) for name in parts[0]}
    return torch.cat(list(parts))


def flattened(name: str, tree: Any) -> dict[str, Tensor]:
    """Every tensor of a tree by a name: ``target``, or ``target/boxes`` for one in a dictionary."""
    if isinstance(tree, dict):
        return {key: leaf for part, value in tree.items() for key, leaf in flattened(f"{name}/{part}", value).items()}
    return {} if tree is None else {name: tree}


def unflattened(name: str, table: dict[str, Tensor]) -> Any:
    """The tree that ``flattened`` gave these names; None if there is none."""
    if name in table:
        return table[name]
    parts = dict.fromkeys(key.removeprefix(f"{name}/").split("/")[0] for key in table if key.startswith(f"{name}/"))
    return {part: unflattened(f"{name}/{part}", table) for part in parts} or None
