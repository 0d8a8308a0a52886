"""Files as options; what Hydra refuses is said in one sentence that lists the options."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from src.cli.command import refusal
from src.cli.options import CONF, store_option_files

GROUPS = "backbone_early, backbone_late, cbam, bifpn, ssh, heads"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("pruning.rates.neck=0.3", f"a setting of pruning.rates among {GROUPS}; got 'neck'"),
        ("pruning.rates={neck:0.3}", f"a setting of pruning.rates among {GROUPS}; got 'neck'"),
        (
            "kd=weightd",
            "kd= of cached, feature, fixed, labels, none, weighted, yunet; got 'weightd'",
        ),
        ("model.chanels=8", "a setting of model among name, preset, prior_sizes; got 'chanels'"),
        ("sede=1", "a setting of train among model, data, .*; got 'sede'"),
    ],
)
def test_unknown_names(argument, sentence):
    assert re.fullmatch(f"expected {sentence}", sentence_for("pruning=soft", argument))


def test_what_cannot_be_parsed_is_one_line():
    sentence = sentence_for("seed=1", "model==")
    assert "\n" not in sentence
    assert "model==" in sentence


def sentence_for(*arguments: str) -> str:
    with pytest.raises(HydraException) as caught:
        config_of("train", *arguments)
    return refusal(caught.value, "train", arguments)


def config_of(name: str, *arguments: str):
    store_option_files(arguments)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(arguments))


# Files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with the files ``found/{best,bare,small}.yaml``."""
    (tmp_path / "found").mkdir()
    monkeypatch.chdir(tmp_path)
    put = {
        "best": "# @package _global_\n# Found by a study\n"
        "pruning:\n  damping: 0.25\n  multiple: ${seed}\n",
        "bare": "lr: 1e-5\n",
        "small": "# @package _global_\ndefaults: [one_shot]\npruning:\n  parameters: 0.3\n",
        "mine": "# @package _global_\ndefaults:\n  - override /kd: weighted\nseed: 5\n",
    }
    for name, text in put.items():
        (tmp_path / "found" / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "path",
    ["found/best", "found/best.yaml", "./found/best", "../HERE/found/best", "TMP/found/best",
     "TMP/found/best.yaml", "'found/best'"],
)  # fmt: skip
def test_a_file_is_an_option(folder, path):
    typed = path.replace("TMP", str(folder)).replace("HERE", folder.name)
    config = config_of("train", f"pruning={typed}", "seed=3", "pruning.damping=0.5")
    assert config.pruning == {"damping": 0.5, "multiple": 3}


def test_names_with_spaces(folder):
    (folder / "found").rename(folder / "what was found")
    for typed in ("what was found/best", '"what was found/best"'):
        assert config_of("train", f"pruning={typed}").pruning.damping == 0.25


def test_a_file_without_a_package_is_that_of_its_group(folder):
    assert config_of("train", "optimizer=found/bare").optimizer == {"lr": 1e-5}


def test_a_file_has_defaults_of_its_group(folder):
    config = config_of("prune", "checkpoint=a", "pruning=found/small", "pruning.multiple=8")
    assert (config.pruning.parameters, config.pruning.multiple) == (0.3, 8)
    assert config.pruning.importance == "fpgm"


def test_an_experiment_of_ones_own(folder):
    config = config_of("train", "experiment=[finetune,found/mine]", "init.model=a")
    assert (config.seed, config.scaling.rule) == (5, "none")
    assert config.module["_target_"] == "src.training.DistillationModule"


def test_a_file_may_change_between_two_commands(folder):
    assert config_of("train", "optimizer=found/bare").optimizer.lr == 1e-5
    (folder / "found" / "bare.yaml").write_text("lr: 2\n")
    assert config_of("train", "optimizer=found/bare").optimizer.lr == 2


def test_every_value_of_a_sweep_is_looked_at(folder):
    store_option_files(["-m", "pruning=none,found/best,'found/small'", "seed=1,2", "--help"])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = [compose("train", [f"pruning={p}"]).pruning for p in ("found/best", "found/small")]
    assert [len(each) > 2 for each in found] == [False, True]


def test_no_such_option_of_a_group_in_a_group():
    assert sentence_for("loss/box=l3") == "expected loss/box= of iou, smooth_l1; got 'l3'"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("pruning=found/worst",
         "none, one_shot, soft or the path of a YAML file; got 'found/worst', which does not ex.*"),
        ("pruning=/nowhere/best.yaml",
         "none, .* YAML file; got '/nowhere/best.yaml', which does not exist"),
        ("pruning=./found", "none, .* YAML file; got './found', which is a folder"),
        ("data=found/bare",
         "coco, demo, synthetic, widerface, yolo or .*; got 'found/bare'; add recipe=NAME"),
        ("pruning=best", r"none, one_shot, soft; got 'best'; pruning=\./best is the file"),
    ],
)  # fmt: skip
def test_no_such_file(folder, argument, sentence):
    (folder / "best.yaml").write_text("a: 1\n")
    group = "recipe" if argument.startswith("data") else "pruning"
    assert re.fullmatch(f"expected {group}= of {sentence}", sentence_for(argument))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: 1\n b: 2\n", r"which is not YAML: mapping values are not allowed here in line 2"),
        ("a: 1\na: 2\n", r"which is not YAML: found duplicate key a in line 2"),
        ("- a\n", r"which holds no such table"),
        ("hello\n", r"which holds no such table"),
        ("a: ${\n", r"which cannot be read: .*"),
        (b"\x89PNG\xff", r"which cannot be read: .*"),
    ],
)
def test_no_such_settings(folder, content, problem):
    (folder / "x.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    wanted = f"expected pruning= of a YAML file with a table of settings, got x.yaml, {problem}"
    with pytest.raises(ValueError, match=f"^{wanted}$"):
        store_option_files(["pruning=./x"])


def test_other_paths_are_no_options(folder):
    (folder / "found" / "list.yaml").write_text("- a\n")
    store_option_files(
        ["checkpoint=found/list", "kd.teacher=found/list.yaml", "hydra/sweeper=found/list",
         "pruning=/", "a=b/c", "~pruning", "--config-dir", "found", "x==y"]
    )  # fmt: skip


@pytest.mark.slow
def test_a_multirun_over_files(folder, weights):
    """And its record is a command that works again."""
    (folder / "found" / "small.yaml").write_text(
        "# @package _global_\ndefaults: [one_shot]\npruning: {parameters: 0.8}\n"
    )
    command = [
        sys.executable, "-m", "src.prune", "-m", f"checkpoint={weights}", "recalibration.batches=0",
        "measure_ap=false", "pruning=none,found/small", "hydra.sweep.dir=jobs",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    results = [json.loads((folder / f"jobs/{n}/pruning.json").read_text()) for n in range(2)]
    before, after = results[1]["parameters"]
    assert results[0]["parameters"] == [before, before]
    assert after <= 0.8 * before
    overrides = json.loads((folder / "jobs/1/run.json").read_text())["overrides"]
    assert "pruning=found/small" in overrides
    subprocess.run([*command[:3], *overrides, "hydra.run.dir=again"], check=True)
    again = json.loads((folder / "again/pruning.json").read_text())
    assert again["parameters"] == [before, after]


@pytest.mark.slow
def test_a_command_ends_with_it(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "src.prune", "checkpoint=a", f"hydra.run.dir={folder}"]
    ended = subprocess.run([*command, "pruning.rates.neck=0.3"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.strip() == (
        f"error: expected a setting of pruning.rates among {GROUPS}; got 'neck'"
    )
    assert not folder.exists()
