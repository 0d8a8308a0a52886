"""Student and teacher together: what is minimised, what stays still."""

from __future__ import annotations

import copy

import pytest
import torch

from src.detection.priors import make_priors
from src.distillation import (
    DistillationObjective,
    FeatureTerm,
    FixedWeights,
    LearnedWeights,
    Teacher,
)

THREE_PRIORS = [[11.3, 16, 32], [45.3, 64, 128], [181, 256, 512]]
PRIORS = {"class": 1.0, "box": 1.0, "landmark": 0.5}


@pytest.fixture
def make_objective(supervised):
    def make(teacher, student, **options):
        settings = {"balance": LearnedWeights(**PRIORS), "alpha": 0.7, "temperature": 4.0}
        objective = DistillationObjective(supervised, teacher, **{**settings, **options})
        objective.connect(student)
        return objective

    return make


def test_same_network_disagrees_in_nothing(make_detector, make_objective, batch):
    student = make_detector(0).eval()
    features = FeatureTerm(0.25)
    objective = make_objective(Teacher(copy.deepcopy(student)), student, features=features)
    for adapter in features.adapters:
        torch.nn.init.dirac_(adapter.weight)
        torch.nn.init.zeros_(adapter.bias)
    _, terms = objective(student, batch)
    for name in ("class", "box", "landmark", "feature"):
        # Not exactly 0: the teacher's memory layout sums in another order.
        assert terms.parts[f"kd_{name}"].item() == pytest.approx(0, abs=1e-7), name


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_alpha_mixes_task_and_distillation(make_detector, make_objective, batch, supervised, alpha):
    student = make_detector(0).eval()
    objective = make_objective(
        Teacher(make_detector(1)), student, alpha=alpha, balance=FixedWeights(**PRIORS)
    )
    outputs, terms = objective(student, batch)
    task_outputs, task = supervised(student, batch)
    assert all(torch.equal(a, b) for a, b in zip(outputs, task_outputs, strict=True))
    assert torch.equal(terms.parts["task"], task.total)
    parts = terms.parts
    kd = parts["kd_class"] + parts["kd_box"] + 0.5 * parts["kd_landmark"]
    assert parts["kd"].item() == pytest.approx(kd.item())
    assert terms.total.item() == pytest.approx(
        (alpha * kd + (1 - alpha) * task.total).item(), rel=1e-6
    )


def test_extra_priors_of_the_student_learn_from_labels_only(make_detector, make_objective, batch):
    student = make_detector(0, prior_sizes=THREE_PRIORS).eval()
    objective = make_objective(Teacher(make_detector(1)), student, alpha=1.0)
    outputs, terms = objective(student, batch)
    gradients = torch.autograd.grad(terms.total, outputs)
    extra = torch.arange(outputs.logits.shape[1]) % 3 == 0
    for gradient in gradients:
        assert not gradient[:, extra].any()
    assert gradients[0][:, ~extra].any()


@pytest.mark.parametrize(
    ("options", "sizes", "strides"),
    [
        ({"min_prior": 32}, {32, 64, 128, 256, 512}, {8, 16, 32}),
        ({"min_prior": 32.5}, {64, 128, 256, 512}, {16, 32}),
        ({"levels": [8, 32]}, {16, 32, 256, 512}, {8, 32}),
        ({"levels": [16, 8], "min_prior": 100.0}, {128}, {16}),
    ],
)
def test_priors_that_take_no_part_get_no_gradient(
    make_detector, make_objective, batch, options, sizes, strides
):
    student = make_detector(0, prior_sizes=THREE_PRIORS).eval()
    teacher = make_detector(1).eval()
    for head in teacher.heads:  # sees faces everywhere, or boxes are not compared
        head.classes.bias.data.copy_(torch.tensor([-9.0, 9.0]).repeat(2))
    objective = make_objective(Teacher(teacher), student, alpha=1.0, **options)
    outputs, terms = objective(student, batch)
    gradients = torch.autograd.grad(terms.total, outputs)
    side = make_priors(student.priors, 64, 64)[:, 2]
    stride = torch.tensor([8] * 192 + [16] * 48 + [32] * 12)
    part = torch.isin(side, torch.tensor(sorted(sizes)).float())
    part &= torch.isin(stride, torch.tensor(sorted(strides)))
    for gradient in gradients:
        assert not gradient[:, ~part].any()
    assert gradients[0][:, part].any(dim=-1).all()  # boxes of all others


def test_all_priors_unless_said_otherwise(make_detector, make_objective, batch):
    """Bit for bit, whether nothing is left out or nothing is asked to be."""
    student, teacher, losses = make_detector(0).eval(), Teacher(make_detector(1)), []
    alike = ({}, {"min_prior": 16}, {"levels": [8, 16, 32]}, {"levels": {8: 3, 16: 3, 32: 3}})
    for options in alike:
        objective = make_objective(teacher, student, **options)
        _, terms = objective(student, batch)
        losses.append(terms.total)
    assert len({loss.item() for loss in losses}) == 1
    settings = make_objective(teacher, student).settings()
    assert settings["min_prior"] is settings["levels"] is None  # as in checkpoints of before
    settings = make_objective(teacher, student, min_prior=20, levels=(32, 16)).settings()
    assert (settings["min_prior"], settings["levels"]) == (20, [16, 32])  # known at a resume


