"""2-D detectors by name: folders of transformers, what is wrong with them, and the extra that is not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from invert3d.models.detectors import categories
from invert3d.models.detectors.pretrained import FAMILIES, is_pretrained
from invert3d.opening.box_detectors import open_box_detector

every = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def saved(tmp_path: Path):
    """A function that saves a tiny model and its image processor, and returns the folder."""
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    from tests.models.queries import built, processor_of

    def save(family: str) -> Path:
        folder = tmp_path / family
        built(family, 5).save_pretrained(folder)
        processor_of(family).save_pretrained(folder)
        return folder

    return save


@every
def test_a_folder_is_opened_with_its_weights_names_and_sizes(saved, family: str, capfd) -> None:
    from tests.models.queries import KINDS, tiny

    folder = saved(family)
    capfd.readouterr()
    detector = open_box_detector(str(folder), height=64, width=96)
    assert capfd.readouterr() == ("", "")
    assert detector.kinds == KINDS and not detector.training and (detector.height, detector.width) == (64, 96)
    x, own = torch.rand(1, 3, 64, 96), tiny(family, 5)
    with torch.no_grad():
        assert all(torch.equal(value, own.raw(x)[name]) for name, value in detector.raw(x).items())
    whole = open_box_detector(str(folder))
    assert (whole.height, whole.width) == ((480, 640) if family == "detr" else (640, 640))


@every
def test_weights_are_read_in_single_precision(saved, family: str) -> None:
    folder = saved(family)
    model = open_box_detector(str(folder)).model.half()
    model.save_pretrained(folder)
    assert {p.dtype for p in open_box_detector(str(folder)).parameters()} == {torch.float32}


def test_what_is_wrong_with_a_folder_is_said_in_one_sentence(saved) -> None:
    folder = saved("detr")
    config = folder / "config.json"
    text = config.read_text()
    broken = {
        "model type.*detr": {**json.loads(text), "model_type": "yolos"},
        "the weights of .*detr do not fit its configuration: missing": {**json.loads(text), "decoder_layers": 3},
        "do not fit its configuration: of another shape": {**json.loads(text), "num_queries": 7},
    }
    for says, table in broken.items():
        config.write_text(json.dumps(table))
        with pytest.raises(ValueError, match=says) as caught:
            open_box_detector(str(folder))
        assert "\n" not in str(caught.value)
    config.write_text(text)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="is no saved model that transformers opens: .*image processor"):
        open_box_detector(str(folder))
    config.write_text("{")
    with pytest.raises(ValueError, match="is no saved model that transformers opens"):
        open_box_detector(str(folder))


def test_nothing_is_downloaded(saved) -> None:
    with pytest.raises(ValueError, match="no folder owner/name, nor are all files.*cache: hf download owner/name"):
        open_box_detector("owner/name")


def test_without_the_extra_it_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "config.json").write_text('{"model_type": "detr"}')
    for name in (str(tmp_path), "owner/name"):
        with pytest.raises(ModuleNotFoundError, match=r"need the extra hf: pip install 'invert3d\[hf\]'"):
            open_box_detector(name)


def test_other_names_are_not_taken_for_models_of_transformers(tmp_path: Path, monkeypatch) -> None:
    assert not any(is_pretrained(name) for name in (str(tmp_path), "fcos-room", "a/b/c", "x" * 5000, "\0"))
    with pytest.raises(ValueError, match="unknown detector 'retinant'; did you mean retinanet.*a folder of transform"):
        open_box_detector("retinant")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "retinanet").mkdir()
    (tmp_path / "retinanet" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="retinanet has no weights here"):
        open_box_detector("retinanet")


def test_the_background_is_no_category() -> None:
    detector = open_box_detector("fcos-rooms")
    assert categories(detector) == detector.kinds[1:] and detector.kinds[0] == "background"
