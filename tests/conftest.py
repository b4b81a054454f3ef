"""What all tests share: one thread, checked shapes, tiny clouds and networks, real data if there is any."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torch import Tensor, nn

import tests.shape_checks  # noqa: F401 - the hook below looks it up by name
from invert3d.engine import progress

#: packages whose annotated types and shapes are checked at every call, hooked before they are imported; not the
#: engine, whose own sentences about bad arguments are tested
CHECKED = [f"invert3d.{name}" for name in ("models", "objectives", "ops", "priors", "projections")]
jaxtyping.install_import_hook(CHECKED, "tests.shape_checks.checked")

torch.set_num_threads(1)
progress.QUIET = math.inf  # what a command prints depends on no clock
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and tests send it

#: the same examples in every run, and no clock
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where tests that take a device run: cpu, cuda, cuda:1, ...")


def pytest_terminal_summary(terminalreporter) -> None:
    """How many injected faults were tried and survived, for docs/results/jobs.json."""
    ran = [each for kind in ("passed", "failed") for each in terminalreporter.stats.get(kind, ())]
    faults = [each for each in ran if each.when == "call" and "fault" in each.keywords]
    if faults:
        survived = sum(each.passed for each in faults)
        terminalreporter.write_line(f"faults_tried {len(faults)} faults_survived {survived}")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test begins with the same global generators, whichever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - what libraries may draw from
    torch.manual_seed(0)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device of ``--device``; asking for a GPU that is not there is a failure, not a skip."""
    chosen = torch.device(request.config.getoption("--device"))
    if chosen.type == "cuda" and not torch.cuda.is_available():
        pytest.fail(f"--device {chosen} was asked for, but torch sees no GPU")
    return chosen


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real data beside the checkout, or in ``INVERT3D_REAL``."""
    folder = Path(os.environ.get("INVERT3D_REAL", Path(__file__).parents[2] / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"NOT CHECKED on real data: there is no {folder} (set INVERT3D_REAL to the folder that has it)")
    return folder


@pytest.fixture
def clouds() -> Callable[..., Tensor]:
    """``clouds(batch, points)``: random clouds (B, N, 3) in [-0.5, 0.5], the same for the same seed."""

    def make(batch: int = 3, points: int = 32, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return (torch.rand(batch, points, 3, generator=generator, dtype=torch.float64) - 0.5).to(dtype)

    return make


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes come from a server that has loaded torch once; ``test_two_processes`` starts them as shipped."""
    multiprocessing.set_forkserver_preload(["torch", "invert3d.jobs.crew"])
    monkeypatch.setattr("invert3d.jobs.processes.START", "forkserver")


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of clouds with a sample a pixel, and PNGs in a tenth of the time: where nobody looks at them closely."""
    save = Picture.Image.save

    def saved(self, *where, **how) -> None:
        save(self, *where, **{**how, "optimize": False, "compress_level": 1})

    monkeypatch.setattr(Picture.Image, "save", saved)
    monkeypatch.setattr("invert3d.view.raster._SAMPLES", 1)


class TinyNet(nn.Module):
    """The smallest network of clouds: two layers a point, their mean, one more. (B, N, 3) -> (B, classes)."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(3, 16)
        self.act = nn.Tanh()
        self.second = nn.Linear(16, 16)
        self.last = nn.Linear(16, classes)
        with torch.no_grad():
            self.first.weight.mul_(2)
            self.last.weight.mul_(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.second(self.act(self.first(x)))).mean(1))


@pytest.fixture
def tiny() -> TinyNet:
    """A ``TinyNet`` with the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TinyNet()
