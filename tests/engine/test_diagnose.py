"""The doctor finds what is wrong with toy patients, names the place, and leaves them as they were."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from invert3d.engine.diagnose import Diagnosis, diagnose
from invert3d.engine.model import Frozen
from invert3d.engine.space import Image, Points
from invert3d.models.pointnet import PointNetVanilla

SPACE = Points(points=32)


class Wrapped(nn.Module):
    """Any function as a module of its own."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Round(Wrapped):
    def __init__(self) -> None:
        super().__init__(torch.round)


class Patient(nn.Module):
    """Two layers a point and a head, with something between the layers, as a module or in code."""

    def __init__(self, module: nn.Module | None = None, code=None, ending=None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(3, 8)
        self.between = module or nn.Tanh()
        self.second = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)
        self.code, self.ending = code or (lambda x: x), ending or (lambda x: x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.code(self.between(self.first(x)))
        return self.ending(self.head(self.second(x).mean(1)))


def examined(model: nn.Module, x: Tensor, space=SPACE, **options) -> Diagnosis:
    found = diagnose(Frozen(model, space, **options), x)
    assert all(isinstance(line, str) and line.endswith(".") or line.endswith("?") for line in found.lines())
    return found


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (lambda scores: scores.sum(1), r"no .B, K. tensor of class scores .* it has \(3,\)"),
        (lambda scores: scores[:, None], r"it has \(3, 1, 5\)"),
        (lambda scores: scores[:, :0], r"it has \(3, 0\)"),
        (lambda scores: scores.argmax(1, keepdim=True), r"it has \(3, 1\) of torch.int64"),
        (lambda scores: None, "type NoneType: it has no tensor"),
        (lambda scores: str(scores), "type str: it has no tensor"),
    ],
)
def test_models_without_class_scores_are_refused_in_a_sentence(clouds, ending, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        diagnose(Frozen(Patient(ending=ending), SPACE), clouds())


@pytest.mark.parametrize(
    "ending",
    [
        lambda scores: scores / 0,
        lambda scores: scores * torch.nan,
        lambda scores: scores.detach(),
        lambda scores: scores[:, :1],
    ],
    ids=["infinite", "nan", "no gradient", "one class"],
)
def test_other_broken_models_get_their_lines(clouds, ending) -> None:
    found = examined(Patient(ending=ending), clouds())
    assert len(found.lines()) >= 5


def test_a_model_that_refuses_a_batch_of_one_depends_on_its_batch(clouds) -> None:
    def refuses(scores: Tensor) -> Tensor:
        if len(scores) == 1:
            raise RuntimeError("more than one sample, please")
        return scores

    assert examined(Patient(ending=refuses), clouds()).batch_independent is False


def text(found: Diagnosis) -> str:
    return "\n".join(found.lines())


def test_a_healthy_model(clouds) -> None:
    found = examined(Patient(), clouds())
    assert found.layout == "bn3" and found.structure == "tensor" and found.kind == "logits"
    assert found.shape == (3, 5) and found.finite
    assert found.deterministic and found.difference == 0
    assert found.batch_independent and found.batch_difference < 1e-5
    assert found.gradient and found.gradient_finite and found.zero_values == 0 and found.zero_points == 0
    assert found.block is None and not found.blocked and not found.buffers_written
    assert len(found.lines()) == 5
    assert "takes clouds as (B, N, 3)" in text(found) and "gradient reaches the input" in text(found)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (Round(), "zero"),
        (Wrapped(torch.sign), "zero"),
        (Wrapped(lambda x: torch.relu(-x.abs())), "zero"),
        (nn.Hardtanh(50, 51), "zero"),
        (Wrapped(torch.detach), "cut"),
        (Wrapped(lambda x: (x > 0).float()), "cut"),
        (Wrapped(lambda x: nn.functional.one_hot(x.argmax(-1), 8).float()), "cut"),
        (Wrapped(torch.no_grad()(torch.tanh)), "cut"),
    ],
)
def test_the_module_where_the_gradient_dies_is_named(clouds, module: nn.Module, kind: str) -> None:
    found = examined(Patient(module), clouds())
    assert not found.gradient and found.zero_values == 1
    assert found.block.module == "between" and found.block.kind == kind
    assert found.block.type == type(module).__name__
    assert f"It dies in 'between' ({type(module).__name__})" in text(found)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (torch.round, "zero"),
        (torch.detach, "cut"),
        (lambda x: nn.functional.one_hot(x.argmax(-1), 8).float(), "cut"),
        (lambda x: torch.from_numpy(x.detach().numpy()), "cut"),
    ],
)
def test_code_between_modules_is_found_too(clouds, code, kind: str) -> None:
    found = examined(Patient(code=code), clouds())
    assert not found.gradient and found.block.module is None and found.block.kind == kind
    assert found.block.before == "'between' (Tanh)" and found.block.after == "'second' (Linear)"
    assert "It dies between 'between' (Tanh) and 'second' (Linear), in code that is not a module" in text(found)


