"""Recipes: TOML there and back, and every mistake in one refused with a name that is near."""

from dataclasses import dataclass, replace

import pytest

from invert3d import registry
from invert3d.engine.objective import Objective
from invert3d.engine.recorder import StopWhen
from invert3d.engine.stepper import Stepper
from invert3d.methods.layouts import Agrees
from invert3d.methods.recipes import (
    in_family,
    load_recipe,
    overridden,
    recipe_from,
    recipe_names,
    recipe_table,
    recipe_toml,
)
from invert3d.methods.stages import Recipe, Stage
from invert3d.registry import plain, registered


@pytest.mark.parametrize("name", recipe_names())
def test_built_in_recipes_survive_the_way_through_toml(name):
    import tomllib

    recipe = load_recipe(name)
    assert recipe.about
    assert recipe_from(tomllib.loads(recipe_toml(recipe)), name) == recipe


#: how a recipe holds a member of each kind
HOLDS = {
    "transform": lambda table: {"transforms": [table]},
    "parameterization": lambda table: {"parameterization": table},
    "prior": lambda table: {"objective": [table, {"name": "cross_entropy", "weight": 2}]},
    "objective": lambda table: {"objective": [table]},
    "projection": lambda table: {"stages": [{"steps": 1, "projections": [table, table]}]},
    "stop": lambda table: {"stages": [{"steps": 1, "stop": table}]},
    "schedule": lambda table: {"stages": [{"steps": 1, "stepper": {"schedule": table}}]},
}
FOUND = {
    "transform": lambda recipe: recipe.transforms[0],
    "parameterization": lambda recipe: recipe.parameterization,
    "prior": lambda recipe: recipe.objective.terms[0][1],
    "objective": lambda recipe: recipe.objective,
    "projection": lambda recipe: recipe.stages[0].projections[1],
    "stop": lambda recipe: recipe.stages[0].stop,
    "schedule": lambda recipe: recipe.stages[0].stepper.schedule,
}


@pytest.mark.parametrize("kind", HOLDS)
def test_every_registered_class_survives_the_way_through_a_table(kind):
    ours = {name: cls for name, cls in registered(kind).items() if cls.__module__.startswith("invert3d.")}
    for name, cls in ours.items():
        needed = {
            "feature_match": {"layer": "fc1"},
            "clip": {"low": -1.0, "high": 1.0},
            "every": {
                "period": 3,
                "projection": {"name": "every", "period": 2, "projection": {"name": "knn_smooth", "k": 2}},
            },
        }.get(name, {})
        recipe = recipe_from(HOLDS[kind]({"name": name, **needed}), "any")
        assert type(FOUND[kind](recipe)) is cls
        assert recipe_from(recipe_table(recipe), "any") == recipe


def test_what_is_registered_after_a_recipe_was_read_can_stand_in_the_next_one(monkeypatch):
    load_recipe("ours")
    monkeypatch.setattr("invert3d.registry._entries", {kind: dict(of) for kind, of in registry._entries.items()})

    @plain("objective", "late")
    class Late(Objective):
        other: int

        def __call__(self, state):
            return state.outputs[:, self.other]

    recipe = recipe_from({"objective": [{"name": "late", "other": 3}]}, "any")
    assert recipe.objective == Late(other=3)
    assert recipe_from(recipe_table(recipe), "any") == recipe


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
        (
            {"stages": [{"steps": 5, "stepper": {"schedule": {"name": "cosin"}}}]},
            "unknown schedule 'cosin'; did you mean cosine",
        ),
        ({"stages": [{"steps": 5, "projections": [{"name": "clip", "low": 0.0}]}]}, "missing required field `high`"),
        ({"stages": [{"stps": 5}]}, "unknown key of stage 'stps'; did you mean steps"),
        ({"stages": [{"steps": 5, "stop": {"name": "agree"}}]}, "unknown stop 'agree'; did you mean agrees"),
        ({"stages": [{"steps": 5, "stop": {"name": "agrees", "evry": 3}}]}, "did you mean every"),
        ({"stages": [{"steps": 5, "stop": {"name": "agrees", "every": 0}}]}, "recipe mistaken: every and patience"),
        ({"stages": [{"steps": 5, "precision": "ful"}]}, "unknown stage precision 'ful'; did you mean full"),
        (
            {"stages": [{"steps": 5, "projections": [{"name": "every", "period": 2, "projection": {"name": "clp"}}]}]},
            "clip",
        ),
        ({"objective": []}, "length >= 1"),
        ({"stages": 5}, "Expected `array`, got `int`"),
    ],
)
def test_mistakes_are_refused(table, says):
    with pytest.raises(ValueError, match=says):
        recipe_from(table, "mistaken")


