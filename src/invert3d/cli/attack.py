"""Change inputs a little so that a classifier gets them wrong."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from invert3d.cli.options import (
    Count,
    Files,
    Levels,
    ModelOptions,
    Opening,
    Positive,
    Run,
    Running,
    Starts,
    Up,
    Weights,
    between,
)
from invert3d.cli.show import print_scores

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class AttackOptions:
    """How inputs are attacked.

    Attributes:
        recipe: fgsm, ifgsm (BIM), ifgsm_growing, momentum (MI-FGSM), pgd, pgd_l2, and noise, their control; of voxels
            flips, flips_add, flips_remove, flips_surface, and flips_at_random, their control; of clouds remove_points,
            tangent; or a TOML file. invert3d recipes attacks/NAME shows one.
        budget: Epsilon, how much an input may change in the norm of the recipe: the largest change of a value, the
            length of the change, or the number of voxels or points. By default as in the recipe.
        steps: Number of steps; in an epsilon ball the step size is rescaled, so that both multiplied stay the same.
        step_size: Alpha, the length of a step; by default a share of epsilon (pgd: a tenth, ifgsm: a fifth).
        restarts: Random starts of each input, in place of the recipe's.
        loss: cross_entropy, or logit_gap, whose gradient does not vanish where the network is certain; by default as
            in the recipe.
        target: Target class; by default the attack is untargeted.
        label: True class of the inputs; by default that of a procedural shape, if the network knows it, otherwise what
            the network predicts.
    """

    recipe: str = "pgd"
    budget: Positive | None = None
    steps: Count | None = None
    step_size: Positive | None = None
    restarts: Starts | None = None
    loss: Literal["cross_entropy", "logit_gap"] | None = None
    target: str | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """How a detector is attacked, in place of a classifier.

    Attributes:
        detector: Attack a bundled 2-D detector (invert3d models) instead, a card (.json) beside its weights, one of
            torchvision's with --checkpoint, or package.module:factory.
        vanish: Number of the detection that shall vanish; 0 has the highest score.
        appear: What shall appear, and where: KIND:LEFT,TOP,RIGHT,BOTTOM in pixels.
        within: Largest change of a value, in levels of 255.
    """

    detector: str | None = None
    vanish: Annotated[int, between(0, 1_000)] | None = None
    appear: str | None = None
    within: Levels = 8.0


def attack(
    *files: Files,
    model: Weights = "voxnet-shapes",
    attacking: Annotated[AttackOptions, Parameter(name="*")] = AttackOptions(),
    detections: Annotated[DetectionOptions, Parameter(name="*")] = DetectionOptions(),
    file_up: Up = "z",
    opening: Opening = ModelOptions(),
    run: Running = Run(),
) -> None:
    """Change clouds, voxel grids or images within a budget so that a frozen classifier gets them wrong.

    What is saved is what a file can hold: voxels are empty or full, pictures have 8 bits. The network is asked again.
    With --detector: change pictures until a detection vanishes, or one appears, and all others stay.

    Args:
        run.out: The run folder; by default runs/RECIPE-MODEL.
    """
    from invert3d.engine.progress import Meter
    from invert3d.jobs.execute import execute
    from invert3d.methods.attacks import attack_recipe
    from invert3d.opening.inputs import read_inputs, true_classes
    from invert3d.study.attacks.job import Attack, attacks_job
    from invert3d.study.attacks.report import write_attacks

    if detections.detector is not None:
        attack_detections(files, detections, attacking, opening, run)
        return
    if detections != DetectionOptions():
        raise ValueError("--vanish, --appear and --within are about detections: name a --detector")
    target, label, network = attacking.target, attacking.label, opening.open(model)
    recipe = attack_recipe(
        attacking.recipe,
        network.frozen.space,
        budget=attacking.budget,
        steps=attacking.steps,
        step_size=attacking.step_size,
        restarts=attacking.restarts,
        loss=attacking.loss,
    )
    run = run.at(f"runs/{Path(attacking.recipe).stem}-{network.name.split(':')[-1].replace(' ', '-')}")
    inputs = read_inputs(files, network.frozen.space, up=file_up, facing=network.facing)
    known = {name: each for name, each in true_classes(files, list(inputs)).items() if each in network.classes}
    truth = dict.fromkeys(inputs, label) if label else known
    asked = {"": Attack(network=network, recipe=recipe, target=target)}
    outcome = execute(attacks_job(asked, inputs, truth), run).whole()
    with Meter("drawing", show=run.progress):
        scores = write_attacks(outcome, network)
    print_scores(scores)
    print(f"open {run.folder() / 'index.html'}")


def attack_detections(
    files: "Sequence[str]", asked: DetectionOptions, attacking: AttackOptions, opening: ModelOptions, run: Run
) -> None:
    """Attack a detector. Raises ValueError for what a detector has no use for."""
    from invert3d.jobs.report import save_table
    from invert3d.opening.inputs import read_pictures
    from invert3d.study.attacks.detections import TITLE, appearing, attack_detector

    if replace(attacking, steps=None) != AttackOptions():
        raise ValueError("of the options of an attack a detector takes --steps only, and --vanish, --appear, --within")
    appear = None if asked.appear is None else appearing(asked.appear)
    name = str(asked.detector)
    detector = opening.open_detector(name)
    run = run.at(f"runs/attack-{Path(name).stem}")
    _, rows = attack_detector(
        detector,
        read_pictures(files),
        vanish=asked.vanish,
        appear=appear,
        levels=asked.within,
        steps=attacking.steps,
        model=name,
        options=run,
    )
    note = "Scores are of a detection of the same category that overlaps the object by half, in the saved picture."
    print_scores(save_table(run.folder(), TITLE, rows, note))
    print(f"open {run.folder() / 'index.html'}")
