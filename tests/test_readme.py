"""What README and docs say can be done: commands compose, settings and files exist."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from src.cli.options import store_option_files

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
PAGES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
README = PAGES["README.md"]
MAKEFILE = (ROOT / "Makefile").read_text()

BLOCKS = {page: "\n".join(re.findall(r"```bash\n(.*?)```", t, re.S)) for page, t in PAGES.items()}
INLINE = {
    page: re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    for page, text in PAGES.items()
}
COMMANDS = sorted({
    line.split("#")[0].strip()
    for page in PAGES
    for line in [*BLOCKS[page].splitlines(), *INLINE[page]]
    if line.startswith("python -m src.")
})  # fmt: skip


def test_readme_is_one_screen():
    assert len(README.splitlines()) <= 110


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_page_has_one_title_and_says_whom_it_is_for(page):
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.S)
    assert len(re.findall(r"^# ", text, re.M)) == 1
    assert text.startswith("# ")
    assert re.match(r"(This page is for|For) ", text.split("\n\n")[1])
    folder = str(Path(page).parent)  # pages of docs/commands/ are listed in docs/commands.md
    index = "docs/README.md" if folder == "docs" else f"{folder}.md"
    link = Path(page).relative_to(Path(index).parent).as_posix()
    assert page == index or f"({link})" in PAGES[index]


@pytest.mark.parametrize("page", PAGES)
def test_page_reads_alike_on_a_forge_and_on_the_site(page):
    """Python-Markdown wants a blank line before a list, and every table in one piece."""
    lines = re.sub(r"```.*?```", "", PAGES[page], flags=re.S).splitlines()
    for before, line in pairwise(lines):
        item = r"(- |1\. )"
        if re.match(item, line):
            assert not before.strip() or re.match(rf"\s*{item}|  ", before), line
    tables = re.split(r"\n(?!\|)", "\n" + "\n".join(lines))
    for table in tables:
        rows = [line for line in table.splitlines() if line.startswith("|")]
        if rows:
            assert re.fullmatch(r"[|:\- ]+", rows[1]), rows[0]
            cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
            assert len(set(cells)) == 1, rows[0]


def test_every_command_has_a_page():
    files = {file.stem for file in CONF.glob("*.yaml")}
    pages = {Path(page).stem for page in PAGES if page.startswith("docs/commands/")}
    assert pages == files | {"options"}
    for name in files:
        page = PAGES[f"docs/commands/{name}.md"]
        assert f"```bash\npython -m src.{name} " in page or f"\npython -m src.{name}\n" in page
        assert f"[conf/{name}.yaml](../../conf/{name}.yaml)" in page


# Commands


def test_pages_show_commands():
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, module, *overrides = shlex.split(command)
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
    overrides = [o for o in overrides if "=" in o and "interval(" not in o]  # no -m, --help
    for file in re.findall(r"[=,](outputs/sweeps/\w+/best)", command):  # what a search leaves
        (tmp_path / file).parent.mkdir(parents=True)
        shutil.copy(CONF / "pruning/one_shot.yaml", tmp_path / f"{file}.yaml")
    store_option_files(overrides)
    # A multirun's list is one value per job: the first stands for all.
    overrides = [re.sub(r"^([\w./]+=[^\[{,]+),.*$", r"\1", o) for o in overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        compose(module.removeprefix("src."), overrides)


def test_other_commands_of_blocks_are_known():
    known = (
        "python -m src.", "make", "export ", "source ", "optuna-dashboard ", "tensorboard ",
        "PYTHON=", "pip install ", "featherface ", "featherface-train ", "curl ", "torchrun ",
        "g++ ", "./faces ",
    )  # fmt: skip
    lines = [line for block in BLOCKS.values() for line in block.splitlines() if line.strip()]
    assert not [line for line in lines if not line.startswith(known)]


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    shown = "\n".join([*BLOCKS.values(), *(span for spans in INLINE.values() for span in spans)])
    shown = re.sub(r"#.*", "", shown)
    found = set(re.findall(r"\bmake (?:-n )?([a-z][a-z-]*)", shown))
    assert {"demo", "test"} <= found <= targets


# Files


@pytest.mark.parametrize("page", PAGES)
def test_links_exist(page):
    for target in re.findall(r"\]\((?!http)([^)]+)\)", PAGES[page]):
        file, _, title = target.partition("#")
        path = ((ROOT / page).parent / file).resolve() if file else ROOT / page
        assert path.exists(), target
        if title:
            titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
            anchors = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in titles]
            assert title in anchors, target


def _mapped() -> Iterator[str]:
    """The paths of the README's map."""
    section = README.split("## What is where")[1].split("```")[1]
    for entry in re.findall(r"^(\S+)", section, re.M):
        names = re.match(r"(.*)\{(.*)\}(.*)", entry)
        yield from [names[1] + n + names[3] for n in names[2].split(",")] if names else [entry]