@pytest.mark.parametrize(("code", "kind"), [(torch.round, "zero"), (torch.detach, "cut")])
def test_code_at_either_end_is_found_too(clouds, code, kind: str) -> None:
    class Before(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patient = Patient()

        def forward(self, x: Tensor) -> Tensor:
            return self.patient(code(x))

    found = examined(Before(), clouds())
    assert (found.block.before, found.block.after) == ("the input", "'patient.first' (Linear)")
    assert found.block.kind == kind
    found = examined(Patient(ending=code), clouds())
    assert (found.block.before, found.block.after) == ("'head' (Linear)", "the output")
    assert found.block.kind == kind


def test_a_model_without_modules(clouds) -> None:
    found = examined(Wrapped(lambda x: x.detach().mean(1)), clouds())
    assert (found.block.before, found.block.after) == ("the input", "the output")


def test_a_way_around_is_no_death_but_is_named(clouds) -> None:
    class Residual(Patient):
        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.head(self.second(x + self.between(x)).mean(1))

    found = examined(Residual(Round()), clouds())
    assert found.gradient and found.block is None
    assert not found.blocked, "the tensor that enters it has a gradient, by the other way"
    found = examined(Residual(Wrapped(torch.detach)), clouds())
    assert found.gradient and found.blocked == ("between",)
    assert "pass none of it, but it arrives by other ways: between" in text(found)


def test_indices_are_no_blockage(clouds) -> None:
    class Sorted(Patient):
        def forward(self, x: Tensor) -> Tensor:
            order = self.between(x)
            return super().forward(x.gather(1, order[..., None].expand_as(x)))

    model = Sorted()
    model.between = Wrapped(lambda x: x[..., 2].argsort(1) if x.shape[-1] == 3 else x)
    found = examined(model, clouds())
    assert found.gradient and not found.blocked


def test_in_place_rectifiers_and_shared_modules(clouds) -> None:
    class Reusing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(3, 8), nn.Linear(8, 5)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.act(self.act(self.first(x)).mean(1)))

    found = examined(Reusing(), clouds())
    assert found.gradient and not found.blocked
    dead = Reusing()
    nn.init.constant_(dead.first.bias, -100.0)
    found = examined(dead, clouds())
    assert not found.gradient and found.block.module == "act" and found.block.type == "ReLU"


@pytest.mark.parametrize(
    ("ending", "kind", "options"),
    [
        (nn.LogSoftmax(-1), "log_probabilities", {}),
        (nn.Softmax(-1), "probabilities", {}),
        (nn.Softmax(-1), "logits", {"output": "logits"}),
    ],
)
def test_kinds_of_outputs(clouds, ending: nn.Module, kind: str, options: dict) -> None:
    found = examined(Patient(ending=ending), clouds(), **options)
    assert found.kind == kind and found.gradient
    assert ("undone to logits" in text(found)) == (kind != "logits")


def test_structures_of_outputs(clouds) -> None:
    found = examined(Patient(ending=lambda x: {"features": x[..., None], "logits": x}), clouds())
    assert found.structure == "dict of features, logits" and found.shape == (3, 5)
    found = examined(Patient(ending=lambda x: (x, None)), clouds())
    assert found.structure == "tuple of 2" and "returns a tuple of 2" in text(found)
    found = examined(Patient(ending=lambda x: {"a": x, "b": x[:, :2]}), clouds(), key="b")
    assert found.shape == (3, 2)


