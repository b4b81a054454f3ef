"""What `invert3d view` shows of runs of any kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from invert3d.study.viewing import page_of


def run_of(folder: Path, kind: str, *units: str) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"kind": kind, "units": units, "command": "invert3d of a test"}))
    return folder


def put(folder: Path, unit: str, **arrays: torch.Tensor) -> Path:
    made = folder / "units" / unit
    made.mkdir(parents=True)
    (made / "facts.json").write_text("{}")
    save_file(arrays, made / "arrays.safetensors")
    return made


def test_a_run_is_shown_by_its_own_page(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "run", "boxes", "a")
    (folder / "index.html").write_text("its own")
    assert page_of(folder) == (b"its own", False)


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "half", "classes", "chair-0", "car-0", "desk-0", "late-0")
    with pytest.raises(ValueError, match="nothing to show yet"):
        page_of(folder)
    way = torch.rand(2, 50, 3)
    put(folder, "chair-0", x=torch.rand(50, 3), snapshots=way, snapshot_steps=torch.tensor([0, 9]))
    put(folder, "car-0", x=torch.eye(4).expand(1, 4, 4, 4).contiguous())
    made = put(folder, "desk-0", x=torch.rand(3, 8, 8), chances=torch.rand(5))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(made / "picture.png")
    page, more = page_of(folder)
    text = page.decode()
    assert more and "3 of 4 units are saved." in text and "half: a run of classes" in text
    assert "<h3>chair-0</h3>" in text and "step 9" in text and "<h3>car-0</h3>" in text and '"cube":true' in text
    assert '<img class="picture" alt="units desk-0 picture"' in text and "<h3>desk-0</h3>" not in text
    put(folder, "late-0", x=torch.rand(50, 3))
    assert not page_of(folder)[1]


def test_a_training_is_shown_by_its_curve_and_tables_as_they_are(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "run", "training")
    (folder / "log.jsonl").write_text("".join(json.dumps({"step": i, "loss": 1 / i}) + "\n" for i in range(1, 9)))
    (folder / "checkpoint.pt").touch()
    page, more = page_of(folder)
    assert more and "loss" in page.decode() and "0.125 at the end" in page.decode()
    assert "held-out samples" not in page.decode()
    card = {
        "name": "mine",
        "kind": "classifier",
        "architecture": "dgcnn",
        "scores": {"accuracy": 0.86},
        "held_out": 836,
    }
    (folder / "mine.json").write_text(json.dumps(card | {"notes": "600 steps", "data": "shapes"}))
    (folder / "mine.safetensors").touch()
    text = page_of(folder)[0].decode()
    assert "mine, on 836 held-out samples" in text and "0.86" in text and "600 steps. Data: shapes." in text
    (folder / "checkpoint.pt").unlink()
    (folder / "table.json").write_text(json.dumps({"title": "T", "columns": ["a"], "rows": [["b"]], "note": "n"}))
    page, more = page_of(folder)
    assert not more and "<h2>T</h2>" in page.decode()


def test_what_is_no_run_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a run folder"):
        page_of(tmp_path)
    folder = run_of(tmp_path / "run", "classes", "a")
    put(folder, "a", x=torch.rand(5, 3))
    (folder / "units" / "a" / "arrays.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match="is damaged"):
        page_of(folder)
