"""Pruning along a training: logged, frozen, resumed bit for bit, loaded without what is gone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch.strategies import SingleDeviceStrategy

from src import checkpoint
from src.cli.options import store_option_files
from src.cli.settings import check_types
from src.evaluate import evaluate
from src.models import build_model, featherface_v1, wiring_of
from src.profiling.complexity import complexity
from src.pruning import Masks, PruningSpec
from src.search.outcome import BEST, write_best
from src.train import train
from src.training import DetectorModule, PruningModule
from src.training.start import pruning_at_start

SMALL = [
    "model.preset=v1_487103", "+model.channels=8", "+model.bifpn_repeats=1",
    "+model.cbam_reduction=null",
]  # fmt: skip
SOFT = [*SMALL, "pruning=soft", "pruning.parameters=0.7"]
SHORT = [
    *SOFT, "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=1",
    "trainer.log_every_n_steps=1",
]  # fmt: skip
"""Nine steps: the rates are reached at the sixth, the choice stands from the ninth."""


def content(folder, name="last"):
    return checkpoint.read(folder / "checkpoints" / f"{name}.ckpt")


def everything(folder):
    """All tensors of a checkpoint that a run depends on, those of the masks and optimizer too."""
    found = content(folder)
    tensors = {f"model {key}": value for key, value in found["state_dict"].items()}
    tensors |= {f"ema {k}": v for k, v in found.get("current_model_state", {}).items()}
    masks = dict(found["featherface"]["masks"])
    for number, value in enumerate(masks.pop("statistics")):
        tensors[f"statistics {number}"] = torch.empty(0) if value is None else value
    tensors |= {f"masks {key}": torch.as_tensor(value) for key, value in masks.items()}
    for number, state in found["optimizer_states"][0]["state"].items():
        tensors |= {f"optimizer {number} {k}": torch.as_tensor(v) for k, v in state.items()}
    return tensors


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.fixture
def finished(configure, tmp_path_factory):
    """The folder of a finished run, one for all tests."""
    folder = tmp_path_factory.getbasetemp() / "finished_soft_pruning"
    if not (folder / "pruning.json").exists():
        train(configure("train", folder, *SHORT), folder)
    return folder


def test_a_run_is_logged(finished, rows):
    logged = [row for row in rows(finished) if row["prune/temperature"]]
    assert [int(row["step"]) for row in logged] == list(range(9))
    shares = [1 - max(0.0, 1 - step / 9 / 0.6) ** 3 for step in range(1, 10)]
    rates = json.loads((finished / "pruning.json").read_text())["rates"]
    for row, share, step in zip(logged, shares, range(1, 10), strict=True):
        for name, rate in rates.items():
            assert float(row[f"prune/rate_{name}"]) == pytest.approx(share * rate, abs=1e-6)
        temperature = 0.02 + 0.48 * (1 - step / 9) ** 3
        assert float(row["prune/temperature"]) == pytest.approx(temperature, rel=1e-5)
    parameters = [float(row["prune/parameters"]) for row in logged]
    assert parameters == sorted(parameters, reverse=True)
    validations = [row for row in rows(finished) if row["val/ap"]]
    assert [row["val/pruned_ap"] for row in validations[:-1]] == ["nan"] * 2
    assert validations[-1]["val/pruned_ap"] == validations[-1]["val/ap"]


def test_what_was_pruned_is_on_record(finished):
    pruned = json.loads((finished / "pruning.json").read_text())
    model = checkpoint.load(finished / "checkpoints" / "best.ckpt").model
    before, after = pruned["parameters"]
    assert after <= 0.7 * before
    assert [after, pruned["multiply_adds"][1]] == list(complexity(model, 640, 640))
    assert {row["name"]: row["after"] for row in pruned["widths"]} == model.config["widths"]
    assert json.loads((finished / "run.json").read_text())["pruning"]["rates"] == pruned["rates"]
    assert (finished / "pictures" / "widths.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((finished / "metrics.json").read_text())["ap"] >= 0


def test_best_is_loaded_without_what_was_masked(finished):
    loaded = checkpoint.load(finished / "checkpoints" / "best.ckpt").model
    found = content(finished, "best")
    masks = found["featherface"]["masks"]
    assert masks["frozen"]
    assert not masks["kept"].all()
    assert masks["factors"].tolist() == masks["kept"].float().tolist()
    dense = build_model(found["featherface"]["model"]).eval()
    dense.load_state_dict({k.removeprefix("model."): v for k, v in found["state_dict"].items()})
    attached = Masks(wiring_of(dense)).attach()
    attached.values = masks["factors"]
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for a, b in zip(dense(images), loaded(images), strict=True):
            assert (a - b).abs().max() <= 1e-5


def test_its_validation_measured_the_network_that_is_loaded(finished, configure, tmp_path):
    best = finished / "checkpoints" / "best.ckpt"
    found = evaluate(configure("evaluate", tmp_path, f"checkpoint={best}"), tmp_path)
    measured = json.loads((finished / "metrics.json").read_text())
    assert found["ap"] == pytest.approx(measured["ap"], abs=1e-6)


@pytest.mark.slow
def test_in_the_middle_it_is_no_network(configure, train_until_killed, tmp_path):
    train_until_killed(configure("train", tmp_path, *SHORT), tmp_path)
    for name in ("last", "best"):
        path = tmp_path / "checkpoints" / f"{name}.ckpt"
        message = rf"expected a network whose pruning is done in {path}, .*resume=true run=NAME"
        with pytest.raises(ValueError, match=message):
            checkpoint.load(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="soft"),
        pytest.param(["pruning.freeze=0.6"], id="frozen before"),
        pytest.param(["kd=weighted"], id="distilled"),
        pytest.param(["ema=exponential"], id="averaged"),
        pytest.param(["pruning.importance=random"], id="random"),
    ],
)
def test_resumed_equals_uninterrupted(
    configure, train_until_killed, tmp_path, teacher, options, rows
):
    if "kd=weighted" in options:
        options = [*options, f"kd.teacher={teacher}"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(configure("train", whole, *SHORT, *options), whole)
    train_until_killed(configure("train", parts, *SHORT, *options), parts)
    assert not content(parts)["featherface"]["masks"]["frozen"]
    train(configure("train", parts, *SHORT, *options, "resume=true", "run=x"), parts)
    assert_same(everything(whole), everything(parts))
    assert content(parts)["featherface"]["masks"]["frozen"]
    kept = [row["prune/parameters"] for row in rows(whole) if row["prune/parameters"]]
    assert kept == [row["prune/parameters"] for row in rows(parts) if row["prune/parameters"]]
    assert (whole / "pruning.json").read_text() == (parts / "pruning.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("die_at", [7, 8])
def test_killed_after_the_choice(configure, tmp_path, monkeypatch, die_at):
    """With a checkpoint of every epoch of three steps: the sixth step is the last one saved."""
    options = [*SHORT, "pruning.ramp=0.3", "pruning.freeze=0.6"]  # stands from the sixth
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(configure("train", whole, *options), whole)
    step = DetectorModule.training_step

    def die(self, batch, batch_idx):
        if self.global_step == die_at:
            raise KeyError("killed")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(DetectorModule, "training_step", die)
        with pytest.raises(KeyError, match="killed"):
            train(configure("train", parts, *options), parts)
    assert content(parts)["featherface"]["masks"]["frozen"]
    train(configure("train", parts, *options, "resume=true", "run=x"), parts)
    assert_same(everything(whole), everything(parts))


@pytest.mark.slow
def test_a_finished_run_resumed_changes_nothing(configure, tmp_path):
    train(configure("train", tmp_path, *SHORT), tmp_path)
    before, record = everything(tmp_path), (tmp_path / "pruning.json").read_text()
    train(configure("train", tmp_path, *SHORT, "resume=true", "run=x"), tmp_path)
    assert_same(before, everything(tmp_path))
    assert (tmp_path / "pruning.json").read_text() == record


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_is_gone_stays_at_zero(configure, tmp_path, optimizer):
    options = [*SHORT, "pruning.ramp=0.3", "pruning.freeze=0.4", f"optimizer={optimizer}"]
    train(configure("train", tmp_path, *options), tmp_path)
    found = content(tmp_path)
    kept = found["featherface"]["masks"]["kept"]
    model = build_model(found["featherface"]["model"])
    stem = wiring_of(model)["backbone_6"]
    lost = ~kept[torch.from_numpy(stem)]
    assert lost.any()
    assert not found["state_dict"]["model.backbone.stage2.0.pointwise.conv.weight"][lost].any()
    assert not found["state_dict"]["model.backbone.stage2.0.pointwise.norm.weight"][lost].any()
    assert not found["state_dict"]["model.backbone.stage2.1.pointwise.conv.weight"][:, lost].any()


REFUSALS = {
    "pruning=none": r"got one with pruning;",
    "pruning=soft pruning.parameters=0.6": r"got one with parameters=0\.5 \(not 0\.6\);",
    "pruning=soft pruning.floor=0.2": r"got one with floor=0\.1 \(not 0\.2\);",
    "pruning=soft pruning.ramp=0.5": r"got one with ramp=0\.6 \(not 0\.5\);",
    "pruning=soft pruning.importance=l1": r"got one with importance=fpgm \(not l1\);",
    "pruning=soft pruning.bounds.ssh=[0.1,0.6]": r"got one with .*ssh",
}
"""What a run of pruning=soft is resumed with, and what is said of it."""


def assert_refused(configure, folder, options, message):
    before = (folder / "run.json").read_text()
    again = [*SMALL, "trainer.max_steps=1", *options.split(), "resume=true", "run=x"]
    message = rf"{message}.*resume with the pruning options of that run"
    with pytest.raises(ValueError, match=message):
        train(configure("train", folder, *again), folder)
    assert (folder / "run.json").read_text() == before


@pytest.mark.slow
def test_other_pruning_cannot_resume(configure, tmp_path):
    options = [*SMALL, "trainer.max_steps=1", "pruning=soft"]
    train(configure("train", tmp_path, *options), tmp_path)
    for resumed, message in REFUSALS.items():
        assert_refused(configure, tmp_path, resumed, message)


@pytest.mark.slow
def test_pruning_cannot_begin_in_the_middle(configure, tmp_path):
    train(configure("train", tmp_path, *SMALL, "trainer.max_steps=1"), tmp_path)
    assert_refused(configure, tmp_path, "pruning=soft", "got one without pruning;")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model=featherface_v2", r"expected a network that can be pruned .*got featherface_v2"),
        ("pruning.rates.heads=0.2", r"pruning\.rates\.heads=null for a network without"),
        ("pruning.parameters=100", r"expected pruning\.parameters of at least"),
        ("pruning.ramp=0.95", r"expected 0 < pruning\.ramp <= pruning\.freeze"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(configure, tmp_path, option, message):
    options = ["pruning=soft", option]
    if not option.startswith("model"):
        options = [*SMALL, *options]
    with pytest.raises(Exception, match=message):
        train(configure("train", tmp_path, *options), tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "run.json").exists()


def test_an_end_before_the_choice_is_no_end(configure, tmp_path, monkeypatch):
    """As trainer.max_time makes one."""
    monkeypatch.setattr("src.pruning.SoftPruner.advance", lambda self, progress: None)
    with pytest.raises(ValueError, match=r"reach 90% of its 3 steps.*at step 3; resume=true run="):
        train(configure("train", tmp_path, *SOFT, "trainer.max_epochs=1"), tmp_path)
    assert not (tmp_path / "metrics.json").exists()
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_every_process_takes_the_scores_of_the_first(configure, tmp_path, monkeypatch):
    """On the CPU each has statistics of its own."""
    scores = []

    def broadcast(self, value, src=0):
        if not isinstance(value, np.ndarray) or value.ndim == 0:  # Lightning's own
            return value
        scores.append(np.sort(value))  # of another process
        return scores[-1]

    monkeypatch.setattr(SingleDeviceStrategy, "broadcast", broadcast)
    train(configure("train", tmp_path, *SOFT, "trainer.max_epochs=1"), tmp_path)
    assert len(scores) == 1  # an epoch
    found = content(tmp_path)["featherface"]["masks"]["scores"].numpy()
    assert np.array_equal(found, scores[-1])


RATES = {
    "backbone_early": 0.2, "backbone_late": 0.3, "cbam": 0.2, "bifpn": 0.25, "ssh": 0.4,
    "heads": 0.1,
}  # fmt: skip


@pytest.fixture
def searched(configure, tmp_path):
    """What a search writes: trial 7 had these rates, rounded to eight and ranked by l1."""
    rates = [f"pruning.rates.{name}={rate}" for name, rate in RATES.items()]
    options = ["checkpoint=x", "pruning.multiple=8", "pruning.importance=l1", *rates]
    config = configure("sweep_pruning", tmp_path, *options)
    write_best(
        tmp_path / BEST, {f"pruning.rates.{name}": rate for name, rate in RATES.items()}, config,
        whole=["pruning"], is_group=lambda key: False, comments=["Trial 7."],
    )  # fmt: skip
    return tmp_path / "best"


def test_rates_of_a_search_fade_out(configure, tmp_path, student, searched):
    options = [f"pruning=[soft,{searched}]", "pruning.ramp=0.5"]
    store_option_files(options)
    config = configure("train", tmp_path, *options)
    check_types(config)
    assert pruning_at_start(config) is None
    model = checkpoint.load(student).model
    module = instantiate(config.module, model=model, _convert_="all")
    assert isinstance(module, PruningModule)
    pruner = module.pruner
    assert pruner.plan.rates == RATES
    assert (pruner.spec.importance, pruner.spec.multiple) == ("l1", 8)
    assert (pruner.spec.ramp, pruner.spec.freeze) == (0.5, 0.9)


def test_the_file_of_a_search_alone_prunes_at_once(configure, tmp_path, searched):
    option = f"pruning={searched}"
    store_option_files([option])
    config = configure("train", tmp_path, option, "init.model=x")
    spec = pruning_at_start(config)
    assert type(spec) is PruningSpec
    assert spec.rates == RATES


def test_a_file_before_soft_would_be_overwritten(searched):
    with pytest.raises(
        ValueError, match=rf"expected {searched} behind soft .*; set pruning=\[soft"
    ):
        store_option_files([f"pruning=[{searched},soft]"])


def test_a_backbone_of_a_pruned_network_is_not_taken_with_its_dead_filters(finished):
    model = featherface_v1("v1_487103", channels=8, bifpn_repeats=1, cbam_reduction=None)
    with pytest.raises(ValueError, match="of another shape"):
        checkpoint.load_backbone(finished / "checkpoints" / "best.ckpt", model)
