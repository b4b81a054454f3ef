"""The search for loops over an input: what it must find, and what it must pass."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from tests.one_loop import derivatives_of, loops_over_an_input

#: each descends in line 1 or in the line that is marked
FORBIDDEN = {
    "for step in range": "for step in range(9): x = f(x)",
    "range(steps)": "for i in range(recipe.steps + 1): x = f(x)",
    "comprehension over steps": "history = [f(x) for _ in range(self.steps)]",
    "while step": "while self.step < 100: x = f(x)",
    "while attack": """
        while not fooled(x):  # here
            g, = torch.autograd.grad(loss(x), x)
            x = (x + 0.01 * g.sign()).detach().requires_grad_()
    """,
    "any name": """
        for i in range(n):  # here
            x = x - rate * grad(loss(x), x)[0]
    """,
    "no counter at all": """
        for rate in schedule:  # here
            loss(x).backward()
            with torch.no_grad():
                x -= rate * x.grad
    """,
    "optimizer": """
        for _ in itertools.count():  # here
            adam.zero_grad(); loss(x).sum().backward(); adam.step()
    """,
    "step in a function": """
        def advance(x):
            return x - torch.func.grad(loss)(x)
        def attack(x):
            for k in range(8):  # here
                x = advance(x)
            return x
    """,
    "method": """
        class Attack:
            def run(self):
                while self.budget > 0:  # here
                    self.once()
            def once(self):
                self.stepper.step()
    """,
    "the engine's own derivative": """
        for i in range(20):  # here
            gradient, _ = input_gradient(model, objective, x)
            x = x + 0.1 * gradient.sign()
    """,
    "the engine's own derivative, in place": """
        while True:  # here
            x.sub_(input_gradient(model, objective, x)[0], alpha=0.1)
    """,
    "by keyword, through another name": """
        for i in range(20):  # here
            change = 0.1 * input_gradient(model, objective, x=state.x)[0]
            new = state.x - change
            state.x = new
    """,
    "a function that asks": """
        def away(x):
            return input_gradient(model, objective, x)[0]
        def attack(x):
            for i in range(20):  # here
                x = x + away(x)
    """,
    "another file's function": """
        for i in range(20):  # here
            x = x + slope(x)
    """,
    "reduce": "x = functools.reduce(lambda x, _: x - torch.autograd.grad(loss(x), x)[0], range(9), x)",
    "recursion": """
        def descend(x, left):  # here
            g = torch.autograd.grad(loss(x), x)[0]
            return x if left == 0 else descend(x - g, left - 1)
    """,
}
PERMITTED = {
    "derivatives at given inputs": """
        for share in shares:
            gradient, state = input_gradient(model, objective, baseline + share * (x - baseline))
            total = total + gradient
    """,
    "in a comprehension": "maps = [input_gradient(model, objective, part)[0] for part in x.split(32)]",
    "one derivative, then a loop": """
        gradient = torch.autograd.grad(loss, x)[0]
        for row in gradient:
            print(row)
    """,
    "stages of the loop": """
        while stages:
            result = optimize(model, objective, parameterization, theta=theta, steps=9)
            theta = result.theta
    """,
    "a name that ends like a step": "for part in parts: footstep(part)",
    "a recursion without derivative": "def depth(tree): return 1 + max(map(depth, tree.children), default=0)",
    "an optimizer's own step": """
        def step(self):
            for p in group["params"]:
                p.sub_(p.grad)
    """,
}


@pytest.mark.parametrize("source", FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_search_for_loops_finds(source: str) -> None:
    source = textwrap.dedent(source).strip()
    marked = [number for number, line in enumerate(source.splitlines(), 1) if "# here" in line] or [1]
    assert loops_over_an_input(ast.parse(source), {"slope"}) == marked


@pytest.mark.parametrize("source", PERMITTED.values(), ids=PERMITTED)
def test_the_search_for_loops_passes(source: str) -> None:
    assert loops_over_an_input(ast.parse(textwrap.dedent(source).strip()), {"slope"}) == []


def test_the_search_for_loops_knows_what_takes_a_derivative() -> None:
    source = (Path(__file__).parents[1] / "src" / "invert3d" / "engine" / "gradient.py").read_text()
    assert derivatives_of(ast.parse(source)) == {"derivative", "input_gradient"}
    assert derivatives_of(ast.parse("def f(x): return _g(x)\ndef _g(x): return vjp(h, x)\ndef h(x): return x")) == {"f"}
