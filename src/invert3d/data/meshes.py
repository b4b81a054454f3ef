"""Triangle meshes from files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import trimesh


def read_off(path: str | Path) -> trimesh.Trimesh:
    """One OFF mesh in its own units and frame, also with ModelNet's header `OFF123 456 0` on one line.

    Raises:
        ValueError: the file is no OFF mesh or has no face.
    """
    import trimesh

    file = Path(path)
    text = file.read_bytes().lstrip()
    if not text.startswith(b"OFF"):
        raise ValueError(f"{file}: found a file that starts with {text[:12]!r}, expected an OFF mesh")
    text = b"OFF\n" + text[3:].lstrip()
    try:
        mesh = trimesh.load_mesh(io.BytesIO(text), file_type="off", process=False)
    except (ValueError, IndexError, KeyError, TypeError, NameError) as error:
        raise ValueError(f"{file}: found a broken OFF mesh ({error})") from error
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise ValueError(f"{file}: found an OFF mesh without faces")
    if int(mesh.faces.max()) >= len(mesh.vertices) or not np.isfinite(mesh.vertices).all():
        raise ValueError(f"{file}: found an OFF mesh with faces of absent vertices, or vertices that are not finite")
    return mesh
