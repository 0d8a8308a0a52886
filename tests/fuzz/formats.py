"""Every format that is read: a sound file of it, and who reads it."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch

from src import checkpoint
from src.data.reading import read_split
from src.evaluation import read_predictions, write_predictions
from src.evaluation.ground_truth import (
    MAT_FILES,
    read_ground_truth,
    truth_from_boxes,
    write_ground_truth,
)
from src.images.files import read_photo
from src.images.header import read_image_size
from src.images.video import VideoReader, VideoWriter
from src.models import plain
from src.prediction.journal import Journal

from . import exports, options, records
from .format import Format


def _picture(size: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size + 8, 3), dtype=np.uint8)


def _image(suffix: str) -> Format:
    def make(folder: Path) -> list[Path]:
        file = folder / f"a{suffix}"
        file.write_bytes(cv2.imencode(suffix, _picture())[1].tobytes())
        return [file]

    def read(folder: Path) -> None:
        file = folder / f"a{suffix}"
        if suffix in (".jpg", ".png"):
            read_image_size(file)
        read_photo(file, long_side=None, max_pixels=1_000_000)

    return Format(make, read)


def _tree(layout: str, files: Mapping[str, str], images: str) -> Format:
    def make(folder: Path) -> list[Path]:
        for name in ("e/a.jpg", "e/b.jpg"):
            image = folder / images / name
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(cv2.imencode(".jpg", _picture())[1].tobytes())
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return [folder / name for name in files]

    return Format(make, lambda folder: read_split(folder, "train", layout=layout))


_FACE = "1 2 9 9 3 4 0 5 4 0 4 6 1 3 8 0 5 8 0 1\n"
_COCO = {
    "images": [
        {"id": 1, "file_name": "e/a.jpg", "width": 32, "height": 24},
        {"id": 2, "file_name": "e/b.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9.5], "iscrowd": 0,
         "keypoints": [3, 4, 2] * 5},
    ],
    "categories": [{"id": 1, "name": "face"}],
}  # fmt: skip
_DESCRIPTION = "train: images/train\nnames: {0: &f face, 1: person}\nkpt_shape: [5, 3]\n"


def _truth(folder: Path) -> list[Path]:
    boxes = np.array([[1, 2, 60, 80], [5, 5, 9, 9.0]])
    one = truth_from_boxes(boxes, np.zeros(2, bool))
    write_ground_truth(folder, {f"e{i // 2}/a{i}.jpg": one for i in range(4)})
    return [folder / name for name in MAT_FILES.values()]


def _predictions(folder: Path) -> list[Path]:
    return [write_predictions(folder, "e/a.jpg", np.array([[1, 2, 3, 4, 0.5]] * 3))]


def _weights(folder: Path) -> list[Path]:
    torch.manual_seed(0)
    file = folder / "a.ckpt"
    small = plain(stem=4, stages=[4] * 4, blocks=[0] * 4, channels=4)
    checkpoint.save(file, small, metrics={"ap": 0.5})
    return [file]


def _pickle_of(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))


def _around(pickle: bytes, content: bytes) -> bytes:
    """The archive with other bytes as its pickle, and their check sum."""
    whole = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(whole, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickle if name.endswith("data.pkl") else old.read(name))
    return whole.getvalue()


def _video(folder: Path) -> list[Path]:
    writer = VideoWriter(folder / "a.avi", 10.0)
    for _ in range(3):
        writer.write(_picture(64))
    writer.close()
    return [folder / "a.avi"]


def _journal(folder: Path) -> list[Path]:
    file = folder / "predictions.jsonl"
    journal = Journal(file, {"source": "a"}, resume=False)
    for name in ("a.jpg", "b.jpg"):
        journal.add({"file": name, "width": 3, "height": 4, "faces": []})
    return [file]


FORMATS: Mapping[str, Format] = {
    **{suffix[1:]: _image(suffix) for suffix in (".jpg", ".png", ".bmp", ".webp", ".tiff")},
    "retinaface": _tree(
        "widerface", {"train/label.txt": f"# e/a.jpg\n{_FACE}# e/b.jpg\n{_FACE}"}, "train/images"
    ),
    "official": _tree(
        "widerface",
        {
            "wider_face_split/wider_face_train_bbx_gt.txt": "e/a.jpg\n1\n1 2 9 9 0 0 0 0 0 0\n"
            "e/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
        },
        "WIDER_train/images",
    ),
    "coco": _tree("coco", {"annotations/train.json": json.dumps(_COCO)}, "images/train"),
    "yolo": _tree(
        "yolo",
        {
            "data.yaml": _DESCRIPTION,
            "labels/train/e/a.txt": "0 0.5 0.5 0.2 0.2" + " 0.5 0.5 2" * 5 + "\n",
        },
        "images/train",
    ),
    "mat": Format(_truth, read_ground_truth),
    "predictions": Format(_predictions, lambda folder: read_predictions(folder, ["e/a.jpg"])),
    "checkpoint": Format(_weights, lambda folder: checkpoint.load(folder / "a.ckpt")),
    "pickle": Format(
        _weights, lambda folder: checkpoint.load(folder / "a.ckpt"), _pickle_of, _around
    ),
    "journal": Format(
        _journal,
        lambda folder: Journal(folder / "predictions.jsonl", {"source": "a"}, resume=True),
    ),
    "video": Format(
        _video, lambda folder: list(itertools.islice(VideoReader(folder / "a.avi"), 5))
    ),
    **exports.FORMATS,
    **records.FORMATS,
    **options.FORMATS,
}
