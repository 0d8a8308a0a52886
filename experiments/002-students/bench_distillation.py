"""What a teacher costs per training step, and what makes it cheaper.

    python experiments/002-students/bench_distillation.py [--size 320] [--batch 8] [--rounds 7]

Forward and backward of a student on random images, alone and with a FeatherFace V1 beside it. All
variants take turns in one process; shown are medians and the median ratio to the student alone.
Weights are random: they do not change the work.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from src.detection.assignment import MaxIoUAssigner
from src.detection.losses import (
    HardNegativeCrossEntropy,
    SmoothL1Boxes,
    SmoothL1Landmarks,
    WeightedTerms,
)
from src.detection.objective import DetectionObjective
from src.distillation import DistillationObjective, FeatureTerm, LearnedWeights, Teacher
from src.models import FaceDetector, build_model, featherface_v1
from src.types import Batch, Outputs, Targets

THREE_PRIORS = [[16 * 4**k / 2**0.5, 16 * 4**k, 32 * 4**k] for k in range(3)]
STUDENTS = {
    "nano_b": {},
    "nano_b_enhanced": {
        "channels": 32, "cbam": {"reduction": 16}, "context_groups": 1, "shuffle_groups": 4,
        "scale_decoupling": True, "semantic": True, "assn": True, "prior_sizes": THREE_PRIORS,
    },
}  # fmt: skip


class Tracked(Teacher):
    """What a teacher costs whose graph is kept, as upstream code does."""

    def observe(self, images: torch.Tensor) -> tuple[Outputs, list[torch.Tensor]]:
        pyramid = self.network.requires_grad_(True).pyramid(images)
        return self.network.predict(pyramid), pyramid


class Plain(Teacher):
    """A teacher in PyTorch's default memory layout."""

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        self.network.to(memory_format=torch.contiguous_format)
        return self.network.normalise(pixels)


class Remembered(Teacher):
    """A teacher that has seen the images before: the floor that a cache could reach."""

    seen: tuple[Outputs, list[torch.Tensor]] | None = None

    def observe(self, images: torch.Tensor) -> tuple[Outputs, list[torch.Tensor]]:
        self.seen = self.seen or super().observe(images)
        return self.seen


def random_batch(images: int, size: int) -> Batch:
    """Eight faces in each image."""
    faces = 8 * images
    corner, sides = torch.rand(faces, 2) * size * 0.7, 10 + torch.rand(faces, 2) * size * 0.2
    boxes = torch.cat([corner, corner + sides], dim=1)
    return Batch(
        images=torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8),
        targets=Targets(
            boxes=boxes,
            landmarks=boxes[:, None, :2] + torch.rand(faces, 5, 2) * sides[:, None],
            has_landmarks=torch.ones(faces, dtype=torch.bool),
            ignore=torch.zeros(faces, dtype=torch.bool),
            image_index=torch.arange(faces) // 8,
        ),
        names=("event/image.jpg",) * images,
        scales=torch.ones(images, 2),
    )


def variants(student: FaceDetector) -> dict[str, Callable[..., object]]:
    """Name -> objective."""
    supervised = DetectionObjective(
        MaxIoUAssigner(),
        WeightedTerms(
            {
                "box": SmoothL1Boxes(),
                "class": HardNegativeCrossEntropy(),
                "landmark": SmoothL1Landmarks(),
            },
            {"box": 2.0, "class": 1.0, "landmark": 1.0},
        ),
    )

    def distilled(teacher: Teacher, features: FeatureTerm | None = None) -> DistillationObjective:
        objective = DistillationObjective(
            supervised, teacher,
            balance=LearnedWeights(**{"class": 1.0, "box": 1.0, "landmark": 0.5}),
            alpha=0.7, temperature=4.0, features=features,
        )  # fmt: skip
        objective.connect(student)
        return objective

    return {
        "labels alone": supervised,
        "teacher, graph kept": distilled(Tracked(featherface_v1())),
        "teacher, no graph": distilled(Plain(featherface_v1())),
        "teacher, no graph, channels last (as built)": distilled(Teacher(featherface_v1())),
        "the same in bf16": distilled(Teacher(featherface_v1(), precision="bf16")),
        "the same and features": distilled(Teacher(featherface_v1()), FeatureTerm(0.25)),
        "teacher's outputs remembered": distilled(Remembered(featherface_v1())),
    }


def measure(name: str, batch: Batch, rounds: int) -> None:
    student = build_model({"name": "nano_b", **STUDENTS[name]}).train()
    jobs = variants(student)
    times: dict[str, list[float]] = {key: [] for key in jobs}
    for _ in range(rounds + 1):  # the first warms up
        for key, objective in jobs.items():
            start = time.process_time()
            _, terms = objective(student, batch)
            terms.total.backward()
            times[key].append(time.process_time() - start)
    base = times["labels alone"][1:]
    print(f"\n{name}: {len(batch.images)} images of {batch.images.shape[-1]} px")
    for key, seconds in times.items():
        ratio = median(s / b for s, b in zip(seconds[1:], base, strict=True))
        print(f"  {key:<45}{1000 * median(seconds[1:]):8.0f} ms {ratio:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    batch = random_batch(options.batch, options.size)
    for name in STUDENTS:
        measure(name, batch, options.rounds)


if __name__ == "__main__":
    main()
