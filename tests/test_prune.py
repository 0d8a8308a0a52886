"""Pruning at once: what is written, what is refused first, and the fine-tuning after it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from composing import TINY_DATA, composed
from hydra.errors import InstantiationException

from src import checkpoint
from src.cli.errors import one_sentence
from src.cli.settings import check_types
from src.models import featherface_v1, featherface_v2
from src.profiling.complexity import complexity
from src.prune import prune
from src.train import train

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["recalibration.batches=2", "data.image_size=64", "data.batch_size=2",
         "trainer.accelerator=cpu", "height=64", "width=64"]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "tiny"


@pytest.fixture
def run(tmp_path, tree):
    """``run(file, "a=1")``: the results and the folder of that command."""

    def run(file, *options):
        folder = tmp_path / "run"
        given = [f"checkpoint={file}", f"data.root={tree}", *TINY_DATA, *QUICK, *options]
        with composed("prune", folder, *given) as config:
            check_types(config)
            return prune(config, folder), folder

    return run


def same(a, b, *, without=()):
    return a.keys() == b.keys() and all(
        torch.equal(a[key], b[key]) for key in a if not key.endswith(tuple(without))
    )


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def test_prune(run, student, caplog):
    caplog.set_level("INFO")
    results, folder = run(student)
    written = json.loads((folder / "pruning.json").read_text())
    assert {**written, "metrics": None} == {**results, "metrics": None}  # NaN is null there
    assert written["metrics"]["ap"] == results["metrics"]["ap"]
    assert list(results) == [
        "checkpoint", "importance", "bn_fold", "multiple", "reconstruction", "rates",
        "realised_rates", "masked_difference", "widths", "parameters", "multiply_adds", "metrics",
    ]  # fmt: skip
    dense, facts = checkpoint.load(student).model, checkpoint.load(folder / "pruned.ckpt").metadata
    pruned = checkpoint.load(folder / "pruned.ckpt").model
    both = [complexity(each, 64, 64) for each in (dense, pruned)]
    assert results["parameters"] == [each.parameters for each in both]
    assert results["multiply_adds"] == [each.multiply_adds for each in both]
    assert results["parameters"][1] <= 0.5 * results["parameters"][0]
    assert {row["name"]: row["after"] for row in results["widths"]} == pruned.config["widths"]
    assert results["masked_difference"] <= 1e-5
    assert 0 <= results["metrics"]["ap"] <= 1
    assert facts["metrics"] == pytest.approx(results["metrics"], nan_ok=True)
    assert facts["pruning"] == {
        "from": str(student), "rates": results["rates"],
        "realised_rates": results["realised_rates"],
    }  # fmt: skip
    assert (folder / "widths.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "config.yaml").is_file()
    assert "removed differs from masked by" in caplog.text
    assert f"pruned network: {folder / 'pruned.ckpt'}" in caplog.text


@pytest.mark.slow
def test_the_same_command_gives_the_same_network(run, student):
    states = []
    for _ in range(2):
        _, folder = run(student, "measure_ap=false")
        states.append(checkpoint.load(folder / "pruned.ckpt").model.state_dict())
    assert same(*states)


def test_without_pruning_statistics_alone_are_measured(run, student):
    results, folder = run(student, "pruning=none", "measure_ap=false")
    before = checkpoint.load(student).model
    after = checkpoint.load(folder / "pruned.ckpt").model
    assert after.config == before.config
    assert same(before.state_dict(), after.state_dict(), without=STATISTICS)
    assert not same(before.state_dict(), after.state_dict())
    assert results["parameters"][0] == results["parameters"][1]
    assert "rates" not in results
    assert results["metrics"] == {}
    assert not (folder / "widths.png").exists()


def test_without_recalibration_statistics_are_the_old(run, student):
    _, folder = run(student, "recalibration.batches=0", "measure_ap=false", "pruning=none")
    state = checkpoint.load(folder / "pruned.ckpt").model.state_dict()
    assert same(checkpoint.load(student).model.state_dict(), state)


def test_given_rates(run, student):
    results, _ = run(
        student, "measure_ap=false", "recalibration.batches=0", "pruning.parameters=null",
        "pruning.rates.bifpn=0.5", "pruning.importance=l1", "pruning.multiple=4",
    )  # fmt: skip
    assert results["rates"] == {
        "backbone_early": 0.0, "backbone_late": 0.1, "cbam": 0.1, "bifpn": 0.5, "ssh": 0.1,
        "heads": 0.0,
    }  # fmt: skip
    widths = {row["name"]: row["after"] for row in results["widths"]}
    assert widths["bifpn"] == 8
    assert results["realised_rates"]["bifpn"] == 0.5
    assert (results["importance"], results["multiple"]) == ("l1", 4)


def test_layers_are_refit_to_the_images(run, student):
    options = ["measure_ap=false", "recalibration.batches=0", "pruning.importance=reconstruction",
               "pruning.num_images=4"]  # fmt: skip
    bare, folder = run(student, *options)
    before = checkpoint.load(folder / "pruned.ckpt").model.state_dict()
    refit, folder = run(student, *options, "pruning.reconstruction=least_squares")
    after = checkpoint.load(folder / "pruned.ckpt").model.state_dict()
    assert (bare["reconstruction"], refit["reconstruction"]) == (None, "least_squares")
    assert bare["widths"] == refit["widths"]
    assert not same(before, after, without=STATISTICS)


def test_batches_go_on_after_the_last(tree):
    from hydra.utils import instantiate

    options = [f"data.root={tree}", "checkpoint=x", *TINY_DATA, *QUICK]
    with composed("prune", tree.parent / "x", *options) as config:
        data = instantiate(config.data, _convert_="all")
    data.prepare_data()
    data.setup()
    batches = list(data.training_images(6))  # three of them an epoch
    assert [tuple(batch.shape) for batch in batches] == [(2, 3, 64, 64)] * 6
    assert not torch.equal(torch.cat(batches[:3]).sum(), torch.cat(batches[3:]).sum())  # new crops


@pytest.mark.slow
def test_a_network_of_few_groups(run, weights):
    results, folder = run(weights, "measure_ap=false", "recalibration.batches=0",
                          "pruning.parameters=0.7")  # fmt: skip
    assert results["rates"]["heads"] == 0.0
    assert checkpoint.load(folder / "pruned.ckpt").model.config["name"] == "featherface_v1"


# Refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["pruning.rates.bifpn=0.7"], r"expected pruning\.rates\.bifpn from 0\.15 to 0\.6"),
        (["pruning.bounds.ssh=[0,1]"], r"expected pruning\.bounds\.ssh as"),
        (["pruning.parameters=-1"], r"expected pruning\.parameters above 0"),
        (["pruning.multiple=0"], r"expected pruning\.multiple of at least 1"),
        (["pruning.importance=taylor"], r"expected pruning\.importance of fpgm"),
        (["+pruning.rates.neck=0.3"], r"expected pruning\.rates of the groups .*neck"),
        (["pruning=soft"], r"expected pruning=one_shot or pruning=none .*got pruning=soft; python"),
        (
            ["recalibration.batches=-1"],
            r"recalibration\.batches to be a whole number of at least 0",
        ),
    ],
)
def test_settings_are_looked_at_before_files(run, tmp_path, options, message):
    with pytest.raises((ValueError, InstantiationException), match=message):
        run(tmp_path / "missing.ckpt", *options)
    assert not (tmp_path / "run" / "pruned.ckpt").exists()


def test_a_missing_checkpoint(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a checkpoint file, found none at"):
        run(tmp_path / "missing.ckpt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["pruning.parameters=10"], r"expected pruning\.parameters of at least .*got 10"),
        (["pruning.parameters=0.01"], r"expected pruning\.parameters of at least .*got 0\.01"),
        (["pruning.rates.heads=0.2"], r"expected pruning\.rates\.heads=null for a network"),
    ],
)
def test_what_the_network_does_not_allow_leaves_the_old_result(run, weights, tmp_path, options,
                                                              message):  # fmt: skip
    old = tmp_path / "run" / "pruned.ckpt"
    old.parent.mkdir()
    old.write_bytes(b"old")
    with pytest.raises(ValueError, match=message):
        run(weights, *options)
    assert old.read_bytes() == b"old"
    assert sorted(file.name for file in old.parent.iterdir()) == ["pruned.ckpt"]


def test_a_network_without_wiring(run, tmp_path):
    path = tmp_path / "v2.ckpt"
    checkpoint.save(path, featherface_v2())
    with pytest.raises(ValueError, match=r"expected a network that can be pruned .*featherface_v2"):
        run(path)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("pruning.rates.bifpn=abc", r"expected pruning\.rates\.bifpn to be a number"),
        ("pruning.rates.bifpn=0.7", r"expected pruning\.rates\.bifpn from 0\.15 to 0\.6"),
        ("pruning.parameters=many", r"expected pruning\.parameters to be a number"),
        ("pruning.multiple=1.5", r"expected pruning\.multiple to be a whole number"),
        ("pruning.bounds.bifpn=0.3", r"expected pruning\.bounds\.bifpn to be a list"),
        ("pruning.bounds.bifpn=[a,b]", r"expected .*pruning\.bounds\.bifpn"),
    ],
)
def test_one_sentence_for_a_wrong_value(tmp_path, option, message):
    folder = tmp_path / "run"
    with (
        composed("prune", folder, "checkpoint=missing.ckpt", option) as config,
        pytest.raises(SystemExit, match=f"^error: {message}"),
    ):
        one_sentence(lambda given: prune(given, folder))(config)
    assert not (folder / "pruned.ckpt").exists()


@pytest.mark.slow
def test_one_sentence_for_a_wrong_name(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "src.prune", "checkpoint=missing.ckpt", "pruning.rates.neck=0.3",
            f"hydra.run.dir={tmp_path / 'run'}",
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    (sentence,) = done.stderr.strip().splitlines()
    assert re.match(r"error: expected a setting of pruning\.rates among .*; got 'neck'", sentence)
    assert not (tmp_path / "run" / "pruned.ckpt").exists()


# Afterwards


@pytest.mark.slow
@pytest.mark.parametrize("kd", ["none", "feature"])
def test_the_pruned_network_is_fine_tuned(run, student, tree, tmp_path, kd):
    _, folder = run(student, "measure_ap=false")
    pruned = folder / "pruned.ckpt"
    torch.manual_seed(5)
    checkpoint.save(tmp_path / "teacher.ckpt", featherface_v1(channels=8, bifpn_repeats=1))
    options = [
        "experiment=finetune", f"init.model={pruned}", f"kd={kd}", f"data.root={tree}", *TINY_DATA,
        "data.image_size=64", "data.batch_size=2", "trainer.accelerator=cpu", "logger=csv",
        "num_pictures=0", "trainer.max_steps=2",
    ]  # fmt: skip
    if kd != "none":
        options.append(f"kd.teacher={tmp_path / 'teacher.ckpt'}")
    tuned = tmp_path / "tuned"
    with composed("train", tuned, *options) as config:
        train(config, tuned)
    model = checkpoint.load(tuned / "checkpoints" / "best.ckpt").model
    before = checkpoint.load(pruned).model
    assert model.config == before.config
    assert not same(before.state_dict(), model.state_dict(), without=STATISTICS)
    with composed(
        "train", tuned, *options, "resume=true", "run=x", "trainer.max_steps=3"
    ) as config:
        train(config, tuned)  # the network is found again
    assert checkpoint.read(tuned / "checkpoints" / "last.ckpt")["global_step"] == 3


@pytest.mark.slow
def test_the_pruned_network_is_pruned_softly(run, student, tree, tmp_path):
    _, folder = run(student, "measure_ap=false", "pruning.parameters=0.8")
    before = checkpoint.load(folder / "pruned.ckpt").model.config["widths"]
    options = [
        "model=checkpoint", f"init.model={folder / 'pruned.ckpt'}", "pruning=soft",
        "pruning.parameters=0.7", f"data.root={tree}", *TINY_DATA, "data.image_size=64",
        "data.batch_size=2", "trainer.accelerator=cpu", "logger=csv", "num_pictures=0",
        "trainer.max_epochs=1",
    ]  # fmt: skip
    with composed("train", tmp_path / "soft", *options) as config:
        train(config, tmp_path / "soft")
    after = checkpoint.load(tmp_path / "soft" / "checkpoints" / "best.ckpt").model.config["widths"]
    assert sum(after.values()) < sum(before.values())
    assert all(after[name] <= width for name, width in before.items())


def test_model_checkpoint_needs_a_file(tree, tmp_path):
    options = ["model=checkpoint", f"data.root={tree}", *TINY_DATA]
    with (
        composed("train", tmp_path, *options) as config,
        pytest.raises(
            Exception, match=r"expected the file of a network .*got none; add init\.model=FILE"
        ),
    ):
        train(config, tmp_path)


def test_one_device_is_enough(run, student):
    with pytest.raises(ValueError, match=r"trainer\.devices=1 and .* got 2 and 1: .*src\.prune"):
        run(student, "trainer.devices=2")


def test_a_network_that_removal_changes_is_not_kept(run, student, tmp_path, monkeypatch):
    """Which would be a mistake of ours."""
    other = featherface_v1(channels=8)
    monkeypatch.setattr("src.pruning.one_shot.remove", lambda model, wiring, kept: other)
    with pytest.raises(ValueError, match=r"expected the pruned network to compute what the masked"):
        run(student)
    assert not (tmp_path / "run" / "pruned.ckpt").exists()
