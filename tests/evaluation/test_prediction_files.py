from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from src.evaluation import detection_rows, read_predictions, write_predictions
from src.types import Detections

NAME = "0--Parade/a.b_1.jpg"


def write_text(folder, text: str):
    path = folder / "0--Parade" / "a.b_1.txt"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_written_file_reads_back(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.uniform(-9, 2000, (50, 4)), rng.random((50, 1))], axis=1)
    rows[:, 2:4] = abs(rows[:, 2:4])
    rows[:, 4] = rows[:, 4].astype(np.float32)  # scores are float32 and keep every bit
    path = write_predictions(tmp_path, NAME, rows)
    assert path == tmp_path / "0--Parade" / "a.b_1.txt"
    again = read_predictions(tmp_path, [NAME])[NAME]
    np.testing.assert_allclose(again[:, :4], rows[:, :4], rtol=0, atol=0.5001e-4)
    np.testing.assert_array_equal(again[:, 4].astype(np.float32), rows[:, 4])


def test_written_file_has_the_official_layout(tmp_path):
    path = write_predictions(tmp_path, NAME, np.array([[1, 2.5, 3, 4, 0.75]]))
    assert path.read_text() == "a.b_1\n1\n1.0000 2.5000 3.0000 4.0000 0.75\n"


def test_order_of_the_lines_is_kept(tmp_path):
    rows = np.array([[0, 0, 1, 1, 0.1], [0, 0, 2, 2, 0.9], [0, 0, 3, 3, 0.5]])
    write_predictions(tmp_path, NAME, rows)
    np.testing.assert_array_equal(read_predictions(tmp_path, [NAME])[NAME], rows)


def test_no_detections(tmp_path):
    write_predictions(tmp_path, NAME, np.empty((0, 5)))
    assert read_predictions(tmp_path, [NAME])[NAME].shape == (0, 5)


@pytest.mark.parametrize(
    "text",
    [
        "a.b_1\n1\n1 2 3 4 0.5\n",
        "a.b_1.jpg\n1\n1 2 3 4 0.5\n",
        "0--Parade/a.b_1.jpg\n1\n1 2 3 4 0.5",
        "a.b_1\r\n1\r\n1 2 3 4 0.5 \r\n",  # written on Windows, blank after the score
        "a.b_1 \n 1 \n  1   2\t3 4 0.5\n\n  \n",
        "a.b_1\n1\n1e0 2.0 +3 4. 5e-1\n",
    ],
)
def test_accepted_spellings(tmp_path, text):
    write_text(tmp_path, text)
    assert read_predictions(tmp_path, [NAME])[NAME].tolist() == [[1, 2, 3, 4, 0.5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: expected the image name 'a.b_1', got ''"),
        ("other\n0\n", r"line 1: expected the image name 'a.b_1', got 'other'"),
        ("a.b_1", r"line 2: expected the number of detections, got ''"),
        ("a.b_1\n1 2 3 4 0.5\n", r"line 2: expected the number of detections"),
        ("a.b_1\n-1\n", r"line 2: expected the number of detections"),
        ("a.b_1\n2\n1 2 3 4 0.5\n", r"line 2: expected the number of lines that follow \(1\)"),
        ("a.b_1\n0\n1 2 3 4 0.5\n", r"line 2: expected the number of lines that follow \(1\)"),
        ("a.b_1\n2\n1 2 3 4 0.5\n1 2 3 4\n", r"line 4: .*'x y w h score'.*, got '1 2 3 4'"),
        ("a.b_1\n2\n1 2 3 4\n1 2 3 4 5 6\n", r"line 3: .*'x y w h score'.*, got '1 2 3 4'"),
        ("a.b_1\n1\n1 2 3 4 5 6\n", r"line 3: .*'x y w h score'"),
        ("a.b_1\n1\n1,2,3,4,0.5\n", r"line 3: .*'x y w h score'"),
        ("a.b_1\n3\n1 2 3 4 1\n\n1 2 3 4 1\n", r"line 4: .*'x y w h score'.*, got ''"),
        ("a.b_1\n1\n1 2 x 4 0.5\n", r"line 3: expected five finite numbers"),
        ("a.b_1\n1\n1 2 3 4 nan\n", r"line 3: expected five finite numbers"),
        ("a.b_1\n1\n1_0 2 3 4 1\n", r"line 3: expected five finite numbers .*, got '1_0 2 3 4 1'"),
        ("a.b_1\n1\n\u0661 2 3 4 1\n", r"line 3: expected five finite numbers"),
        ("a.b_1\n1\n1\u00a02 3 4 1\n", r"line 3: expected five finite numbers"),
        ("a.b_1\n\u0661\n1 2 3 4 1\n", r"line 2: expected the number of detections"),
        (f"a.b_1\n{'9' * 5000}\n", r"line 2: expected the number of detections"),
        ("a.b_1\n1\n1 2 -3 4 1\n", r"line 3: .*a size of at least 0 .*, got '1 2 -3 4 1'"),
        ("a.b_1\n1\n1 2 3 4 1.5\n", r"line 3: .*a score from 0 to 1, got '1 2 3 4 1.5'"),
        ("a.b_1\n2\n1 2 3 4 1\n1 2 3 4 -0.1\n", r"line 4: .*a score from 0 to 1"),
        ("a.b_1\n2\n1 2 3 4 1\n1 2 inf 4 1\n", r"line 4: expected five finite numbers"),
    ],
)
def test_malformed_line_is_named(tmp_path, text, message):
    write_text(tmp_path, text)
    with pytest.raises(ValueError, match=r"a\.b_1\.txt, " + message):
        read_predictions(tmp_path, [NAME])


