"""Folders of options that a command line adds may be anyone's, as files given as options."""

from __future__ import annotations

import re
import sys

import pytest
from omegaconf import OmegaConf

from src.train import main

GLOBAL = "# @package _global_\n"


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type ``python -m src.train --config-dir tree ARGUMENTS``; its settings, or its sentence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree").mkdir()

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["train", *arguments, "--cfg", "job"])
        try:
            main()
        except SystemExit as stop:
            if stop.code:
                return str(stop.code)
        return OmegaConf.create(capsys.readouterr().out)

    def give(path, text, *arguments, folder=("--config-dir", "tree")):
        file = tmp_path / "tree" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        group, _, name = path.removesuffix(".yaml").partition("/")
        if group == "hydra":
            group, _, name = path.removesuffix(".yaml").rpartition("/")
        return run(*folder, *(arguments or [f"{group}={name}"]))

    return give


@pytest.mark.parametrize(
    ("path", "text"),
    [
        # nothing of Hydra
        ("experiment/mine.yaml", GLOBAL + "hydra: {job: {env_set: {A: b}}}\n"),
        ("experiment/mine.yaml", GLOBAL + "hydra: {run: {dir: /tmp/x}}\n"),
        ("experiment/mine.yaml", GLOBAL + "hydra: {callbacks: {a: {_target_: os.system}}}\n"),
        ("experiment/mine.yaml", GLOBAL + "hydra: {sweeper: {_target_: os.system}}\n"),
        ("experiment/mine.yaml", GLOBAL + "run_dir: /tmp/x\n"),
        ("experiment/mine.yaml", GLOBAL + "run: ../../x\n"),
        ("experiment/mine.yaml", "# @package hydra\ncallbacks: {}\n"),
        ("optimizer/mine.yaml", "# @package hydra.job\nenv_set: {A: b}\n"),
        ("optimizer/mine.yaml", "# @note one\n# @package _global_\nhydra: {job: {name: a}}\n"),
        ("hydra/launcher/mine.yaml", "_target_: os.system\n"),
        ("hydra/callbacks/mine.yaml", "a: {_target_: os.system}\n"),
        ("hydra/job_logging/mine.yaml", "version: 1\n"),
        # what is of the group, and nothing else
        ("optimizer/mine.yaml", GLOBAL + "trainer: {max_epochs: 3}\n"),
        ("model/own/mine.yaml", GLOBAL + "seed: 3\n"),
        ("pruning/mine.yaml", "sede: 3\n"),
        ("pruning/mine.yaml", GLOBAL + "pruning: {rates: {_target_: torch.load}}\n"),
        # no secrets
        ("optimizer/mine.yaml", "lr: ${oc.env:HOME}\n"),
        ("experiment/mine.yaml", GLOBAL + "run: '${oc.env:HOME}'\n"),
        # no other files
        ("optimizer/mine.yaml", "defaults: [../../other]\n"),
        ("optimizer/mine.yaml", "defaults: [/other]\n"),
        ("optimizer/mine.yaml", "defaults: [sgd@hydra.job]\n"),
        ("experiment/mine.yaml", GLOBAL + "defaults: [{override /hydra/launcher: joblib}]\n"),
    ],
)
def test_other_settings_are_refused(path, text, typed, tmp_path):
    (tmp_path / "other.yaml").write_text("lr: 3\n")
    (tmp_path / "tree" / "other.yaml").write_text("lr: 3\n")
    said = typed(path, text)
    assert isinstance(said, str), said
    assert said.startswith("error: ")
    assert f"tree/{path}: expected " in said


