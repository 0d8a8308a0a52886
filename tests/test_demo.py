"""What `make demo` promises: a guided search, a teacher that learned longer, an ending."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from composing import composed
from hydra import compose, initialize_config_dir

from src.pipeline import stages_of

ROOT = Path(__file__).resolve().parents[1]
RECIPE = (ROOT / "Makefile").read_text().split("\ndemo:")[1].split("\n\n")[0]


@pytest.fixture(scope="module")
def commands():
    """Name of each stage -> its command's configuration."""
    folder = ROOT / "outputs" / "pipeline" / "demo"
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        stages = stages_of(compose("pipeline"), folder)
        results = {stage.name: stage.result for stage in stages}
        return {
            stage.name: compose(
                stage.command,
                [a for a in stage.arguments(results) if not a.startswith("pruning=")],
                return_hydra_config=True,
            )
            for stage in stages
        }


def test_the_search_is_guided_and_its_widths_suit_processors(commands):
    config = commands["search"]
    assert config.hydra.sweeper.n_trials - config.hydra.sweeper.design >= 4
    assert config.hydra.sweeper.sampler._target_ == "optuna.samplers.GPSampler"
    assert config.pruning.multiple == 8


def test_the_teacher_learns_longer_than_student_and_pruned_student(commands):
    teacher, student, pruned = (
        commands[name].trainer.max_epochs for name in ("teacher", "distil", "finetune")
    )
    assert teacher > student + pruned


def test_experiments_and_search_find_what_the_demo_left(commands):
    teacher, student = (
        f"outputs/pipeline/demo/{name}/checkpoints/best.ckpt" for name in ("teacher", "distil")
    )
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        alone = compose("train", ["experiment=demo_pruned"])
        search = compose("sweep_pruning", ["search=demo"])
    assert (alone.init.model, alone.kd.teacher, search.checkpoint) == (student, teacher, student)
    assert commands["finetune"].init.model == str(ROOT / student)


def test_the_end_says_where_the_results_are(tmp_path):
    assert re.findall(r"src\.pipeline(.*)", RECIPE) == [""]
    with composed("pipeline", tmp_path) as config:
        name = config.name
    assert f"outputs/pipeline/{name}/page.html" in RECIPE
    assert f"outputs/pipeline/{name}/predict/sheet.png" in RECIPE
    assert re.search(r'echo "next +\$\(BIN\)/python -m src\.predict checkpoint=flagship', RECIPE)