def test_missing_files_are_counted(tmp_path):
    write_predictions(tmp_path, "e/0.jpg", np.empty((0, 5)))
    with pytest.raises(
        FileNotFoundError, match=r"each of 6 images, got none for 5 .*1\.txt.*\.\.\."
    ):
        read_predictions(tmp_path, [f"e/{i}.jpg" for i in range(6)])
    with pytest.raises(FileNotFoundError, match=r"got none for 1 \([^,]*1\.txt\); predict"):
        read_predictions(tmp_path, ["e/0.jpg", "e/1.jpg"])


def test_bytes_that_are_no_text(tmp_path):
    write_text(tmp_path, "a.b_1\n0\n").write_bytes(b"\xff\xfe\n0\n")
    with pytest.raises(ValueError, match=r"a\.b_1\.txt, line 1: expected the image name"):
        read_predictions(tmp_path, [NAME])
    name = os.fsdecode(b"caf\xe9/a.jpg")
    write_predictions(tmp_path, name, np.empty((0, 5)))
    assert read_predictions(tmp_path, [name])[name].shape == (0, 5)


def test_extra_files_are_left_alone(tmp_path):
    write_predictions(tmp_path, "e/0.jpg", np.empty((0, 5)))
    (tmp_path / "e" / "1.txt").write_text("not a prediction")
    assert list(read_predictions(tmp_path, ["e/0.jpg"])) == ["e/0.jpg"]
    assert read_predictions(tmp_path, []) == {}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros(5), r"detections \[K, 5\] .* for 0--Parade/a.b_1.jpg, got \(5,\)"),
        (np.array([[0, 0, 1, 1, 0.5], [0, 0, 1, np.inf, 1]]), r"got .* as detection 1"),
        (np.array([[0, 0, 1, -1, 0.5]]), r"a size of at least 0 .* as detection 0"),
        (np.array([[0, 0, 1, 1, 1.5]]), r"score from 0 to 1 for .* as detection 0"),
    ],
)
def test_what_is_not_written(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        write_predictions(tmp_path, NAME, rows)


def test_detection_rows():
    boxes = torch.tensor([[10.0, 20, 40, 60]], requires_grad=True)
    rows = detection_rows(Detections(boxes, torch.tensor([0.5]), torch.zeros(1, 5, 2)))
    assert rows.tolist() == [[10, 20, 30, 40, 0.5]]
    assert rows.dtype == np.float64
    empty = Detections(torch.empty(0, 4), torch.empty(0), torch.empty(0, 5, 2))
    assert detection_rows(empty).shape == (0, 5)


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    for name in ("../../x.jpg", "/x.jpg", "a/../../x.jpg", ""):
        with pytest.raises(ValueError, match="expected the name of an image inside its folder"):
            write_predictions(tmp_path / "run", name, np.empty((0, 5)))
    assert list(tmp_path.iterdir()) == []


def test_images_that_would_share_a_file_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"got e/a\.jpg and e/a\.png, which share .*a\.txt"):
        read_predictions(tmp_path, ["e/a.jpg", "e/b.jpg", "e/a.png"])
