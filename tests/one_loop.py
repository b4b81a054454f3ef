"""Finds loops that change an input by its gradient, whatever they are called and however they repeat.

A search of the syntax tree of one file, name by name: meant for what somebody writes who did not know of the rule.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

#: what takes a derivative, or a step by it: never inside a loop
DERIVATIVES = {"backward", "grad", "grad_and_value", "jacfwd", "jacobian", "jacrev", "jvp", "step", "vjp"}
#: the engine's derivative at one input: may be asked at many inputs, but not at one that came of an earlier answer
AT_ONE_INPUT = {"derivative", "input_gradient"}
#: functions that repeat a function
REPEATERS = {"accumulate", "fori_loop", "map", "reduce", "starmap", "while_loop"}

Nodes = list[ast.AST]


def last_name(node: ast.AST) -> str:
    """``grad`` of ``torch.autograd.grad``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def calls(parts: Iterable[ast.AST]) -> list[ast.Call]:
    return [each for part in parts for each in ast.walk(part) if isinstance(each, ast.Call)]


def variables(parts: Iterable[ast.AST]) -> set[str]:
    """``x`` of ``x[0]``, ``state.x.sum`` of ``state.x.sum()``."""
    found = set()
    for part in parts:
        if isinstance(part, (ast.Name, ast.Attribute)) and (text := ast.unparse(part)).replace(".", "").isidentifier():
            found.add(text)
        else:
            found |= variables(ast.iter_child_nodes(part))
    return found


def flows(parts: Nodes) -> Iterator[tuple[Nodes, Nodes]]:
    """Targets, and the expressions that they are assigned, changed by or drawn from."""
    for node in (each for part in parts for each in ast.walk(part)):
        if isinstance(node, ast.Assign):
            yield [*node.targets], [node.value]
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            yield [node.target], [node.value]
        elif isinstance(node, (ast.For, ast.comprehension)):
            zipped = isinstance(node.iter, ast.Call) and last_name(node.iter.func) == "zip"
            if zipped and isinstance(node.target, ast.Tuple) and len(node.target.elts) == len(node.iter.args):
                yield from (([one], [other]) for one, other in zip(node.target.elts, node.iter.args, strict=True))
            else:
                yield [node.target], [node.iter]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_"):
            yield [node.func.value], [*node.args, *node.keywords]  # x.sub_(gradient)


def comes_back(parts: Nodes, askers: set[str]) -> bool:
    """Whether one of ``askers`` is called with what was computed from an answer of theirs."""
    asked = [call for call in calls(parts) if last_name(call.func) in askers]
    if not asked:
        return False
    tainted: set[str] = set()

    def is_tainted(names: set[str]) -> bool:
        return any(name == bad or name.startswith(f"{bad}.") for name in names for bad in tainted)

    pairs = [
        (variables(targets), variables(values), any(call in asked for call in calls(values)))
        for targets, values in flows(parts)
    ]
    before = -1
    while len(tainted) > before:
        before = len(tainted)
        for targets, values, answers in pairs:
            if answers or is_tainted(values):
                tainted |= targets
    return is_tainted(variables(part for call in asked for part in [*call.args, *call.keywords]))


class Functions:
    """The functions of a file: which name which, which take a derivative, which ask for one."""

    def __init__(self, tree: ast.AST, imported: set[str] | None = None) -> None:
        known = AT_ONE_INPUT | (imported or set())
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in ast.walk(tree) if isinstance(node, kinds)]
        self.bodies: dict[str, Nodes] = {node.name: [node.args, *node.body] for node in found}
        self.named = {name: self.names(body) for name, body in self.bodies.items()}
        self.askers = known | {name for name, body in self.bodies.items() if self.reaches(body, known)}
        self.returning = {name for name, body in self.bodies.items() if comes_back(body, self.askers)}

    def names(self, parts: Nodes) -> set[str]:
        """The functions of this file that are named in ``parts``."""
        return {last_name(each) for part in parts for each in ast.walk(part)} & set(self.bodies)

    def behind(self, parts: Nodes) -> set[str]:
        """The functions of this file that are named in ``parts``, in one of those, and so on."""
        found: set[str] = set()
        waiting = self.names(parts)
        while waiting := waiting - found:
            found |= waiting
            waiting = set().union(*(self.named[name] for name in waiting))
        return found

    def reaches(self, parts: Nodes, what: set[str]) -> bool:
        """Whether ``parts`` call one of ``what``, by themselves or through functions of this file."""
        bodies = [*parts, *(node for name in self.behind(parts) for node in self.bodies[name])]
        return any(last_name(call.func) in what for call in calls(bodies))

    def descends(self, parts: Nodes) -> bool:
        """Whether ``parts``, repeated, would go down a gradient."""
        if self.reaches(parts, DERIVATIVES) or comes_back(parts, self.askers):
            return True
        return bool(self.behind(parts) & self.returning)


def repetitions(tree: ast.AST, functions: Functions) -> Iterator[tuple[int, Nodes]]:
    """Line and repeated parts of loops, comprehensions, calls that repeat a function, and functions in themselves."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.For, ast.AsyncFor)):
            yield node.lineno, [*node.body]
        elif isinstance(node, ast.While):
            yield node.lineno, [node.test, *node.body]
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            yield node.lineno, [*values, *(test for part in node.generators for test in part.ifs)]
        elif isinstance(node, ast.Call) and last_name(node.func) in REPEATERS:
            yield node.lineno, [*node.args]
        elif isinstance(node, ast.FunctionDef) and node.name in functions.behind([*node.body]):
            yield node.lineno, [*node.body]


def counts_steps(tree: ast.AST) -> Iterator[int]:
    """Lines of ``for step in range(...)``, ``for ... in range(steps)`` and ``while step < steps``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.While) and {"step", "steps"} & {last_name(each) for each in ast.walk(node.test)}:
            yield node.lineno
        for loop in [node] if isinstance(node, ast.For) else getattr(node, "generators", []):
            if isinstance(loop.iter, ast.Call) and last_name(loop.iter.func) in ("range", "trange"):
                counts = {last_name(each) for part in loop.iter.args for each in ast.walk(part)}
                if ast.unparse(loop.target) == "step" or "steps" in counts:
                    yield loop.iter.lineno


def derivatives_of(tree: ast.Module) -> set[str]:
    """Public functions of a file that take a derivative."""
    functions = Functions(tree)
    top = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    return {name for name in top if functions.reaches(functions.bodies[name], DERIVATIVES | AT_ONE_INPUT)}


def loops_over_an_input(tree: ast.AST, imported: set[str] | None = None) -> list[int]:
    """Lines of all that repeats a derivative and a change of what it is taken at, or that counts steps.

    ``imported`` names functions of other files that take a derivative.
    """
    found = set(counts_steps(tree))
    if any(last_name(call.func) in DERIVATIVES | AT_ONE_INPUT | (imported or set()) for call in calls([tree])):
        functions = Functions(tree, imported)
        found |= {line for line, parts in repetitions(tree, functions) if functions.descends(parts)}
    return sorted(found)
