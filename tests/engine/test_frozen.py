"""``Frozen`` leaves a model as it was, and makes logits of whatever it returns."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.gradient import input_gradient
from invert3d.engine.model import Frozen, kind_of, pick_output
from invert3d.engine.space import Points
from invert3d.models.pointnet import PointNet
from invert3d.objectives.classes import ClassScore
from invert3d.objectives.features import FeatureMatch

SPACE = Points(points=32)


def condition(model: nn.Module) -> tuple:
    """All that ``Frozen`` could leave changed."""
    return (
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad for parameter in model.parameters()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        {key: value.clone() for key, value in model.state_dict().items()},
    )


def unchanged(before: tuple, model: nn.Module) -> bool:
    after = condition(model)
    same = all(torch.equal(value, after[4][key]) for key, value in before[4].items())
    return same and before[:4] == after[:4]


@pytest.fixture
def mixed(tiny: nn.Module) -> nn.Module:
    """In training, but for one part; one weight frozen by its owner."""
    model = nn.Sequential(OrderedDict(net=tiny, norm=nn.BatchNorm1d(4), drop=nn.Dropout(0.5))).train()
    model.norm.eval()
    tiny.first.weight.requires_grad_(False)
    return model


def test_inside_it_is_frozen_and_outside_as_before(mixed: nn.Module, clouds) -> None:
    before, x = condition(mixed), clouds()
    with Frozen(mixed, SPACE) as frozen:
        assert not any(module.training for module in mixed.modules())
        assert not any(parameter.requires_grad for parameter in mixed.parameters())
        frozen.tap(["net.first"])
        _, features = frozen.outputs(x)
        assert features["net.first"].shape == (3, 32, 16)
    assert unchanged(before, mixed)


def test_it_is_left_as_before_after_an_exception(mixed: nn.Module) -> None:
    before = condition(mixed)
    frozen = Frozen(mixed, SPACE)
    with pytest.raises(RuntimeError, match="on purpose"), frozen:
        frozen.tap(["norm", "drop"])
        raise RuntimeError("on purpose")
    assert unchanged(before, mixed)
    with frozen:
        assert not mixed.training, "it can be entered again"
    assert unchanged(before, mixed)


def test_contexts_nest(mixed: nn.Module, clouds) -> None:
    before, x = condition(mixed), clouds()
    with Frozen(mixed, SPACE) as outer:
        with Frozen(mixed, SPACE) as inner:
            inner.tap(["norm"])
            with inner:
                assert torch.equal(inner(x), outer(x))
            assert not mixed.training
        assert not mixed.training and len(mixed.norm._forward_hooks) == 1, "only the outer one's own, of batch norms"
    assert unchanged(before, mixed)


def test_a_call_and_a_gradient_leave_it_as_before(mixed: nn.Module, clouds) -> None:
    before, x = condition(mixed), clouds()
    frozen = Frozen(mixed, SPACE)
    frozen(x)
    input_gradient(frozen, ClassScore(), x, torch.tensor([0, 1, 2]))
    assert unchanged(before, mixed)
    with pytest.raises(ValueError, match="no module 'net.frist'; nearest: net.first"):
        input_gradient(frozen, FeatureMatch(layer="net.frist"), x, torch.zeros(3, 16))
    assert unchanged(before, mixed)


def test_a_module_that_is_never_called_has_no_output_to_look_at(clouds) -> None:
    frozen = Frozen(PointNet(4), SPACE)
    with pytest.raises(ValueError, match="never calls its module 'feat.conv1'"):
        input_gradient(frozen, FeatureMatch(layer="feat.conv1"), clouds(), torch.zeros(3, 64))


def test_a_model_that_writes_into_its_input_harms_nobody(tiny: nn.Module, clouds) -> None:
    class Centering(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x -= x.mean(1, keepdim=True)
            return tiny(x)

    x = clouds()
    given = x.clone()
    gradient, _ = input_gradient(Frozen(Centering(), SPACE), ClassScore(), x, torch.tensor([0, 1, 2]))
    assert torch.equal(x, given)
    assert gradient.sum(1).abs().max() < 1e-6, "the derivative of what is centered"


def test_only_modules_are_frozen() -> None:
    with pytest.raises(TypeError, match="expected an nn.Module, got function"):
        Frozen(lambda x: x, SPACE)  # type: ignore[arg-type]


LOGITS = torch.tensor([[1.0, 2.0, -3.0], [0.5, 0.0, 0.1]])


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (LOGITS, "logits"),
        (LOGITS.log_softmax(-1), "log_probabilities"),
        (LOGITS.softmax(-1), "probabilities"),
        (-LOGITS.abs(), "logits"),
        (LOGITS.sigmoid(), "logits"),
        (LOGITS[:, :1].softmax(-1), "logits"),
        (LOGITS[:0], "logits"),
    ],
)
def test_outputs_are_known_by_their_values(raw: Tensor, kind: str) -> None:
    assert kind_of(raw) == kind


@pytest.mark.parametrize("output", ["auto", "log_probabilities"])
def test_log_probabilities_are_undone(tiny: nn.Module, output: str) -> None:
    logits = Frozen(tiny, SPACE, output=output).read(LOGITS.log_softmax(-1))
    assert torch.allclose(logits, LOGITS - LOGITS.mean(-1, keepdim=True), atol=1e-6)


@pytest.mark.parametrize("output", ["auto", "probabilities"])
def test_probabilities_are_undone(tiny: nn.Module, output: str) -> None:
    logits = Frozen(tiny, SPACE, output=output).read(LOGITS.softmax(-1))
    assert torch.allclose(logits, LOGITS - LOGITS.mean(-1, keepdim=True), atol=1e-5)
    certain = Frozen(tiny, SPACE, output=output).read(torch.tensor([[1.0, 0.0, 0.0]]))
    assert certain.isfinite().all() and certain.argmax() == 0


def test_logits_are_left_alone(tiny: nn.Module) -> None:
    assert Frozen(tiny, SPACE).read(LOGITS) is LOGITS
    shifted = LOGITS.log_softmax(-1)
    assert Frozen(tiny, SPACE, output="logits").read(shifted) is shifted


def test_the_derivative_is_that_of_the_logits_whatever_is_returned(tiny: nn.Module, clouds) -> None:
    x, target = clouds(), torch.tensor([0, 1, 2])

    class Ending(nn.Module):
        def __init__(self, ending: nn.Module) -> None:
            super().__init__()
            self.net, self.ending = tiny, ending

        def forward(self, x: Tensor) -> Tensor:
            return self.ending(self.net(x))

    class Centered(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(-1, keepdim=True)

    wanted, _ = input_gradient(Frozen(Ending(Centered()), SPACE), ClassScore(), x, target)
    for ending in (nn.LogSoftmax(-1), nn.Softmax(-1)):
        found, _ = input_gradient(Frozen(Ending(ending), SPACE), ClassScore(), x, target)
        assert torch.allclose(found, wanted, atol=1e-6)


FEATURES = torch.zeros(2, 8, 3)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (LOGITS, None),
        ((LOGITS, FEATURES), None),
        ([FEATURES, LOGITS], None),
        ((FEATURES, LOGITS), 1),
        ({"features": FEATURES, "logits": LOGITS}, None),
        ({"aux": LOGITS + 1, "out": LOGITS}, None),
        ({"aux": LOGITS + 1, "scores": LOGITS}, "scores"),
        ({"features": FEATURES, "scores": LOGITS}, None),
        (SimpleNamespace(logits=LOGITS), None),
    ],
)
def test_class_scores_are_found_in_what_a_model_returns(raw, key) -> None:
    assert pick_output(raw, key) is LOGITS


@pytest.mark.parametrize(
    ("raw", "key", "says"),
    [
        ({"a": FEATURES}, "b", r"returns \['a'\], no 'b'"),
        (
            (FEATURES,),
            None,
            r"no .B, K. tensor of class scores in the model's output of type tuple: it has \(2, 8, 3\)",
        ),
        (None, None, "type NoneType"),
        (FEATURES, None, r"type Tensor: it has \(2, 8, 3\)"),
        (LOGITS[:, 0], None, r"it has \(2,\) of torch.float32 .output='raw' hands on"),
        (LOGITS[:, :0], None, r"it has \(2, 0\)"),
        (LOGITS.long(), None, r"it has \(2, 3\) of torch.int64"),
        ((LOGITS,), 3, "returns 1 outputs, no 3"),
        ((LOGITS,), "logits", "returns 1 outputs, no 'logits'"),
    ],
)
def test_outputs_without_class_scores_are_refused(raw, key, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pick_output(raw, key)
