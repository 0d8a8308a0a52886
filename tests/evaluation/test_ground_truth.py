from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from src.evaluation import ImageTruth, read_ground_truth, truth_from_boxes, write_ground_truth
from src.evaluation.ground_truth import MAT_FILES


def small_truth() -> dict[str, ImageTruth]:
    boxes = np.array([[1.0, 2, 30, 40], [5.5, 6.25, 7, 8], [0, 0, 0, 0]])
    easy, medium, hard = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0]], dtype=bool)
    none = np.empty(0, dtype=bool)
    return {
        "0--Parade/a.b_1.jpg": ImageTruth(boxes, easy, medium, hard),
        "0--Parade/c.jpg": ImageTruth(np.empty((0, 4)), none, none, none),  # no face at all
        "1--Group/a.jpg": ImageTruth(boxes[:1], easy[1:2], medium[1:2], hard[:1]),
    }


def assert_equal(actual: dict[str, ImageTruth], expected: dict[str, ImageTruth]) -> None:
    assert list(actual) == list(expected)
    for name, image in expected.items():
        for field, value in image._asdict().items():
            np.testing.assert_array_equal(getattr(actual[name], field), value)
            assert getattr(actual[name], field).dtype == value.dtype


def test_written_files_read_back_equal(tmp_path):
    write_ground_truth(tmp_path / "new" / "folder", small_truth())
    assert_equal(read_ground_truth(tmp_path / "new" / "folder"), small_truth())


@pytest.mark.parametrize("num_images", [1, 2])
def test_one_event_of_equal_shapes_reads_back_equal(tmp_path, num_images):
    # numpy would merge equal-shaped cells into one array if the writer let it.
    image = small_truth()["0--Parade/a.b_1.jpg"]
    truth = {f"e/{i}.jpg": image for i in range(num_images)}
    write_ground_truth(tmp_path, truth)
    assert_equal(read_ground_truth(tmp_path), truth)


def test_equal_input_gives_equal_bytes(tmp_path, monkeypatch):
    write_ground_truth(tmp_path / "a", small_truth())
    monkeypatch.setattr("time.asctime", lambda *_: "another day")
    write_ground_truth(tmp_path / "b", small_truth())
    for file in MAT_FILES.values():
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_written_files_have_the_official_variables(tmp_path):
    write_ground_truth(tmp_path, small_truth())
    face = scipy.io.loadmat(str(tmp_path / "wider_face_val.mat"))
    easy = scipy.io.loadmat(str(tmp_path / "wider_easy_val.mat"))
    # Indexed as the published evaluator does; gt_list counts from 1.
    assert str(face["event_list"][0][0][0]) == "0--Parade"
    assert str(face["file_list"][0][0][0][0][0]) == "a.b_1"
    assert face["face_bbx_list"][0][0][0][0].shape == (3, 4)
    assert easy["gt_list"][0][0][0][0].tolist() == [[1]]


def test_truth_from_boxes_goes_by_height():
    heights = np.array([9.9, 10, 29, 30, 49, 50, 200, 200, 200])
    widths = np.array([80, 8, 8, 8, 8, 8, 8, 0, 8])  # a width of 0 counts nowhere
    boxes = np.stack([heights * 0 + 3, heights * 0 + 4, widths + 3, heights + 4], axis=1)
    ignore = np.arange(9) == 8
    truth = truth_from_boxes(boxes.astype(np.float32), ignore)
    assert truth.hard.tolist() == [False, True, True, True, True, True, True, False, False]
    assert truth.medium.tolist() == [False, False, False, True, True, True, True, False, False]
    assert truth.easy.tolist() == [False, False, False, False, False, True, True, False, False]
    assert truth.boxes_xywh[1].tolist() == [3, 4, 8, 10]
    assert truth.boxes_xywh.dtype == np.float64


def test_truth_from_no_boxes():
    truth = truth_from_boxes(np.empty((0, 4), np.float32), np.empty(0, dtype=bool))
    assert truth.boxes_xywh.shape == (0, 4)
    assert truth.easy.shape == truth.medium.shape == truth.hard.shape == (0,)


def test_truth_from_boxes_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"boxes \[N, 4\] and ignore \[N\], got \(2, 4\) and"):
        truth_from_boxes(np.zeros((2, 4), np.float32), np.zeros(3, dtype=bool))


