"""Query detectors as Hugging Face's transformers saves them, by folder or id. Nothing is downloaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from invert3d.models.detectors.detr import DetrDetector
from invert3d.models.detectors.query import QueryDetector, transformers
from invert3d.models.detectors.rt_detr import RTDetrDetector
from invert3d.registry import unknown

#: by the ``model_type`` of their configuration
FAMILIES: dict[str, type[QueryDetector]] = {"detr": DetrDetector, "rt_detr": RTDetrDetector}


def is_pretrained(name: str) -> bool:
    """Whether a name is a folder with a configuration, or has the form of an id, ``owner/name``."""
    return os.path.isfile(os.path.join(name, "config.json")) or name.count("/") == 1


def pretrained(name: str, *, height: int | None = None, width: int | None = None) -> QueryDetector:
    """A saved model and its image processor behind the protocol, in eval mode and single precision.

    Args:
        name: a folder that ``save_pretrained`` of both wrote, or an id whose files are in the local cache.
        height, width: of the pictures it takes; unless said the size that its image processor resizes to, or 480 x 640
            if that depends on the picture.

    Raises:
        ValueError: there is no such model, it is of another type, or its weights do not fit.
        ModuleNotFoundError: the extra ``hf`` is not installed.
    """
    library = transformers()
    kind = _loaded(library.AutoConfig, name).model_type
    if kind not in FAMILIES:
        raise ValueError(f"{name}: {unknown('model type', kind, FAMILIES)}")
    family = FAMILIES[kind]
    processor = _loaded(getattr(library, family.image_processor), name)
    options = {"dtype": torch.float32, "ignore_mismatched_sizes": True, "output_loading_info": True}
    model, info = _loaded(getattr(library, family.network), name, **options)
    for what, keys in (("missing", info["missing_keys"]), ("of another shape", info["mismatched_keys"])):
        if keys:
            raise ValueError(f"the weights of {name} do not fit its configuration: {what}: {sorted(map(str, keys))[0]}")
    size = processor.size
    return family(model, processor, height=height or size.height or 480, width=width or size.width or 640).eval()


def _loaded(kind: Any, name: str, **options: Any) -> Any:
    """What ``from_pretrained`` of a class of the library makes of local files. Raises ValueError if it cannot."""
    try:
        with _silent():
            return kind.from_pretrained(name, local_files_only=True, **options)
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, OSError) and not os.path.isdir(name):
            problem = f"there is no folder {name}, nor are all files of that id in the cache: hf download {name}"
        else:
            problem = f"{name} is no saved model that transformers opens: {' '.join(str(error).split())[:200]}"
        raise ValueError(problem) from error


@contextmanager
def _silent() -> Iterator[None]:
    """Without the library's progress bars and warnings: what does not fit is an error here."""
    logging = transformers(".utils.logging")
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
