"""The exponential moving average of the weights, and which weights decay."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch.optim.swa_utils import AveragedModel

from src import checkpoint
from src.models import build_model
from src.models.necks import Fusion
from src.train import train
from src.training.averaging import ExponentialAveraging


def average_of(values, **settings):
    """The average after each of some values of a weight, as the callback's model has it."""
    (rule,) = ExponentialAveraging(**settings)._kwargs.values()
    layer = nn.Linear(1, 1, bias=False)
    averaged, found = AveragedModel(layer, avg_fn=rule), []
    for value in values:
        nn.init.constant_(layer.weight, value)
        averaged.update_parameters(layer)
        found.append(averaged.module.weight.item())
    return found


def by_hand(values, decays):
    average, found = values[0], [values[0]]
    for value, decay in zip(values[1:], decays, strict=True):
        average = decay * average + (1 - decay) * value
        found.append(average)
    return found


def test_warmup_against_its_formula():
    values = [float(value) for value in torch.randn(40, generator=torch.Generator().manual_seed(0))]
    decays = [min(0.7, (1 + t) / (10 + t)) for t in range(1, 40)]
    assert decays[0] == 2 / 11
    assert decays[-1] == 0.7
    assert average_of(values, decay=0.7, warmup=True) == pytest.approx(by_hand(values, decays))
    assert average_of(values, decay=0.7) == pytest.approx(by_hand(values, [0.7] * 39))


def test_a_decay_that_is_none():
    with pytest.raises(ValueError, match=r"decay value 1\.5"):
        ExponentialAveraging(1.5, warmup=True)


SMALL = ["+model.channels=8", "+model.bifpn_repeats=1", "+model.context=conv3x3"]
SMALL += ["model.preset=v1_487103", "trainer.max_epochs=3"]


@pytest.mark.slow
def test_a_resumed_run_counts_on(configure, train_until_killed, tmp_path):
    options = [*SMALL, "ema=exponential", "ema.callback.warmup=true", "decay_norms=false"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(configure("train", whole, *options), whole)
    train_until_killed(configure("train", parts, *options), parts)
    train(configure("train", parts, *options, "resume=true", "run=x"), parts)
    a, b = (checkpoint.read(f / "checkpoints" / "last.ckpt") for f in (whole, parts))
    assert a["averaging_state"]["n_averaged"] == b["averaging_state"]["n_averaged"] == 9
    for content in ("state_dict", "current_model_state"):
        assert all(torch.equal(a[content][name], b[content][name]) for name in a[content])
    first, second = (content["optimizer_states"][0]["param_groups"] for content in (a, b))
    assert first == second
    other = configure("train", parts, *options, "decay_norms=true", "resume=true", "run=x")
    with pytest.raises(ValueError, match=r"decay_norms=False \(not True\); resume with the optimi"):
        train(other, parts)


# Which weights decay


def groups(config, model):
    module = instantiate(config.module, model=model, _convert_="all")
    return module.parameter_groups()


@pytest.mark.parametrize("name", ["featherface_v1", "nano_b", "plain"])
def test_norms_biases_and_fusion_weights_do_not_decay(configure, tmp_path, name):
    model = build_model({"name": name})
    kernels, vectors = groups(configure("train", tmp_path, "decay_norms=false"), model)
    assert "weight_decay" not in kernels  # the optimizer's own
    assert vectors["weight_decay"] == 0
    expected = {
        id(parameter)
        for part in model.modules()
        for name, parameter in part.named_parameters(recurse=False)
        if isinstance(part, (nn.BatchNorm2d, Fusion)) or name == "bias"
    }
    assert {id(parameter) for parameter in vectors["params"]} == expected
    everything = [id(p) for group in (kernels, vectors) for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in model.parameters())
    (group,) = groups(configure("train", tmp_path), model)  # as published
    assert [id(p) for p in group["params"]] == [id(p) for p in model.parameters()]