def test_a_recipe_has_other_settings_for_a_family():
    table = {
        "objective": [{"name": "cross_entropy"}, {"name": "margin", "weight": 2.0}],
        "stages": [{"steps": 5, "stepper": {"kind": "sgd", "rate": 1.0}}, {"steps": 7}],
        "families": {"Mine": {"objective": [{}, {"weight": 0.5}], "stages": [{"stepper": {"rate": 2.0}}, {}]}},
    }
    recipe = recipe_from(table, "any")
    assert recipe_from(recipe_table(recipe), "any") == recipe and hash(recipe)
    mine, other = in_family(recipe, "Mine"), in_family(recipe, "Other")
    assert mine.stages[0].stepper == Stepper(kind="sgd", rate=2.0) and mine.stages[1] == recipe.stages[1]
    assert [weight for weight, _ in mine.objective.terms] == [1.0, 0.5] and mine.families is None
    assert other == replace(recipe, families=None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stages": [{}, {}]}, "family Mine of recipe any, stages has 1 parts, not 2"),
        ({"stages": [{"stps": 5}]}, "family Mine of recipe any: unknown key of stage 'stps'; did you mean steps"),
        ({"stages": [{"stepper": {"kind": "adm"}}]}, "did you mean adam"),
        ({"families": {"Other": {"points": 5}}}, "needs at least 1 start and 16 points"),
    ],
)
def test_mistakes_of_a_family_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        recipe_from({"stages": [{"steps": 5}], "families": {"Mine": changes}}, "any")


def test_overrides_share_steps_out_over_the_stages():
    recipe = load_recipe("ours")
    short = load_recipe("ours", steps=15, points=64)
    assert abs(short.steps - 15) <= len(recipe.stages)
    assert len(short.stages) == len(recipe.stages)
    assert short.points == 64
    assert recipe_table(short)["judge"] == recipe.judge


def test_steps_are_shared_out_exactly_and_a_stage_without_any_goes():
    recipe = Recipe(name="test", stages=tuple(Stage(steps=steps) for steps in (90, 120, 90)))
    for steps in (1, 2, 3, 7, 20, 300, 1001):
        short = overridden(recipe, {"steps": steps, "points": None})
        assert short.steps == steps and short.points == recipe.points
        for stage, share in zip(short.stages, (0.3, 0.4, 0.3), strict=len(short.stages) == 3):
            assert len(short.stages) < 3 or abs(stage.steps - share * steps) <= 1
    with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
        overridden(recipe, {"steps": 0})


def test_recipes_are_found_by_task_and_unknown_ones_refused_with_the_nearest(tmp_path):
    assert {"ours", "published", "boxes/ours", "boxes/published"} <= set(recipe_names())
    assert (
        load_recipe("boxes/ours") == load_recipe("ours", "boxes") != load_recipe("ours") == load_recipe("classes/ours")
    )
    with pytest.raises(ValueError, match="unknown recipe 'publishd'; did you mean published"):
        load_recipe("publishd")
    with pytest.raises(ValueError, match="unknown recipe 'smalest_change'; did you mean smallest_change"):
        load_recipe("smalest_change", "boxes")
    with pytest.raises(ValueError, match=r"unknown recipe '\.\./classes/ours'"):
        load_recipe("../classes/ours")
    with pytest.raises(ValueError, match=r"no recipe file .*mine\.toml"):
        load_recipe(str(tmp_path / "mine.toml"))
    for text in (b"stages = [", b"\xff\xfe"):
        (tmp_path / "mine.toml").write_bytes(text)
        with pytest.raises(ValueError, match=r"mine\.toml is not TOML"):
            load_recipe(str(tmp_path / "mine.toml"))


def test_stop_rules_are_read():
    stages = [{"steps": 2, "stop": {"name": "probable", "probability": 0.9}}, {"steps": 1, "stop": {"name": "agrees"}}]
    first, second = recipe_from({"stages": stages}, "any").stages
    assert first.stop == StopWhen(probability=0.9, patience=10) and second.stop == Agrees(every=10, patience=1)


def test_a_class_that_is_not_registered_cannot_be_written():
    @dataclass(frozen=True, kw_only=True)
    class Mine(Objective):
        pass

    with pytest.raises(ValueError, match="Mine is not a registered objective"):
        recipe_toml(Recipe(name="mine", objective=Mine()))
