"""Small files that stand for more than a machine has."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from src.data.reading import read_split
from src.runs.bounded import check_nodes, check_yaml
from src.runs.teachers import _configuration

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGED = "m0: &m0 {x: 1}\n" + "".join(
    f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [LAUGHS, MERGED, "a: &a [*a]", "[" * 5000 + "]" * 5000],
    ids=["list", "merge", "self", "deep"],
)
def test_yaml_that_grows(text: str) -> None:
    with pytest.raises(ValueError, match=r"more than 100,000 values|nested too deeply"):
        check_yaml(text)


@pytest.mark.parametrize(
    "text", ["", "a: 1", "a: &a [1, 2]\nb: *a", "a: &a {x: 1}\nb: {<<: *a}", "- 1\n" * 50_000]
)
def test_yaml_as_people_write_it(text: str) -> None:
    check_yaml(text)


def test_plain_data() -> None:
    table: Any = 1
    for _ in range(60):
        table = [table, table]
    with pytest.raises(ValueError, match="more than 100,000 values"):
        check_nodes(table)
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(ValueError, match="more than"):
        check_nodes({"a": itself})
    check_nodes({"a": [1, "text" * 100_000, None], 2: {}})


@pytest.mark.parametrize(("depth", "fits"), [(50, True), (51, False)])
def test_plain_data_of_many_levels(depth: int, fits: bool) -> None:
    table: Any = 1
    for _ in range(depth):
        table = [table]
    with nullcontext() if fits else pytest.raises(ValueError, match="or 50 of them nested"):
        check_nodes(table)


def test_descriptions_of_data(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(LAUGHS)
    with pytest.raises(
        ValueError, match=r"data\.yaml: expected YAML, got 'more than 100,000 values"
    ):
        read_split(tmp_path, "train", layout="yolo")


def test_settings_of_runs(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"model: 1\n{LAUGHS}")
    assert _configuration(tmp_path) == {name: {} for name in ("data", "model", "kd", "pruning")}
