from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from composing import composed

from src.check_data import run
from src.data.check import check_tree, summarise, summary_lines
from src.data.reading import inspect_split

CONF = Path(__file__).parents[2] / "conf"


def checked(root: Path, folder: Path, *overrides: str) -> tuple[int, dict]:
    """Number of errors and the report of the entry point, in this process."""
    with composed("check_data", folder, "data=widerface", f"data.root={root}", *overrides) as cfg:
        errors = run(cfg, folder)
    return errors, json.loads((folder / "report.json").read_text())


def test_a_sound_tree_has_no_errors(small_tree: Path, tmp_path: Path) -> None:
    errors, report = checked(small_tree, tmp_path / "run", "data.image_size=160")
    assert errors == 0
    assert report["errors"] == report["warnings"] == []
    train = report["splits"]["train"]
    assert train["num_images"] == 5
    assert train["num_faces"] == 8
    assert train["faces_per_image"] == {"min": 0, "median": 2.0, "max": 2}
    assert train["num_without_faces"] == 1
    # Images of 80 pixels go to 160: faces of sqrt(20 x 24) and sqrt(9 x 12) double.
    assert train["face_sizes"] | {"32-64": 4, "16-32": 4} == train["face_sizes"]
    assert sum(train["face_sizes"].values()) == 8
    for name in ("labels.png", "augmented.png", "face_sizes.png"):
        picture = cv2.imread(str(tmp_path / "run" / name))
        assert picture is not None
        assert picture.std() > 5


def test_very_thin_images_have_pictures(tree, row: Callable[..., str], tmp_path: Path) -> None:
    for split in ("train", "val"):
        tree.retinaface(split, {f"0--A/{split}.png": [row("0 0 3 1")]}, images=False)
        tree.image(tree.root / split / "images" / "0--A" / f"{split}.png", height=1, width=3000)
    errors, _ = checked(tree.root, tmp_path / "run")
    assert errors == 0
    sheet = cv2.imread(str(tmp_path / "run" / "labels.png"))
    assert (sheet != sheet[0, 0]).any(axis=(1, 2)).sum() >= 1  # one row of pixels


def test_every_fault_is_listed(tree, row: Callable[..., str], tmp_path: Path) -> None:
    names = [f"0--A/{letter}.jpg" for letter in "abcdef"]
    tree.retinaface(
        "train",
        {
            names[0]: ["1 2 3", row("1 2 3 4"), row("0 0 0 9"), row("-2 0 9 9", quality="0.0")],
            names[1]: [row("300 2 3 4")],
            **{name: [row("1 2 3 4")] for name in names[2:]},
        },
    )
    label_file = tree.retinaface("val", {"1--B/a.jpg": [], "1--B/b.jpg": []})
    label_file.write_text(label_file.read_text() + "# 1--B/b.jpg\n")
    images = tree.root / "train" / "images" / "0--A"
    (images / "c.jpg").unlink()
    (images / "d.jpg").write_bytes((images / "d.jpg").read_bytes()[:-900])
    (images / "e.jpg").write_bytes(b"no image")
    shutil.copy(images / "f.jpg", tree.root / "val" / "images" / "1--B" / "a.jpg")
    tree.image(images / "extra.jpg")

    errors, report = checked(tree.root, tmp_path / "run")
    text = "\n".join(report["errors"])
    for expected in (
        "label.txt:2: expected 20 or 4 numbers for a face, got 3",
        "label.txt:7: expected a face inside its image",
        "label.txt:8: 0--A/c.jpg does not exist",
        "d.jpg: expected a complete image",
        "e.jpg: expected a JPEG or PNG",
        "label.txt:3: 1--B/b.jpg is listed a second time",
        "1--B/a.jpg of val is the same file as 0--A/f.jpg of train",
    ):
        assert expected in text
    assert errors == 7
    assert "extra.jpg" in report["warnings"][0]
    train = report["splits"]["train"]
    assert train["unlabelled"] == ["0--A/extra.jpg"]
    assert {kind: len(found) for kind, found in train["problems"].items()} == {
        "label": 1,
        "missing": 1,
        "image": 2,
        "outside": 1,
    }
    assert (train["num_zero_size"], train["num_clipped"], train["num_ignored"]) == (1, 1, 1)


def test_a_name_in_both_splits_is_an_error(tree) -> None:
    tree.retinaface("train", {"0--A/a.jpg": []})
    tree.retinaface("val", {"0--A/a.jpg": []})
    assert check_tree(tree.root, 640).errors == [
        "0--A/a.jpg is in train and in val; remove it from one of them"
    ]


def test_an_image_that_does_not_decode_is_an_error(small_tree: Path) -> None:
    path = small_tree / "train" / "images" / "0--A" / "0_A_1.jpg"
    content = path.read_bytes()
    scan = content.index(b"\xff\xda")
    # Every segment and the end, but a table of codes that no picture can be read with.
    path.write_bytes(content[: scan - 170] + b"\xff" * 170 + content[scan:])
    assert check_tree(small_tree, 640, decode=False).errors == []
    (error,) = check_tree(small_tree, 640).errors
    assert "0_A_1.jpg: expected an image that can be decoded, got a damaged file" in error


def test_a_missing_root_is_one_error(tmp_path: Path) -> None:
    report = check_tree(tmp_path / "absent", 640)
    assert len(report.errors) == 1
    assert "set data.root=" in report.errors[0]
    assert summary_lines(report)[-1] == "1 errors, 0 warnings"


def test_ground_truth_that_is_not_there_is_an_error(small_tree: Path, tmp_path: Path) -> None:
    (error,) = check_tree(small_tree, 640, ground_truth=tmp_path).errors
    assert "wider_face_val.mat" in error


def test_names_without_labels_are_said(tree) -> None:
    tree.retinaface("train", {"0--A/a.jpg": []})
    tree.retinaface("val", {"0--A/b.jpg": []}, names_only=True)
    lines = summary_lines(check_tree(tree.root, 640))
    assert "  names only, no faces" in lines


def test_face_sizes_fall_into_the_interval_they_begin(tree, row: Callable[..., str]) -> None:
    # Images of 80 pixels shown at 80: sizes as written.
    rows = [row(f"0 0 {side} {side}") for side in (15.5, 16, 31.9, 32, 59)]
    tree.retinaface("train", {"0--A/a.jpg": rows})
    sizes = summarise(inspect_split(tree.root, "train"), 80, ()).face_sizes
    assert list(sizes.values()) == [1, 2, 2, 0, 0, 0, 0]


@pytest.mark.slow
def test_exit_codes(small_tree: Path, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "src.check_data", "data=widerface", f"data.root={small_tree}"),
        *("num_pictures=2", f"hydra.run.dir={tmp_path / 'run'}"),
    ]
    (small_tree / "val" / "images" / "1--B" / "1_B_1.jpg").unlink()
    result = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert "1 errors, 0 warnings" in result.stdout
    assert (tmp_path / "run" / "report.json").is_file()


@pytest.mark.real_data
def test_the_real_files_have_no_errors(widerface: Path) -> None:
    report = check_tree(widerface, 640, decode=False)
    assert report.errors == []
    labels = (widerface / "train" / "label.txt").read_text().split("# ")[1:]
    faces = [image.count("\n") - 1 for image in labels]
    assert report.splits["train"].faces_per_image["max"] == max(faces)
    assert sum(report.splits["train"].face_sizes.values()) == sum(faces)
