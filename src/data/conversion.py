"""Labelled images from one layout into another, with a count of what the other has no room for."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from src.data.layouts import LAYOUTS, SPLITS, layouts_of
from src.data.layouts.labels import LabelledImage, Split, losses
from src.data.layouts.layout import Layout
from src.data.layouts.names import NameList
from src.data.reading import read_split
from src.data.sampling import held_out
from src.images.files import IMAGE_SUFFIXES
from src.report.progress import tracked

Tree = Mapping[Split, Sequence[LabelledImage]]


@dataclass
class Conversion:
    """What was converted, and what was not."""

    source: str
    came_from: str
    to: str
    output: str
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Split -> images, faces, faces with landmarks, ignored faces written."""
    lost: Counter[str] = field(default_factory=Counter)
    """What the new layout has no room for -> how often."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What was not read, or otherwise than it stands there -> how often."""

    def content(self) -> dict[str, Any]:
        """For a JSON file."""
        return {**vars(self), "lost": dict(self.lost), "left_out": dict(self.left_out)}


def layout_of(source: Path, given: str | None) -> Layout:
    """The layout of a tree: the one given, or the only one whose files are there.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: none or several could be meant.
    """
    if not source.is_dir():
        raise FileNotFoundError(
            f"expected a folder of labelled images at source={source}, found none; set source="
        )
    if given is not None:
        return LAYOUTS[given]
    found = layouts_of(source)
    if len(found) != 1:
        known = "; ".join(
            f"{name}: {layout.looked_for.format(split='train')}" for name, layout in LAYOUTS.items()
        )
        raise ValueError(
            f"expected label files of one layout in {source}, got {' and '.join(found)}; set from="
            if found
            else f"expected label files in {source}, got none of {known}"
        )
    return LAYOUTS[found[0]]


def convert(
    source: Path,
    output: Path,
    *,
    came_from: Layout,
    to: Layout,
    category: str | None = None,
    images: Literal["copy", "link"] = "copy",
    val_share: float = 0.0,
    seed: int = 0,
) -> Conversion:
    """Write the images and labels of a tree in another layout.

    Args:
        source: folder of the tree.
        output: folder to write, new or empty.
        came_from, to: layouts of the two.
        category: which of several categories are faces.
        images: copied, or linked to the source.
        val_share: share of the training images that becomes the validation split of a tree without
            one.
        seed: of the choice of those images.

    Raises:
        FileNotFoundError: there are no label files, or an image is missing.
        ValueError: a label or an image is at fault, or the output is there already.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"expected a new or empty folder as output, got {output}; set output=")
    done = Conversion(str(source), came_from.name, to.name, str(output))
    read: dict[Split, Sequence[LabelledImage]] = {}
    folders: dict[Split, Path] = {}
    for split in SPLITS:
        if came_from.find(source, split) is not None:
            reading = read_split(source, split, layout=came_from.name, category=category)
            read[split], folders[split] = reading.images, reading.image_folder
            done.left_out.update(reading.remarks)
    if not read:
        raise ValueError(
            f"expected labels of the layout {came_from.name} in {source}, got none of "
            f"{came_from.looked_for.format(split='train')}; set from= or source="
        )
    _note_what_stays(source, read, done.left_out)
    tree: Tree = read
    if val_share:
        tree = _split(tree, val_share, seed, source)
        folders["val"] = folders["train"]
    _check_names(tree)
    tree = {split: [_fitted(each, to, done.lost) for each in tree[split]] for split in tree}
    done.splits = {split: _counts(each) for split, each in tree.items()}
    # Labels first: they refuse what cannot be, and a tree without all its images cannot be read.
    to.write(output, tree)
    place = _link if images == "link" else _copy
    for split, each in tree.items():
        for image in tracked(each, f"{split} images", len(each)):
            file = to.image_folder(output, split) / image.name
            file.parent.mkdir(parents=True, exist_ok=True)
            place(folders[split] / image.name, file)
    return done


def _note_what_stays(source: Path, tree: Tree, left_out: Counter[str]) -> None:
    names = NameList().find(source, "val")
    if names is not None and "val" not in tree:
        listed = NameList().read(source, "val", names, None).images
        left_out["validation images of wider_val.txt, which have no labels"] = len(listed)
    tests = ("test", "images/test", "WIDER_test", "test2017")
    if any((source / folder).is_dir() for folder in tests):
        left_out["test splits, which are not read"] = 1
    if (source / "ground_truth").is_dir():
        left_out["folders of ground truth: name it with data.ground_truth="] = 1


def _split(
    tree: Tree, share: float, seed: int, source: Path
) -> dict[Split, Sequence[LabelledImage]]:
    if "val" in tree:
        raise ValueError(
            f"expected no validation split in {source} beside val_share={share:g}, got one; leave "
            "val_share out"
        )
    images = tree.get("train", ())
    count = max(1, round(share * len(images)))
    if count >= len(images):
        raise ValueError(
            f"expected more than {count:,} training images to set a share of {share:g} aside, got "
            f"{len(images):,}; lower val_share="
        )
    aside = held_out(len(images), count, seed)
    pairs = list(zip(images, aside, strict=True))
    return {
        "train": [image for image, chosen in pairs if not chosen],
        "val": [image for image, chosen in pairs if chosen],
    }


def _check_names(tree: Tree) -> None:
    for images in tree.values():
        for image in images:
            if not image.name.lower().endswith(IMAGE_SUFFIXES):
                raise ValueError(
                    f"expected names of images that end in {', '.join(IMAGE_SUFFIXES)}, got "
                    f"{image.name!r}; rename it"
                )


def _fitted(image: LabelledImage, layout: Layout, lost: Counter[str]) -> LabelledImage:
    assert image.size is not None  # read_split has measured it
    faces = []
    for face in image.faces:
        fitted = layout.fit(face, image.size)
        lost.update(losses(face, fitted))
        faces += [] if fitted is None else [fitted]
    return image._replace(faces=faces)


def _counts(images: Sequence[LabelledImage]) -> dict[str, int]:
    faces = [face for image in images for face in image.faces]
    return {
        "images": len(images),
        "faces": len(faces),
        "with_landmarks": sum(face.landmarks is not None for face in faces),
        "ignored": sum(face.ignore for face in faces),
    }


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source.resolve())
