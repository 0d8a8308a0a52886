"""Training that begins with pruning: a narrow network learns on, resumes and is loaded as it is."""

from __future__ import annotations

import json

import pytest
import torch

from src import checkpoint
from src.cli.options import store_option_files
from src.pruning import PruningSpec, prune_at_once
from src.train import train

RATES = {
    "backbone_early": 0.2, "backbone_late": 0.3, "cbam": 0.2, "bifpn": 0.25, "ssh": 0.2,
    "heads": 0.1,
}  # fmt: skip
BEST = f"""# @package _global_
# Found by study demo: trial 17 of 25
pruning:
  _target_: src.pruning.PruningSpec
  rates: {json.dumps(RATES)}
  bounds: {json.dumps({name: [0.0, 0.6] for name in RATES})}
  parameters: null
  multiple: 2
"""


@pytest.fixture
def start(configure, student, tmp_path):
    """``start("run", "a=1")``: configuration and folder of a training that begins with it."""

    def start(name, *options):
        given = ["model=checkpoint", f"init.model={student}", "trainer.log_every_n_steps=1"]
        return configure("train", tmp_path / name, *given, *options), tmp_path / name

    return start


def state(folder):
    content = checkpoint.read(folder / "checkpoints" / "last.ckpt")
    found = {f"model {name}": value for name, value in content["state_dict"].items()}
    for number, values in content["optimizer_states"][0]["state"].items():
        found |= {f"optimizer {number} {k}": torch.as_tensor(v) for k, v in values.items()}
    return found


def test_what_is_left_is_trained(start, student, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "best.yaml").write_text(BEST)
    option = f"pruning={tmp_path / 'best'}"
    store_option_files([option])
    config, folder = start("run", option, "trainer.max_steps=1")
    train(config, folder)
    trained = checkpoint.load(folder / "checkpoints" / "best.ckpt").model
    results = json.loads((folder / "pruning.json").read_text())
    dense = checkpoint.load(student).model
    assert results["rates"] == RATES
    assert results["multiple"] == 2
    assert {row["name"]: row["after"] for row in results["widths"]} == trained.config["widths"]
    assert results["parameters"] == [
        sum(p.numel() for p in each.parameters()) for each in (dense, trained)
    ]
    run = json.loads((folder / "run.json").read_text())
    assert run["parameters"] == results["parameters"][1]
    assert run["pruning"] == {"rates": RATES, "parameters_before": results["parameters"][0]}
    assert option in run["overrides"]
    assert (folder / "pictures" / "widths.png").read_bytes().startswith(b"\x89PNG")
    before, after = (f"{count:,}" for count in results["parameters"])
    assert f"pruned at the start: {after} parameters, of {before}" in caplog.text
    # What one step moved lay close to what was left of the student.
    spec = PruningSpec(rates=RATES, bounds=dict.fromkeys(RATES, (0.0, 0.6)), multiple=2)
    left = prune_at_once(dense, spec).model
    moved = torch.cat([(a - b).abs().flatten() for a, b in zip(
        left.parameters(), trained.parameters(), strict=True)])  # fmt: skip
    assert 0 < moved.max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kd", ["none", "weighted", "feature"])
def test_resumed_equals_uninterrupted(start, train_until_killed, teacher, kd):
    options = ["pruning=one_shot", "pruning.importance=random", "trainer.max_epochs=2", f"kd={kd}"]
    if kd != "none":
        options.append(f"kd.teacher={teacher}")
    config, whole = start("whole", *options)
    train(config, whole)
    config, parts = start("parts", *options)
    train_until_killed(config, parts)
    torch.rand(7)  # another random state
    config, parts = start("parts", *options, "resume=true", "run=x")
    train(config, parts)
    expected, found = state(whole), state(parts)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert (whole / "pruning.json").read_text() == (parts / "pruning.json").read_text()


@pytest.mark.slow
def test_other_rates_cannot_resume(start):
    config, folder = start("run", "pruning=one_shot", "trainer.max_steps=1")
    train(config, folder)
    record = (folder / "run.json").read_text()
    again = ["pruning=one_shot", "pruning.parameters=0.7", "resume=true", "run=x"]
    config, folder = start("run", *again)
    with pytest.raises(ValueError, match=r"got one with widths\.\w+=\d+ \(not \d+\)"):
        train(config, folder)
    assert (folder / "run.json").read_text() == record


def test_random_weights_are_not_pruned(configure, tmp_path):
    config = configure("train", tmp_path, "pruning=one_shot")
    with pytest.raises(ValueError, match=r"expected trained weights in init\.model .*init\.model="):
        train(config, tmp_path)
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("pruning.rates.bifpn=0.7", r"expected pruning\.rates\.bifpn from 0\.15 to 0\.6"),
        ("pruning.parameters=10", r"expected pruning\.parameters of at least"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(start, option, message):
    config, folder = start("run", "pruning=one_shot", option)
    with pytest.raises(Exception, match=message):
        train(config, folder)
    assert not (folder / "run.json").exists()