def test_missing_file(tmp_path):
    write_ground_truth(tmp_path, small_truth())
    (tmp_path / "wider_hard_val.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"wider_hard_val.mat, found no such file"):
        read_ground_truth(tmp_path)


def test_file_that_is_no_mat_file(tmp_path):
    write_ground_truth(tmp_path, small_truth())
    (tmp_path / "wider_face_val.mat").write_text("<html>404</html>" * 20)
    with pytest.raises(ValueError, match=r"MATLAB 5 file at .*wider_face_val.mat"):
        read_ground_truth(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated_file(tmp_path, share):
    write_ground_truth(tmp_path, small_truth())
    path = tmp_path / "wider_face_val.mat"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"wider_face_val.mat"):
        read_ground_truth(tmp_path)


def test_file_without_the_variable(tmp_path):
    write_ground_truth(tmp_path, small_truth())
    (tmp_path / "wider_easy_val.mat").write_bytes((tmp_path / "wider_face_val.mat").read_bytes())
    with pytest.raises(ValueError, match=r"wider_easy_val.mat, got no \['gt_list'\]"):
        read_ground_truth(tmp_path)


def test_files_of_different_images(tmp_path):
    write_ground_truth(tmp_path / "a", small_truth())
    write_ground_truth(tmp_path / "b", dict(list(small_truth().items())[:2]))
    (tmp_path / "a/wider_easy_val.mat").write_bytes(
        (tmp_path / "b/wider_easy_val.mat").read_bytes()
    )
    with pytest.raises(ValueError, match=r"expected the 3 images .* got 2 in another order"):
        read_ground_truth(tmp_path / "a")


def rewrite(path, variable, value):
    """Replace the entry of the first image."""
    content = {k: v for k, v in scipy.io.loadmat(str(path)).items() if not k.startswith("__")}
    content[variable][0, 0][0, 0] = value
    scipy.io.savemat(str(path), content)


@pytest.mark.parametrize(
    ("file", "variable", "value", "message"),
    [
        ("easy", "gt_list", [[4]], r"face numbers from 1 to 3 for 0--Parade/a.b_1.jpg .* 4 to 4"),
        ("easy", "gt_list", [[0]], r"face numbers from 1 to 3 .* 0 to 0"),  # counted from 0
        ("easy", "gt_list", [[1], [1]], r"each face number once .* got one twice"),
        ("face", "face_bbx_list", [[1, 2, 3]], r"boxes \[N, 4\] for 0--Parade/a.b_1.jpg"),
        ("face", "file_list", [["x"], ["y"]], r"MATLAB 5 file at .*, got an array of the shape \["),
        ("face", "file_list", [[3]], r"one entry of face_bbx_list per file .*a name that is no"),
        (
            "face",
            "face_bbx_list",
            [[0, 0, -5, 9]] * 3,
            r"at least 0, for .*, got \[0.0, 0.0, -5.0, 9",
        ),
        ("face", "face_bbx_list", [[0, 0, 1e30, 9]] * 3, r"expected boxes .* for 0--Parade/a.b_1"),
        ("face", "face_bbx_list", [[0, 0, np.nan, 9]] * 3, r"other than finite numbers for 0--Par"),
        ("face", "face_bbx_list", [[0, 0, 1j, 9]] * 3, r"got complex numbers"),
        ("easy", "gt_list", [[1.5]], r"expected whole face numbers for 0--Parade/a.b_1"),
        ("easy", "gt_list", [[np.inf]], r"other than finite numbers for 0--Parade/a.b_1"),
    ],
)
def test_inconsistent_files(tmp_path, file, variable, value, message):
    write_ground_truth(tmp_path, small_truth())
    rewrite(tmp_path / MAT_FILES[file], variable, np.array(value))
    with pytest.raises(ValueError, match=message):
        read_ground_truth(tmp_path)


def test_a_name_twice(tmp_path):
    truth = small_truth()
    image = next(iter(truth.values()))
    write_ground_truth(tmp_path, {"e/a.jpg": image, "e/b.jpg": image})
    for file in MAT_FILES.values():
        content = scipy.io.loadmat(str(tmp_path / file))
        content = {k: v for k, v in content.items() if not k.startswith("__")}
        content["file_list"][0, 0][1, 0] = "a"
        scipy.io.savemat(str(tmp_path / file), content)
    with pytest.raises(ValueError, match=r"something else \(e/a.jpg twice\)"):
        read_ground_truth(tmp_path)


@pytest.mark.parametrize("name", ["a.jpg", "e/f/a.jpg", "e/a.png", "/a.jpg", "e/.jpg"])
def test_name_that_the_layout_cannot_hold(tmp_path, name):
    image = small_truth()["1--Group/a.jpg"]
    with pytest.raises(ValueError, match=r"image name like event/file.jpg, got"):
        write_ground_truth(tmp_path, {name: image})


def test_no_images_to_write(tmp_path):
    with pytest.raises(ValueError, match="at least one image to write"):
        write_ground_truth(tmp_path, {})
