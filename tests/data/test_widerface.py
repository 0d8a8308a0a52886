from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.data.reading import inspect_split, read_split
from src.evaluation.ground_truth import read_ground_truth

NAME = "0--Parade/0_Parade_1.jpg"
LANDMARKS = "12 15 0 20 15 1 16 20 0 13 25 0 19 25 0"


def test_retinaface_layout(tree, row: Callable[..., str]) -> None:
    rows = [
        f"10 12 20 24 {LANDMARKS} 0.82",
        row("40 30 6.5 8"),
        row("50 30 5 6", quality="0.0"),  # invalid
        "60 40 4 5",  # four numbers only
        f"10 12 20 24 {LANDMARKS} 0.0",  # with landmarks it cannot be invalid
    ]
    tree.retinaface("train", {NAME: rows, "0--Parade/empty.jpg": []})
    first, second = read_split(tree.root, "train").annotations

    assert first.name == NAME
    assert first.path == tree.root / "train" / "images" / NAME
    assert first.faces.boxes.dtype == first.faces.landmarks.dtype == np.float32
    expected = [[10, 12, 30, 36], [40, 30, 46.5, 38], [50, 30, 55, 36], [60, 40, 64, 45]]
    np.testing.assert_allclose(first.faces.boxes[:4], expected)
    assert first.faces.has_landmarks.tolist() == [True, False, False, False, True]
    points = [[12, 15], [20, 15], [16, 20], [13, 25], [19, 25]]
    np.testing.assert_allclose(first.faces.landmarks[0], points)
    assert not first.faces.landmarks[1:4].any()
    assert first.faces.ignore.tolist() == [False, False, True, False, False]
    assert second.faces.boxes.shape == (0, 4)
    assert second.faces.landmarks.shape == (0, 5, 2)


def test_a_landmark_beyond_the_border_is_a_landmark(tree) -> None:
    row = "0 12 20 24 -1 15 0 20 15 1 16 20 0 13 25 0 19 25 0 0.5"
    tree.retinaface("train", {NAME: [row]})
    (annotation,) = read_split(tree.root, "train").annotations
    assert annotation.faces.has_landmarks.tolist() == [True]


def test_official_layout(tree) -> None:
    names = ["0--Parade/a.jpg", "0--Parade/none.jpg", "0--Parade/b.jpg"]
    text = (
        f"{names[0]}\n2\n10 12 20 24 0 0 0 0 0 0 \n40 30 6 8 2 0 0 1 0 0 \n"
        f"{names[1]}\n0\n0 0 0 0 0 0 0 0 0 0 \n"
        f"{names[2]}\n1\n1 2 3 4 0 0 0 0 0 0 \n"
    )
    tree.official("val", text, names)
    annotations = read_split(tree.root, "val").annotations
    assert [annotation.name for annotation in annotations] == names
    assert [len(annotation.faces.boxes) for annotation in annotations] == [2, 0, 1]
    np.testing.assert_allclose(annotations[0].faces.boxes[1], [40, 30, 46, 38])
    assert annotations[0].faces.ignore.tolist() == [False, True]
    assert not annotations[0].faces.has_landmarks.any()


def test_an_image_without_faces_may_lack_its_line_of_zeros(tree) -> None:
    names = ["0--Parade/none.jpg", "0--Parade/b.jpg"]
    tree.official("val", f"{names[0]}\n0\n{names[1]}\n1\n1 2 3 4 0 0 0 0 0 0\n", names)
    assert [len(a.faces.boxes) for a in read_split(tree.root, "val").annotations] == [0, 1]


def test_a_list_of_names_gives_no_faces(tree) -> None:
    tree.retinaface("val", {NAME: []}, names_only=True)
    (annotation,) = read_split(tree.root, "val").annotations
    assert annotation.name == NAME
    assert len(annotation.faces.boxes) == 0
    assert not inspect_split(tree.root, "val").has_labels


def test_labels_are_preferred_to_a_list_of_names(tree, row: Callable[..., str]) -> None:
    tree.retinaface("val", {NAME: []}, names_only=True)
    tree.retinaface("val", {NAME: [row("1 2 3 4")]})
    assert len(read_split(tree.root, "val").annotations[0].faces.boxes) == 1


def test_boxes_of_zero_size_are_dropped_and_boxes_over_the_border_clipped(
    tree, row: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        row("10 10 0 5"),
        row("90 10 -2 5"),  # the official validation labels hold one like this
        row("-3 -2 10 10"),
        row("75 55 10 10"),
        row("200 200 5 5", quality="0.0"),  # outside, but called invalid already
    ]
    tree.retinaface("train", {NAME: rows})
    with caplog.at_level(logging.INFO):
        (annotation,) = read_split(tree.root, "train").annotations
    np.testing.assert_allclose(annotation.faces.boxes, [[0, 0, 7, 8], [75, 55, 80, 60]])
    assert "2 boxes of zero size dropped, 2 clipped" in caplog.text


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("1 2 3 " + "4 " * 16, "expected 20 or 4 numbers for a face, got 19"),
        ("1 2 3 x", "expected numbers for a face, got '1 2 3 x'"),
        ("1 2 nan 4", "expected finite numbers for a face, got '1 2 nan 4'"),
        ("1 2 3 inf", "expected finite numbers"),
        ("100 2 3 4", "expected a face inside its image of 80 x 60 pixels, got the box 100 2 3 4"),
    ],
)
def test_a_bad_face_line_is_named(tree, row: Callable[..., str], bad: str, message: str) -> None:
    label_file = tree.retinaface("train", {NAME: [row("1 2 3 4"), bad]})
    with pytest.raises(ValueError, match=message) as error:
        read_split(tree.root, "train")
    assert f"{label_file}:3: " in str(error.value)
    assert "python -m src.check_data data=widerface data.root=" in str(error.value)


