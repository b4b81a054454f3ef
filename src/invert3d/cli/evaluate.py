"""``invert3d evaluate``: whether what was made means anything."""

from pathlib import Path

from invert3d.cli.show import print_scores, print_table
from invert3d.engine.result import Result
from invert3d.jobs.folder import read_run
from invert3d.jobs.record import record as write_record
from invert3d.methods.recipes import load_recipe
from invert3d.study.classes.job import invert
from invert3d.study.classes.report import write_report
from invert3d.study.networks import open_network
from invert3d.study.transfer import NETWORKS, Transfer, randomized
from invert3d.study.transfer import transfer as measure_transfer


def inversion(run: Path, *, control: bool = False, device: str = "cpu") -> None:
    """Score a run folder again, from the clouds it saved.

    Parameters
    ----------
    run
        A run folder of invert3d invert class.
    control
        Also run the recipe on the network with shuffled weights and say how much of that others recognize.
    device
        cpu, cuda, ...
    """
    facts = read_run(run)
    result = Result.load(run)
    if facts.get("checkpoint"):
        raise ValueError(f"{run} inverted a checkpoint of yours: run invert3d invert class --resume to score it again")
    network = open_network(
        facts["model"],
        layout=facts["layout"],
        up=facts["up"],
        classes=facts["classes"],
        points=result.x.shape[1],
        device=device,
    )
    print_scores(write_report(run, network, result))
    if control:
        recipe = load_recipe(str(run / "recipe.toml"))
        shuffled = randomized(network, facts["seed"])
        drawn = invert(shuffled, list(dict.fromkeys(facts["names"])), recipe=recipe, seed=facts["seed"])
        scores = write_report_of_control(run, shuffled.name, network, drawn)
        print_scores(scores)


def write_report_of_control(run: Path, name: str, network, drawn: Result):
    """Score the shapes of a shuffled network by the real others, into the folder's control.json."""
    from invert3d.jobs.folder import write_json
    from invert3d.study.classes.score import other_networks, score, score_table

    judge = read_run(run)["table"]["judge"]
    table = score_table(drawn, score(drawn, network, other_networks(network, judge, drawn.facts["names"])))
    table["title"] = f"Control: {name}. The columns say what the real networks see in its shapes"
    write_json(run / "control.json", table)
    return table


def transfer(
    *recipes: str,
    repeats: int = 4,
    seed: int = 0,
    classes: str = "all",
    record: bool = False,
    out: Path | None = None,
    device: str = "cpu",
) -> None:
    """The transfer matrix over three architectures: inverted from the row, recognized by the column.

    Parameters
    ----------
    recipes
        Recipes to compare, by default published, ours, and ours:shuffled. A recipe with :shuffled behind it is the
        control: it inverts the same networks with their weights shuffled.
    repeats
        Shapes of each class.
    seed
        Fixes everything.
    classes
        Class names, comma separated, or all.
    record
        Write docs/results/points.json.
    out
        A folder for the matrix as a picture and the run folders; an interrupted evaluation goes on from them.
    device
        cpu, cuda, ...
    """
    from invert3d.study.transfer_report import write_transfer

    asked = "all" if classes == "all" else [name.strip() for name in classes.split(",")]
    for spec in recipes or ("published", "ours", "ours:shuffled"):
        name, _, mark = spec.partition(":")
        if mark not in ("", "shuffled"):
            raise ValueError(f"{spec}: a recipe may be followed by :shuffled, not by :{mark}")
        measured = measure_transfer(
            name, classes=asked, repeats=repeats, seed=seed, control=bool(mark), device=device, folder=out
        )
        show(measured)
        write_transfer(out, measured)
        if record:
            record_transfer(measured, complete=classes == "all")


def show(measured: Transfer) -> None:
    """Print a transfer matrix."""
    short = [name.split("-")[0] for name in measured.networks]
    rows = [[name, *(float(v) for v in line)] for name, line in zip(short, measured.matrix, strict=True)]
    weakest = sorted(measured.by_class.items(), key=lambda pair: pair[1])[:4]
    print_table(
        f"Recipe {measured.recipe}: transfer {measured.transfer:.1%}, own {measured.own_success:.1%}",
        ["inverted from", *short],
        rows,
        f"{measured.shapes} shapes a network, {measured.seconds / measured.shapes / len(short):.1f} s a shape. "
        f"Weakest: {', '.join(f'{name} {share:.0%}' for name, share in weakest)}",
    )


def record_transfer(measured: Transfer, complete: bool) -> None:
    """Write the numbers that README and docs quote; headlines only where all classes were asked for."""
    headline = {}
    if complete:
        key = {"published": "published", "ours": "ours", "ours on shuffled weights": "control"}.get(measured.recipe)
        headline = {f"transfer_{key}": round(measured.transfer, 4)} if key else {}
        if measured.recipe == "ours":
            headline["own_success_ours"] = round(measured.own_success, 4)
    rows = measured.rows(f"transfer {measured.recipe}")
    print(f"recorded in {write_record('points', headline, rows)}")


def ablation(
    *,
    repeats: int = 1,
    seed: int = 0,
    record: bool = False,
    device: str = "cpu",
    network: str = "pointnet-shapes",
    recipes: str = "",
) -> None:
    """What each ingredient of the recipe adds: one network inverted, the two others look.

    Parameters
    ----------
    repeats
        Shapes of each class.
    seed
        Fixes everything.
    record
        Write the table into docs/results/points.json.
    device
        cpu, cuda, ...
    network
        The network to invert.
    recipes
        Only these rungs of the ladder, separated by semicolons.
    """
    from invert3d.study.classes.ablation import ladder, measure

    chosen = [name.strip() for name in recipes.split(";") if name.strip()]
    rows = []
    for label, recipe in ladder():
        if chosen and label not in chosen:
            continue
        row = measure(label, recipe, network, [n for n in NETWORKS if n != network], repeats, seed, device)
        rows.append(row)
        print_table(f"Inverting {network}, {repeats} shape(s) a class", list(row), [list(r.values()) for r in rows])
    if record:
        print(f"recorded in {write_record('points', {}, [{'table': 'ablation', **row} for row in rows])}")