@pytest.mark.parametrize(
    "folder",
    [
        ["--config-dir=tree"], ["-cd", "tree"], ["-cd=tree"], ["--config-d", "tree"],
        ["hydra.searchpath=[tree]"], ["hydra.searchpath=[other,file://tree]"],
    ],
)  # fmt: skip
def test_however_a_folder_is_added(folder, typed):
    path = "optimizer/own/mine.yaml"  # with a /, of which tests remember nothing
    said = typed(path, GLOBAL + "hydra: {job: {name: a}}\n", folder=folder)
    assert f"tree/{path}: expected" in said
    assert typed(path, "lr: 3\n", folder=folder).optimizer.lr == 3


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--config-path", "tree"], "got --config-path tree, which replaces all of conf/"),
        (["-cp=/tree"], "got --config-path =?/tree, which"),
        (["--config-p=tree"], "got --config-path tree, which"),
        (["--config-name=mine"], "got --config-name mine, which replaces the settings of"),
        (["-cn", "optimizer/mine"], "got --config-name optimizer/mine, which"),
        (["--experimental-rerun", "a.pickle"], r"got --experimental-rerun a\.pickle, whose file"),
        (["--exp=a.pickle"], r"got --experimental-rerun a\.pickle, whose file can run code"),
        (["seed=1", "--config-dir", "tree", "--exp=a"], "got --experimental-rerun a"),
        (["hydra.searchpath=[pkg://tree]", "optimizer=own/mine"], "got pkg://tree; write its path"),
    ],
)  # fmt: skip
def test_other_programs_are_refused(flags, sentence, typed, tmp_path, monkeypatch):
    (tmp_path / "tree" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    said = typed("optimizer/own/mine.yaml", "lr: 3\n", *flags, folder=[])
    assert isinstance(said, str), said
    assert re.search(sentence, said), said


def test_a_link_is_looked_at_as_well(typed, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "evil.yaml").write_text(GLOBAL + "hydra: {job: {name: a}}\n")
    (tmp_path / "tree" / "optimizer").mkdir()
    (tmp_path / "tree" / "optimizer" / "own").symlink_to(tmp_path / "far")
    said = typed("model/mine.yaml", "a: 1\n", "optimizer=own/evil")
    assert "tree/optimizer/own/evil.yaml: expected" in said


def test_names_do_not_lead_out_of_it(typed, tmp_path):
    (tmp_path / "other" / "optimizer").mkdir(parents=True)
    (tmp_path / "other" / "optimizer" / "evil.yaml").write_text("lr: 3\n")
    said = typed("optimizer/mine.yaml", "lr: 3\n", "optimizer=../../other/optimizer/evil")
    assert "expected options of groups, such as optimizer/mine.yaml, in an added folder" in said


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: [1\n", "which is not YAML"),
        (b"a: \x00\n", "which cannot be read"),
        (b"a: \xff\n", "which cannot be read: 'utf-8' codec"),
        (b"a: &a [*a]\n", "aliases followed"),
        (b"- a\n", "which holds no such table"),
        (b"# @package\na: 1\n", "Expected header format"),
    ],
)
def test_what_is_no_settings(content, problem, typed):
    said = typed("model/own/mine.yaml", content)
    assert said.startswith("error: ")
    assert "tree/model/own/mine.yaml" in said
    assert problem in said


@pytest.mark.parametrize(
    ("path", "text", "key", "value"),
    [
        ("optimizer/mine.yaml", "defaults: [sgd]\nlr: 3\n", "optimizer.lr", 3),
        ("model/own/mine.yaml", "name: plain\nstem: 4\n", "model.stem", 4),
        ("kd/own/mine.yaml", GLOBAL + "kd: {teacher: a}\n", "kd.teacher", "a"),
        ("pruning/own/mine.yaml", "floor: 0.2\n", "pruning.floor", 0.2),
        ("+ours/own/mine.yaml", "a: ${seed}\n", "ours.a", 0),
    ],
)
def test_what_may_be_set(path, text, key, value, typed):
    group, _, name = path.removesuffix(".yaml").partition("/")
    found = typed(path.lstrip("+"), text, f"{group}={name}")
    assert OmegaConf.select(found, key) == value


def test_an_experiment_with_parts_of_ones_own(typed, tmp_path):
    (tmp_path / "tree" / "optimizer").mkdir()
    (tmp_path / "tree" / "optimizer" / "mine.yaml").write_text("defaults: [sgd]\nmomentum: 0.3\n")
    text = "defaults: [finetune, {override /optimizer: mine}]\nseed: 4\n"
    found = typed("experiment/mine.yaml", GLOBAL + text)
    assert (found.seed, found.optimizer.momentum) == (4, 0.3)
