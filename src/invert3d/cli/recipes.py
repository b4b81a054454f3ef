"""List the inversion recipes, or print one."""

from invert3d.cli.show import print_table


def recipes(name: str | None = None) -> None:
    """List the inversion recipes, or print one as TOML, as a start for your own.

    Args:
        name: The recipe to print.
    """
    from invert3d.methods.recipes import load_recipe, recipe_names, recipe_toml

    if name is not None:
        print(recipe_toml(load_recipe(name)))
        return
    known = [load_recipe(each) for each in recipe_names()]
    columns = ["name", "steps", "starts", "points", "about"]
    print_table("Recipes", columns, [[r.name, r.steps, r.starts, r.points, r.about] for r in known])
