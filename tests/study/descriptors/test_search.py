"""A search of a few trials: workers and an interruption change nothing, and a storage belongs to one search."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from invert3d.engine.model import Frozen
from invert3d.engine.space import Image
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Context
from invert3d.jobs.options import RunOptions
from invert3d.methods.ranges import read_range
from invert3d.methods.recipes import load_recipe
from invert3d.opening.networks import Network
from invert3d.study.descriptors.search import importance, search_job, trials_of
from invert3d.study.descriptors.search_report import write_search

pytest.importorskip("optuna")

RANGES = [read_range(each) for each in ("stages.1.stepper.rate=0.001:0.5:log", "stages.1.steps=1:4:int")]


class Small(nn.Module):
    """Two layers on pictures of 16 pixels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


@pytest.fixture
def network() -> Network:
    return Network(name="small", frozen=Frozen(Small(), Image(height=16, width=16)), classes=("?",))


INPUTS = {"one": torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))}


def job(network: Network, folder: Path, **how: object):
    storage = str(folder / "trials.journal")
    how = {"trials": 4, "storage": storage, **how}
    return search_job(network, INPUTS, "body", "ours", RANGES, **how)  # type: ignore[arg-type]


def test_workers_and_an_interruption_change_nothing(network: Network, tmp_path: Path) -> None:
    tmp_path.joinpath("one").mkdir()
    whole = execute(job(network, tmp_path / "one"), RunOptions(progress=False, out=tmp_path / "run")).whole()
    one = trials_of(whole)
    assert len(one.names) == 4 and list(one.losses) == sorted(one.losses)
    tmp_path.joinpath("two").mkdir()
    options = RunOptions(progress=False, out=tmp_path / "pair", workers=2)
    two = trials_of(execute(job(network, tmp_path / "two"), options).whole())
    assert two.values == one.values and two.losses == pytest.approx(one.losses, abs=1e-5)

    tmp_path.joinpath("three").mkdir()
    worker = job(network, tmp_path / "three").worker
    stops = iter([False, False, True])
    units = job(network, tmp_path / "three").units
    with pytest.raises(KeyboardInterrupt):
        worker(units, Context(stop=lambda: next(stops)))
    made = [each for each in map(lambda unit: worker([unit], Context())[0], units)]
    assert [each.facts["values"] for each in made] == [
        dict(zip(one.names, one.values, strict=True))[unit.name] for unit in units
    ]


def test_the_best_recipe_is_a_file_that_can_be_run(network: Network, tmp_path: Path) -> None:
    outcome = execute(job(network, tmp_path), RunOptions(progress=False, out=tmp_path / "run")).whole()
    table = write_search(outcome)
    best = load_recipe(str(tmp_path / "run" / "best.toml"), "descriptors")
    assert best.stages[1].steps == trials_of(outcome).values[0]["stages.1.steps"]
    assert len(table["rows"]) == 4 and (tmp_path / "run" / "figure.png").is_file()
    assert "Importance" in (tmp_path / "run" / "index.html").read_text()
    assert json.loads((tmp_path / "run" / "table.json").read_text())["columns"][0] == "trial"


def test_tpe_learns_from_what_is_in_the_storage(network: Network, tmp_path: Path) -> None:
    execute(job(network, tmp_path, sampler="tpe", trials=3), RunOptions(progress=False)).whole()
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "trials.journal")))
    study = optuna.load_study(study_name="invert3d", storage=storage)
    assert len(study.trials) == 3 and all(trial.value is not None for trial in study.trials)


def test_a_storage_of_another_search_is_refused(network: Network, tmp_path: Path) -> None:
    execute(job(network, tmp_path, trials=1), RunOptions(progress=False)).whole()
    with pytest.raises(ValueError, match="belongs to another search"):
        execute(job(network, tmp_path, trials=1, sampler="tpe"), RunOptions(progress=False)).whole()


def test_bad_searches_are_refused(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no module 'bodi'"):
        search_job(network, INPUTS, "bodi", "ours", RANGES, storage="")
    with pytest.raises(ValueError, match="no place in a list"):
        search_job(network, INPUTS, "body", "ours", [replace(RANGES[0], path="stages.9.steps")], storage="")
    with pytest.raises(ValueError, match="at least one input"):
        search_job(network, {}, "body", "ours", RANGES, storage="")


def test_a_trial_without_numbers_is_left_out(network: Network, tmp_path: Path) -> None:
    wild = [read_range("stages.0.steps=1|2"), read_range("objective.1.weight=nan|0.5")]
    small = search_job(network, INPUTS, "body", "ours", wild, trials=8, storage=str(tmp_path / "t.journal"))
    outcome = execute(small, RunOptions(progress=False, out=tmp_path / "run")).whole()
    found = trials_of(outcome)
    assert 0 < found.failed < 8 and len(found.losses) + found.failed == 8
    assert "without numbers" in write_search(outcome)["title"]


def test_what_decides_is_important() -> None:
    values = [{"a": k / 40, "b": (k * 7 % 40) / 40} for k in range(40)]
    found = importance([read_range("a=0:1"), read_range("b=0:1")], values, [0.1 + value["a"] for value in values])
    assert found["a"] > 0.9 and sum(found.values()) == pytest.approx(1)
