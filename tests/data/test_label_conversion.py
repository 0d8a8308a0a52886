"""From every layout into every other one: what both have room for comes back as it was."""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
from pathlib import Path

import pytest
from composing import complaint_of, composed

import src.convert
from src.data.conversion import convert
from src.data.layouts import LAYOUTS
from src.data.layouts.labels import Label, LabelledImage, losses
from src.data.reading import read_split
from src.images.header import ImageSize

PAIRS = [(a, b) for a in LAYOUTS for b in LAYOUTS]
ROOM = {
    "retinaface": {"landmarks", "ignore", "quality"},
    "official": {"ignore", "attributes"},
    "coco": {"landmarks", "ignore", "quality", "attributes"},
    "yolo": {"landmarks"},
}
"""What each layout holds beside boxes, said once more than in its code."""
NOTHING = {"landmarks": None, "ignore": False, "quality": None, "attributes": None}


def hollow_png(file: Path, size: ImageSize) -> None:
    """A file whose beginning and end are those of a PNG image: sizes are read from them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">II", size.width, size.height)
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + header + b"IEND")


def random_label(rng: random.Random, size: ImageSize) -> Label:
    digits = rng.choice([0, 2, 9])
    width = round(rng.uniform(0.01, 0.5) * size.width, digits) or 1.0
    height = round(rng.uniform(0.01, 0.5) * size.height, digits) or 1.0
    x = round(rng.uniform(0, 1) * (size.width - width), digits)
    y = round(rng.uniform(0, 1) * (size.height - height), digits)
    box = (min(x, size.width - width), min(y, size.height - height), width, height)
    landmarks = None
    if rng.random() < 0.5:
        points = [(round(rng.uniform(0, size.width), 3), round(rng.uniform(0, size.height), 3),
                   rng.choice([0, 1, 2, 2, 2])) for _ in range(5)]  # fmt: skip
        landmarks = tuple(p if p[2] else (0.0, 0.0, 0) for p in points)
        landmarks = landmarks if any(p[2] for p in points) else None
    # RetinaFace ignores only what has not all five landmarks, and by the quality.
    ignore = rng.random() < 0.2 and not (landmarks and all(p[2] for p in landmarks))
    quality = None if ignore else rng.choice([None, round(rng.uniform(0.1, 0.9), 2)])
    attributes = rng.choice([None, tuple(rng.randrange(3) for _ in range(5))])
    return Label(box, landmarks, ignore, quality, attributes)


def random_tree(rng: random.Random, root: Path, layout: str, count: int) -> list[LabelledImage]:
    """The images of a training split, written."""
    images = []
    for number in range(count):
        size = ImageSize(rng.randint(20, 2000), rng.randint(20, 2000))
        name = f"{rng.choice(['', '0--Parade/', 'a/b c/'])}{number} ü.png"
        faces = [random_label(rng, size) for _ in range(rng.randint(0, 4))]
        if layout == "yolo":
            faces = [face for face in faces if not face.ignore]
        faces = [without(face, set(NOTHING) - ROOM[layout]) for face in faces]
        images.append(LabelledImage(name, faces, root, size=size))
        hollow_png(LAYOUTS[layout].image_folder(root, "train") / name, size)
    LAYOUTS[layout].write(root, {"train": images})
    return images


def without(face: Label, fields: set[str]) -> Label:
    return face._replace(**{name: NOTHING[name] for name in fields})


def assert_alike(
    read: list[LabelledImage], expected: list[LabelledImage], fields: set[str]
) -> None:
    read = sorted(read, key=lambda image: image.name)
    for got, wanted in zip(read, sorted(expected, key=lambda i: i.name), strict=True):
        assert got.name == wanted.name
        assert got.size == wanted.size
        for a, b in zip(got.faces, wanted.faces, strict=True):
            assert a.box == pytest.approx(b.box, abs=1e-6)
            assert (a.landmarks is None) == (b.landmarks is None or "landmarks" not in fields)
            if a.landmarks is not None:
                for p, q in zip(a.landmarks, b.landmarks, strict=True):
                    assert p == pytest.approx(q, abs=1e-6)
            for field in fields & {"ignore", "quality"}:
                assert getattr(a, field) == getattr(b, field)
            if "attributes" in fields:  # the official layout says 0 where nothing is known
                assert a.attributes == b.attributes or (b.attributes, set(a.attributes)) == (
                    None,
                    {0},
                )


def test_a_thousand_random_label_sets_lose_nothing_that_both_layouts_hold(tmp_path):
    rng = random.Random(0)
    for a, b in PAIRS:  # 63 images each
        there, here, back = (tmp_path / f"{a}-{b}" / letter for letter in "abc")
        images = random_tree(rng, there, a, 1000 // len(PAIRS) + 1)
        assert_alike(read_split(there, "train", layout=a).images, images, ROOM[a])
        done = convert(there, here, came_from=LAYOUTS[a], to=LAYOUTS[b])
        convert(here, back, came_from=LAYOUTS[b], to=LAYOUTS[a])
        kept = [
            image._replace(faces=[f for f in image.faces if not (b == "yolo" and f.ignore)])
            for image in images
        ]
        both = ROOM[a] & ROOM[b]
        assert_alike(read_split(here, "train", layout=b).images, kept, both)
        assert_alike(read_split(back, "train", layout=a).images, kept, both)
        # Counted is exactly what there is no room for.
        faces = [face for image in images for face in image.faces]
        left = [face for image in kept for face in image.faces]
        assert done.lost["ignored faces"] == len(faces) - len(left)
        for field, what in (
            ("landmarks", "faces with landmarks"),
            ("quality", "qualities"),
            ("attributes", "faces with attributes of WIDER FACE"),
        ):
            there_were = sum(getattr(face, field) is not None for face in left)
            if a == "official" and field == "attributes":
                there_were = len(left)
            assert done.lost[what] == (0 if field in ROOM[b] else there_were), (a, b, what)


@pytest.mark.parametrize(
    ("layout", "box", "left", "lost"),
    [
        ("yolo", (-5, 10, 20, 20), (0, 10, 15, 20), "boxes cut off at the border of their image"),
        ("yolo", (90, 10, 20, 20), (90, 10, 10, 20), "boxes cut off at the border of their image"),
        ("yolo", (50, 10, -2, 5), None, "faces with no box inside their image"),
        ("coco", (50, 10, -2, 5), None, "faces with no box inside their image"),
        ("coco", (-5, 10, 20, 20), (-5, 10, 20, 20), None),
        ("official", (50, 10, -2, 5), (50, 10, -2, 5), None),  # as in its validation labels
        ("yolo", (50, 10, 0, 5), (50, 10, 0, 5), None),
    ],
)
def test_boxes_that_a_layout_has_no_room_for(tmp_path, layout, box, left, lost):
    size = ImageSize(100, 100)
    source, output = tmp_path / "source", tmp_path / "output"
    image = LabelledImage("a.png", [Label(tuple(map(float, box)))], source, size=size)
    hollow_png(source / "train" / "images" / "a.png", size)
    LAYOUTS["retinaface"].write(source, {"train": [image]})
    done = convert(source, output, came_from=LAYOUTS["retinaface"], to=LAYOUTS[layout])
    assert done.lost == ({lost: 1} if lost else {})
    (read,) = read_split(output, "train", layout=layout).images
    assert [face.box for face in read.faces] == ([] if left is None else [pytest.approx(left)])


def test_a_face_to_ignore_outside_its_image_is_no_fault_and_has_no_place_in_yolo():
    outside = Label((200.0, 10.0, 20.0, 20.0))
    assert LAYOUTS["yolo"].fit(outside, ImageSize(100, 100)) is None
    assert list(losses(outside, None)) == ["faces with no box inside their image"]
    assert list(losses(outside._replace(ignore=True), None)) == ["ignored faces"]


# The command


@pytest.fixture
def run(tmp_path):
    """``run("source=...", "to=coco")``: the content of conversion.json and the run folder."""

    def start(*options):
        folder = tmp_path / "run"
        with composed("convert", folder, *options) as config:
            done = src.convert.run(config, folder)
        assert json.loads((folder / "conversion.json").read_text()) == done
        return done, folder

    return start


def test_the_command_counts_what_was_lost_and_says_what_comes_next(run, small_tree, caplog):
    done, folder = run(f"source={small_tree}", "to=yolo")
    assert done["came_from"] == "retinaface"
    assert done["splits"]["train"] == {"images": 5, "faces": 8, "with_landmarks": 0, "ignored": 0}
    assert done["splits"]["val"]["images"] == 3
    assert done["lost"] == {}
    assert sorted(p.name for p in (folder / "data").iterdir()) == ["data.yaml", "images", "labels"]
    image = small_tree / "train" / "images" / "0--A" / "0_A_1.jpg"
    copy = folder / "data" / "images" / "train" / "0--A" / "0_A_1.jpg"
    assert copy.read_bytes() == image.read_bytes()
    assert not copy.is_symlink()


def test_a_validation_split_is_set_aside_by_seed(run, small_tree, tmp_path):
    shutil.rmtree(small_tree / "val")

    def names(seed):
        output = tmp_path / f"seed{seed}"
        options = [f"source={small_tree}", "to=coco", f"output={output}", f"seed={seed}"]
        done, _ = run(*options, "val_share=0.4", "images=link")
        assert (done["splits"]["train"]["images"], done["splits"]["val"]["images"]) == (3, 2)
        parts = [read_split(output, s, layout="coco").listed for s in ("train", "val")]
        assert not set(parts[0]) & set(parts[1])
        return parts[1]

    found = [names(seed) for seed in range(1, 5)]
    assert any(each != found[0] for each in found)
    assert (tmp_path / "seed1" / "images" / "train").is_dir()
    assert all(p.is_symlink() for p in (tmp_path / "seed1" / "images").rglob("*.jpg"))


def test_what_cannot_be_converted_is_said_to_be_left_out(run, tree, row):
    tree.retinaface("train", {"0--A/a.jpg": [row("1 2 3 4", quality="0")]})
    tree.retinaface("val", {"1--B/b.jpg": []}, names_only=True)
    (tree.root / "ground_truth").mkdir()
    (tree.root / "test").mkdir()
    done, _ = run(f"source={tree.root}", "to=yolo")
    assert done["lost"] == {"ignored faces": 1}
    assert done["left_out"] == {
        "validation images of wider_val.txt, which have no labels": 1,
        "test splits, which are not read": 1,
        "folders of ground truth: name it with data.ground_truth=": 1,
    }
    assert list(done["splits"]) == ["train"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("source={nothing} to=coco", "expected a folder of labelled images at source="),
        ("source={empty} to=coco", "expected label files in .*, got none of retinaface: train"),
        ("source={tree} to=voc", "expected to to be one of 'retinaface', 'official', 'coco'"),
        ("source={tree} to=coco from=yolo", "expected labels of the layout yolo in .*, got none"),
        ("source={tree} to=coco output={tree}", "expected a new or empty folder as output"),
        ("source={tree} to=coco val_share=0.5", "expected no validation split in .* got one"),
        ("source={both} to=coco", "expected label files of one layout .*, got retinaface and coco"),
        ("source={twins} to=yolo", r"got 0--A/a\.jpg and 0--A/a\.png, which share 0--A/a\.txt"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(tree, small_tree, tmp_path, options, sentence):
    folders = {name: tmp_path / name for name in ("nothing", "empty", "twins")}
    folders["empty"].mkdir()
    folders["tree"], folders["both"] = small_tree, tmp_path / "both"
    shutil.copytree(small_tree, folders["both"])
    LAYOUTS["coco"].write(folders["both"], {"train": []})
    tree.root = folders["twins"]
    tree.retinaface("train", {"0--A/a.jpg": [], "0--A/a.png": []})
    given = options.format(**folders).split()
    said = complaint_of(src.convert.run, "convert", tmp_path / "run", *given)
    assert re.search(sentence, said), said
