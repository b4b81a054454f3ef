"""Where a number comes from: the command, the versions and the processor."""

import hashlib
import platform
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from invert3d import __version__


def environment() -> dict[str, str]:
    """What a number depends on besides the code: versions and the processor, no paths."""
    return {
        "invert3d": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "threads": str(torch.get_num_threads()),
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
    }


def processor() -> str:
    """The name of the processor, as far as the system gives one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def command_line() -> str:
    """The command as a person would type it, without the path of the program."""
    program = Path(sys.argv[0]).name
    words = ["invert3d" if program == "__main__.py" else program, *sys.argv[1:]]
    return " ".join(word if word and " " not in word else repr(word) for word in words)


def fingerprint(model: nn.Module) -> str:
    """Sixteen hexadecimal digits that change with any weight of a model."""
    known = hashlib.sha256()
    for name, value in model.state_dict().items():
        known.update(name.encode() + value.detach().cpu().double().numpy().tobytes())
    return known.hexdigest()[:16]


def digest(value: Tensor) -> str:
    """Sixteen hexadecimal digits that change with any number of a tensor."""
    return hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
