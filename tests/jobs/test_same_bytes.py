"""Shapes, layouts and explanations: the same bytes from one process, two, a cluster, and after an interruption."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from invert3d.data.worlds.shapes import make_clouds
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Context, Job
from invert3d.methods.layouts import layout_recipe
from invert3d.methods.recipes import load_recipe
from invert3d.opening.networks import open_network
from invert3d.study.classes import job as classes
from invert3d.study.classes.job import classes_job
from invert3d.study.explaining import job as explaining
from invert3d.study.explaining.job import explaining_job
from invert3d.study.layouts import job as layouts
from invert3d.study.layouts.job import asked_of, layouts_job
from tests.jobs.test_jobs import quiet, written
from tests.models.test_detectors import tiny
from tests.study.layouts.test_job import layout_of


def shapes() -> Job:
    recipe = load_recipe("ours", points=64, steps=6, starts=2, candidates=64, judge="own")
    return classes_job(open_network("pointnet_vanilla-shapes"), ["chair", "cup"], recipe)


def explanations() -> Job:
    network = open_network("pointnet_vanilla-shapes", points=64)
    clouds = make_clouds(["chair", "cup"], 1, 64, seed=3)[0]
    inputs = {name: torch.from_numpy(cloud) for name, cloud in zip(("chair", "cup"), clouds, strict=True)}
    return explaining_job(network, inputs, ["gradient", "integrated_gradients", "smooth_grad", "occlusion"])


def pictures() -> Job:
    detector = tiny()
    recipe = layout_recipe("ours", detector, steps=6)
    asked = asked_of(detector, [layout_of(2, 1), layout_of(1, 2)], ("near", "far"), recipe)
    return layouts_job({"": asked})


@pytest.fixture(params=[shapes, explanations, pictures], ids=["classes", "explanations", "layouts"])
def make(request, monkeypatch) -> Callable[[], Job]:
    """What makes the job, in batches of one unit."""
    monkeypatch.setattr(classes, "CAPACITY", 1)
    monkeypatch.setattr(layouts, "CAPACITY", 1)
    monkeypatch.setattr(explaining, "AT_ONCE", 1)
    return request.param


def test_the_same_bytes_however_it_is_run(make, tmp_path: Path, monkeypatch, forked) -> None:
    execute(make(), quiet(tmp_path / "plain"))
    plain = written(tmp_path / "plain")
    assert len({name.split("/")[0] for name in plain}) == 2
    execute(make(), quiet(tmp_path / "two", workers=2))
    assert written(tmp_path / "two") == plain
    asked = []

    def stop_once(self: Context) -> bool:
        asked.append(1)
        if len(asked) == 4:
            signal.raise_signal(signal.SIGINT)
        return self.stop()

    with monkeypatch.context() as patch:
        patch.setattr("invert3d.jobs.job.Progress.interrupts", lambda self: stop_once(self.context))
        report = Context.report

        def reported(self: Context, share: float, words: str = "") -> None:
            stop_once(self)
            report(self, share, words)

        patch.setattr(Context, "report", reported)
        outcome = execute(make(), quiet(tmp_path / "stopped"))
    assert outcome.interrupted
    assert not execute(make(), quiet(tmp_path / "stopped", resume=True)).interrupted
    assert written(tmp_path / "stopped") == plain


def test_the_same_bytes_from_a_cluster(make, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="NOT CHECKED on a cluster: Ray is not installed")
    execute(make(), quiet(tmp_path / "plain"))
    ray.init(
        num_cpus=2,
        object_store_memory=100 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        ignore_reinit_error=True,
    )
    try:
        execute(make(), quiet(tmp_path / "cluster", cluster="auto"))
    finally:
        ray.shutdown()
    assert written(tmp_path / "cluster") == written(tmp_path / "plain")
