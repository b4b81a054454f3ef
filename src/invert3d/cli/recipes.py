"""List the recipes of inversions and attacks, or print one."""

from invert3d.cli.show import print_table


def recipes(name: str | None = None) -> None:
    """List the recipes of inversions and attacks, or print one as TOML, as a start for your own.

    Args:
        name: The recipe to print.
    """
    from invert3d.methods.recipes import load_recipe, recipe_names, recipe_toml

    if name is not None:
        print(recipe_toml(load_recipe(name)))
        return
    known = {each: load_recipe(each) for each in recipe_names()}
    rows = [[each, r.steps, r.starts, r.points or "-", r.about] for each, r in known.items()]
    print_table("Recipes", ["name", "steps", "starts", "points", "about"], rows)
