"""Training and validation images for Lightning."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import lightning as L
import torch
from torch.utils.data import DataLoader

from src.data.dataset import EvaluationDataset, FaceDataset, collate, collate_evaluation
from src.data.decoded import DecodedImages, ImageReader, decoded_images
from src.data.layouts.labels import Split
from src.data.reading import Annotation, Reading, read_split
from src.data.sampling import EpochSampler, held_out
from src.data.transforms import Transform
from src.evaluation.coco_ap import FacesToFind
from src.evaluation.ground_truth import ImageTruth, read_ground_truth, truth_from_boxes
from src.images.files import read_image
from src.images.header import MAX_PIXELS
from src.synthetic import SyntheticSpec, generate, is_complete
from src.types import Batch

_NAMES_SHOWN = 5
_LARGEST_SIDE = 2**14
"""Pixels; larger images need more memory than a machine has."""
_NICE = 15
"""How much loading processes give way to a network on the same cores, 0 to 19."""

logger = logging.getLogger(__name__)


class FaceDataModule(L.LightningDataModule):
    """Labelled images of a folder; the trainer is to be built with use_distributed_sampler=False.

    Args:
        root: folder of the tree.
        layout: of its files (see :mod:`src.data.layouts`); ``widerface``: either of WIDER FACE.
        category: which of several categories of a COCO or YOLO data set are faces; None: the only
            one, or that named face.
        augmentation: of training images; its result has ``image_size``.
        image_size: side of a training image, pixels. The augmentation gets it from the same
            setting; here it only tells others which size is trained.
        batch_size: training images per step, of each process or of all (``split_batch``).
        split_batch: several processes share a batch instead of having one each.
        num_workers: processes that load images, of training and validation each.
        seed: of order and augmentation, at least 0.
        cache: keep the training images decoded in a file, as large as their pixels (see
            :mod:`src.data.decoded`).
        cache_folder: where that file goes.
        generator: writes a synthetic tree to ``root`` before it is read; None reads what is there.
        val_split: validate on ``train`` to see whether a model fits what it was shown, on
            ``held_out`` to leave the validation images for the end.
        num_held_out: training images set aside, the same for every ``seed``: not trained on.
        held_out_seed: of the choice of those images.
        val_long_side: scale validation images to this longer side, pixels; None keeps each one's
            original size, one image per batch.
        val_batch_size: validation images per step where ``val_long_side`` is given.
        max_pixels: that an image may have; reading more takes gigabytes.
        num_train_images: use only the first N, to see a model overfit; None uses all.
        num_val_images: the same of validation.
        ground_truth: folder with the official .mat files; None uses ``<root>/ground_truth`` if it
            exists, else the labels.
        improvement: what improves the labels of the images trained on, once; it may keep a file,
            which one process of several writes before the others begin.

    Raises:
        ValueError: if a count, a size or the split is not one of those allowed.
    """

    def __init__(
        self,
        *,
        root: str | Path,
        augmentation: Transform,
        layout: Literal["widerface", "coco", "yolo"] = "widerface",
        category: str | int | None = None,
        image_size: int = 640,
        batch_size: int = 32,
        split_batch: bool = False,
        num_workers: int = 2,
        seed: int = 0,
        cache: bool = False,
        cache_folder: str | Path = "outputs/cache",
        generator: SyntheticSpec | None = None,
        val_split: Literal["train", "val", "held_out"] = "val",
        num_held_out: int = 0,
        held_out_seed: int = 0,
        val_long_side: int | None = None,
        val_batch_size: int = 1,
        max_pixels: int = MAX_PIXELS,
        num_train_images: int | None = None,
        num_val_images: int | None = None,
        ground_truth: str | Path | None = None,
        improvement: Callable[[list[Annotation]], list[Annotation]] | None = None,
    ) -> None:
        super().__init__()
        _check_at_least(
            1,
            image_size=image_size,
            batch_size=batch_size,
            val_long_side=val_long_side,
            val_batch_size=val_batch_size,
            max_pixels=max_pixels,
            num_train_images=num_train_images,
            num_val_images=num_val_images,
        )
        _check_at_most(_LARGEST_SIDE, image_size=image_size, val_long_side=val_long_side)
        _check_at_least(
            0,
            num_workers=num_workers,
            seed=seed,
            num_held_out=num_held_out,
            held_out_seed=held_out_seed,
        )
        if val_split not in ("train", "val", "held_out"):
            raise ValueError(
                f"expected data.val_split of 'train', 'val' or 'held_out', got {val_split!r}"
            )
        if val_split == "held_out" and not num_held_out:
            raise ValueError(
                "expected training images to be set aside for data.val_split=held_out, got none; "
                "set data.num_held_out=N"
            )
        self.root = Path(root)
        self.layout = layout
        self.category = None if category is None else str(category)
        self.augmentation = augmentation
        self.image_size = image_size
        self.split_batch = split_batch
        self._batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.cache = cache
        self.cache_folder = Path(cache_folder)
        self.generator = generator
        self.val_split = val_split
        self.num_held_out = num_held_out
        self.held_out_seed = held_out_seed
        self.val_long_side = val_long_side
        self.val_batch_size = 1 if val_long_side is None else val_batch_size
        if self.val_batch_size != val_batch_size:
            logger.warning(
                "data.val_batch_size=%d has no effect: images keep their original sizes, one per "
                "batch; set data.val_long_side to batch them",
                val_batch_size,
            )
        self.max_pixels = max_pixels
        self.num_train_images = num_train_images
        self.num_val_images = num_val_images
        self.ground_truth = None if ground_truth is None else Path(ground_truth)
        self.improvement = improvement
        self._improved: list[Annotation] | None = None
        self._readings: dict[Split, Reading] = {}
        self._decoded: DecodedImages | None = None
        self._first_epoch, self._first_batch = 0, 0

    @property
    def batch_size(self) -> int:
        """Training images per step of this process.

        Raises:
            ValueError: the processes cannot share a batch evenly.
        """
        _, world_size = self._place()
        if not self.split_batch:
            return self._batch_size
        if self._batch_size % world_size:
            raise ValueError(
                f"expected data.batch_size to be a multiple of the {world_size} processes that "
                f"share a batch, got {self._batch_size}; set data.batch_size= or trainer.devices="
            )
        return self._batch_size // world_size

    @property
    def train_annotations(self) -> list[Annotation]:
        """Images trained on."""
        annotations = self._train_parts()[0][: self.num_train_images]
        if self.improvement is None:
            return annotations
        if self._improved is None:
            self._improved = self.improvement(annotations)
        return self._improved

    @property
    def held_out_annotations(self) -> list[Annotation]:
        """Training images set aside."""
        return self._train_parts()[1]

    @property
    def val_annotations(self) -> list[Annotation]:
        """Images validated on, of all processes together."""
        if self.val_split == "train":
            annotations = self._train_parts()[0]
        elif self.val_split == "held_out":
            annotations = self.held_out_annotations
        else:
            annotations = self._read("val").annotations
        return annotations[: self.num_val_images]

    @property
    def names(self) -> list[str]:
        """``event/file.jpg`` of the validation images."""
        return [annotation.name for annotation in self.val_annotations]

    def prepare_data(self) -> None:
        """Write the synthetic tree if one was asked for and is not there yet."""
        if self.generator is not None and not is_complete(self.root, self.generator):
            logger.info("writing synthetic images to %s", self.root)
            generate(self.root, self.generator)
        if self.improvement is not None and (self.trainer is None or self.trainer.training):
            _ = self.train_annotations

    def setup(self, stage: str | None = None) -> None:
        """Read and check the labels; a fault in them stops the run here.

        Raises:
            FileNotFoundError: if the tree, its labels or an image does not exist.
            ValueError: if a label line or an image file is at fault.
        """
        if stage in (None, "fit"):
            self._read("train")
            self._decode()
        if stage in (None, "fit", "validate", "test"):
            self._read(self._file)

    def resume_at(self, epoch: int, batch: int) -> None:
        """Let the next training loader begin with this batch of this epoch.

        Loading processes ask for images as soon as they start: setting the epoch then is too late.
        """
        self._first_epoch, self._first_batch = epoch, batch

    def train_dataset(self) -> FaceDataset:
        """Augmented training images."""
        images = self._train_images()
        return FaceDataset(self.train_annotations, self.augmentation, self.seed, images)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of augmented images, in an order fixed by seed and epoch."""
        rank, world_size = self._place()
        dataset = self.train_dataset()
        sampler = EpochSampler(
            len(dataset),
            self.seed,
            rank=rank,
            world_size=world_size,
            first_epoch=self._first_epoch,
            skip=self._first_batch * self.batch_size,
        )
        return self._loader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=collate,
            # A last batch of one image makes a poor batch norm; without a full one it is all.
            drop_last=len(sampler) >= self.batch_size,
        )

    def training_images(self, count: int) -> Iterator[torch.Tensor]:
        """``count`` batches of augmented training images, the same for the same seed."""
        loader: Any = self.train_dataloader()

        def epochs() -> Iterator[torch.Tensor]:
            for epoch in itertools.count():
                loader.sampler.set_epoch(epoch)
                yield from (batch.images for batch in loader)

        return itertools.islice(epochs(), count)

    def training_crops(self, count: int) -> list[torch.Tensor]:
        """At least ``count`` of those images, in batches; 0: none, and nothing is read."""
        if count == 0:
            return []
        self.prepare_data()
        batches: list[torch.Tensor] = []
        for images in self.training_images(count):  # a batch has at least one
            batches.append(images)
            if sum(map(len, batches)) >= count:
                break
        return batches

    def held_out_dataloader(self) -> DataLoader[Batch]:
        """Batches of the images set aside, augmented: the same crops each time, for every seed."""
        annotations = self.held_out_annotations
        return self._loader(
            FaceDataset(annotations, self.augmentation, 0, self._train_images()),
            batch_size=self.batch_size,
            sampler=EpochSampler(len(annotations), seed=0, shuffle=False),
            collate_fn=collate,
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of validation images with their scales; every image on exactly one process."""
        rank, world_size = self._place()
        return self._loader(
            EvaluationDataset(self.val_annotations[rank::world_size], self.val_long_side),
            batch_size=self.val_batch_size,
            collate_fn=collate_evaluation,
        )

    def test_dataloader(self) -> DataLoader[Batch]:
        """The validation images: WIDER FACE keeps the labels of its test images to itself."""
        return self.val_dataloader()

    @property
    def truth_folder(self) -> Path | None:
        """Folder of the official .mat files that are evaluated against; None: the labels are."""
        if self.ground_truth is None and self.val_split == "val":
            beside = self.root / "ground_truth"
            return beside if beside.is_dir() else None
        return self.ground_truth

    def truth(self) -> dict[str, ImageTruth]:
        """What the validation images show, by name, for the evaluation.

        Raises:
            FileNotFoundError: if the folder given holds no ground truth.
            ValueError: if neither ground truth nor labels cover the validation images.
        """
        folder = self.truth_folder
        if folder is not None:
            truth, names = read_ground_truth(folder), self.names
            unknown = [name for name in names if name not in truth]
            if unknown:
                raise ValueError(
                    f"expected ground truth for all {len(names):,} validation images in {folder}, "
                    f"got none for {len(unknown):,}, first {', '.join(unknown[:_NAMES_SHOWN])}; "
                    "set data.ground_truth to the folder that belongs to data.root"
                )
            return {name: truth[name] for name in names}
        if not self._read(self._file).has_labels:
            raise ValueError(
                f"expected labels or ground truth for the validation images of {self.root}, got "
                "only their names; put the four official .mat files into "
                f"{self.root / 'ground_truth'} or set data.ground_truth=<folder>"
            )
        logger.info(
            "no .mat ground truth for %s: evaluating against the labels, with easy, medium and "
            "hard decided by face height: compare such AP only within this tree",
            self.root,
        )
        return {
            annotation.name: truth_from_boxes(annotation.faces.boxes, annotation.faces.ignore)
            for annotation in self.val_annotations
        }

    def faces_to_find(self) -> dict[str, FacesToFind]:
        """What COCO's AP asks for: faces of the hard setting of ``truth``, or all of the labels."""
        if self.truth_folder is not None:
            truth = self.truth()
            return {name: FacesToFind(t.boxes_xywh, ~t.hard) for name, t in truth.items()}
        faces = {annotation.name: annotation.faces for annotation in self.val_annotations}
        return {
            name: FacesToFind(truth_from_boxes(f.boxes, f.ignore).boxes_xywh, f.ignore)
            for name, f in faces.items()
        }

    @property
    def _file(self) -> Split:
        """The labels of the images validated on."""
        return "val" if self.val_split == "val" else "train"

    def _train_parts(self) -> tuple[list[Annotation], list[Annotation]]:
        """Training images to train on, and those set aside."""
        annotations = self._read("train").annotations
        if self.num_held_out >= len(annotations):
            raise ValueError(
                f"expected data.num_held_out below the {len(annotations):,} training images of "
                f"{self.root}, got {self.num_held_out:,}"
            )
        aside = held_out(len(annotations), self.num_held_out, self.held_out_seed)
        pairs = list(zip(annotations, aside, strict=True))
        return [a for a, chosen in pairs if not chosen], [a for a, chosen in pairs if chosen]

    def _read(self, split: Split) -> Reading:
        if split not in self._readings:
            reading = read_split(
                self.root,
                split,
                layout=self.layout,
                category=self.category,
                max_pixels=self.max_pixels,
            )
            # The labels as they stand in the files have been turned into arrays.
            self._readings[split] = reading._replace(images=[])
        return self._readings[split]

    def _decode(self) -> None:
        """Let the first process write the file of decoded images, whose progress is shown."""
        rank, world_size = self._place()
        if rank == 0:
            self._train_images()
        if self.cache and world_size > 1:
            assert self.trainer is not None  # it knows of the others
            self.trainer.strategy.barrier("decoded images")

    def _train_images(self) -> ImageReader:
        """What gives the pixels of training images."""
        if not self.cache:
            return read_image
        if self._decoded is None:
            self._decoded = decoded_images(self._read("train"), self.root, self.cache_folder)
        return self._decoded

    def _place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _loader(self, dataset: Any, **options: Any) -> DataLoader[Batch]:
        return DataLoader(
            dataset,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_one_thread if torch.cuda.is_available() else _give_way,
            **options,
        )


def _one_thread(worker: int) -> None:
    """As many OpenCV threads as cores in each of several workers would only get in their way."""
    cv2.setNumThreads(0)


def _give_way(worker: int) -> None:
    """Where the network needs the same cores: load while it waits, for images or for others."""
    _one_thread(worker)
    if hasattr(os, "nice"):
        os.nice(_NICE)


def _check_at_most(maximum: int, **settings: int | None) -> None:
    for name, value in settings.items():
        if value is not None and value > maximum:
            raise ValueError(f"expected data.{name} of at most {maximum:,}, got {value:,}")


def _check_at_least(minimum: int, **settings: int | None) -> None:
    for name, value in settings.items():
        if value is not None and value < minimum:
            raise ValueError(f"expected data.{name} of at least {minimum}, got {value}")
