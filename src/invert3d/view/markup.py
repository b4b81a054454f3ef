"""The pieces of HTML that a page is put together from, out of `page.html` beside this file.

A piece starts at a line `<!-- @name -->`. In it `{{field}}` is replaced by the field's text, made safe, and
`{{{field}}}` by the field as it is, which must be HTML already.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_FIELD = re.compile(r"\{\{\{(\w+)\}\}\}|\{\{(\w+)\}\}")


def piece(name: str, fields: Mapping[str, object] | None = None) -> str:
    """The piece called `name` with its fields filled in; every field must be there."""
    fields = fields or {}

    def fill(match: re.Match[str]) -> str:
        raw, safe = match.groups()
        return str(fields[raw]) if raw else html.escape(str(fields[safe]))

    return _FIELD.sub(fill, _pieces()[name])


@cache
def asset(name: str) -> str:
    """The text of a file beside this one."""
    return (files("invert3d.view") / name).read_text("utf-8")


@cache
def _pieces() -> dict[str, str]:
    """All pieces by name."""
    parts = re.split(r"^<!-- @([\w-]+) -->\n", asset("page.html"), flags=re.MULTILINE)
    return {name: text.rstrip("\n") for name, text in zip(parts[1::2], parts[2::2], strict=True)}
