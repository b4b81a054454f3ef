"""One job gives the same bytes however it is run, and survives what happens to it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from invert3d.jobs import folder as folders
from invert3d.jobs.execute import execute
from invert3d.jobs.folder import read_run
from invert3d.jobs.job import Job, Made, Unit, file_name
from invert3d.jobs.options import RunOptions
from tests.jobs.workers import Deadly, Walk

ROOT = Path(__file__).parents[2]


def walks(worker: Walk | Deadly | None = None, **settings) -> Job:
    units = tuple(Unit(name=f"walk-{i}", cost=1.0, group="even" if i % 2 == 0 else "odd") for i in range(7))
    return Job(kind="walks", units=units, worker=worker or Walk(), settings=settings, capacity=2)


def quiet(out: Path | None, **options) -> RunOptions:
    return RunOptions(out=out, progress=False, **options)


def written(out: Path) -> dict[str, bytes]:
    """All files of the units."""
    units = out / "units"
    return {str(path.relative_to(units)): path.read_bytes() for path in sorted(units.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, bytes]:
    """What an undisturbed run in this process writes."""
    out = tmp_path_factory.mktemp("plain") / "run"
    execute(walks(), quiet(out))
    return written(out)


def test_batches_are_cut_once_from_the_list_of_units() -> None:
    cut = [[unit.name[-1] for unit in batch.units] for batch in walks().batches()]
    assert cut == [["0", "2"], ["4", "6"], ["1"], ["3", "5"]]
    costly = Job(
        kind="x", units=tuple(Unit(name=str(i), cost=c) for i, c in enumerate((5, 1, 1, 1))), worker=Walk(), capacity=4
    )
    assert [[unit.name for unit in batch.units] for batch in costly.batches()] == [["0"], ["1", "2", "3"]]


def test_a_job_refuses_names_that_are_no_folders_or_come_twice() -> None:
    for names, why in (((), "nothing to do"), (("a", "a"), "named twice: a"), (("../a",), "cannot be the name")):
        with pytest.raises(ValueError, match=why):
            Job(kind="x", units=tuple(Unit(name=name) for name in names), worker=Walk())


@pytest.mark.parametrize("text", ["../../etc", "night/stand", ".hidden", "", "a" * 300, "x\0y", "naïve", "CON:"])
def test_a_file_name_is_legal_and_differs_for_texts_that_differ(text: str) -> None:
    name = file_name(text)
    assert file_name(name) == name and name != text
    assert "/" not in name and not name.startswith(".") and 0 < len(name.encode()) <= 100
    assert name != file_name(text + "/")


def test_what_is_made_comes_back(plain) -> None:
    outcome = execute(walks(), quiet(None))
    units = [unit.name for unit, _ in outcome.each()]
    assert units == [f"walk-{i}" for i in range(7)] and not outcome.interrupted
    made = outcome.made("walk-3")
    assert made is not None and made.facts == {"step": 20}
    assert f"{float(made.arrays['place']):.17g}".encode() == made.files["note.txt"] == plain["walk-3/note.txt"]
    assert outcome.made("walk-9") is None
    kept = outcome.path
    del outcome
    assert not kept.exists(), "without a folder nothing is kept"


def test_a_seed_and_a_name_fix_a_unit(plain, tmp_path) -> None:
    alone = Job(kind="walks", units=(Unit(name="walk-3"),), worker=Walk())
    execute(alone, quiet(tmp_path / "alone"))
    assert written(tmp_path / "alone") == {k: v for k, v in plain.items() if k.startswith("walk-3/")}
    execute(walks(), quiet(tmp_path / "other", seed=1))
    assert written(tmp_path / "other")["walk-3/note.txt"] != plain["walk-3/note.txt"]


def test_two_processes_write_the_same_bytes(plain, tmp_path) -> None:
    execute(walks(), quiet(tmp_path / "run", workers=2))
    assert written(tmp_path / "run") == plain


@pytest.mark.fault("kill -9 of a worker process in the middle of a batch")
def test_a_killed_process_loses_nothing(plain, tmp_path, forked) -> None:
    worker = Walk(marker=tmp_path / "killed", fault="kill", at=("walk-2", 7))
    execute(walks(worker), quiet(tmp_path / "run", workers=2))
    assert (tmp_path / "killed").exists() and written(tmp_path / "run") == plain
    lost = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["lost"] for line in lost if "lost" in line] == ["process ended with -9"]


@pytest.mark.fault("a batch that kills every process that works at it")
def test_a_batch_that_kills_every_process_is_given_up_by_name(tmp_path, forked) -> None:
    with pytest.raises(ChildProcessError, match=r"worker of walk-\d died 3 times"):
        execute(walks(Deadly()), quiet(tmp_path / "run", workers=2))


@pytest.mark.fault("an error in a worker process")
def test_an_error_in_a_process_is_raised_here(tmp_path, forked) -> None:
    worker = Walk(marker=tmp_path / "x", fault="error", at=("walk-1", 3))
    for workers in (1, 2):
        with pytest.raises(ValueError, match="walk-1 is not legal"):
            execute(walks(worker), quiet(tmp_path / f"run{workers}", workers=workers))


@pytest.mark.fault("Ctrl-C")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_goes_on_to_the_same_bytes(plain, tmp_path, workers, forked) -> None:
    out = tmp_path / "run"
    at = ("walk-4", 11)
    worker = _SelfStop(Walk(), at) if workers == 1 else Walk(marker=tmp_path / "stopped", fault="stop", at=at)
    outcome = execute(walks(worker), quiet(out, workers=workers))
    assert outcome.interrupted and outcome.signal == signal.SIGINT
    partial = [unit.name for unit, made in outcome.each() if made.facts["step"] < 20]
    assert partial and (out / "units" / partial[0] / "partial.json").is_file()
    assert list((out / "unfinished").iterdir())
    resumed = execute(walks(), quiet(out, resume=True, workers=workers))
    assert not resumed.interrupted and written(out) == plain and not list((out / "unfinished").iterdir())


class _SelfStop:
    """A walk in this process that asks for an end at a step."""

    def __init__(self, walk: Walk, at: tuple[str, int]) -> None:
        self.walk, self.at = walk, at

    def __call__(self, units, context):
        progress = context.progress

        def watched(share: float, words: str) -> None:
            progress(share, words)
            if self.at[0] in [unit.name for unit in units] and round(share * 20) == self.at[1]:
                signal.raise_signal(signal.SIGINT)

        context.progress = watched
        return self.walk(units, context)


@pytest.mark.fault("SIGTERM")
def test_sigterm_ends_a_run_in_order_and_a_second_signal_at_once(tmp_path) -> None:
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from invert3d.jobs.execute import execute
from tests.jobs.test_jobs import _SelfStop, walks, quiet
from tests.jobs.workers import Walk
class Terminated(_SelfStop):
    def __call__(self, units, context):
        signal.raise_signal(signal.SIGTERM)
        return self.walk(units, context)
outcome = execute(walks(Terminated(Walk(), ("", 0))), quiet(Path({str(tmp_path / "run")!r})))
print(outcome.interrupted, outcome.signal == signal.SIGTERM)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["True", "True"] and "again to stop at once" in done.stderr


@pytest.mark.fault("a damaged, cut or missing file of a unit")
@pytest.mark.parametrize("damage", ["cut", "gone", "changed", "no mark"])
def test_damaged_parts_are_done_again(plain, tmp_path, damage) -> None:
    out = tmp_path / "run"
    execute(walks(), quiet(out))
    target = out / "units" / "walk-5" / ("done.json" if damage == "no mark" else "arrays.safetensors")
    if damage in ("gone", "no mark"):
        target.unlink()
    else:
        data = target.read_bytes()
        target.write_bytes(data[:-3] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    before = {name: (out / "units" / name).stat().st_ino for name in ("walk-0", "walk-5")}
    execute(walks(), quiet(out, resume=True))
    assert written(out) == plain
    after = {name: (out / "units" / name).stat().st_ino for name in ("walk-0", "walk-5")}
    assert before["walk-0"] == after["walk-0"] and before["walk-5"] != after["walk-5"], "only what is damaged"


def test_a_run_is_resumed_only_with_what_it_began_with(tmp_path) -> None:
    out = tmp_path / "run"
    execute(walks(rate=0.1), quiet(out))
    with pytest.raises(ValueError, match=r"other values of settings.rate$"):
        execute(walks(rate=0.2), quiet(out, resume=True))
    with pytest.raises(ValueError, match=r"other values of settings.seed$"):
        execute(walks(rate=0.1), quiet(out, resume=True, seed=3))
    with pytest.raises(ValueError, match=r"other values of units$"):
        execute(
            Job(kind="walks", units=(Unit(name="a"),), worker=Walk(), settings={"rate": 0.1}), quiet(out, resume=True)
        )
    assert not execute(walks(rate=0.1), quiet(out, resume=True)).interrupted


def test_folders_that_may_not_be_written_are_left_as_they_are(tmp_path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ValueError, match="nothing to resume"):
        execute(walks(), quiet(out, resume=True))
    assert not list(tmp_path.iterdir())
    execute(walks(), quiet(out))
    with pytest.raises(ValueError, match="exists already"):
        execute(walks(), quiet(out))
    with pytest.raises(ValueError, match="choose one of them"):
        quiet(out, resume=True, overwrite=True)
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.tex").write_text("all of it")
    for options in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(ValueError, match="not a run folder"):
            execute(walks(), quiet(other, **options))
    assert (other / "thesis.tex").read_text() == "all of it"
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match="is a file"):
            execute(walks(), quiet(path))


def test_a_run_is_overwritten_whole(plain, tmp_path) -> None:
    out = tmp_path / "run"
    execute(walks(), quiet(out, seed=5))
    (out / "old.png").write_text("")
    execute(walks(), quiet(out, overwrite=True))
    assert written(out) == plain and not (out / "old.png").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["run"], "nothing is left beside it"


def test_what_is_refused_at_work_leaves_all_as_it_was(tmp_path) -> None:
    refusing = walks(Walk(marker=tmp_path / "x", fault="error", at=("walk-0", 0)))
    out = tmp_path / "run"
    with pytest.raises(ValueError, match="walk-0 is not legal"):
        execute(refusing, quiet(out))
    assert not list(tmp_path.iterdir())
    execute(walks(), quiet(out))
    before = written(out)
    with pytest.raises(ValueError, match="walk-0 is not legal"):
        execute(refusing, quiet(out, overwrite=True))
    assert written(out) == before and [each.name for each in tmp_path.iterdir()] == ["run"]


@pytest.mark.fault("a second process writes to the same run folder")
def test_a_second_writer_is_refused(tmp_path) -> None:
    out = tmp_path / "run"
    execute(walks(), quiet(out))
    before = written(out)
    with FileLock(out / ".lock"):
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(ValueError, match="another process is writing"):
                execute(walks(), quiet(out, **options))
    assert written(out) == before and read_run(out)["kind"] == "walks"
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


@pytest.mark.fault("a full disk, at the first write and later")
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch) -> None:
    """The disk is full after some writes: the run can be resumed, or begun anew where nothing was written."""
    out, left = tmp_path / "run", [0]
    real = os.fsync

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(folders.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        execute(walks(), quiet(out))
    assert not list(tmp_path.iterdir()), "a failed first write leaves no folder"
    left[0] = 3
    with pytest.raises(OSError, match="No space left"):
        execute(walks(), quiet(out))
    left[0] = 1000
    execute(walks(), quiet(out, resume=True))
    assert len([name for name in written(out) if name.endswith("done.json")]) == 7
    assert not [path for path in out.rglob("*") if path.suffix in (".tmp", ".new")]


def test_a_run_folder_of_somebody_else_is_read_and_not_trusted(tmp_path) -> None:
    for text in ("", "[1, 2]", "{", "\0"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ValueError, match="run.json"):
            read_run(tmp_path)


def test_made_arrays_of_any_layout_are_written(tmp_path) -> None:
    turned = torch.arange(6.0).view(2, 3).T
    files = Made(arrays={"a": turned, "b": turned[1:]}).encoded()
    folders.write_folder(tmp_path / "unit", files, "done.json")
    back = folders.read_made(tmp_path / "unit")
    assert torch.equal(back.arrays["a"], turned) and torch.equal(back.arrays["b"], turned[1:])


def test_a_thread_runs_jobs_too(plain, tmp_path) -> None:
    thread = threading.Thread(target=lambda: execute(walks(), quiet(tmp_path / "run")))
    thread.start()
    thread.join()
    assert written(tmp_path / "run") == plain
