"""Images with their faces, one at a time and as batches."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from src.data.decoded import ImageReader
from src.data.reading import Annotation
from src.data.sampling import sample_generator
from src.data.transforms import Transform, scaled
from src.images.files import read_image
from src.images.resize import fit_long_side, pad
from src.types import MEAN_BGR, Batch, Sample, Targets

Scale = tuple[float, float]
"""Pixels of an image per pixel of the original, along x and y."""


class FaceDataset(Dataset[Sample]):
    """Augmented training images, indexed by (epoch, index).

    An image's augmentation depends on the seed, the epoch and its index alone: not on the number
    of workers, nor on whether the run was resumed.

    Args:
        annotations: images and faces.
        transform: the augmentation, with an image of one fixed size as its result.
        seed: at least 0.
        read: gives the pixels of an image.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        transform: Transform,
        seed: int,
        read: ImageReader = read_image,
    ) -> None:
        self.annotations = annotations
        self.transform = transform
        self.seed = seed
        self.read = read

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        if not isinstance(key, tuple):
            raise TypeError(
                f"expected an (epoch, index) pair from EpochSampler, got {key!r}; to train on few "
                "images use data.num_train_images instead of trainer.overfit_batches"
            )
        epoch, index = key
        sample = load_sample(self.annotations[index], self.read)
        return self.transform(sample, sample_generator(self.seed, epoch, index))


class EvaluationDataset(Dataset[tuple[Sample, Scale]]):
    """Images for measuring: only scaled, and together with their scale.

    Args:
        annotations: images and faces.
        long_side: scale each to this longer side, pixels; None keeps the original size.
    """

    def __init__(self, annotations: Sequence[Annotation], long_side: int | None) -> None:
        self.annotations = annotations
        self.long_side = long_side

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> tuple[Sample, Scale]:
        sample = load_sample(self.annotations[index])
        if self.long_side is None:
            return sample, (1.0, 1.0)
        image, scale = fit_long_side(sample.image, self.long_side)
        return sample._replace(image=image, faces=scaled(sample.faces, scale)), scale


def load_sample(annotation: Annotation, read: ImageReader = read_image) -> Sample:
    """The image of an annotation, by default decoded."""
    return Sample(read(annotation.path), annotation.faces, annotation.name)


def collate(samples: Sequence[Sample], scales: Sequence[Scale] | None = None) -> Batch:
    """Join samples into a batch.

    Args:
        samples: at least one; images of differing size are padded right and below with the mean
            colour.
        scales: of each image. None for augmented images, which no scale brings back to the
            original; the batch then says 1.
    """
    heights, widths = zip(*(sample.image.shape[:2] for sample in samples), strict=True)
    height, width = max(heights), max(widths)
    pixels = np.empty((len(samples), 3, height, width), dtype=np.uint8)
    for planes, sample in zip(pixels, samples, strict=True):
        # OpenCV writes into the planes; a transposed numpy copy takes four times as long.
        cv2.split(pad(sample.image, height, width, MEAN_BGR), list(planes))
    faces = [sample.faces for sample in samples]
    counts = [len(each.boxes) for each in faces]
    boxes, landmarks, has_landmarks, ignore = (
        torch.from_numpy(np.concatenate(column)) for column in zip(*faces, strict=True)
    )
    return Batch(
        images=torch.from_numpy(pixels),
        targets=Targets(
            boxes=boxes,
            landmarks=landmarks,
            has_landmarks=has_landmarks,
            ignore=ignore,
            image_index=torch.repeat_interleave(torch.tensor(counts)),
        ),
        names=tuple(sample.name for sample in samples),
        scales=torch.tensor([(1.0, 1.0)] * len(samples) if scales is None else scales),
    )


def collate_evaluation(items: Sequence[tuple[Sample, Scale]]) -> Batch:
    """Join the items of an :class:`EvaluationDataset` into a batch."""
    samples, scales = zip(*items, strict=True)
    return collate(samples, scales)
