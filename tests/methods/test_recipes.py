"""Recipes: TOML there and back, and every mistake in one refused with a name that is near."""

import pytest

from invert3d.methods.recipes import built, described, load_recipe, recipe_from, recipe_names, recipe_table, recipe_toml
from invert3d.registry import registered


@pytest.mark.parametrize("name", recipe_names())
def test_built_in_recipes_survive_the_way_through_toml(name):
    import tomllib

    recipe = load_recipe(name)
    assert recipe.about
    assert recipe_from(tomllib.loads(recipe_toml(recipe)), name) == recipe


@pytest.mark.parametrize("kind", ["transform", "parameterization", "prior", "objective", "projection"])
def test_every_registered_class_survives_the_way_through_a_table(kind):
    for name, cls in registered(kind).items():
        needed = {
            "feature_match": {"layer": "fc1"},
            "clip": {"low": -1.0, "high": 1.0},
            "every": {"period": 3, "projection": {"name": "knn_smooth", "k": 2}},
        }.get(name, {})
        thing = built(kind, {"name": name, **needed})
        assert isinstance(thing, cls)
        assert built(kind, described(thing, kind)) == thing


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"stagess": []}, "did you mean stages"),
        ({"points": "many"}, "Expected `int`"),
        ({"parameterization": {"name": "primitve"}}, "did you mean primitives"),
        ({"parameterization": {"name": "primitives", "cuont": 3}}, "did you mean count"),
        ({"parameterization": {"name": "primitives", "kind": "cubiod"}}, "did you mean cuboid"),
        ({"transforms": [{"name": "rotate", "degrees": "ten"}]}, "Expected `float`"),
        ({"transforms": [{"degrees": 10}]}, "needs a name"),
        ({"objective": [{"name": "cross_entrpy"}]}, "did you mean cross_entropy"),
        ({"stages": [{"steps": 5, "stepper": {"kind": "adm"}}]}, "did you mean adam"),
        ({"stages": [{"steps": 5, "projections": [{"name": "clip", "low": 0.0}]}]}, "needs high"),
        ({"stages": [{"stps": 5}]}, "did you mean steps"),
    ],
)
def test_mistakes_are_refused(table, says):
    with pytest.raises(ValueError, match=says):
        recipe_from(table, "mistaken")


def test_overrides_share_steps_out_over_the_stages():
    recipe = load_recipe("ours")
    short = load_recipe("ours", steps=15, points=64)
    assert abs(short.steps - 15) <= len(recipe.stages)
    assert len(short.stages) == len(recipe.stages)
    assert short.points == 64
    assert recipe_table(short)["judge"] == recipe.judge


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ValueError, match="published"):
        load_recipe("publishd")
