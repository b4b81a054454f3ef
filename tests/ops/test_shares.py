"""Shares in words."""

import pytest

from invert3d.ops.shares import share


@pytest.mark.parametrize(
    ("count", "total", "words"), [(7, 8, "7 of 8"), (0, 1, "0 of 1"), (99, 99, "99 of 99"), (88, 100, "88%")]
)
def test_few_are_counted_and_many_are_not(count: int, total: int, words: str) -> None:
    assert share(count, total) == words
