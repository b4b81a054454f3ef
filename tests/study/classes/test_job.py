"""``invert3d.invert``: folders, resume, batches, and networks of one's own."""

import json
import signal

import pytest
import torch
from torch import nn

import invert3d
from invert3d.jobs.execute import execute
from invert3d.jobs.job import Context, Progress
from invert3d.jobs.options import RunOptions
from invert3d.methods.recipes import load_recipe
from invert3d.opening.networks import open_network
from invert3d.study.classes import job as study
from invert3d.study.classes.job import Source, classes_job, joined, read_shapes, result_of, shapes_job

SMALL = load_recipe("ours", points=64, steps=4, starts=2, candidates=64, judge="own")
NETWORK = "pointnet_vanilla-shapes"


def shapes(classes, model=NETWORK, *, recipe=SMALL, repeats=1, **options):
    return invert3d.invert(
        model, classes, recipe=recipe, repeats=repeats, options=RunOptions(progress=False, **options)
    )


class Own(nn.Module):
    """A user's model: (B, 3, N) in, a dict with log-probabilities out."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv1d(3, 16, 1), nn.Linear(16, 3)

    def forward(self, points):
        assert points.shape[1] == 3
        return {"pred": self.last(self.conv(points).relu().amax(2)).log_softmax(-1), "other": 1}


def test_a_users_own_module_with_another_layout_and_a_dict_of_log_probabilities():
    torch.manual_seed(0)
    network = open_network(Own(), classes=["a", "b", "c"], layout="b3n")
    result = shapes(["b"], network)
    assert result.x.shape == (1, 64, 3)
    assert torch.allclose(result.outputs.mean(-1), torch.zeros(1), atol=1e-5)
    assert result.facts["names"] == ["b"]


def test_the_run_folder_holds_all_it_takes(tmp_path):
    out = tmp_path / "run"
    result = shapes(["chair", "cup"], out=out)
    run = json.loads((out / "run.json").read_text())
    assert run["names"] == ["chair", "cup"] and run["units"] == ["chair-0", "cup-0"]
    assert run["environment"]["torch"] == torch.__version__
    facts, again = read_shapes(out)
    assert torch.equal(again.x, result.x) and torch.equal(again.snapshots, result.snapshots)
    assert again.facts["names"] == ["chair", "cup"] and facts["model"] == NETWORK
    with pytest.raises(ValueError, match="--resume"):
        shapes(["chair"], out=out)


def test_a_seed_and_a_name_fix_a_shape_and_batches_change_it_by_rounding_only(monkeypatch):
    once = shapes(["chair", "cup", "lamp"], seed=3)
    monkeypatch.setattr(study, "CAPACITY", 64 * 2)
    batched = shapes(["chair", "cup", "lamp"], seed=3)
    assert torch.allclose(once.x, batched.x, atol=1e-3)
    assert not torch.allclose(once.x, shapes(["chair", "cup", "lamp"], seed=4).x, atol=1e-3)


def test_interrupted_and_resumed_is_the_same_as_never_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "CAPACITY", 64 * 2)  # one shape a batch
    whole = shapes(["chair", "cup"])
    out, seen, record = tmp_path / "run", [], Progress.record

    def interrupt(self, state):
        seen.append(state.step)
        if len(seen) == 6:
            signal.raise_signal(signal.SIGINT)
        record(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "record", interrupt)
        part = shapes(["chair", "cup"], out=out)
    assert part.interrupted
    assert read_shapes(out)[1].x.shape == (2, 64, 3)
    rest = shapes(["chair", "cup"], out=out, resume=True)
    assert not rest.interrupted
    assert torch.equal(rest.x, whole.x) and torch.equal(rest.trace["loss"], whole.trace["loss"])
    with pytest.raises(ValueError, match="other values of units"):
        shapes(["chair", "lamp"], out=out, resume=True)
    with pytest.raises(ValueError, match=r"other values of settings.sources"):
        shapes(
            ["chair", "cup"],
            out=out,
            resume=True,
            recipe=load_recipe("ours", points=64, steps=6, candidates=64, judge="own"),
        )


def test_the_search_is_shown_and_can_be_interrupted(tmp_path, monkeypatch, capsys):
    recipe = load_recipe("ours", points=64, steps=2, starts=2, candidates=320, judge="own")
    whole, reported, report = shapes(["chair"], recipe=recipe), [], Context.report

    def interrupt(self, share, words=""):
        reported.append((share, words))
        if len(reported) == 3:
            signal.raise_signal(signal.SIGINT)
        report(self, share, words)

    with monkeypatch.context() as patch:
        patch.setattr(Context, "report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            shapes(["chair"], recipe=recipe, out=tmp_path / "run")
    shares = [share for share, _ in reported]
    assert reported[0][1] == "searching 20%" and shares == sorted(shares) and shares[-1] < study.SEARCH
    assert len(reported) == 3, "it stops in the search, not after it"
    rest = shapes(["chair"], recipe=recipe, out=tmp_path / "run", resume=True)
    assert torch.equal(rest.x, whole.x)


def test_an_early_interrupt_keeps_names_and_shapes_together(monkeypatch):
    monkeypatch.setattr(study, "CAPACITY", 64 * 2)
    monkeypatch.setattr(Progress, "record", lambda self, state: signal.raise_signal(signal.SIGINT))
    part = shapes(["chair", "cup"])
    assert part.interrupted
    assert part.facts["names"] == ["chair"]
    assert len(part.x) == 1


def test_a_run_is_read_whatever_its_classes_are_called(tmp_path):
    torch.manual_seed(0)
    names = ["tv/monitor", "night stand " * 9, "cup"]
    shapes(names, open_network(Own(), classes=names, layout="b3n"), repeats=2, out=tmp_path / "run")
    again = read_shapes(tmp_path / "run")[1]
    assert again.facts["names"] == [name for name in names for _ in range(2)]
    assert again.facts["repeats"] == [0, 1] * 3


def test_tries_come_back_in_the_order_they_were_asked_for():
    result = shapes(["chair", "cup"], repeats=2)
    assert result.facts["names"] == ["chair", "chair", "cup", "cup"]
    assert result.target.tolist() == sorted(result.target.tolist())
    assert result.facts["repeats"] == [0, 1, 0, 1]


def test_several_sources_are_one_job():
    network = open_network(NETWORK)
    sources = {"first": Source(network=network, recipe=SMALL), "second": Source(network=network, recipe=SMALL)}
    outcome = execute(shapes_job(sources, ["chair"], 1), RunOptions(progress=False))
    first, second = result_of(outcome, "first"), result_of(outcome, "second")
    assert first.facts["names"] == second.facts["names"] == ["chair"]
    assert not torch.allclose(first.x, second.x), "they have other names, so other draws"


def test_samples_that_ended_early_have_no_trace_afterwards():
    network = open_network(NETWORK)
    outcome = execute(classes_job(network, ["chair", "cup"], SMALL), RunOptions(progress=False))
    long, short = (made for _, made in outcome.each())
    short = type(short)(
        facts=short.facts, arrays={k: v[:2] if k.startswith("trace.") else v for k, v in short.arrays.items()}
    )
    whole = joined([short, long])
    assert whole.trace["step"].tolist() == long.arrays["trace.step"].tolist()
    assert whole.trace["loss"].isnan().tolist() == [[False, False]] * 2 + [[True, False]] * (
        len(whole.trace["step"]) - 2
    )


@pytest.mark.parametrize(
    ("classes", "options", "words"),
    [
        (["chiar"], {}, "unknown class 'chiar'; did you mean chair"),
        ([], {}, "name a class to invert"),
        (["chair", "chair"], {}, "chair is named twice"),
        (["chair"], {"repeats": 0}, "between 1 and 100 shapes"),
        (["chair"], {"seed": -1}, "a seed must be 0 or more"),
        (["chair"], {"workers": 0}, "workers must be between 1 and 1024"),
        (["chair"], {"resume": True}, "resume needs the run folder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(tmp_path, classes, options, words):
    out = {} if "resume" in options else {"out": tmp_path / "run"}
    with pytest.raises(ValueError, match=words):
        shapes(classes, **out, **options)
    assert not list(tmp_path.iterdir())


def test_opening_networks_that_are_not_there():
    with pytest.raises(ValueError, match="pointnet2_ssg"):
        open_network("pointnet2_sg-shapes")
    with pytest.raises(ValueError, match="no checkpoint"):
        open_network("pointnet", checkpoint="nowhere.pth")
    with pytest.raises(ValueError, match="give --checkpoint"):
        open_network("pointnet")
    with pytest.raises(ValueError, match="no device"):
        open_network("pointnet_vanilla-shapes", device="cuda:99")
    with pytest.raises(ValueError, match="cannot make a model"):
        open_network("nowhere.at_all:make")


def test_public_checkpoints_say_their_own_number_of_classes_and_inputs(tmp_path):
    from invert3d.models.pointnet2 import PointNet2SSG

    torch.save({"model_state_dict": PointNet2SSG(10, normals=True).state_dict()}, tmp_path / "best_model.pth")
    network = open_network("pointnet2_ssg", checkpoint=tmp_path / "best_model.pth", points=600)
    assert network.classes[0] == "bathtub"
    assert network.frozen.space.shape == (600, 6)
    assert network.frozen.space.up == "y"


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("pointnet2_ssg-shapes", "pointnet2_ssg"), ("pointnet-shapes", "pointnet"), ("dgcnn-shapes", "dgcnn")],
)
def test_bundled_weights_saved_as_a_public_checkpoint_load_back_to_identical_outputs(tmp_path, name, architecture):
    bundled = open_network(name, points=512)
    torch.save({"epoch": 3, "model_state_dict": bundled.frozen.model.state_dict()}, tmp_path / "best_model.pth")
    public = open_network(
        architecture, checkpoint=tmp_path / "best_model.pth", points=512, up="z", classes=bundled.classes
    )
    x = torch.rand(2, 512, 3) - 0.5
    assert torch.equal(public.frozen(x), bundled.frozen(x))


def test_the_real_pointnet_recognizes_a_real_airplane_and_is_inverted(real):
    import numpy as np

    checkpoint = real / "pointnet_modelnet40" / "best_model.t7"
    network = open_network("pointnet_vanilla", checkpoint=checkpoint)
    cloud = torch.from_numpy(np.load(real / "clouds" / "airplane.npy"))[None]
    assert network.classes[int(network.frozen(cloud).argmax())] == "airplane"
    recipe = load_recipe("ours", points=256, steps=60, starts=4)
    result = shapes(["airplane"], network, recipe=recipe)
    assert result.success.all()
