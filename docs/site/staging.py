"""The pages of the site: the Markdown of the repository, with links, drawings and tables put in.

The files stay as a forge shows them. Here a link to a page of the site leads there, one to another
file of the repository becomes plain text, a drawing is put into its page (a picture of it would
neither follow the colours of the page nor be read aloud), and below a link to a file of ``conf/``
that begins a paragraph comes the table of its settings.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
START = DOCS / "README.md"

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)
CONF = re.compile(r"^\[conf/([\w/]+)(\.yaml)?\]\([^)]+\)[^\n]*$", re.M)


def pages() -> dict[Path, str]:
    """Every file that becomes a page -> its place in the site."""
    found = {file: file.relative_to(DOCS).as_posix() for file in sorted(DOCS.rglob("*.md"))}
    others = [*sorted((ROOT / "experiments").rglob("README.md"))]
    others += [ROOT / "runtime/README.md", ROOT / "weights/README.md"]
    found |= {file: file.relative_to(ROOT).as_posix() for file in others}
    return {file: re.sub(r"README\.md$", "index.md", place) for file, place in found.items()}


def write(folder: Path) -> list[object]:
    """Write all pages, and what they show, into a folder; returns the navigation."""
    places = pages()
    for file, place in places.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(file, places, folder), encoding="utf-8")
    shutil.copy(DOCS / "site/site.css", folder)
    return navigation(places)


def page(file: Path, places: dict[Path, str], folder: Path) -> str:
    """The text of a page; the files it shows are copied into ``folder``."""

    def link(found: re.Match[str]) -> str:
        shown, text, address = found.groups()
        if re.match(r"(https?:|mailto:|#)", address):
            return found[0]
        name, _, anchor = address.partition("#")
        target = (file.parent / name).resolve()
        here = Path(places[file]).parent
        if target in places:
            way = os.path.relpath(places[target], here)
            return f"[{text}]({way}{'#' * bool(anchor)}{anchor})"
        if target.suffix == ".svg" and shown:
            return _figure(target, text)
        if shown:
            copy = folder / target.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(target, copy)
            return f"![{text}]({os.path.relpath(copy, folder / here)})"
        return text  # a file that the site does not have

    text = file.read_text(encoding="utf-8")
    text = "".join(
        part if part.startswith("```") else LINK.sub(link, CONF.sub(_settings, part))
        for part in FENCE.split(text)
    )
    return text


def navigation(places: dict[Path, str]) -> list[object]:
    """The sections of the start page, with the pages that their tables link to.

    Raises:
        ValueError: a page that no table leads to; it is named.
    """
    text = START.read_text(encoding="utf-8")
    found: list[object] = [{"Start": places[START]}]
    listed = {START}
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title = section.splitlines()[0]
        entries = []
        for name, target in _rows(START, section):
            if target not in listed and target in places:
                listed.add(target)
                entries += _entry(name, target, places, listed)
        if entries:
            found.append({title: entries})
    if missing := [str(file.relative_to(ROOT)) for file in places if file not in listed]:
        raise ValueError(
            f"expected every page in a table of docs/README.md, or of a page in it; add {missing}"
        )
    return found


def _entry(name: str, target: Path, places: dict[Path, str], listed: set[Path]) -> list[object]:
    """A page, and below it those of its folder that its own tables link to."""
    inner = []
    for word, each in _rows(target, target.read_text(encoding="utf-8")):
        if each in places and each not in listed and _below(each, target):
            listed.add(each)
            inner.append({word: places[each]})
    if not inner:
        return [{name: places[target]}]
    return [{name: [{"Overview": places[target]}, *inner]}]


def _below(file: Path, page: Path) -> bool:
    folder = page.parent if page.name == "README.md" else page.with_suffix("")
    return folder in file.parents


def _rows(page: Path, text: str) -> list[tuple[str, Path]]:
    """The link that begins each row of the tables of a text."""
    rows = re.findall(r"^\| *\[([^\]]+)\]\(([^)#]+)[^)]*\)", text, re.M)
    return [
        (name.strip("`").removeprefix("python -m "), (page.parent / address).resolve())
        for name, address in rows
    ]


def _figure(file: Path, caption: str) -> str:
    """An SVG as part of a page, in one line: an empty one would end the HTML."""
    drawing = file.read_text(encoding="utf-8").replace("\n", "")
    return (
        f'<figure class="diagram"><div tabindex="0">{drawing}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _settings(found: re.Match[str]) -> str:
    """The line, and the settings of the file, or of each file of the folder, that it names."""
    path = ROOT / "conf" / found[1]
    if found[2]:
        return f"{found[0]}\n\n{settings.table(path.with_suffix('.yaml'))}"
    parts = [found[0]]
    for file in sorted(path.glob("*.yaml")):
        prefix = "" if "@package _global_" in file.read_text() else f"{path.name}."
        parts += [f"**`{path.relative_to(ROOT / 'conf')}={file.stem}`**: {settings.purpose(file)}."]
        parts += [settings.table(file, prefix)]
    return "\n\n".join(parts)
