"""A local Ray cluster writes the same bytes as one process, also when an actor is killed or the run is interrupted."""

from __future__ import annotations

import pytest

from invert3d.jobs.execute import execute
from tests.jobs.test_jobs import plain, quiet, walks, written  # noqa: F401 - a fixture
from tests.jobs.workers import Walk

ray = pytest.importorskip("ray", reason="NOT CHECKED on a cluster: Ray is not installed")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A cluster of this machine, with two processors, for all tests here."""
    quiet_ray = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    ray.init(num_cpus=2, object_store_memory=100 * 2**20, **quiet_ray)
    yield
    ray.shutdown()


def test_a_cluster_writes_the_same_bytes(plain, tmp_path) -> None:  # noqa: F811
    execute(walks(), quiet(tmp_path / "run", cluster="auto"))
    assert written(tmp_path / "run") == plain


@pytest.mark.fault("kill -9 of a Ray actor")
def test_a_killed_actor_loses_nothing(plain, tmp_path) -> None:  # noqa: F811
    worker = Walk(marker=tmp_path / "killed", fault="kill", at=("walk-2", 7))
    execute(walks(worker), quiet(tmp_path / "run", cluster="auto", workers=2))
    assert (tmp_path / "killed").exists() and written(tmp_path / "run") == plain


@pytest.mark.fault("an error in a Ray actor")
def test_an_error_in_an_actor_is_raised_here(tmp_path) -> None:
    worker = Walk(marker=tmp_path / "x", fault="error", at=("walk-1", 3))
    with pytest.raises(ValueError, match="walk-1 is not legal"):
        execute(walks(worker), quiet(tmp_path / "run", cluster="auto"))


@pytest.mark.fault("no cluster at the address")
def test_no_cluster_at_an_address_is_said(tmp_path) -> None:
    ray.shutdown()
    with pytest.raises(ValueError, match="no Ray cluster answers at 127.0.0.1:1"):
        execute(walks(), quiet(tmp_path / "run", cluster="127.0.0.1:1"))
