"""The commands: a file beside this one is a command, a folder a group of them, and their docstrings are their help.

A command's module is imported when it runs, so ``--help`` of any is instant.
"""

import ast
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated

from cyclopts import App, Parameter

from invert3d import __version__

SHARED = ("app", "options", "show")  # files that are no commands


def command_line_app() -> App:
    """The whole command line. ``--no-...`` and ``--empty-...`` exist only for options that ask for them."""
    app = App(
        name="invert3d",
        version=__version__,
        help="Look inside 3-D vision networks.",
        default_parameter=Parameter(negative_bool=(), negative_iterable=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    add_commands(app, Path(__file__).parent, ())
    return app


def add_commands(app: App, folder: Path, path: tuple[str, ...]) -> None:
    """Add the commands in a folder, and its groups. ``class`` is no name for a module: it is called ``classes``."""
    for _, module, is_group in iter_modules([str(folder)]):
        here, name = (*path, module), module.replace("classes", "class").replace("_", "-")
        file = folder / module / "__init__.py" if is_group else folder / f"{module}.py"
        words = ast.get_docstring(ast.parse(file.read_bytes()))
        if is_group:
            add_commands(group := App(name=name, help=words), folder / module, here)
            app.command(group)
        elif module not in SHARED:
            app.command(f"invert3d.cli.{'.'.join(here)}:{'_'.join(here)}", name=name, help=words)


app = command_line_app()


@app["train"].default
def train_architecture(architecture: str, *words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """``invert3d train pointnet ...`` is ``invert3d train shapes pointnet ...``, whose --help lists the options."""
    app(["train", "shapes", architecture, *words], exit_on_error=False, print_error=False)
