"""Every command that the README shows composes, and every file it names is there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from src.cli.options import store_option_files

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.S))
INLINE = re.findall(r"`(python -m src\.[^`]*)`", README)
COMMANDS = sorted({
    line.split("#")[0].strip()
    for line in [*BLOCKS.splitlines(), *INLINE]
    if line.startswith("python -m src.")
})  # fmt: skip


def test_the_readme_shows_commands():
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, module, *overrides = shlex.split(command)
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
    overrides = [o for o in overrides if o != "-m" and "interval(" not in o]
    for file in re.findall(r"pruning=(outputs/\S+)", command):  # what a search leaves
        (tmp_path / file).parent.mkdir(parents=True)
        shutil.copy(ROOT / "conf/pruning/one_shot.yaml", tmp_path / f"{file}.yaml")
    store_option_files(overrides)
    # A multirun's list is one value per job: the first stands for all.
    overrides = [re.sub(r"^([\w.]+=[^\[,]+),.*$", r"\1", o) for o in overrides]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        compose(module.removeprefix("src."), overrides)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_files_of_the_map_exist():
    section = README.split("## What is where")[1].split("```")[1]
    for entry in re.findall(r"^(\S+)", section, re.M):
        names = re.match(r"(.*)\{(.*)\}(.*)", entry)
        paths = [names[1] + n + names[3] for n in names[2].split(",")] if names else [entry]
        for path in paths:
            assert (ROOT / path).exists(), path


def test_links_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_makefile_runs_what_the_readme_says():
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)/", "").replace(" $(ARGS)", "")
    tour = README.split("## The five-minute tour")[1].split("```")[1]
    for line in tour.splitlines():
        if line.startswith("python -m"):
            assert line in makefile, line
