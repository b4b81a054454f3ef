"""The manual: ``make docs`` builds it into docs/_build. Warnings are errors, but for links into the repository.

Two pages of the reference are written here at build time, from what the program itself says: the public names with
their docstrings, and the commands with their help. The examples run while the gallery is built.
"""

import re
from pathlib import Path

import invert3d
from invert3d.cli.app import command_line_app

HERE = Path(__file__).parent

project, author, release = "invert3d", "The invert3d authors", invert3d.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "examples/*.ipynb", "examples/*.py", "examples/*.json", "examples/*.zip"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache", "myst.xref_missing"]  # links to code in the repository

html_theme = "furo"
html_title = "invert3d"
html_show_sphinx = html_show_copyright = False
html_static_path, html_css_files = ["static"], ["manual.css"]

autodoc_typehints = "none"  # shapes are in the docstrings; signatures stay short
autodoc_member_order = "bysource"
napoleon_use_rtype = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 60,
}

#: the parts of the public interface, by the package that holds them, in the order of the reference
PARTS = {
    "study": "Whole methods",
    "opening": "Opening networks and detectors",
    "jobs": "Running many things",
    "methods": "Recipes",
    "engine": "The loop and its parts",
    "objectives": "Objectives",
    "parameterizations": "Parameterizations",
    "priors": "Priors",
    "projections": "Projections",
    "transforms": "Transforms",
    "attribution": "Attribution",
    "models": "Models and weights",
    "ops": "Layouts and codecs",
    "data": "Data",
    "evaluate": "Scores",
    "registry": "Registry",
}


def python_reference() -> str:
    """The public names of the package by parts, each with its docstring."""
    homes: dict[str, list[str]] = {}
    for name in sorted(invert3d.__all__, key=str.lower):
        homes.setdefault(invert3d._HOME_OF[name].split(".")[1], []).append(name)
    if missing := set(homes) - set(PARTS):
        raise ValueError(f"the reference has no part for {', '.join(sorted(missing))}")
    lines = ["Python", "======", "", "All of these are names of ``invert3d`` itself: ``invert3d.optimize``.", ""]
    for part, title in PARTS.items():
        lines += [title, "-" * len(title), ""]
        for name in homes.get(part, []):
            is_class = isinstance(getattr(invert3d, name), type)
            lines += [f".. {'autoclass' if is_class else 'autofunction'}:: invert3d.{name}"]
            lines += ["   :members:", ""] if is_class else [""]
    return "\n".join(lines)


def command_reference() -> str:
    """The help of all commands as Markdown."""
    text = command_line_app().generate_docs(output_format="markdown")
    text = re.sub(r"## Table of Contents.*?\n\*\*Commands\*\*", "**Commands**", text, flags=re.DOTALL)
    text = re.sub(r"\[(`[\w-]+`)\]\(#[\w-]+\)", r"\1", text)
    return re.sub(r"(?<!`)``([^`]+)``(?!`)", r"`\1`", text).replace("# invert3d\n", "# Command line\n", 1)


def plain_asterisks(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Shapes such as (B, *shape) are no emphasis."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [re.sub(r"(?<![\\*])\*(?=[a-z(])", r"\\*", part) for part in parts[::2]]
        lines[i] = "``".join(parts)


def setup(app: "sphinx.application.Sphinx") -> None:  # noqa: F821
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    (folder / "python.rst").write_text(python_reference())
    (folder / "command-line.md").write_text(command_reference())
    app.connect("autodoc-process-docstring", plain_asterisks)