def test_rows_count_by_their_stride(make_detector, make_objective, batch):
    student, teacher = make_detector(0).eval(), make_detector(1).eval()
    for head in teacher.heads:  # sees faces everywhere
        head.classes.bias.data.copy_(torch.tensor([-9.0, 9.0]).repeat(2))
    found = []
    for levels in ([8, 16, 32], {8: 2, 16: 1, 32: 1}):
        objective = make_objective(Teacher(teacher), student, alpha=1.0, levels=levels)
        outputs, terms = objective(student, batch)
        found.append(torch.autograd.grad(terms.total, outputs))
    for alike, by_stride in zip(*found, strict=True):
        ratio = by_stride.norm(dim=(0, 2)) / alike.norm(dim=(0, 2))
        fine, coarse = ratio[:128], ratio[128:160]  # 2 priors in 8 x 8 and 4 x 4 cells
        torch.testing.assert_close(fine, torch.full_like(fine, 2 * coarse.mean().item()))
        torch.testing.assert_close(coarse, torch.full_like(coarse, coarse.mean().item()))
    assert objective.settings()["levels"] == {8: 2.0, 16: 1.0, 32: 1.0}


@pytest.mark.parametrize("features", [None, 0.25])
def test_teacher_is_frozen_and_absent(make_detector, make_objective, batch, features):
    student, network = make_detector(0).train(), make_detector(1)
    before = copy.deepcopy(network.state_dict())
    teacher = Teacher(network)
    objective = make_objective(
        teacher, student, features=None if features is None else FeatureTerm(features)
    )
    holder = torch.nn.Module()
    holder.student, holder.objective = student, objective
    holder.train()
    assert not network.training
    known = {id(p) for p in holder.parameters()}
    assert not known & {id(p) for p in network.parameters()}
    assert not any("teacher" in name for name in holder.state_dict())
    optimizer = torch.optim.SGD(holder.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        _, terms = objective(student, batch)
        terms.total.backward()
        optimizer.step()
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())
    assert all(p.grad is None for p in network.parameters())
    outputs, pyramid = teacher.observe(teacher.normalise(batch.images))
    assert not any(value.requires_grad for value in [*outputs, *pyramid])


@pytest.mark.parametrize("features", [None, 0.25])
def test_everything_learnable_gets_a_gradient(make_detector, make_objective, batch, features):
    student = make_detector(0).train()
    objective = make_objective(
        Teacher(make_detector(1)), student,
        features=None if features is None else FeatureTerm(features),
    )  # fmt: skip
    _, terms = objective(student, batch)
    terms.total.backward()
    learnt = [p for group in objective.parameter_groups() for p in group["params"]]
    assert {id(p) for p in learnt} == {id(p) for p in objective.parameters()}
    assert all(p.grad is not None and p.grad.any() for p in learnt)
    assert all(p.grad is not None for p in student.parameters())


def test_copies_share_the_teacher(make_detector, make_objective):
    student = make_detector(0)
    objective = make_objective(Teacher(make_detector(1)), student)
    assert copy.deepcopy(objective).teacher is objective.teacher


def test_teacher_in_bf16(make_detector, batch):
    network = make_detector(1)
    plain, half = Teacher(network), Teacher(network, precision="bf16")
    images = plain.normalise(batch.images)
    for ours, theirs in zip(half(images), plain(images), strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours.float() - theirs).abs().max() < 0.05 * theirs.abs().max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha from 0 to 1, got 1.5; set kd.alpha"),
        ({"temperature": 0.0}, "temperature above 0, got 0.0; set kd.temperature"),
        ({"temperature": float("nan")}, "temperature above 0, got nan"),
        ({"min_prior": 0}, "above 0 pixels, or null for all, got 0; set kd.min_prior"),
        ({"levels": {8: 0, 16: 1}}, "factors above 0 for the strides, got 8: 0, 16: 1; leave out"),
        ({"levels": [4, 8]}, "strides of the student, 8, 16, 32, got 4, 8; set kd.levels"),
        (
            {"min_prior": 200, "levels": [8, 16]},
            "none of at least 200 pixels on strides 8, 16, the largest of all has 512; set kd.min",
        ),
    ],
)
def test_wrong_settings(make_detector, make_objective, options, message):
    with pytest.raises(ValueError, match=message):
        make_objective(Teacher(make_detector(1)), make_detector(0), **options)


def test_unpaired_networks_are_refused(make_detector, make_objective):
    student = make_detector(0, prior_sizes=[[10, 20], [40, 80], [160, 320]])
    with pytest.raises(ValueError, match=r"contain those of the teacher.*set model\.prior_sizes"):
        make_objective(Teacher(make_detector(1)), student)


def test_wrong_precision(make_detector):
    with pytest.raises(ValueError, match="bf16 or null for the teacher, got 'fp8'; set kd"):
        Teacher(make_detector(1), precision="fp8")
