"""The live view: it starts, answers, follows its controls, and stops."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from urllib.request import urlopen

import numpy as np
import pytest

import invert3d.view.live as live
from invert3d.view.gallery import Cloud
from invert3d.view.live import serve

POINTS = np.random.default_rng(0).normal(size=(50, 3)) * 0.3
CLOUDS = [
    Cloud(name="chair", points=POINTS, snapshots=np.stack([POINTS * 2, POINTS * 1.5]), snapshot_steps=[0, 9]),
    Cloud(name="desk", points=POINTS * 0.5, values=POINTS[:, 0], kind="diverging", badges={"seen as": "desk"}),
]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_the_server_starts_answers_and_stops(capsys: pytest.CaptureFixture) -> None:
    server = serve(CLOUDS, port=free_port(), block=False)
    try:
        with urlopen(f"http://127.0.0.1:{server.get_port()}", timeout=10) as answer:
            assert answer.status == 200
    finally:
        server.stop()


def test_the_controls_move_the_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = []
    build = live._Stage
    monkeypatch.setattr(live, "_Stage", lambda server, clouds: stages.append(build(server, clouds)))
    monkeypatch.setattr(live, "_FRAME", 0.0)
    server = serve(CLOUDS, port=free_port(), block=False)
    try:
        stage = stages[0]
        shown = lambda: server.scene.get_handle_by_name("/cloud").points  # noqa: E731
        assert np.allclose(shown(), POINTS, atol=1e-6)
        stage.step.value = 0
        assert np.allclose(shown(), POINTS * 2, atol=1e-6)
        assert "step 0" in stage.facts.content
        asyncio.run(stage.run(None))
        assert stage.step.value == 2
        assert "result" in stage.facts.content
        stage.choice.value = "2. desk"
        assert np.allclose(shown(), POINTS * 0.5, atol=1e-6)
        assert not stage.step.visible
        assert "seen as" in stage.facts.content
    finally:
        server.stop()


def test_bad_clouds_are_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="clouds: got none"):
        serve([], block=False)
    with pytest.raises(ValueError, match="cloud 'a': points"):
        serve([Cloud(name="a", points=np.zeros((2, 2)))], block=False)


def test_importing_the_pictures_imports_no_heavy_library() -> None:
    heavy = "torch", "matplotlib", "PIL", "viser", "trimesh", "scipy", "jinja2"
    pictures = "boxfigures, figures, files, live, matrix, page, scenes, trace"
    code = f"import sys; from invert3d.view import {pictures}; print([name for name in {heavy} if name in sys.modules])"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
