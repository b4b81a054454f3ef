"""Adversarial error and correction rate against numbers counted by hand, and signs of an attack that is too weak."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from invert3d.jobs.options import RunOptions
from invert3d.opening.networks import Network, open_network
from invert3d.study.attacks.robustness import Robustness, Way, robustness, warnings_of, ways_of
from tests.cli.calls import command
from tests.study.attacks.test_job import Counting, grids

QUIET = RunOptions(progress=False)


def counting(name: str, most: float) -> Network:
    network = open_network(Counting(most), kind="voxels", size=8, classes=("few", "many"))
    return replace(network, name=name)


def test_error_and_correction_are_those_counted_by_hand() -> None:
    """Four flips move the count by four: those within four of the threshold are fooled."""
    networks = [counting("low", 20.5), counting("high", 30.5)]
    named = dict(zip("abcd", grids(10, 18, 23, 40), strict=True))
    classes = ["few", "few", "few", "many"]  # the third is misclassified by the first from the beginning
    low, high = robustness(networks, named, classes, [Way(name="flips", budget=4)], QUIET)
    assert low.wrong["low"].tolist() == [False, True, True, False] and low.error == 0.5
    assert low.wrong_before.tolist() == [False, False, True, False] and low.budget == 4
    assert low.wrong["high"].tolist() == [False] * 4 and low.correction("high") == 1.0
    assert high.error == 0.0 and math.isnan(high.correction("low")), "nothing was wrong, nothing is corrected"
    row = low.row()
    assert (row["error before"], row["adversarial error"], row["adversarial error, saved"]) == (0.25, 0.5, 0.5)
    assert row["corrected by high"] == 1.0 and high.row()["corrected by low"] == "-"


def test_inputs_of_other_shapes_are_refused() -> None:
    other = open_network("voxnet-shapes")
    with pytest.raises(ValueError, match="must take one shape"):
        robustness([counting("low", 20.5), other], {"a": grids(5)[0]}, ["few"], [Way(name="flips")], QUIET)


def found(attack: str, network: str, budget: float, own: int, other: int = 0) -> Robustness:
    """Of ten inputs, so many are wrong for the network itself, and for the other one."""
    wrong = {network: torch.arange(10) < own, "b" if network == "a" else "a": torch.arange(10) < other}
    before = torch.zeros(10, dtype=torch.bool)
    return Robustness(
        attack=attack,
        network=network,
        budget=budget,
        norm="l0" if "flips" in attack else "l2" if "l2" in attack else "linf",
        control=attack == "noise",
        wrong=wrong,
        wrong_saved=wrong,
        wrong_before=before,
        change=torch.full((10,), budget),
    )


def test_signs_of_a_weak_attack_are_said() -> None:
    assert warnings_of([found("pgd", "a", 0.1, 3), found("pgd", "a", 0.2, 5), found("pgd", "b", 0.1, 3, 3)]) == []
    (falls,) = warnings_of([found("pgd", "a", 0.2, 3), found("pgd", "a", 0.1, 5)])
    assert "falls from 50.0% to 30.0% as the budget grows from 0.1 to 0.2" in falls
    (transfers,) = warnings_of([found("pgd", "a", 0.1, 3), found("pgd", "b", 0.1, 9, 8)])
    assert "pgd on a, budget 0.1: inputs made for b fool it more (80.0%) than its own (30.0%)" in transfers
    (random,) = warnings_of([found("pgd", "a", 0.1, 3), found("noise", "a", 0.1, 4)])
    assert random == "pgd on a, budget 0.1: noise fools it more"
    for other in ("flips", "pgd_l2"):
        assert warnings_of([found(other, "a", 8, 3), found("noise", "a", 8, 4)]) == [], "another kind of change"
    (still,) = warnings_of([replace(found("pgd", "a", 0.1, 3), change=torch.arange(10).clamp_max(2) / 10)])
    assert still == "pgd on a, budget 0.1: 10% of the inputs did not change: the gradient is zero there, try the " + (
        "loss logit_gap"
    )


def test_ways_are_read_from_words() -> None:
    assert ways_of(["fgsm", "ifgsm@5:0.005,0.02"]) == [
        Way(name="fgsm"),
        Way(name="ifgsm", budget=0.005, steps=5),
        Way(name="ifgsm", budget=0.02, steps=5),
    ]
    for wrong in ("pgd:x", "pgd@x", "pgd:", "pgd@2.5:0.1"):
        with pytest.raises(ValueError, match="attacks are NAME, NAME@STEPS or NAME:BUDGET,BUDGET"):
            ways_of([wrong])
    with pytest.raises(ValueError, match="named twice"):
        ways_of(["pgd:0.1,0.1"])


def test_the_command_writes_a_table_and_a_page(tmp_path: Path, capsys) -> None:
    words = {"models": "pointnet_vanilla-shapes", "per_class": 1, "points": 32, "progress": False}
    command("evaluate", "robustness", "fgsm:0.05", "noise:0.05", **words, out=tmp_path / "run")
    said = capsys.readouterr().out
    assert "How robust are these networks?" in said and "adversarial error" in said
    table = json.loads((tmp_path / "run" / "table.json").read_text())
    assert [row[0] for row in table["rows"]] == ["fgsm", "noise"] and (tmp_path / "run" / "index.html").exists()
    with pytest.raises(ValueError, match="did you mean fgsm"):
        command("evaluate", "robustness", "fgms", **words, out=tmp_path / "no")
