"""``invert3d.invert``: folders, resume, chunks, and networks of one's own."""

import json

import pytest
import torch
from torch import nn

import invert3d
from invert3d.engine.recorder import ProgressBar
from invert3d.engine.result import Result
from invert3d.study.classes import job as study
from invert3d.study.networks import open_network

SMALL = {"recipe": "ours", "points": 64, "steps": 4, "starts": 2, "progress": False}


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
    result = invert3d.invert(Own(), ["b"], class_list=["a", "b", "c"], layout="b3n", judge="own", **SMALL)
    assert result.x.shape == (1, 64, 3)
    assert torch.allclose(result.outputs.mean(-1), torch.zeros(1), atol=1e-5)
    assert result.facts["names"] == ["b"]


def test_the_run_folder_holds_all_it_takes(tmp_path):
    out = tmp_path / "run"
    result = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup"], out=out, **{**SMALL, "judge": "own"})
    run = json.loads((out / "run.json").read_text())
    assert run["names"] == ["chair", "cup"]
    assert run["environment"]["torch"] == torch.__version__
    again = Result.load(out)
    assert torch.equal(again.x, result.x)
    assert again.facts["names"] == ["chair", "cup"]
    with pytest.raises(ValueError, match="--resume"):
        invert3d.invert("pointnet_vanilla-shapes", ["chair"], out=out, **{**SMALL, "judge": "own"})


def test_a_seed_fixes_everything_and_chunks_change_nothing(monkeypatch):
    options = {**SMALL, "judge": "own"}
    once = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup", "lamp"], seed=3, **options)
    monkeypatch.setattr(study, "POINTS_AT_ONCE", 64 * 2)
    chunked = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup", "lamp"], seed=3, **options)
    assert torch.allclose(once.x, chunked.x, atol=1e-3)
    other = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup", "lamp"], seed=4, **options)
    assert not torch.allclose(once.x, other.x, atol=1e-3)


def test_interrupted_and_resumed_is_the_same_as_never_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "POINTS_AT_ONCE", 64 * 2)  # one shape a chunk
    options = {**SMALL, "judge": "own", "progress": True}
    whole = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup"], **options)
    seen = []

    def interrupt(self, state):
        seen.append(state.step)
        if len(seen) == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "record", interrupt)
        part = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup"], out=tmp_path / "run", **options)
    assert part.interrupted
    assert Result.load(tmp_path / "run").x.shape == (2, 64, 3)
    rest = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup"], out=tmp_path / "run", resume=True, **options)
    assert not rest.interrupted
    assert torch.allclose(rest.x, whole.x, atol=1e-4)
    with pytest.raises(ValueError, match="other values of"):
        invert3d.invert("pointnet_vanilla-shapes", ["chair", "lamp"], out=tmp_path / "run", resume=True, **options)


def test_an_early_interrupt_keeps_names_and_shapes_together(monkeypatch):
    monkeypatch.setattr(study, "POINTS_AT_ONCE", 64 * 2)

    def interrupt(self, state):
        raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "record", interrupt)
    part = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup"], **{**SMALL, "judge": "own", "progress": True})
    assert part.interrupted
    assert part.facts["names"] == ["chair"]
    assert len(part.x) == 1


def test_tries_come_back_in_the_order_they_were_asked_for():
    result = invert3d.invert("pointnet_vanilla-shapes", ["chair", "cup"], repeats=2, **{**SMALL, "judge": "own"})
    assert result.facts["names"] == ["chair", "chair", "cup", "cup"]
    assert result.target.tolist() == sorted(result.target.tolist())
    assert result.facts["repeats"] == [0, 1, 0, 1]


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
    options = {**SMALL, "points": 256, "steps": 60, "starts": 4}
    result = invert3d.invert("pointnet_vanilla", ["airplane"], checkpoint=checkpoint, **options)
    assert result.success.all()
