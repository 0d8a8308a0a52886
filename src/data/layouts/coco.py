"""COCO: one JSON file per split with ``images``, ``annotations`` and ``categories``.

Read are ``annotations/instances_<split>.json`` and its variants, ``<split>.json``, and Roboflow's
``<split>/_annotations.coco.json``. Boxes are x, y, width, height in pixels; keypoints are landmarks
where there are five (x, y, visibility). What WIDER FACE says beside that stands under
``attributes``, as CVAT writes it.

Source: cocodataset.org, "Data format".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.data.layouts.categories import face_category
from src.data.layouts.labels import (
    ATTRIBUTES,
    LARGEST,
    NOT_LABELLED,
    SPLIT_WORDS,
    Label,
    LabelledImage,
    Labels,
    Landmark,
    Split,
    image_name,
    landmarks_or_none,
    quoted,
)
from src.images.header import ImageSize
from src.runs.files import replacing
from src.types import NUM_LANDMARKS

KEYPOINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
CATEGORY = {"id": 1, "name": "face", "supercategory": "person", "keypoints": list(KEYPOINTS),
            "skeleton": []}  # fmt: skip

Table = Mapping[str, Any]

_READ = {
    "images": {"id", "file_name", "width", "height"},
    "annotations": {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore",
                    "keypoints", "num_keypoints", "segmentation", "attributes"},
    "attributes": {*ATTRIBUTES, "quality"},
}  # fmt: skip
"""List of entries -> the fields of them that are read, or follow from those."""

_WHICH = "instances_{split}.json"


class Coco:
    """The layout of most tools that label and train."""

    name = "coco"
    option = "coco"
    title = "COCO"
    looked_for = "annotations/instances_{split}.json, annotations/*{split}*.json, {split}.json"

    def find(self, root: Path, split: Split) -> Path | None:
        for word in SPLIT_WORDS[split]:
            exact = [
                root / "annotations" / _WHICH.format(split=word),
                root / "annotations" / f"{word}.json",
                root / f"{word}.json",
                root / word / "_annotations.coco.json",
            ]
            for file in exact:
                if file.is_file():
                    return file
            found = sorted((root / "annotations").glob(f"*_{word}*.json"))
            captions = [file for file in found if file.name.startswith("captions")]
            found = [file for file in found if file not in captions]
            if len(found) > 1:
                raise ValueError(
                    f"expected one file of {split} labels in {root / 'annotations'}, got "
                    f"{', '.join(file.name for file in found)}; name the one to use "
                    f"{_WHICH.format(split=split)}"
                )
            if found:
                return found[0]
        return None

    def read(self, root: Path, split: Split, found: Path, category: str | None) -> Labels:
        content = _load(found)
        known = _categories(content, found)
        number = face_category(known, category, found)
        labels = Labels(found, root)
        images = _images(content, labels)
        labels.image_folder = _image_folder(root, split, found, images.values())
        while folder := _shared_folder(split, images.values()):
            labels.image_folder /= folder
            images = {
                key: image._replace(name=image.name.removeprefix(f"{folder}/"))
                for key, image in images.items()
            }
        faces: dict[Any, list[Label]] = {key: [] for key in images}
        seen: set[Any] = set()
        for place, entry in _entries(content, "annotations", labels):
            try:
                if entry.get("id") is not None:
                    identity = _key(entry, "id")
                    if identity in seen:
                        raise ValueError(
                            f"expected an id of its own, got {quoted(identity)} again; correct it"
                        )
                    seen.add(identity)
                if _key(entry, "image_id") not in images:
                    raise ValueError(
                        "expected the image_id of an entry of images, got "
                        f"{quoted(entry['image_id'])}; correct or remove it"
                    )
                if _key(entry, "category_id") not in known:
                    raise ValueError(
                        "expected the category_id of an entry of categories, got "
                        f"{quoted(entry['category_id'])}; correct it or add the category"
                    )
                if entry["category_id"] != number:
                    labels.remarks["annotations of other categories left out"] += 1
                    continue
                faces[entry["image_id"]].append(_label(entry, place, labels.remarks))
            except ValueError as error:
                labels.refuse(found, place, str(error))
        labels.remarks.update(_other_fields(content))
        labels.images = [image._replace(faces=faces[key]) for key, image in images.items()]
        return labels

    def image_folder(self, root: Path, split: Split) -> Path:
        return root / "images" / split

    def fit(self, label: Label, size: ImageSize) -> Label | None:
        return None if min(label.box[2:]) < 0 else label

    def write(self, root: Path, splits: Mapping[Split, Sequence[LabelledImage]]) -> None:
        for split, images in splits.items():
            write_coco(root / "annotations" / _WHICH.format(split=split), images)


def write_coco(
    file: Path, images: Sequence[LabelledImage], scores: Sequence[Sequence[float]] | None = None
) -> None:
    """Write the faces of images, or what was found in them.

    Args:
        file: to write; folders are made.
        images: with their sizes.
        scores: of each face of each image, where the faces were found by a network.
    """
    entries: list[Table] = []
    annotations: list[Table] = []
    for number, image in enumerate(images, start=1):
        assert image.size is not None
        height, width = image.size
        entries.append({"id": number, "file_name": image.name, "width": width, "height": height})
        for place, face in enumerate(image.faces):
            entry = {"id": len(annotations) + 1, "image_id": number, **_annotation(face)}
            if scores is not None:
                entry["score"] = scores[number - 1][place]
            annotations.append(entry)
    content = {"images": entries, "annotations": annotations, "categories": [CATEGORY]}
    with replacing(file) as partial, partial.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, allow_nan=False)
        stream.write("\n")


def _annotation(face: Label) -> dict[str, Any]:
    points = face.landmarks or ((0.0, 0.0, NOT_LABELLED),) * NUM_LANDMARKS
    attributes: dict[str, Any] = {}
    if face.attributes is not None:
        attributes.update(zip(ATTRIBUTES, face.attributes, strict=True))
    if face.quality is not None:
        attributes["quality"] = float(face.quality)
    return {
        "category_id": CATEGORY["id"],
        "bbox": list(face.box),
        "area": max(face.box[2], 0) * max(face.box[3], 0),
        "iscrowd": int(face.ignore),
        "keypoints": [value for point in points for value in point],
        "num_keypoints": sum(seen > 0 for _, _, seen in points),
        **({"attributes": attributes} if attributes else {}),
    }


# --- what may be in a file ----------------------------------------------------------------------


def _load(file: Path) -> Table:
    try:
        content = json.loads(file.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also what is no text
        raise ValueError(
            f"{file}: expected JSON, got '{_reason(error)}'; write the file again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{file}: expected a table with images, annotations and categories, got "
            f"{quoted(content)}; a list is a file of results, not of labels"
        )
    for name in ("images", "annotations", "categories"):
        if not isinstance(content.get(name), list):
            raise ValueError(
                f"{file}: expected a list under '{name}', got "
                f"{quoted(content[name]) if name in content else 'nothing'}; write the file again"
            )
    return content


def _reason(error: Exception) -> str:
    return "tables nested too deeply" if isinstance(error, RecursionError) else str(error)


def _entries(content: Table, name: str, labels: Labels) -> Iterator[tuple[str, Table]]:
    for index, entry in enumerate(content[name]):
        place = f"{name}[{index}]"
        if isinstance(entry, dict):
            yield place, entry
        else:
            message = f"expected a table, got {quoted(entry)}; correct or remove it"
            labels.refuse(labels.label_file, place, message)


def _key(entry: Table, name: str) -> int | str:
    key = entry.get(name)
    if isinstance(key, bool) or not isinstance(key, (int, str)):
        raise ValueError(f"expected a number or text as {name}, got {quoted(key)}; correct it")
    return key


def _categories(content: Table, file: Path) -> dict[int, str]:
    names = {}
    for index, entry in enumerate(content["categories"]):
        number = entry.get("id") if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if type(number) is not int or not isinstance(name, str) or number in names:
            raise ValueError(
                f"{file}, categories[{index}]: expected an id of its own, a whole number, and a "
                f"name, got {quoted(number)} and {quoted(name)}; correct the entry"
            )
        names[number] = name
    return names


def _images(content: Table, labels: Labels) -> dict[Any, LabelledImage]:
    """Id -> image without its faces."""
    images: dict[Any, LabelledImage] = {}
    for place, entry in _entries(content, "images", labels):
        try:
            key = _key(entry, "id")
            if key in images:
                raise ValueError(f"expected an id of its own, got {quoted(key)} again; correct it")
            name = entry.get("file_name")
            if not isinstance(name, str):
                raise ValueError(
                    f"expected a file_name, got {quoted(name)}; correct or remove the entry"
                )
            sides = (entry.get("height"), entry.get("width"))
            if any(side is not None and (type(side) is not int or side < 1) for side in sides):
                raise ValueError(
                    "expected height and width of at least 1 pixel, got "
                    f"{quoted(sides[0])} and {quoted(sides[1])}; correct the entry"
                )
            size = None if None in sides else ImageSize(*sides)  # type: ignore[arg-type]
            images[key] = LabelledImage(image_name(name), [], labels.label_file, place, size)
        except ValueError as error:
            labels.refuse(labels.label_file, place, str(error))
    return images


def _image_folder(root: Path, split: Split, file: Path, images: Iterable[LabelledImage]) -> Path:
    """Tools lay images in one of several folders: that which has the first image of the list."""
    words = [*SPLIT_WORDS[split], f"{split}2017"]
    folders = [
        *(root / "images" / word for word in words),
        *(root / word / "images" for word in words),
        *(root / word for word in words),
        root / "images",
        root,
        file.parent,
    ]
    first = next(iter(images), None)
    for folder in folders:
        if first is not None and (folder / first.name).is_file():
            return folder
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _shared_folder(split: Split, images: Iterable[LabelledImage]) -> str | None:
    """``images`` or ``train`` where all names begin with it: no part of an image's identity."""
    firsts = {image.name.partition("/")[0] for image in images if "/" in image.name}
    alone = firsts.pop() if len(firsts) == 1 else None
    usual = alone in ("images", *SPLIT_WORDS[split], f"{split}2017")
    return alone if usual and all("/" in image.name for image in images) else None


