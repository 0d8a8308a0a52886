"""What is in a tree of labelled images and what is wrong with it, all of it, before training."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.data.dataset import load_sample
from src.data.layouts import SPLITS
from src.data.layouts.labels import Split
from src.data.reading import Annotation, Reading, inspect_split
from src.data.sampling import sample_generator
from src.data.transforms import Transform, scaled
from src.evaluation.ground_truth import read_ground_truth
from src.images.drawing import ORANGE, contact_sheet, draw_faces
from src.images.files import IMAGE_SUFFIXES, read_image, write_image
from src.images.header import MAX_PIXELS
from src.images.resize import fit_long_side
from src.report.charts import new_chart, save_chart
from src.report.progress import tracked
from src.types import Sample

SIZE_BOUNDS = (16, 32, 64, 128, 256, 512)
"""Pixels of the network input: the sizes of the RetinaFace priors, strides 8, 16 and 32."""
SIZE_NAMES = ("< 16", "16-32", "32-64", "64-128", "128-256", "256-512", "> 512")

_READERS = 4
_PICTURE_SIDE = 1024
"""Images are reduced to this before they are drawn on, or lines vanish in the contact sheet."""

logger = logging.getLogger(__name__)


@dataclass
class SplitReport:
    """Counts of one split; those of faces are 0 where the split is only a list of names."""

    label_file: str
    has_labels: bool
    num_images: int
    num_faces: int
    faces_per_image: dict[str, float]
    num_without_faces: int
    num_with_landmarks: int
    num_ignored: int
    num_zero_size: int
    num_clipped: int
    face_sizes: dict[str, int]
    """Faces per interval of sqrt(width * height), in pixels of the network input."""
    problems: dict[str, list[str]]
    """Kind of problem -> one sentence each."""
    unlabelled: list[str]
    """Images on disk that the label file does not list."""


@dataclass
class TreeReport:
    """A whole tree; training would fail or mislead if there are errors."""

    root: str
    image_size: int
    splits: dict[str, SplitReport] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_tree(
    root: Path,
    image_size: int,
    *,
    layout: str = "widerface",
    category: str | None = None,
    max_pixels: int = MAX_PIXELS,
    need_val: bool = True,
    decode: bool = True,
    ground_truth: Path | None = None,
) -> TreeReport:
    """Read both splits and collect everything noticed.

    Args:
        root: folder of the tree.
        image_size: side of a training image, pixels, for the sizes of faces.
        layout, category, max_pixels: see :func:`src.data.reading.read_split`.
        need_val: a tree without validation images is at fault.
        decode: also decode every image, some 5 ms each; else headers and ends of files only.
        ground_truth: folder of .mat files; None looks at ``<root>/ground_truth`` if there is one.
    """
    report = TreeReport(str(root), image_size)
    readings: dict[Split, Reading] = {}
    for split in SPLITS:
        try:
            readings[split] = inspect_split(
                root, split, layout=layout, category=category, max_pixels=max_pixels
            )
        except (FileNotFoundError, ValueError) as error:
            noted = report.errors if need_val or split == "train" else report.warnings
            if str(error) not in noted:
                noted.append(str(error))
    # Splits may share a folder of images.
    listed = {r.image_folder / name for r in readings.values() for name in r.listed}
    for split, reading in readings.items():
        report.splits[split] = summarise(reading, image_size, listed)
        report.errors.extend(str(problem) for problem in reading.problems)
        if decode:
            report.errors.extend(undecodable(reading.annotations))
        report.warnings.extend(
            f"{reading.label_file}: {count:,} {what}" for what, count in reading.remarks.items()
        )
        if report.splits[split].unlabelled:
            names = report.splits[split].unlabelled
            report.warnings.append(
                f"{len(names):,} images in {reading.image_folder} are not listed in "
                f"{reading.label_file.name} and will not be used, first {names[0]}"
            )
    if len(readings) == len(SPLITS):
        report.errors.extend(in_both(readings["train"].annotations, readings["val"].annotations))
    if "val" in readings:
        report.errors.extend(_without_truth(root, readings["val"], ground_truth))
    return report


def summarise(reading: Reading, image_size: int, listed: Collection[Path]) -> SplitReport:
    """Count what one split holds; ``listed`` has the images of all splits."""
    faces = [annotation.faces for annotation in reading.annotations]
    counts = np.array([len(each.boxes) for each in faces])
    problems: dict[str, list[str]] = {}
    for problem in reading.problems:
        problems.setdefault(problem.kind, []).append(str(problem))
    on_disk = {
        path.relative_to(reading.image_folder).as_posix()
        for path in reading.image_folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path not in listed
    }
    return SplitReport(
        label_file=str(reading.label_file),
        has_labels=reading.has_labels,
        num_images=len(faces),
        num_faces=int(counts.sum()),
        faces_per_image={
            "min": int(counts.min()) if len(counts) else 0,
            "median": float(np.median(counts)) if len(counts) else 0.0,
            "max": int(counts.max()) if len(counts) else 0,
        },
        num_without_faces=int((counts == 0).sum()),
        num_with_landmarks=sum(int(each.has_landmarks.sum()) for each in faces),
        num_ignored=sum(int(each.ignore.sum()) for each in faces),
        num_zero_size=reading.num_zero_size,
        num_clipped=reading.num_clipped,
        face_sizes=size_histogram(reading, image_size),
        problems=problems,
        unlabelled=sorted(on_disk),
    )


def size_histogram(reading: Reading, image_size: int) -> dict[str, int]:
    """Faces per size in the network input, for whole images: random crops enlarge some of them."""
    sizes = []
    for annotation, size in zip(reading.annotations, reading.sizes, strict=True):
        sides = annotation.faces.boxes[:, 2:] - annotation.faces.boxes[:, :2]
        sizes.append(np.sqrt(sides.prod(axis=1)) * (image_size / max(size)))
    levels = np.digitize(np.concatenate(sizes) if sizes else [], SIZE_BOUNDS)
    counts = np.bincount(levels, minlength=len(SIZE_NAMES))
    return dict(zip(SIZE_NAMES, counts.tolist(), strict=True))


def undecodable(annotations: Sequence[Annotation]) -> list[str]:
    """One sentence for every image that OpenCV cannot decode."""

    def fault(annotation: Annotation) -> str | None:
        try:
            read_image(annotation.path)
        except ValueError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(_READERS) as pool:
        found = tracked(pool.map(fault, annotations), "decoding", len(annotations))
        return [message for message in found if message]


def in_both(train: Sequence[Annotation], val: Sequence[Annotation]) -> list[str]:
    """One sentence for every validation image that is trained on, by name or by content."""
    names = {annotation.name for annotation in train}
    by_length: dict[int, list[Annotation]] = {}
    for annotation in train:
        by_length.setdefault(annotation.path.stat().st_size, []).append(annotation)

    @functools.cache
    def digest(path: Path) -> bytes:
        return hashlib.sha256(path.read_bytes()).digest()

    found = []
    for annotation in val:
        # Only files of equal length can be equal; the others need not be read.
        rivals = by_length.get(annotation.path.stat().st_size, ())
        twins = [r.name for r in rivals if digest(r.path) == digest(annotation.path)]
        if twins:
            found.append(
                f"{annotation.name} of val is the same file as {twins[0]} of train; "
                "remove it from one of them"
            )
        elif annotation.name in names:
            found.append(f"{annotation.name} is in train and in val; remove it from one of them")
    return found


def summary_lines(report: TreeReport) -> list[str]:
    """The report as lines to read."""
    lines = [f"{report.root}"]
    for name, split in report.splits.items():
        per_image = split.faces_per_image
        lines.append(f"{name}: {split.num_images:,} images, labels in {split.label_file}")
        if not split.has_labels:
            lines.append("  names only, no faces")
            continue
        lines.append(
            f"  {split.num_faces:,} faces, per image {per_image['min']:g} to {per_image['max']:g}, "
            f"median {per_image['median']:g}; {split.num_without_faces:,} images without"
        )
        lines.append(
            f"  {split.num_with_landmarks:,} faces with landmarks, {split.num_ignored:,} ignored, "
            f"{split.num_zero_size:,} of zero size dropped, {split.num_clipped:,} clipped"
        )
        sizes = ", ".join(f"{size}: {count:,}" for size, count in split.face_sizes.items())
        lines.append(f"  face size in pixels at {report.image_size}: {sizes}")
    lines.extend(f"warning: {message}" for message in report.warnings)
    lines.extend(f"error: {message}" for message in report.errors)
    lines.append(f"{len(report.errors):,} errors, {len(report.warnings):,} warnings")
    return lines


def write_pictures(
    report: TreeReport,
    annotations: Sequence[Annotation],
    augmentation: Transform,
    folder: Path,
    *,
    count: int = 12,
    seed: int = 0,
) -> None:
    """Write contact sheets of random labelled images and a histogram of face sizes.

    The files are ``labels.png``, ``augmented.png`` and ``face_sizes.png``.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(annotations), size=min(count, len(annotations)), replace=False)
    samples = _decodable(annotations[index] for index in sorted(chosen))
    augmented = [
        augmentation(sample, sample_generator(seed, 0, index))
        for index, sample in enumerate(samples)
    ]
    for name, shown in (("labels.png", samples), ("augmented.png", augmented)):
        if shown:
            write_image(folder / name, contact_sheet([_picture(s) for s in shown]))
    _plot_sizes(report, folder / "face_sizes.png")


