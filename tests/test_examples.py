"""Every script in examples/ runs, and says what it found."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_examples_stay_short():
    assert EXAMPLES
    assert all(len(path.read_text().splitlines()) < 60 for path in EXAMPLES)