def test_randomness_is_found(clouds) -> None:
    model = Patient(code=lambda x: nn.functional.dropout(x, 0.5))
    torch.manual_seed(4)
    wanted = torch.rand(3)
    torch.manual_seed(4)
    found = examined(model, clouds())
    assert torch.equal(torch.rand(3), wanted), "torch's generator is put back"
    assert not found.deterministic and found.difference > 0.01 and found.batch_independent is None
    assert "something random runs in eval mode" in text(found) and "cannot be told" in text(found)
    assert found.gradient


def test_dependence_on_the_batch_is_found(clouds) -> None:
    model = Patient(ending=lambda x: x - x.mean(0))
    found = examined(model, clouds())
    assert found.deterministic and found.batch_independent is False and found.batch_difference > 1e-3
    assert "scores depend on its batch" in text(found)
    found = examined(model, clouds(1))
    assert found.batch_independent is None and found.batch_difference is None
    assert "takes two samples or more" in text(found)


def test_a_norm_left_training_is_found_and_undone(clouds) -> None:
    class Forgetful(Patient):
        def __init__(self) -> None:
            super().__init__(nn.BatchNorm1d(32))

        def forward(self, x: Tensor) -> Tensor:
            self.between.train()
            return super().forward(x)

    model = Forgetful().eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = examined(model, clouds())
    assert "between.running_mean" in found.buffers_written
    assert "changes its own buffers: between.running_mean" in text(found)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.between.training


class ChannelsFirst(nn.Module):
    """(B, 3, N) -> (B, 5), as most public point networks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).amax(2)


def test_the_other_layout_is_tried(clouds) -> None:
    found = examined(ChannelsFirst(), clouds())
    assert found.layout == "b3n" and found.layout_given == "bn3" and found.gradient
    assert "takes clouds as (B, 3, N): layout b3n, not bn3 as its space says" in text(found)
    found = examined(PointNetVanilla(5), clouds(), Points(points=32, layout="b3n"))
    assert found.layout == "bn3" and found.layout_given == "b3n"
    assert 0 < found.zero_points < 1, "a maximum over points leaves some without a gradient"
    found = examined(ChannelsFirst(), clouds(), Points(points=32, layout="b3n"))
    assert found.layout == "b3n" and "not" not in found.lines()[0]


def test_a_model_that_takes_no_layout_says_why(clouds) -> None:
    model = nn.Sequential(nn.Linear(7, 5))
    with pytest.raises(ValueError, match="Sequential takes clouds neither as bn3 .RuntimeError.* nor as b3n"):
        diagnose(Frozen(model, SPACE), clouds())
    with pytest.raises(ValueError, match=r"Sequential refuses \(2, 3, 4, 4\): RuntimeError"):
        diagnose(Frozen(model, Image(height=4, width=4)), torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match="transpose"):
        diagnose(Frozen(model, SPACE), torch.zeros(2, 3, 32))
    assert model.training and not model[0]._forward_hooks


def test_pictures(clouds) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 5))
    found = examined(model, torch.rand(2, 3, 6, 6), Image(height=6, width=6))
    assert found.layout is None and found.zero_points is None and found.gradient
    assert "clouds" not in text(found) and "points" not in text(found)


def test_numbers_that_are_none(clouds) -> None:
    found = examined(Patient(ending=lambda x: x / 0), clouds())
    assert not found.finite and "NaN or infinite" in text(found)
    found = examined(Patient(code=lambda x: (x - x).sqrt() + x), clouds())
    assert found.finite and not found.gradient_finite and "The gradient has NaN" in text(found)


def test_everything_is_undone_also_after_an_error(clouds) -> None:
    class Failing(Patient):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Failing.calls += 1
            x = self.first(x)
            if Failing.calls == 4 and torch.is_grad_enabled():
                raise RuntimeError("on purpose")
            return self.head(self.second(x).mean(1))

    for model, fails in ((Failing(), True), (Patient(Round()), False)):
        model.train()
        x = clouds().requires_grad_()
        given = x.detach().clone()
        if fails:
            with pytest.raises(ValueError, match="cannot be differentiated: RuntimeError: on purpose"):
                diagnose(Frozen(model, SPACE), x)
        else:
            diagnose(Frozen(model, SPACE), x)
        assert torch.equal(x, given) and x.grad is None
        for module in model.modules():
            assert module.training and not module._forward_hooks and not module._forward_pre_hooks
        for parameter in model.parameters():
            assert parameter.requires_grad and parameter.grad is None