def _label(entry: Table, place: str, remarks: Counter[str]) -> Label:
    x, y, width, height = _numbers(entry.get("bbox"), "bbox", (4,))
    if width < 0 or height < 0:
        raise ValueError(
            f"expected a bbox [x, y, width, height] of positive size, got {quoted(width)} x "
            f"{quoted(height)}; correct or remove the annotation"
        )
    if entry.get("segmentation"):
        remarks["masks left out"] += 1
    quality, attributes = _attributes(entry.get("attributes"))
    return Label(
        (x, y, width, height), _landmarks(entry, remarks),
        any(_flag(entry, name) for name in ("iscrowd", "ignore")), quality, attributes, place,
    )  # fmt: skip


def _landmarks(entry: Table, remarks: Counter[str]) -> tuple[Landmark, ...] | None:
    if not entry.get("keypoints"):
        return None
    values = _numbers(entry["keypoints"], "keypoints", None)
    if len(values) % 3:
        raise ValueError(
            f"expected three numbers (x, y, visibility) per keypoint, got {len(values)} in all; "
            "correct the annotation"
        )
    if len(values) != 3 * NUM_LANDMARKS:
        remarks[f"faces whose keypoints are not {NUM_LANDMARKS}, taken as without landmarks"] += 1
        return None
    points = list(zip(values[::3], values[1::3], values[2::3], strict=True))
    wrong = [seen for _, _, seen in points if seen not in (0, 1, 2)]
    if wrong:
        raise ValueError(f"expected visibilities of 0, 1 or 2, got {quoted(wrong[0])}; correct it")
    return landmarks_or_none([(x, y, int(seen)) for x, y, seen in points])


