"""Transfer between detectors, heads by heads, reports and figures: on tiny detectors that know nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from invert3d.engine import progress
from invert3d.engine.model import Frozen
from invert3d.engine.space import Image
from invert3d.engine.state import State
from invert3d.jobs.options import RunOptions
from invert3d.jobs.record import headline, table_of
from invert3d.models.weights import WeightCard
from invert3d.priors.statistics import BatchNormStatistics, norm_layers
from invert3d.study.layouts.job import agreeing
from invert3d.study.layouts.report import judgment, report
from invert3d.study.layouts.scenes import Scenes, swept
from invert3d.study.layouts.transfer import layout_transfer
from invert3d.training.detectors import save_detector
from tests.layouts import encoded, split
from tests.models.test_detectors import TINY, tiny
from tests.ops.test_centers import PROJECTED
from tests.study.layouts.test_job import frames, layout_of, quick

pytestmark = pytest.mark.usefixtures("coarse")


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two tiny detectors, by the paths of their cards."""
    folder = tmp_path_factory.mktemp("cards")
    for i in range(2):
        torch.manual_seed(i)
        about = WeightCard(name=f"d{i}", kind="detector", architecture="centernet3d", options=TINY["small"], seed=i)
        save_detector(tiny(codec=PROJECTED, order="rgb"), frames(2), about, folder)
    return str(folder / "d0.json"), str(folder / "d1.json")


def test_the_transfer_matrix_reads_every_picture_with_every_detector(cards, tmp_path: Path) -> None:
    options = RunOptions(out=tmp_path / "run", progress=False)
    found = layout_transfer("ours", frames(2), options, names=cards, steps=3)
    values = np.array(found.matrix.values)
    assert values.shape == (2, 2) and len(found.originals) == 2
    assert found.matrix.transfer == pytest.approx((values[0, 1] + values[1, 0]) / 2)
    assert (tmp_path / "run" / "units" / "d0-000000" / "picture.png").is_file()
    again = layout_transfer("ours", frames(2), replace(options, resume=True), names=cards, steps=3)
    assert again.matrix == found.matrix, "nothing is left to do"
    assert [(each.pictures, each.detector) for each in found.agreement] == [
        ("streets as d0 reads them", "d1"),
        ("streets as d1 reads them", "d0"),
    ]
    assert len(found.rows()) == 8 and {row["inverted"] for row in found.rows()} == {"d0", "d1", "–"}


