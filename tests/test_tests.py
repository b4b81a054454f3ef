"""Tests that cannot fail, or that fail by the clock or by chance, are found by a machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = {"monotonic", "perf_counter", "perf_counter_ns", "process_time", "sleep", "thread_time", "time", "time_ns"}
#: functions that raise by themselves where something does not hold
CHECKS = {"check", "fail", "gradcheck", "raises", "warns"}


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_trivial(test: ast.expr) -> bool:
    """Whether a condition holds whatever the code does: a constant, a tuple, ``x == x``, that there is a shape."""
    if isinstance(test, (ast.Constant, ast.Tuple, ast.JoinedStr)):
        return True
    if isinstance(test, ast.Attribute) and test.attr in ("shape", "dtype", "device"):
        return True
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return ast.unparse(test.left) == ast.unparse(test.comparators[0])
    return isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) and any(map(is_trivial, test.values))


def is_only_finite(test: ast.expr) -> bool:
    """Whether a condition is no more than ``x.isfinite().all()``."""
    calls = {name_of(each) for each in ast.walk(test) if isinstance(each, ast.Call)}
    compares = any(isinstance(each, (ast.Compare, ast.UnaryOp)) for each in ast.walk(test))
    return "isfinite" in calls and not compares and not isinstance(test, ast.BoolOp)


def weaknesses_of(test: ast.FunctionDef, helpers: set[str]) -> Iterator[str]:
    asserts = [each.test for each in ast.walk(test) if isinstance(each, ast.Assert)]
    calls = [each for each in ast.walk(test) if isinstance(each, ast.Call)]
    checks = [
        each for each in calls if name_of(each) in CHECKS | helpers or name_of(each).startswith(("assert_", "check_"))
    ]
    if not asserts and not checks:
        yield "asserts nothing"
    if any(map(is_trivial, asserts)):
        yield "asserts what always holds"
    if asserts and not checks and all(map(is_only_finite, asserts)):
        yield "asserts only that numbers are finite"


def weaknesses(source: str) -> list[str]:
    """Lines and words of what is wrong in a file of tests."""
    tree = ast.parse(source)
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    helpers = {
        each.name
        for each in functions
        if any(
            isinstance(part, ast.Assert) or (isinstance(part, ast.Call) and name_of(part) in CHECKS)
            for part in ast.walk(each)
        )
    }
    found = []
    for function in functions:
        if function.name.startswith("test_"):
            found += [f"{function.lineno} {function.name} {each}" for each in weaknesses_of(function, helpers)]
    for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
        words = {word.arg: word.value for word in call.keywords}
        if name_of(call) in CLOCKS and ast.unparse(call.func).split(".")[0] in CLOCKS | {"time"}:
            found.append(f"{call.lineno} looks at the clock")
        if name_of(call) == "raises" and isinstance(call.func, ast.Attribute):
            says = words.get("match")
            if (
                says is None
                and len(call.args) < 2
                and ast.unparse(call.args[0]) not in ("SystemExit", "KeyboardInterrupt")
            ):
                found.append(f"{call.lineno} does not say which error")
            if isinstance(says, ast.Constant) and re.fullmatch(r"([.^$*+?|()\[\]]|\\[sSwWbB])*", str(says.value)):
                found.append(f"{call.lineno} takes any words")
        if "port" in words and isinstance(words["port"], ast.Constant) and words["port"].value in range(1024, 65536):
            found.append(f"{call.lineno} a fixed port")
        if ast.unparse(call.func) in ("np.random.default_rng", "random.Random") and not call.args and not words:
            found.append(f"{call.lineno} draws without a seed")
    return found


#: tests that are still to be mended: this list only gets shorter
STILL_WEAK: set[str] = set()
FILES = sorted(path for path in TESTS.rglob("*.py") if path != Path(__file__))


def test_tests_can_fail() -> None:
    found = {str(path.relative_to(TESTS)): weaknesses(path.read_text()) for path in FILES}
    found = {path: [line for line in lines if not STILL_WEAK & set(line.split())] for path, lines in found.items()}
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("run()", "asserts nothing"),
        ("assert True", "asserts what always holds"),
        ("assert x.shape", "asserts what always holds"),
        ("assert (x == 1, 'message')", "asserts what always holds"),
        ("assert x.sum() == x.sum()", "asserts what always holds"),
        ("assert run().x.isfinite().all()", "asserts only that numbers are finite"),
        ("assert bool(torch.isfinite(x).all())", "asserts only that numbers are finite"),
        ("start = time.perf_counter(); assert time.perf_counter() - start < 5", "looks at the clock"),
        ("sleep(1); assert done()", "looks at the clock"),
        ("with pytest.raises(ValueError): run()", "does not say which error"),
        ("with pytest.raises(ValueError, match='.'): run()", "takes any words"),
        ("with pytest.raises(ValueError, match='.*'): run()", "takes any words"),
        ("assert serve(port=18_653)", "a fixed port"),
        ("assert np.random.default_rng().random() < 1", "draws without a seed"),
    ],
)
def test_the_search_for_weak_tests_finds(body: str, says: str) -> None:
    assert [line.split(maxsplit=1)[1].removeprefix("test_it ") for line in weaknesses(f"def test_it():\n  {body}")][
        :1
    ] == [says]


@pytest.mark.parametrize(
    "body",
    [
        "assert run() == 1",
        "assert not (tmp_path / 'run').exists()",
        "assert x.isfinite().all() and x.max() < 1",
        "with pytest.raises(ValueError, match='steps'): run()",
        "with pytest.raises(SystemExit): run()",
        "check_prior(Prior())",
        "same(a, b)\ndef same(a, b):\n  assert a == b",
        "assert serve(port=0).time() == 3",
        "assert gradcheck(f, x)",
    ],
)
def test_the_search_for_weak_tests_passes(body: str) -> None:
    assert weaknesses(f"def test_it():\n  {body}") == []


def test_the_table_of_injected_faults_names_tests_that_exist() -> None:
    text = (TESTS.parent / "docs" / "explanation" / "reliability.md").read_text()
    text = text.partition("<!-- /results -->")[2]  # the measured numbers stand before the tables of faults
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| injected fault")]
    named = [re.findall(r"`(tests/\S+)::(test_\w+)`", row) for row in rows]
    assert rows and all(named), "each row names a test"
    missing = {f"{path}::{name}" for row in named for path, name in row if not is_test(TESTS.parent / path, name)}
    assert not missing


def is_test(path: Path, name: str) -> bool:
    return path.is_file() and f"\ndef {name}(" in path.read_text()