def _numbers(values: Any, name: str, counts: Sequence[int] | None) -> list[float]:
    if not isinstance(values, list) or (counts is not None and len(values) not in counts):
        number = "" if counts is None else f"{counts[0]} "
        got = f"{len(values)} entries" if isinstance(values, list) else quoted(values)
        raise ValueError(f"expected a list of {number}numbers as {name}, got {got}; correct it")
    for value in values:
        if type(value) not in (int, float) or not abs(value) < LARGEST:  # also NaN
            raise ValueError(f"expected finite numbers as {name}, got {quoted(value)}; correct it")
    return [float(value) for value in values]


def _flag(entry: Table, name: str) -> bool:
    value = entry.get(name, 0)
    if value not in (0, 1):  # true and false, too
        raise ValueError(f"expected 0 or 1 as {name}, got {quoted(value)}; correct it")
    return bool(value)


def _other_fields(content: Table) -> Counter[str]:
    other: Counter[str] = Counter()
    for name in ("images", "annotations"):
        for entry in content[name]:
            if isinstance(entry, dict):
                other.update(entry.keys() - _READ[name])
                attributes = entry.get("attributes")
                if isinstance(attributes, dict):
                    other.update(attributes.keys() - _READ["attributes"])
    total = sum(other.values())
    return Counter({"other fields of images and annotations left out": total} if total else {})


def _attributes(table: Any) -> tuple[float | None, tuple[int, ...] | None]:
    """Quality and attributes, where they are those that we write; other tools have others."""
    if not isinstance(table, dict):
        return None, None
    quality = table.get("quality")
    if type(quality) is not float or not abs(quality) < LARGEST:
        quality = None
    values = tuple(table.get(name) for name in ATTRIBUTES)
    whole = all(type(value) is int for value in values)
    return quality, values if whole else None  # type: ignore[return-value]
