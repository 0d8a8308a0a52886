"""The notebooks run from their first cell to their last, and end with pictures."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
MINUTES = 20
"""At most, of one cell: on a busy machine they take many times what they take on a quiet one."""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where a notebook runs; its commands and cells import the code of this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


def pictures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_notebook_runs(source, folder):
    notebook = jupytext.read(source)
    client = NotebookClient(
        notebook, timeout=60 * MINUTES, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()  # raises at the first cell that fails
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(pictures(cell) for cell in code) >= 3
    assert pictures(code[-1]) == 1
    assert (folder / "outputs").is_dir()


def test_notebooks_are_those_of_the_documents():
    assert [source.stem[:2] for source in SOURCES] == ["01", "04"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_source_explains_its_code(source):
    notebook = jupytext.read(source)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown"
    assert kinds.count("markdown") >= kinds.count("code") // 2


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_links_of_notebooks_exist(source):
    for target in re.findall(r"\]\((?!http)([^)#]+)", source.read_text(encoding="utf-8")):
        assert (source.parent / target).exists(), target