def test_reading_that_fails_takes_its_line_down(cards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError("no room to read")

    monkeypatch.setattr("invert3d.study.layouts.transfer.redetected", fails)
    shown = list(progress._signs.meters)
    with pytest.raises(MemoryError, match="no room to read"):
        layout_transfer("ours", frames(1), RunOptions(out=tmp_path / "run"), names=cards, steps=1)
    assert progress._signs.meters == shown


def test_a_report_has_figures_and_a_page_and_a_sweep_has_a_sheet_and_a_gif(tmp_path: Path) -> None:
    detector = tiny(codec=PROJECTED, order="rgb")
    out = tmp_path / "run"
    picture = torch.rand(3, 32, 64)
    run = quick(detector, [layout_of(2, 1)], names=["a"], originals={"a": picture}, out=out)
    page = report(run, out, detector=detector, model="tiny")
    assert "<html" in page.read_text() and (out / "figures" / "a.png").is_file()
    values = [8.0, 12.0]
    scenes = swept(Scenes(("a",), (layout_of(1, 2),)), "depth", values, detector)
    run = quick(detector, scenes.layouts, names=scenes.names)
    report(run, tmp_path / "sweep", detector=detector, model="tiny", sweep=("depth", values))
    assert (tmp_path / "sweep" / "figures" / "sweep.gif").stat().st_size > 1000
    text = (tmp_path / "sweep" / "index.html").read_text()
    assert text.count("data:image/gif") == 1 and "<h2>depth 12 m</h2>" in text
    assert "The detector sees the requested layout in 0 of 2 pictures; 0 of 2 objects found" in text


def test_a_sweep_asks_the_detector_itself_what_can_be_asked_for() -> None:
    """A detector need not have a codec of center maps."""
    scenes, known = Scenes(("a",), (layout_of(1, 2),)), SimpleNamespace(kinds=("Car", "Pedestrian", "Cyclist"))
    known.count_assignable = lambda layout: float(layout.centers[0, 2]) < 20
    assert len(swept(scenes, "depth", [10.0, 19.0], known).layouts) == 2
    with pytest.raises(ValueError, match="at depth 21 the middle of the first object is outside"):
        swept(scenes, "depth", [10.0, 21.0], known)


def test_a_layout_is_judged_by_what_the_detector_agrees_to() -> None:
    asked = layout_of(2, 5)
    detector = tiny(codec=PROJECTED, order="rgb")
    maps = encoded(asked.to("cpu", torch.float64), detector.codec)[None].float()
    detector.raw = lambda images: split(maps)  # type: ignore[method-assign]
    assert agreeing(detector, [torch.zeros(3, 32, 64)], [asked]) == (True,)
    detector.raw = lambda images: split(maps - 20)  # type: ignore[method-assign]
    assert agreeing(detector, [torch.zeros(3, 32, 64)], [asked]) == (False,)
    words = judgment([True], [asked], [asked])
    assert words == (
        "The detector sees the requested layout; 2 of 2 objects found; 3-D overlap 1.00; 0.00 m off in depth; "
        "0 degrees off in yaw; no extra objects."
    )
    words = judgment([False, True], [asked.select(torch.tensor([0])), asked], [asked, asked.select(torch.tensor([0]))])
    assert words.startswith("The detector sees the requested layout in 1 of 2 pictures; 2 of 3 objects found")
    assert words.endswith("1 extra object.")


def test_what_a_network_remembers_is_met_by_what_it_was_measured_on() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4, momentum=None), torch.nn.ReLU())
    x = torch.rand(1, 3, 12, 12)
    model.train()(x)
    names = norm_layers(model.eval())
    assert names == ("1",)
    frozen = Frozen(model, Image(height=12, width=12), output="raw")

    def distance(x: torch.Tensor, **options: float) -> float:
        with frozen:
            frozen.tap(names)
            state = State(step=0, steps=1, rows=torch.arange(1), theta={}, draws=None, x=x)  # type: ignore[arg-type]
            with torch.no_grad():
                model(x)
            state.features, state.layers = frozen._taps.taken(), {"1": model[1]}
            return float(BatchNormStatistics(layers=names, **options)(state))

    assert distance(x, slack=0.0) < 1e-3
    assert distance(3 * x - 1, slack=0.0) > 0.1
    assert distance(3 * x - 1, slack=10.0) == 0
    with pytest.raises(ValueError, match="not a batch norm"):
        BatchNormStatistics(layers=("0",))._distance(torch.zeros(1, 4, 3, 3), model[0], "0")


def test_a_frozen_model_in_half_precision_answers_in_that_of_its_input() -> None:
    detector = tiny()
    space = Image(height=32, width=64, mean=(0.0,) * 3, std=(1.0,) * 3)
    x = torch.rand(1, 3, 32, 64)
    full, half = (Frozen(detector, space, output="raw", bf16=bf16)(x)["dim"] for bf16 in (False, True))
    assert half.dtype == torch.float32 and not torch.equal(full, half)
    assert torch.allclose(full, half, atol=0.3)


def test_numbers_of_detectors_are_not_shown_as_shares() -> None:
    topic = {"headline": {"transfer_ours": 61.5, "unknown": 1.0}, "rows": []}
    text = table_of(topic, "headline", "detector3d")
    assert "61.5" in text and "%" not in text.split("\n")[2] and "unknown" not in text
    assert headline("transfer_ours", 0.9)[1] == "90.0%"
