"""The manual: every block of Python in it runs, the commands it names exist, and every page is in the index."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def test_python_on_every_page_runs(tmp_path: Path) -> None:
    # a process of their own: what they register must not reach the contract tests
    lines = []
    for page in PAGES:
        code = "\n\n".join(blocks(page.read_text(), "python"))
        assert code, f"{page.name} has no Python"
        lines.append(f"exec(compile({code!r}, {page.name!r}, 'exec'), {{'__name__': {page.stem!r}}})")
    script = tmp_path / "pages.py"
    script.write_text("\n".join(lines))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr


def test_a_detector_is_put_behind_the_protocol_in_fewer_than_25_lines() -> None:
    code = blocks((DOCS / "how-to" / "own-detector.md").read_text(), "python")
    (adapter,) = [block for block in code if "= CandidateDetector(" in block]
    assert len([line for line in adapter.splitlines() if line.strip()]) < 25


@pytest.mark.parametrize("page", [*PAGES, DOCS / "explanation" / "truth.md"], ids=lambda page: page.stem)
def test_commands_and_options_exist(page: Path) -> None:
    from invert3d.cli.app import command_line_app

    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^ {4,}(invert3d .+)$", text, re.MULTILINE) + re.findall(r"`(invert3d [^`]+)`", text)
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        app = command_line_app()
        while words and not words[0].startswith("-") and words[0] in set(app):
            app = app[words.pop(0)]
        known = {name for argument in app.assemble_argument_collection() for name in argument.names}
        assert app.default_command is not None, line
        for word in words:
            assert not word.startswith("--") or word in known, f"{line}: no option {word}"


def test_every_page_is_in_the_index() -> None:
    listed = set(re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(), re.MULTILINE))
    written = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.glob("*/*.md")}
    written.add("tutorial")
    made = {"examples/index", "reference/python", "reference/command-line"}
    assert listed - made == {name for name in written if not name.startswith(("reference/", "examples/", "_build/"))}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*DOCS.glob("*.md"), *DOCS.glob("*/*.md")]:
        if page.parent.name in ("reference", "examples"):
            continue
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            place = (page.parent / link).resolve()
            example = place.parent == DOCS / "examples"  # made by the build
            assert place.exists() or (example and (DOCS.parent / "examples" / f"{place.name}.py").exists()), link
