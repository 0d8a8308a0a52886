"""Published weights as a teacher, on real images."""

from __future__ import annotations

import copy

import pytest
import torch

from src import checkpoint
from src.data.dataset import FaceDataset, collate
from src.data.reading import read_split
from src.data.transforms import Compose, PadToSquare, Resize
from src.detection.assignment import MaxIoUAssigner
from src.detection.priors import priors_for
from src.distillation import DistillationObjective, FixedWeights, Teacher
from src.distillation.losses import face_probability
from src.models import build_model

PRIORS = {"class": 1.0, "box": 1.0, "landmark": 0.5}
THREE = [[16 * 4**k / 2**0.5, 16 * 4**k, 32 * 4**k] for k in range(3)]

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def teacher(shared):
    return Teacher(checkpoint.load(shared / "weights" / "mobilenet0.25_Final.pth").model)


@pytest.fixture(scope="module")
def batch(shared):
    """Two training images with a large face each, at 320 px."""
    annotations = [
        annotation
        for annotation in read_split(shared / "widerface", "train").annotations
        if ((annotation.faces.boxes[:, 2:] - annotation.faces.boxes[:, :2]).min(axis=1) > 100).any()
    ][:2]
    transform = Compose([PadToSquare(), Resize(320, random_interpolation=False, min_face=0)])
    dataset = FaceDataset(annotations, transform, seed=0)
    return collate([dataset[(0, i)] for i in range(2)])


def connected(supervised, teacher, student):
    objective = DistillationObjective(
        supervised, teacher, balance=FixedWeights(**PRIORS), alpha=0.7, temperature=4.0
    )
    objective.connect(student)
    return objective


def test_the_teacher_sees_faces_where_the_labels_are(teacher, batch):
    outputs = teacher(teacher.normalise(batch.images))
    # Larger than 20 px in both directions: faces the network was made for.
    sides = batch.targets.boxes[:, 2:] - batch.targets.boxes[:, :2]
    large = (sides > 20).all(dim=1)
    assert large.any()
    targets = batch.targets._replace(ignore=batch.targets.ignore | ~large)
    priors = priors_for(teacher.priors, batch.images.shape, batch.images.device)
    labels = MaxIoUAssigner()(priors, outputs, targets).labels
    probability = face_probability(outputs.logits)
    assert probability[labels == 1].mean() > 0.5
    assert probability[labels == 0].mean() < 0.02


def test_the_published_network_learns_nothing_from_itself(supervised, teacher, batch):
    student = copy.deepcopy(teacher.network)
    _, terms = connected(supervised, teacher, student)(student, batch)
    for name in ("class", "box", "landmark"):
        assert terms.parts[f"kd_{name}"].item() == pytest.approx(0, abs=1e-6), name


@pytest.mark.parametrize("sizes", [None, pytest.param(THREE, marks=pytest.mark.slow)])
def test_a_student_comes_nearer_to_its_teacher(supervised, teacher, batch, sizes):
    options = {} if sizes is None else {"prior_sizes": sizes}
    student = build_model({"name": "nano_b", "channels": 16, **options}).train()
    objective = connected(supervised, teacher, student)
    optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3)
    values = []
    for _ in range(16):
        _, terms = objective(student, batch)
        optimizer.zero_grad()
        terms.parts["kd"].backward()
        optimizer.step()
        values.append(terms.parts["kd"].item())
    assert values[-1] < 0.7 * values[0]
