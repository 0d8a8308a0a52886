"""The site of the documentation: built without a warning, complete, and from here alone."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
SHOWN = [
    file
    for file in sorted(CONF.rglob("*.yaml"))
    if file.parent.name not in ("pipeline", "help")  # plans of stages
]
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """Those of docs/site, which are in no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs/site"))
        return {name: importlib.import_module(name) for name in ("settings", "staging", "build")}


# Settings


@pytest.mark.parametrize("file", SHOWN, ids=lambda f: str(f)[-40:])
def test_settings_have_their_defaults_and_comments(file, modules):
    tree = yaml.safe_load(file.read_text())
    for name, default, about in modules["settings"].settings(file):
        node = tree
        for key in name.split("."):
            node = node[key]
        assert isinstance(node, dict) or default, name
        if default and default != "...":
            assert node == yaml.safe_load(default), name
        assert about in file.read_text()


def test_settings_of_a_command_by_hand(modules):
    rows = {name: (default, about) for name, default, about in
            modules["settings"].settings(CONF / "predict.yaml")}  # fmt: skip
    assert rows["checkpoint"] == (
        "???",
        "of ours (best.ckpt) or published FeatherFace weights (.pth)",
    )
    assert rows["decoder.score_threshold"] == ("0.5", "lowest score drawn and written")
    assert rows["views"] == ("", "test-time augmentation")
    assert not {"defaults", "hydra", "decoder._target_"} & set(rows)
    table = modules["settings"].table(CONF / "predict.yaml")
    assert re.search(r"\| `checkpoint` +\| must be given +\| of ours", table)
    assert "`outputs/predict/<run>`" not in table  # no HTML of a reader's making
    assert "outputs/predict/&lt;run>" in table


def test_purpose_of_an_option(modules):
    assert modules["settings"].purpose(CONF / "kd/weighted.yaml").startswith("A teacher, with")


# Pages


def test_links_lead_to_pages_or_become_text(modules, tmp_path):
    staging = modules["staging"]
    places = staging.pages()
    text = staging.page(ROOT / "docs/commands/train.md", places, tmp_path)
    assert "](../training.md)" in text
    assert "conf/train.yaml](" not in text
    assert re.search(r"\| `seed` +\| `0` ", text)
    results = staging.page(ROOT / "docs/results.md", places, tmp_path)
    assert "](experiments/001-foundation/index.md)" in results
    components = staging.page(ROOT / "docs/components.md", places, tmp_path)
    assert components.count("<svg") == components.count('class="diagram"') > 15
    staging.page(ROOT / "experiments/004-search/README.md", places, tmp_path)
    assert (tmp_path / "experiments/004-search/methods.png").is_file()


def test_navigation_leads_to_every_page(modules):
    staging = modules["staging"]
    places = staging.pages()
    listed = re.findall(r'"([^"]+\.md)"', json.dumps(staging.navigation(places)))
    assert sorted(listed) == sorted(places.values())


def test_a_page_that_nothing_leads_to_is_named(modules):
    staging = modules["staging"]
    lost = ROOT / "docs/lost.md"
    with pytest.raises(ValueError, match=r"every page in a table .* add \['docs/lost.md'\]"):
        staging.navigation({**staging.pages(), lost: "lost.md"})


@pytest.mark.slow
def test_diagrams_are_those_of_the_networks(modules):
    drawn = modules["build"].drawings()
    there = {file.name: file.read_text() for file in (ROOT / "docs/diagrams").glob("*.svg")}
    assert set(drawn) == set(there), "run make docs"
    assert [name for name in drawn if drawn[name] != there[name]] == [], "run make docs"
    for page in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"\(diagrams/([^)]+)\)", page.read_text()):
            assert name in drawn


# The site


@pytest.fixture(scope="module")
def site(modules, tmp_path_factory) -> Path:
    pytest.importorskip("zensical", reason="zensical, of the extra docs, is not installed")
    folder = tmp_path_factory.mktemp("build")
    assert modules["build"].build(folder) == 0  # strict: a warning is an error
    return folder / "site"


class _Loaded(HTMLParser):
    """Addresses that a browser loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(values.get("href") or "")
        if tag not in ("a", "link"):
            self.found += [values[key] or "" for key in ("src", "srcset", "data") if key in values]
        self.found += re.findall(r"url\(([^)]+)\)", values.get("style") or "")


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        parser = _Loaded()
        parser.feed(page.read_text())
        assert parser.found
        for address in parser.found:
            assert not re.match(r"(https?:)?//", address), f"{page}: {address}"
            if page.name != "404.html" and not address.startswith("data:"):
                assert (page.parent / address.split("?")[0]).exists(), f"{page}: {address}"
    for sheet in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//", sheet.read_text())
        assert found == [], sheet


@pytest.mark.slow
def test_tables_and_drawings_arrive(site):
    page = (site / "commands/train.html").read_text()
    assert re.search(r"<td[^>]*><code>resume</code></td>", page)
    assert "<td>|" not in page
    text = "".join(each.read_text() for each in site.rglob("*.html"))
    assert not re.search(r"<p>\|", text)  # a table that is none
    assert (site / "architecture.html").read_text().count("<svg xmlns") >= 5


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and shutil.which("npm")), reason="no chromium, or no npm")
def test_browser_shows_every_page(site, tmp_path):
    install = ["npm", "install", "--silent", "--no-audit", "puppeteer-core@24.43.1"]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True)
    script = Path(__file__).parent / "look_at_site.mjs"
    ended = subprocess.run(
        ["node", script, site, CHROMIUM, tmp_path], cwd=tmp_path, capture_output=True, text=True,
        timeout=500,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["pages"] == len([p for p in site.rglob("*.html") if p.name != "404.html"])
    for problem in ("elsewhere", "errors", "wide", "small"):
        assert found[problem] == [], problem
