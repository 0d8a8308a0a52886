"""What the project says of itself: how it is cited, what changed, how to contribute."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = {name: (ROOT / name).read_text() for name in ("CHANGELOG.md", "CONTRIBUTING.md")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_citation_has_what_its_format_asks_for(citation):
    """The keys that version 1.2.0 of the Citation File Format requires, and known ones alone."""
    assert citation["cff-version"] == "1.2.0"
    required = {"cff-version", "message", "title", "authors"}
    known = required | {"abstract", "keywords", "license", "references", "type", "version"}
    assert required <= set(citation) <= known
    for reference in citation["references"]:
        assert {"authors", "title", "type"} <= set(reference)
    for authors in (citation["authors"], *(each["authors"] for each in citation["references"])):
        names = [tuple(author.values()) for author in authors]
        assert len(names) == len(set(names)) > 0


def test_citation_is_of_this_project(citation):
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    holder = re.search(r"Copyright \(c\) \d+ (.+)", (ROOT / "LICENSE").read_text())
    assert holder is not None
    assert [author["name"] for author in citation["authors"]] == [holder[1]]


def test_changelog_has_the_form_it_names():
    text = PAGES["CHANGELOG.md"]
    versions = re.findall(r"^## \[(.+?)\]", text, re.M)
    assert versions[0] == "Unreleased"
    assert len(versions) == len(set(versions))
    kinds = set(re.findall(r"^### (.+)$", text, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", PAGES[page]):
        assert (ROOT / target).exists(), target


def test_contributing_names_what_exists():
    text = PAGES["CONTRIBUTING.md"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"install", "test"} <= set(re.findall(r"\bmake ([a-z][a-z-]*)", text)) <= targets
    for path in re.findall(r"`((?:src|conf|tests|docs|experiments|\.ci)/[\w./-]+)`", text):
        assert re.search("NAME|NNN", path) or (ROOT / path).exists(), path
