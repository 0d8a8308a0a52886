"""Every sentence that docs/troubleshooting.md explains is one that the code says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `(expected .+?)` \|", PAGE, re.M)
FILLED = "…"


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """All texts in src, what is filled in as an ellipsis."""
    found = []
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(
                    part.value if isinstance(part, ast.Constant) else FILLED for part in node.values
                ))  # fmt: skip
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_there_are_sentences():
    assert len(QUOTED) > 30
    assert len(set(QUOTED)) == len(QUOTED)


@pytest.mark.parametrize("sentence", QUOTED)
def test_the_code_says_it(sentence, sentences):
    pieces = [re.escape(piece) for piece in sentence.split(FILLED)]
    assert sum(map(len, pieces)) > 15
    # What stands for several words in a row is one ellipsis on the page.
    pattern = re.compile(".*".join(pieces), re.S)
    assert any(pattern.match(each) for each in sentences)


def test_a_sentence_that_nobody_says_is_found(sentences):
    assert not any("expected a rabbit in" in each for each in sentences)
