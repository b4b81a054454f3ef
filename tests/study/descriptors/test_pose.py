"""Networks of pairs of pictures, side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.calls import command

from invert3d.models.weights import bundled
from invert3d.study.descriptors.pose import TITLES, pose_row


def test_errors_are_those_of_the_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(
        "train",
        "posenet",
        task="stacked",
        steps=1,
        scenes=4,
        held_out=3,
        views=2,
        batch=4,
        name="both",
        out=tmp_path / "both",
    )
    own, both = pose_row("posenet-facades"), pose_row(str(tmp_path / "both" / "both.json"))
    assert (own["pictures"], both["pictures"], both["terraces"]) == ("siamese", "stacked", 3)
    scores = bundled()["posenet-facades"].scores
    assert [own[title] for title in TITLES] == [round(scores[name], 4) for name in TITLES.values()]
    monkeypatch.chdir(tmp_path)
    command("evaluate", "pose", "posenet-facades", str(tmp_path / "both" / "both.json"), record=True)
    assert '"table": "pose"' in (tmp_path / "docs" / "results" / "descriptor.json").read_text()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("stylenet-facades", "was not trained to find poses"),
        ("posenet-facade", "posenet-facades"),
        ("pointnet-shapes", "is a classifier"),
    ],
)
def test_what_finds_no_poses_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        command("evaluate", "pose", spec)