def test_map_names_what_exists():
    paths = list(_mapped())
    for path in paths:
        assert (ROOT / path).exists(), path
    there = {
        f"src/{path.name}/" if path.is_dir() else f"src/{path.name}"
        for path in (ROOT / "src").iterdir()
        if path.name not in ("__init__.py", "__pycache__", "py.typed")
    }
    assert sorted(path for path in paths if path.startswith("src/")) == sorted(there)


# Settings


def _keys(node: object, path: str = "") -> Iterator[str]:
    if isinstance(node, DictConfig):
        for name in node:
            full = f"{path}.{name}" if path else str(name)
            yield full
            yield from _keys(node._get_node(name), full)


@pytest.fixture(scope="module")
def settings() -> set[str]:
    """Every setting that some command has, with the options that add settings."""
    starts = [(file.stem, []) for file in CONF.glob("*.yaml")]
    starts += [("train", [f"model={file.stem}"]) for file in (CONF / "model").glob("*.yaml")]
    starts += [("train", ["data=coco"])]
    starts += [("train", ["kd=feature", "ema=exponential"]), ("train", ["kd=cached"])]
    starts += [("train", ["pruning=soft", "hydra/sweeper=optuna"])]
    found = set()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for name, overrides in starts:
            found.update(_keys(compose(name, overrides, return_hydra_config=True)))
    return found


def _is_setting(key: str, settings: set[str]) -> bool:
    """Whether a key exists; GROUP in capitals stands for any name."""
    pattern = re.compile(re.sub(r"\b[A-Z]+\b", r"[^.]+", re.escape(key)))
    return any(pattern.fullmatch(each) for each in settings)


@pytest.mark.parametrize("page", PAGES)
def test_settings_named_in_text_exist(page, settings):
    for span in INLINE[page]:
        words = () if span.startswith(("python ", "pip ", "CUDA_VISIBLE")) else span.split()
        for key, value in re.findall(r"^([a-z]\w*(?:[./]\w+)*)=(.*)$", "\n".join(words), re.M):
            if value in ("value", "option") or key == "hydra/launcher":  # syntax; other packages
                continue
            if not (CONF / key).is_dir():
                assert _is_setting(key, settings), span
            elif re.fullmatch(r"\w*[a-z]\w*", value):  # NAME is any
                assert (CONF / key / f"{value}.yaml").is_file(), span
        if re.fullmatch(r"[a-z]\w*(\.\w+)+", span) and not _is_file_or_code(span):
            assert _is_setting(span, settings), span


def _is_file_or_code(name: str) -> bool:
    suffixes = (
        "ckpt",
        "csv",
        "html",
        "json",
        "jsonl",
        "log",
        "md",
        "onnx",
        "png",
        "pth",
        "svg",
        "txt",
        "yaml",
    )
    return name.startswith(("src.", "optuna.", "cv2.", "torch.")) or name.endswith(suffixes)


def test_options_listed_are_those_of_conf():
    """The page of commands lists every option of every group."""
    table = PAGES["docs/commands.md"].split("## Groups of options")[1].split("\n## ")[0]
    listed = {row[0]: set(re.findall(r"`(\w+)`", row[1]))
              for row in re.findall(r"^\| `(\w+)=` \| (.+) \|$", table, re.M)}  # fmt: skip
    defaults = yaml.safe_load((CONF / "train.yaml").read_text())["defaults"]
    groups = {name for item in defaults if isinstance(item, dict) for name in item}
    groups -= {"override hydra/help"}
    assert set(listed) == groups
    for group, options in listed.items():
        there = {file.stem for file in (CONF / group).glob("*.yaml")}
        assert options - {"best"} == there, group
