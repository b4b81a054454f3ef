"""Measure how class inversion transfers between networks, for one or more recipes."""

from typing import TYPE_CHECKING

from invert3d.cli.options import (
    Count,
    MeasureOptions,
    Measuring,
    Names,
    Run,
    Running,
    distinct,
    recipe_and_control,
    split_names,
)
from invert3d.cli.show import print_recorded, print_table

if TYPE_CHECKING:
    from invert3d.study.classes.transfer import ClassTransfer


def evaluate_transfer(
    *recipes: str,
    models: Names = "shapes",
    repeats: Count = 4,
    classes: Names = "all",
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Compute the transfer matrix of several networks: shapes of the row's network, recognized by the column's.

    Args:
        recipes: Recipes to compare, by default published, search (ours without gradient steps), ours,
            and ours:shuffled. A recipe followed by :shuffled is the control: it inverts the same networks with
            their weights shuffled.
        models: Networks of clouds, comma separated: bundled weights, shapes or real for the three bundled architectures
            trained on those, or a .toml file that names your own (see docs/papers/inverting3d.md).
        repeats: Shapes of each class.
        classes: Class names, comma separated, or all, which are those that the networks share.
        run.out: The run folder, with the matrices as pictures; by default runs/transfer.
    """
    from invert3d.methods.recipes import load_recipe
    from invert3d.opening.networks import open_networks
    from invert3d.study.classes.transfer import NETWORKS, transfer

    pairs = [recipe_and_control(spec) for spec in distinct(recipes or ("published", "search", "ours", "ours:shuffled"))]
    for name, _ in pairs:
        load_recipe(name)
    asked = "all" if classes == "all" else split_names(classes) or []
    run = run.at("runs/transfer")
    named = split_names(models) or []
    networks = open_networks([each for name in named for each in NETWORKS.get(name, (name,))], device=measuring.device)
    quoted = named[0] if named[0] == "real" or (named == ["shapes"] and asked == "all") else ""
    for measured in transfer(pairs, networks, run, classes=asked, repeats=repeats):
        print_transfer(measured)
        label = measured.matrix.label
        note = "Share of the shapes from the row's network that the column's network recognizes." + measured.guessed
        measured.matrix.draw(run.folder() / f"{label.replace(' ', '-')}.png", note=note)
        if measuring.record:
            table = f"transfer {label}" if quoted != "real" else f"real transfer {label}"
            facts = {"shapes": measured.shapes, "seconds a shape": round(measured.seconds_a_shape, 1)}
            rows = measured.matrix.table(table=table, **facts)
            print_recorded("points", headline(measured, quoted) if quoted else {}, rows)


def print_transfer(measured: "ClassTransfer") -> None:
    """Print a transfer matrix."""
    from invert3d.ops.shares import share
    from invert3d.study.transfer import short_names

    matrix, short = measured.matrix, short_names(measured.matrix.columns)
    weakest = sorted(measured.by_class.items(), key=lambda pair: pair[1][0] / pair[1][1])[:4]
    print_table(
        f"Recipe {matrix.label}: transfer {matrix.transfer:.1%}, own {measured.own_success:.1%}",
        ["inverted from", *short],
        [[name, *line] for name, line in zip(short, matrix.values, strict=True)],
        f"{measured.shapes} shapes per network, {measured.seconds_a_shape:.1f} s per shape. "
        f"Weakest: {', '.join(f'{name} {share(*votes)}' for name, votes in weakest)}.{measured.guessed}",
    )


def headline(measured: "ClassTransfer", networks: str) -> dict[str, float]:
    """The numbers that README quotes of a recipe on a set of bundled networks, by their recorded names."""
    label = measured.matrix.label
    keys = {"published": "published", "search": "search_only", "ours": "ours", "ours on shuffled weights": "control"}
    if label not in keys:
        return {}
    share = round(measured.matrix.transfer, 4)
    if networks == "real":
        return {"transfer_real" if label == "ours" else f"transfer_real_{keys[label]}": share}
    ours = {
        "own_success_ours": round(measured.own_success, 4),
        "seconds_a_shape_whole": round(measured.seconds_a_shape, 1),
    }
    return {f"transfer_{keys[label]}": share} | (ours if label == "ours" else {})