def _decodable(annotations: Iterable[Annotation]) -> list[Sample]:
    samples = []
    for annotation in annotations:
        try:
            samples.append(load_sample(annotation))
        except ValueError as error:
            logger.warning("left out of the contact sheets: %s", error)
    return samples


def _picture(sample: Sample) -> np.ndarray:
    long_side = min(_PICTURE_SIDE, max(sample.image.shape[:2]))
    image, scale = fit_long_side(sample.image, long_side)
    faces = scaled(sample.faces, scale)
    keep = ~faces.ignore
    image = draw_faces(image, faces.boxes[keep], landmarks=faces.landmarks[keep])
    return draw_faces(image, faces.boxes[~keep], colour=ORANGE)


def _plot_sizes(report: TreeReport, path: Path) -> None:
    figure = new_chart(7, 4)
    axes = figure.add_subplot()
    splits = {name: split for name, split in report.splits.items() if split.has_labels}
    width = 0.8 / max(1, len(splits))
    for number, (name, split) in enumerate(splits.items()):
        places = np.arange(len(SIZE_NAMES)) + (number - (len(splits) - 1) / 2) * width
        bars = axes.bar(places, list(split.face_sizes.values()), width, label=name)
        axes.bar_label(bars, fontsize=7)
    axes.set_xticks(range(len(SIZE_NAMES)), SIZE_NAMES)
    axes.set_xlabel(f"sqrt(width × height), pixels of a {report.image_size} px input")
    axes.set_ylabel("faces")
    if splits:
        axes.legend()
    save_chart(figure, path)


def _without_truth(root: Path, reading: Reading, folder: Path | None) -> list[str]:
    if folder is None:
        folder = root / "ground_truth"
        if not folder.is_dir():
            return []
    try:
        truth = read_ground_truth(folder)
    except (FileNotFoundError, ValueError) as error:
        return [str(error)]
    missing = [a.name for a in reading.annotations if a.name not in truth]
    if not missing:
        return []
    return [
        f"{len(missing):,} validation images have no ground truth in {folder}, first {missing[0]}; "
        "set data.ground_truth to the folder that belongs to data.root"
    ]
