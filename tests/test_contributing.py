"""The examples of CONTRIBUTING.md work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text()


def test_the_examples_run_from_first_to_last(text: str, tmp_path: Path) -> None:
    # in a process of their own: what they register must not reach the contract tests
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    script = tmp_path / "examples.py"
    script.write_text("\n\n".join(blocks))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr


def test_the_recipe_is_read(text: str, tmp_path: Path) -> None:
    from invert3d.methods.recipes import load_recipe

    (table,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "mine.toml"
    unregistered = '{ name = "entropy", weight = 0.1, temperature = 2.0 }'
    assert unregistered in table
    path.write_text(table.replace(unregistered, '{ name = "margin" }'))
    assert load_recipe(str(path)).steps == 200
