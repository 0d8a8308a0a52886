"""COCO and YOLO trees as tools write them, and every fault in one sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from composing import composed
from hydra.utils import instantiate

from src import check_data
from src.data.check import check_tree
from src.data.layouts.labels import image_name
from src.data.reading import inspect_split, read_split

POINTS = [12, 15, 2, 20, 15, 1, 16, 20, 2, 13, 25, 2, 19, 25, 2]
LANDMARKS = [[12, 15], [20, 15], [16, 20], [13, 25], [19, 25]]


def coco(**changes):
    """A file of two images, the first with a face, one to ignore and a dog."""
    content = {
        "info": {"year": 2024},
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 80, "height": 60, "license": 1},
            {"id": 9, "file_name": "b.jpg"},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 12, 20, 24], "area": 480,
             "iscrowd": 0, "keypoints": POINTS, "num_keypoints": 5},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [40.5, 30, 6, 8], "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 5, "bbox": [0, 0, 5, 5]},
        ],
        "categories": [{"id": 3, "name": "Face"}, {"id": 5, "name": "dog"}],
    }  # fmt: skip
    return {**copy.deepcopy(content), **changes}


def change(name, index=0, **values):
    """The entry of a list with other values; those that are None are left out."""
    content = coco()
    entry = {**content[name][index], **values}
    content[name][index] = {key: value for key, value in entry.items() if value is not None}
    return content


@pytest.fixture
def write_coco(tree):
    def write(content, file="annotations/instances_train.json", folder="images/train"):
        path = tree.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        for name in ("a.jpg", "b.jpg"):
            tree.image(tree.root / folder / name)
        return path

    return write


@pytest.fixture
def write_yolo(tree):
    def write(*lines, images="images/train", labels="labels/train", description="names: [face]"):
        for name in ("a.jpg", "deep/b.jpg"):
            tree.image(tree.root / images / name)
        file = tree.root / labels / "a.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
        if description is not None:
            (tree.root / "data.yaml").write_text(description + "\n")
        return file

    return write


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_train.json", "images/train"),
        ("annotations/person_keypoints_train2017.json", "train2017"),
        ("annotations/instances_train.json", "images"),
        ("train/_annotations.coco.json", "train"),
        ("train.json", "."),
    ],
)
def test_coco_trees_of_several_tools(tree, write_coco, file, folder):
    path = write_coco(coco(), file, folder)
    reading = read_split(tree.root, "train", layout="coco")
    first, second = reading.annotations
    assert (first.name, second.name) == ("a.jpg", "b.jpg")
    np.testing.assert_allclose(first.faces.boxes, [[10, 12, 30, 36], [40.5, 30, 46.5, 38]])
    assert first.faces.has_landmarks.tolist() == [True, False]
    np.testing.assert_allclose(first.faces.landmarks[0], LANDMARKS)
    assert first.faces.ignore.tolist() == [False, True]
    assert second.faces.boxes.shape == (0, 4)
    assert reading.label_file == path
    assert reading.remarks == {
        "annotations of other categories left out": 1,
        "other fields of images and annotations left out": 1,  # a license
    }


def test_folders_that_all_names_share_are_no_part_of_them(tree, write_coco):
    content = coco()
    for entry in content["images"]:
        entry["file_name"] = f"images/train/{entry['file_name']}"
    write_coco(content)
    reading = read_split(tree.root, "train", layout="coco")
    assert reading.listed == ["a.jpg", "b.jpg"]
    assert reading.image_folder == tree.root / "images" / "train"


def test_splits_that_share_a_folder_of_images_list_all_of_it(tree, write_coco):
    images = coco()["images"]
    write_coco(coco(images=images[:1]), folder="images")
    write_coco(coco(images=images[1:], annotations=[]), "annotations/instances_val.json", "images")
    tree.image(tree.root / "images" / "extra.jpg")
    report = check_tree(tree.root, 64, layout="coco")
    assert report.errors == []
    assert [split.unlabelled for split in report.splits.values()] == [["extra.jpg"]] * 2


def test_the_category_can_be_chosen(tree, write_coco):
    write_coco(coco())
    for category in ("dog", "5"):
        reading = read_split(tree.root, "train", layout="coco", category=category)
        np.testing.assert_allclose(reading.annotations[0].faces.boxes, [[0, 0, 5, 5]])


BIG = "9" * 400
COCO_FAULTS = [
    ("{", "instances_train.json: expected JSON, got '.*'; write the file again"),
    ("[" * 5000, "instances_train.json: expected JSON, got 'tables nested too deeply'"),
    ([], "expected a table with images, annotations and categories, got a list; a list is a file"),
    (coco(images={}), "expected a list under 'images', got a table"),
    (coco(annotations=None), "expected a list under 'annotations', got None"),
    ({"images": [], "annotations": []}, "expected a list under 'categories', got nothing"),
    (coco(images=[]), "expected the image_id of an entry of images, got 7"),
    (coco(categories=[]), "expected one category, or one named 'face', in .*, got none; name"),
    (coco(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]),
     "expected one category, or one named 'face', in .*, got 'cat', 'dog'; name that of faces"),
    (coco(categories=[{"id": "1", "name": "face"}]), r"categories\[0\]: expected an id of its own"),
    (coco(images=[3]), r"images\[0\]: expected a table, got 3"),
    (change("images", id=None), r"images\[0\]: expected a number or text as id, got None"),
    (change("images", id=[1]), r"images\[0\]: expected a number or text as id, got a list"),
    (change("images", id=9), r"images\[1\]: expected an id of its own, got 9 again"),
    (change("images", file_name=3), r"images\[0\]: expected a file_name, got 3"),
    (change("images", file_name="b.jpg"), r"images\[1\]: b.jpg is listed a second time, first in "),
    (change("images", file_name="./b.jpg"), "b.jpg is listed a second time"),
    (change("images", file_name="../../x.jpg"),
     r"images\[0\]: expected the name of an image inside its folder, got '../../x.jpg'; remove"),
    (change("images", file_name="a\x1b[31m.jpg"), r"expected the name of an image, got 'a\\x1b\["),
    (change("images", file_name="c.jpg"), "got 1 that do not exist, first c.jpg; complete the fol"),
    (change("images", width=0), r"images\[0\]: expected height and width of at least 1 pixel, got"),
    (change("images", width="80"), "expected height and width of at least 1 pixel, got 60 and '80"),
    (change("images", width=60, height=80),
     r"expected the size of a.jpg, 80 x 60 pixels as stored, got 60 x 80; .* before an EXIF rotat"),
    (change("annotations", id=2), r"annotations\[1\]: expected an id of its own, got 2 again"),
    (change("annotations", image_id=8), r"annotations\[0\]: expected the image_id .* got 8; corre"),
    (change("annotations", image_id=True), r"expected a number or text as image_id, got True"),
    (change("annotations", category_id=8), r"\[0\]: expected the category_id of .*, got 8; correc"),
    (change("annotations", bbox="10 12 20 24"), "expected a list of 4 numbers as bbox, got '10 12"),
    (change("annotations", bbox=[1, 2, 3]), "expected a list of 4 numbers as bbox, got 3 entries"),
    (change("annotations", bbox=[1, 2, 3, "4"]), "expected finite numbers as bbox, got '4'"),
    (change("annotations", bbox=[1, 2, 3, float("nan")]), "expected finite numbers as bbox, got n"),
    (change("annotations", bbox=[1, 2, 3, float("inf")]), "expected finite numbers as bbox, got i"),
    (change("annotations", bbox=[1, 2, 3, int(BIG)]), "expected finite numbers as bbox, got 99999"),
    (change("annotations", bbox=[1, 2, -3, 4]), "a bbox .* of positive size, got -3.0 x 4.0"),
    (change("annotations", bbox=[100, 2, 3, 4]),
     r"annotations\[0\]: expected a face inside its image of 80 x 60 pixels, got the box 100 2 3 "),
    (change("annotations", keypoints=POINTS[:-1]), r"expected three numbers .* per keypoint, got "),
    (change("annotations", keypoints=[*POINTS[:-1], 7]), "expected visibilities of 0, 1 or 2, got"),
    (change("annotations", keypoints=[500, *POINTS[1:]]), r"got landmarks far outside a.jpg"),
    (change("annotations", iscrowd=4), "expected 0 or 1 as iscrowd, got 4"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), COCO_FAULTS)
def test_a_fault_of_coco_labels_is_one_sentence(tree, write_coco, content, sentence):
    write_coco(content)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as error:
        read_split(tree.root, "train", layout="coco")
    assert str(tree.root / "annotations" / "instances_train.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_what_of_coco_is_not_read_is_counted(tree, write_coco):
    content = change("annotations", keypoints=[1, 2, 2] * 17, segmentation=[[1, 2, 3, 4, 5, 6]],
                     score=0.5, attributes={"blur": 1, "tool": "x"})  # fmt: skip
    write_coco(content)
    reading = read_split(tree.root, "train", layout="coco")
    assert not reading.annotations[0].faces.has_landmarks.any()
    assert reading.remarks == {
        "annotations of other categories left out": 1,
        "faces whose keypoints are not 5, taken as without landmarks": 1,
        "masks left out": 1,
        "other fields of images and annotations left out": 3,
    }


def test_several_files_of_labels_are_named(tree, write_coco):
    for name in ("a_train.json", "b_train.json", "captions_train2017.json"):
        write_coco(coco(), f"annotations/{name}")
    with pytest.raises(ValueError, match=r"got a_train\.json, b_train\.json; name the one to use"):
        read_split(tree.root, "train", layout="coco")


FACE = "0 0.25 0.4 0.25 0.4"
POSE = "0.15 0.25 2 0.25 0.25 1 0.2 0.5 2 0.1625 0.4167 2 0.2375 0.4167 2"


@pytest.mark.parametrize(
    ("images", "labels", "description"),
    [
        ("images/train", "labels/train", None),
        ("images/train", "labels/train", "names: {0: face}"),
        ("train/images", "train/labels", "train: ../train/images\nnames: [face]\nnc: 1"),
        ("photos/images/a", "photos/labels/a", "train: photos/images/a\nnames: [face]"),
        ("photos", "photos", "train: photos\nnames: [face]"),
    ],
)
def test_yolo_trees_of_several_tools(tree, write_yolo, images, labels, description):
    write_yolo(f"{FACE} {POSE}", FACE, images=images, labels=labels, description=description)
    reading = read_split(tree.root, "train", layout="yolo")
    first, second = reading.annotations
    assert (first.name, second.name) == ("a.jpg", "deep/b.jpg")
    np.testing.assert_allclose(first.faces.boxes, [[10, 12, 30, 36]] * 2, atol=1e-4)
    assert first.faces.has_landmarks.tolist() == [True, False]
    np.testing.assert_allclose(first.faces.landmarks[0][:3], [[12, 15], [20, 15], [16, 30]])
    assert len(second.faces.boxes) == 0
    assert reading.remarks == {"images without a label file, taken as without faces": 1}


def test_landmarks_without_visibility_are_missing_where_they_are_negative(tree, write_yolo):
    write_yolo(f"{FACE} 0.1 0.2 0.3 0.2 0.2 0.3 0.1 0.4 0.3 0.4", f"{FACE} {'-1 ' * 10}")
    faces = read_split(tree.root, "train", layout="yolo").annotations[0].faces
    assert faces.has_landmarks.tolist() == [True, False]
    np.testing.assert_allclose(faces.landmarks[0][0], [8, 12])


def test_other_classes_and_keypoints_are_counted(tree, write_yolo):
    write_yolo("1 0.5 0.5 0.1 0.1", f"{FACE} {'0.5 0.5 2 ' * 2}",
               description="names: [face, dog]\nkpt_shape: [2, 3]")  # fmt: skip
    reading = read_split(tree.root, "train", layout="yolo")
    assert len(reading.annotations[0].faces.boxes) == 1
    assert reading.remarks["boxes of other classes left out"] == 1
    assert reading.remarks["faces whose keypoints are not 5, taken as without landmarks"] == 1
    assert len(read_split(tree.root, "train", layout="yolo", category="dog").annotations) == 2


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0 0.5 0.5 0.1", "expected 5 or 15 or 20 numbers for a face, got 4"),
        ("0 0.5 0.5 0.1 x", "expected numbers for a face, got '0 0.5 0.5 0.1 x'"),
        ("0 0.5 0.5 0.1 1_0", "expected numbers for a face"),
        ("0 0.5 0.5 0.1 nan", "expected finite numbers for a face"),
        ("0 0.5 0.5 -0.1 0.1", "expected a box of positive size, got -0.1 x 0.1"),
        (
            "0 40 30 10 10",
            r"x, y, width and height as fractions .*, got 40 30 10 10; divide pixels",
        ),
        (
            "3 0.5 0.5 0.1 0.1",
            r"expected a class of 0 \(face\), got 3; correct the line, or the nam",
        ),
        ("0.5 0.5 0.5 0.1 0.1", r"expected a class of 0 \(face\), got 0.5"),
        (f"{FACE} {'0.5 0.5 7 ' * 5}", "expected visibilities of 0, 1 or 2, got 7"),
        (f"{FACE} {'40 30 2 ' * 5}", "expected landmarks as fractions of the image, got 40 30"),
    ],
)
def test_a_fault_of_a_yolo_line_is_one_sentence(tree, write_yolo, line, sentence):
    file = write_yolo(FACE, line)
    with pytest.raises(ValueError, match=sentence) as error:
        read_split(tree.root, "train", layout="yolo")
    assert str(error.value).startswith(f"{file}:2: ")
    assert f"python -m src.check_data data=yolo data.root={tree.root}" in str(error.value)


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ("names: [", "data.yaml: expected YAML, got 'while parsing"),
        ("- 1", "data.yaml: expected a table of settings, got a list"),
        ("nc: 1", "data.yaml: expected the names of the classes under 'names', got None"),
        ("names: [cat, dog]", r"expected one category, or one named 'face', in .*got 'cat', 'dog'"),
        ("names: [face]\ntrain: [a, b]", "expected one folder of images under 'train', got a list"),
        ("names: [face]\ntrain: /etc", "expected a folder of images inside .*, got '/etc'"),
        ("names: [face]\ntrain: none", "expected a folder of images inside .*, got 'none'"),
        ("names: [face]\nkpt_shape: 5", "expected kpt_shape of two whole numbers, got 5"),
    ],
)
def test_a_fault_of_data_yaml_is_one_sentence(tree, write_yolo, description, sentence):
    write_yolo(FACE, description=description)
    with pytest.raises(ValueError, match=sentence) as error:
        read_split(tree.root, "train", layout="yolo")
    assert str(tree.root / "data.yaml") in str(error.value)


def test_yolo_labels_without_an_image_and_images_that_share_labels_are_faults(tree, write_yolo):
    file = write_yolo(FACE)
    (file.parent / "lost.txt").write_text(FACE)
    (file.parent / "classes.txt").write_text("face")
    tree.image(tree.root / "images" / "train" / "a.png")
    problems = [str(p) for p in inspect_split(tree.root, "train", layout="yolo").problems]
    assert len(problems) == 2
    assert f"{tree.root / 'images' / 'train' / 'a.png'}: a.png and a.jpg share" in problems[0]
    assert f"lost.txt: expected an image {tree.root / 'images' / 'train' / 'lost'}" in problems[1]


def test_images_without_any_labels_are_a_fault(tree, write_yolo):
    write_yolo(FACE, description="names: [face]\ntrain: images/train").unlink()
    with pytest.raises(ValueError, match=r"expected label files of the images in .*, got none"):
        read_split(tree.root, "train", layout="yolo")


def test_another_layout_is_named(tree, write_yolo):
    write_yolo(FACE)
    with pytest.raises(FileNotFoundError, match="its layout is 'yolo': set data=yolo"):
        read_split(tree.root, "train")
    with pytest.raises(FileNotFoundError, match=r"data\.num_held_out=N data\.val_split=held_out"):
        read_split(tree.root, "val", layout="yolo")


@pytest.mark.parametrize(
    "name",
    ["labels/a.txt", "annotations/instances_train2017.json", "train/_annotations.coco.json",
     "train/labels/a.txt"],
)  # fmt: skip
def test_labels_of_a_layout_that_is_not_known_are_told_of_the_converter(tmp_path, name):
    """What people have: yolov5-face 56 and 57, YOLOv8-Face 5."""
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("{}" if name.endswith("json") else "0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(FileNotFoundError, match=r"src\.convert|set data=(coco|yolo)"):
        read_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("layout", "text", "sentence"),
    [
        (
            "retinaface",
            "# ../../x.jpg\n1 2 3 4\n",
            "label.txt:1: expected the name of an image insi",
        ),
        (
            "official",
            "../../x.jpg\n0\n",
            "bbx_gt.txt:1: expected the name of an image inside its f",
        ),
        (
            "names",
            "/../../x.jpg\n",
            "wider_val.txt:1: expected the name of an image inside its fol",
        ),
        ("retinaface", "# e/a.jpg\n# e//a.jpg\n", r"label.txt:2: e/a.jpg is listed a second time"),
        ("retinaface", "# e/a.jpg\n# ./e/a.jpg\n", r"label.txt:2: e/a.jpg is listed a second time"),
    ],
)
def test_names_that_lead_out_of_the_folder_are_refused(tree, layout, text, sentence):
    files = {
        "retinaface": "val/label.txt",
        "official": "wider_face_split/wider_face_val_bbx_gt.txt",
        "names": "val/wider_val.txt",
    }
    (tree.root / files[layout]).parent.mkdir(parents=True)
    (tree.root / files[layout]).write_text(text)
    assert any(sentence in str(problem) for problem in inspect_split(tree.root, "val").problems)


def test_a_name_has_one_spelling():
    assert image_name(" /0--A//./b c.jpg") == "0--A/b c.jpg"
    for name in ("", "/", ".", "a\0.jpg", "a/../../b.jpg", "..\\b.jpg"):
        with pytest.raises(ValueError, match="expected the name of an image"):
            image_name(name)


@pytest.mark.parametrize(
    ("x", "sentence"), [("1e39", "expected finite numbers"), ("170", r"far outside 0--A/a\.jpg")]
)
def test_a_landmark_far_outside_its_image_is_a_fault(tree, x, sentence):
    points = f"12 15 0 20 15 0 16 20 0 13 25 0 {x} 25 0"
    tree.retinaface("train", {"0--A/a.jpg": [f"10 12 20 24 {points} 0.5"]})
    with pytest.raises(ValueError, match=sentence):
        read_split(tree.root, "train")


@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_the_check_takes_the_layout(tree, write_coco, write_yolo, tmp_path, layout):
    if layout == "coco":
        write_coco(change("annotations", bbox=[1, 2, 3]))
        tree.image(tree.root / "images" / "train" / "extra.jpg")
    else:
        write_yolo(FACE, "0 0.5 0.5 0.1 x")
    run = tmp_path / "run"
    options = [f"data={layout}", f"data.root={tree.root}", "num_pictures=2"]
    with composed("check_data", run, *options) as config:
        assert check_data.run(config, run) == 2
    report = json.loads((run / "report.json").read_text())
    missing = f"expected the val labels of {layout.upper()} in {tree.root}"
    assert any(missing in error for error in report["errors"])
    expected = {
        "coco": ["categories left out", "other fields of images and", "extra.jpg"],
        "yolo": ["images without a label file, taken as without faces"],
    }[layout]
    assert len(report["warnings"]) == len(expected)
    assert all(text in said for text, said in zip(expected, report["warnings"], strict=True))
    assert (run / "labels.png").exists()
    held_out = [*options, "data.val_split=held_out", "data.num_held_out=1"]
    with composed("check_data", run, *held_out) as config:
        assert check_data.run(config, run) == 1


@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_training_and_validation_images_of_an_own_data_set(tree, write_coco, write_yolo, layout):
    _ = write_coco(coco()) if layout == "coco" else write_yolo(f"{FACE} {POSE}")
    options = [f"data={layout}", f"data.root={tree.root}", "data.num_workers=0",
               "data.num_held_out=1", "data.val_split=held_out", "data.image_size=64",
               "data.batch_size=1"]  # fmt: skip
    with composed("train", Path(tree.root) / "run", *options) as config:
        data = instantiate(config.data, _convert_="all")
        assert config.recipe.epochs == 350
    data.setup()
    (batch,) = data.train_dataloader()
    assert batch.images.shape == (1, 3, 64, 64)
    assert len(data.names) == 1
    assert {*data.names, data.train_annotations[0].name} == {a.name for a in
            read_split(tree.root, "train", layout=layout).annotations}  # fmt: skip
    assert list(data.truth()) == data.names