def test_a_face_before_any_image_is_named(tree, row: Callable[..., str]) -> None:
    label_file = tree.retinaface("train", {NAME: []})
    label_file.write_text(f"{row('1 2 3 4')}\n# {NAME}\n")
    with pytest.raises(ValueError, match=r"label.txt:1: expected a line '# event/file.jpg' before"):
        read_split(tree.root, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{a}\n2\n1 2 3 4 0 0 0 0 0 0\n{b}\n1\n1 2 3 4 0 0 0 0 0 0\n",
            ":2: expected 2 faces of 0--Parade/a.jpg, got 1",
        ),
        (
            "{a}\n1\n1 2 3 4 0 0 0 0 0 0\n5 6 7 8 0 0 0 0 0 0\n{b}\n0\n",
            ":2: expected 1 faces of 0--Parade/a.jpg, got 2",
        ),
        ("7 7\n", ":1: expected an image name, got '7 7'"),
        ("7 7\n{a}\n0\n{b}\n0\n", ":1: expected an image name, got '7 7'"),
        ("{a}\nmany\n{b}\n0\n", ":2: expected the number of faces of 0--Parade/a.jpg, got 'many'"),
        ("{a}\n1\n1 2 3 4\n{b}\n0\n", ":3: expected 10 numbers for a face, got 4"),
        ("{a}\n0\n{b}\n", ":3: expected the number of faces of 0--Parade/b.jpg, got ''"),
    ],
)
def test_faults_of_the_official_layout_are_named(tree, text: str, message: str) -> None:
    names = {"a": "0--Parade/a.jpg", "b": "0--Parade/b.jpg"}
    tree.official("train", text.format(**names), list(names.values()))
    with pytest.raises(ValueError, match=message):
        read_split(tree.root, "train")


def test_missing_images_are_counted_and_named(tree) -> None:
    tree.retinaface("train", {f"0--Parade/{i}.jpg": [] for i in range(9)}, images=False)
    tree.image(tree.root / "train" / "images" / "0--Parade" / "0.jpg")
    with pytest.raises(
        FileNotFoundError, match=r"9 images .* 8 that do not exist, first 0--Parade/1.jpg, "
    ):
        read_split(tree.root, "train")


def test_a_cut_image_is_named(tree) -> None:
    tree.retinaface("train", {NAME: []})
    path = tree.root / "train" / "images" / NAME
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"0_Parade_1.jpg: expected a complete image") as error:
        read_split(tree.root, "train")
    assert str(error.value).count(str(path)) == 1


def test_an_image_listed_twice_is_named(tree) -> None:
    label_file = tree.retinaface("train", {NAME: []})
    label_file.write_text(f"# {NAME}\n# {NAME}\n")
    with pytest.raises(ValueError, match=r":2: .* listed a second time, first on line 1"):
        read_split(tree.root, "train")


def test_an_empty_label_file_is_named(tree) -> None:
    tree.retinaface("train", {NAME: []}).write_text("")
    with pytest.raises(ValueError, match=r"label.txt: expected at least one image"):
        read_split(tree.root, "train")


def test_a_missing_root_says_how_to_set_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent.*data\.root=.*WIDERFACE_ROOT"):
        read_split(tmp_path / "absent", "train")


def test_a_root_without_labels_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r"val/label.txt, wider_face_split/wider_face_val_bbx_gt.txt, val/wider_val.txt",
    ):
        read_split(tmp_path, "val")
    with pytest.raises(ValueError, match="expected the split 'train' or 'val', got 'test'"):
        read_split(tmp_path, "test")  # type: ignore[arg-type]


def test_inspection_collects_all_problems_and_keeps_what_is_usable(
    tree, row: Callable[..., str]
) -> None:
    tree.retinaface("train", {NAME: ["1 2 3", row("1 2 3 4"), row("500 2 3 4")], "0--P/b.jpg": []})
    (tree.root / "train" / "images" / "0--P" / "b.jpg").unlink()
    reading = inspect_split(tree.root, "train")
    assert [problem.kind for problem in reading.problems] == ["label", "missing", "outside"]
    assert [problem.line for problem in reading.problems] == [2, 5, 4]
    assert [annotation.name for annotation in reading.annotations] == [NAME]
    assert len(reading.annotations[0].faces.boxes) == 1
    assert reading.listed == [NAME, "0--P/b.jpg"]


@pytest.mark.real_data
def test_real_train(widerface: Path) -> None:
    # The set grows; its first images stay as they are.
    first = (widerface / "train" / "label_2351.txt").read_text().split("# ")[1:]
    names = {entry.splitlines()[0].strip() for entry in first}
    annotations = [a for a in read_split(widerface, "train").annotations if a.name in names]
    assert len(annotations) == 2351
    assert sum(len(annotation.faces.boxes) for annotation in annotations) == 41109
    assert sum(int(annotation.faces.ignore.sum()) for annotation in annotations) == 545


@pytest.mark.real_data
def test_real_val_is_covered_by_the_ground_truth(widerface: Path) -> None:
    annotations = read_split(widerface, "val").annotations
    assert len(annotations) == 306
    truth = read_ground_truth(widerface / "ground_truth")
    assert len(truth) == 3226
    assert {annotation.name for annotation in annotations} <= set(truth)
