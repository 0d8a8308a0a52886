"""Training images decoded once into a file."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from src.data import decoded
from src.data.datamodule import FaceDataModule
from src.data.decoded import DecodedImages, decoded_images
from src.data.reading import read_split
from src.data.transforms import ColourDistortion, Compose, PadToSquare, RandomSquareCrop, Resize
from src.images.files import read_image

RECIPE = Compose([RandomSquareCrop(), ColourDistortion(), PadToSquare(), Resize(48)])


@pytest.fixture
def decode(small_tree: Path, tmp_path: Path) -> Callable[[], DecodedImages]:
    """``decode()``: the decoded training images of the small tree."""
    return lambda: decoded_images(read_split(small_tree, "train"), small_tree, tmp_path / "cache")


def paths_of(root: Path) -> list[Path]:
    return [annotation.path for annotation in read_split(root, "train").annotations]


def test_pixels_are_those_of_the_files(decode: Any, small_tree: Path) -> None:
    # A taller image between the others.
    path = paths_of(small_tree)[2]
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (71, 80, 3), np.uint8))
    images = decode()
    for read in (images, pickle.loads(pickle.dumps(images))):  # the second as in a spawned process
        for path in paths_of(small_tree):
            np.testing.assert_array_equal(read(path), read_image(path))
    assert len(pickle.dumps(images)) < 5000
    with pytest.raises(ValueError, match="read-only"):
        images(path)[0] = 0


def test_the_second_time_nothing_is_decoded(
    decode: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="src"):
        file = decode().file
        monkeypatch.setattr(decoded, "read_image", None)
        assert decode().file == file
    assert "decoding 5 images into" in caplog.text
    assert f"{file}: 5 decoded images, 0.00 GB" in caplog.text
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("fault", ["short", "long", "empty", "changed key", "touched", "new image"])
def test_what_does_not_fit_is_written_again(
    decode: Any, small_tree: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    file, path = decode().file, paths_of(small_tree)[1]
    content = file.read_bytes()
    if fault == "touched":
        os.utime(path, ns=(1, 1))
    elif fault == "new image":
        cv2.imwrite(str(path), np.zeros((60, 80, 3), np.uint8))
    else:
        changed = {"short": content[:-1], "long": content + b"0", "empty": b""}
        file.write_bytes(changed.get(fault, content[:-1] + bytes([content[-1] ^ 1])))
    np.testing.assert_array_equal(decode()(path), read_image(path))
    assert f"{file} is damaged or of other images: writing it again" in caplog.text
    assert (file.read_bytes() == content) == (fault not in ("touched", "new image"))


def test_a_full_disk_is_a_sentence(
    decode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=71_000))
    with pytest.raises(ValueError, match=r"^expected 0\.00 GB .* for 5 decoded images, got 0\.00;"):
        decode()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_failure_leaves_nothing(
    decode: Any, small_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> np.ndarray:
        if path == paths_of(small_tree)[3]:
            raise ValueError(f"{path}: expected an image that can be decoded")
        return read_image(path)

    monkeypatch.setattr(decoded, "read_image", fail)
    with pytest.raises(ValueError, match="can be decoded"):
        decode()
    assert list((tmp_path / "cache").iterdir()) == []


def test_batches_are_the_same(small_tree: Path, tmp_path: Path) -> None:
    def batches(**settings: Any) -> list[Any]:
        data = FaceDataModule(
            root=small_tree, augmentation=RECIPE, image_size=48, batch_size=2, num_workers=0,
            num_held_out=2, cache_folder=tmp_path / "cache", **settings,
        )  # fmt: skip
        data.setup("fit")
        return [*data.train_dataloader(), *data.held_out_dataloader()]

    plain, cached = batches(), batches(cache=True)
    assert len(plain) == len(cached) > 1
    for a, b in zip(plain, cached, strict=True):
        assert a.names == b.names
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.targets.boxes, b.targets.boxes)


def test_an_evaluation_decodes_no_training_images(small_tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    data = FaceDataModule(root=small_tree, augmentation=RECIPE, cache=True, cache_folder=folder)
    data.setup("test")
    assert not folder.exists()
