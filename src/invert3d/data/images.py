"""Pictures from files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

import numpy as np

from invert3d.data.files import bad_file, reading

if TYPE_CHECKING:
    from PIL.Image import Image


@contextmanager
def opened_image(path: str | Path, expected: str = "an image") -> Iterator["Image"]:
    """A picture of which only the header is read yet. Raises BadFile; so does what goes wrong in the block."""
    from PIL import Image

    with reading(path, expected) as file, catch_warnings():
        simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(file)
        except Image.UnidentifiedImageError as error:
            raise bad_file(file, f"found no image, expected {expected}") from error
        with picture:
            yield picture


def read_image(path: str | Path, expected: str = "an image") -> np.ndarray:
    """A picture as (height, width, 3) uint8 RGB.

    Raises:
        BadFile: it cannot be read, or has more pixels than Pillow thinks safe (89 million).
    """
    with opened_image(path, expected) as picture:
        return np.array(picture.convert("RGB"))
