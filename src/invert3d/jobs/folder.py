"""Run folders: recipe, environment, seed, trace, arrays, pictures and one page, readable at any moment."""

import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from invert3d import __version__


def environment() -> dict[str, str]:
    """What a number depends on besides the code: versions and the processor, no paths."""
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "invert3d": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "threads": str(torch.get_num_threads()),
        **gpu,
    }


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def command_line() -> str:
    """The command as a person would type it, without the path of the program."""
    words = [Path(sys.argv[0]).name if Path(sys.argv[0]).name != "__main__.py" else "invert3d", *sys.argv[1:]]
    return " ".join(word if word and " " not in word else repr(word) for word in words)


def checked_folder(folder: Path, *, resume: bool = False, overwrite: bool = False) -> Path:
    """The folder, once it is seen that a run may be written there; nothing is changed yet.

    Raises ValueError if one is there already and neither is asked for.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, not a run folder")
    full = folder.is_dir() and any(folder.iterdir())
    if full and not (resume or overwrite):
        raise ValueError(f"{folder} exists already: give --resume to go on from it or --overwrite to replace it")
    if full and overwrite and not (folder / "run.json").is_file():
        raise ValueError(f"{folder} is not a run folder (no run.json): it will not be overwritten")
    if resume and not (folder / "run.json").is_file():
        raise ValueError(f"there is nothing to resume in {folder}")
    return folder


def prepared(folder: Path, *, resume: bool = False, overwrite: bool = False) -> Path:
    """An empty or resumable run folder. Raises ValueError as ``checked_folder``."""
    folder = checked_folder(folder, resume=resume, overwrite=overwrite)
    if overwrite and folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_json(path: Path, table: Any) -> None:
    """Write JSON so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, suffix=".tmp") as file:
        json.dump(table, file, indent=2)
        file.write("\n")
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def read_run(folder: Path) -> dict[str, Any]:
    """The ``run.json`` of a run folder. Raises ValueError if there is none."""
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise ValueError(f"{folder} is not a run folder: it has no run.json")
    return json.loads(path.read_text())


def record(topic: str, headline: dict[str, float], rows: Sequence[dict[str, Any]]) -> Path:
    """Write measured numbers to ``docs/results/<topic>.json``, from which README and docs take theirs.

    A headline is merged into what other commands recorded under the topic; rows are replaced command by command.
    """
    path = Path("docs/results") / f"{topic}.json"
    old = json.loads(path.read_text()) if path.is_file() else {"headline": {}, "rows": []}
    command = command_line()
    tables = {str(row.get("table")) for row in rows}
    kept = [row for row in old["rows"] if str(row.get("table")) not in tables]
    stamped = [{**row, "command": command} for row in rows]
    write_json(
        path,
        {
            "command": command,
            "environment": environment(),
            "headline": {**old["headline"], **headline},
            "rows": kept + stamped,
        },
    )
    return path
