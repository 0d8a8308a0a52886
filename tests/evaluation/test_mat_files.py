"""Our reader of MATLAB files against SciPy's, and on files that are damaged."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from src.evaluation import mat_files
from src.evaluation.mat_files import read_mat


def cells(*values: object) -> np.ndarray:
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = values
    return column


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.mat"
    inner = cells(np.arange(6, dtype=np.uint16).reshape(3, 2), np.array([[1.5, np.nan]]), "caf\xe9")
    content = {
        "a": cells(inner, cells(np.empty((0, 4)))),
        "b": np.int8([[-1, 2]]),
        "skipped": {"a": {"struct": 1}},
        "words": np.array(["ab", "cd"]),
        "complex": np.array([[1j]]),
    }
    scipy.io.savemat(str(path), content, do_compression=True)
    return path


def test_what_scipy_writes_is_read(file: Path) -> None:
    found = read_mat(file, ["a", "b", "absent"])
    assert list(found) == ["a", "b"]
    (numbers, floats, text), (empty,) = found["a"]
    assert numbers.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert floats.tolist()[0][0] == 1.5
    assert np.isnan(floats[0, 1])
    assert text == "caf\xe9"
    assert empty.shape == (0, 4)
    assert found["b"].tolist() == [[-1, 2]]


@pytest.mark.parametrize(
    ("name", "message"),
    [("skipped", "array of class 2"), ("words", "text of another"), ("complex", "complex numbers")],
)
def test_other_kinds_are_refused(file: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_mat(file, [name])


def test_damaged_files_are_refused_or_read(file: Path) -> None:
    scipy.io.savemat(str(file), {"a": cells(cells("x", np.eye(3)), cells(np.int16([[1, 2]])))})
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(128, len(content), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        file.write_bytes(damaged[: rng.integers(len(content) // 2, len(content) + 1)])
        try:
            read_mat(file, ["a"])
        except ValueError as error:
            assert str(error)  # noqa: PT017  both may happen


def test_what_inflates_without_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mat_files, "LARGEST", 2**16)
    packed = zlib.compress(bytes(2**20))
    file.write_bytes(file.read_bytes()[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(ValueError, match="one of more than 65,536 bytes"):
        read_mat(file, ["a"])


@pytest.mark.real_data
def test_official_files_equal_scipy(shared: Path) -> None:
    path = shared / "widerface/ground_truth/wider_hard_val.mat"
    names = ["event_list", "file_list", "gt_list"]
    ours, theirs = read_mat(path, names), scipy.io.loadmat(str(path), variable_names=names)
    assert ours["event_list"] == [cell.item() for (cell,) in theirs["event_list"]]
    for mine, (other,) in zip(ours["gt_list"], theirs["gt_list"], strict=True):
        assert all(np.array_equal(a, b) for a, (b,) in zip(mine, other, strict=True))
