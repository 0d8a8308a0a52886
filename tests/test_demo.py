"""What `make demo` promises: a guided search, a teacher that learned longer, an ending."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from hydra import compose, initialize_config_dir

ROOT = Path(__file__).resolve().parents[1]
RECIPE = (ROOT / "Makefile").read_text().split("\ndemo:")[1].split("\n\n")[0]
COMMANDS = {
    module: words
    for module, *words in (
        shlex.split(line) for line in re.findall(r"^\t\$\(BIN\)/python -m src\.(.*)", RECIPE, re.M)
    )
}


def composed(name, *overrides):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(name, [*overrides], return_hydra_config=True)


def test_the_search_is_guided_and_its_widths_suit_processors():
    config = composed("sweep_pruning", *COMMANDS["sweep_pruning"])
    assert config.hydra.sweeper.n_trials - config.hydra.sweeper.design >= 4
    assert config.hydra.sweeper.sampler._target_ == "optuna.samplers.GPSampler"
    assert config.pruning.multiple == 8


def test_the_teacher_learns_longer_than_student_and_pruned_student():
    epochs = {
        name: composed("train", f"experiment={name}", "run=x").trainer.max_epochs
        for name in ("demo", "demo_student", "demo_pruned")
    }
    assert epochs["demo"] > epochs["demo_student"] + epochs["demo_pruned"]


def test_the_end_says_where_the_results_are():
    shown = re.findall(r'echo "[^"]*?(outputs/\S+)\.\w+"', RECIPE)
    folders = [word.removeprefix("hydra.run.dir=")
               for module in ("measure", "predict")
               for word in COMMANDS[module] if word.startswith("hydra.run.dir=")]  # fmt: skip
    study = f"outputs/sweeps/{composed('sweep_pruning', *COMMANDS['sweep_pruning']).study}"
    assert sorted({str(Path(file).parent) for file in shown}) == sorted([*folders, study])
    assert re.search(r'echo "next +\$\(BIN\)/python -m src\.predict', RECIPE)
