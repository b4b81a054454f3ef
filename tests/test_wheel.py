"""A wheel works outside the checkout: recipes, weights, templates and commands are in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel installs."""
    built = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built], check=True, cwd=ROOT)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(built / "site")
    return built / "site"


def test_everything_that_is_no_code_is_in_it(unpacked: Path) -> None:
    source, package = ROOT / "src" / "invert3d", unpacked / "invert3d"
    files = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert files == {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    assert any(path.suffix == ".safetensors" for path in files) and any(path.suffix == ".toml" for path in files)
    (points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "invert3d = invert3d.cli:main" in points.read_text()


def test_it_runs_outside_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "import invert3d; from pathlib import Path; "
        f"assert Path(invert3d.__file__).is_relative_to({str(unpacked)!r}); from invert3d.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "explain", "shapes:cup", "--model", "pointnet_vanilla-shapes"]
    command += ["--points", "64", "--methods", "gradient", "--out", "run"]
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "index.html").is_file()
