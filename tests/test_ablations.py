"""The ablation recipes: what they vary exists, and each variation changes the run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from composing import CONF, composed
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from src.models import build_model
from src.train import name_job

RECIPES = sorted(file.stem for file in Path(CONF, "experiment").glob("ablate_*.yaml"))


def swept(recipe: str) -> dict[str, list[str]]:
    """Option -> the values that the recipe gives it."""
    params = OmegaConf.load(Path(CONF, "experiment", f"{recipe}.yaml")).hydra.sweeper.params
    return {name: str(values).split(",") for name, values in params.items()}


def test_recipes_of_every_kind_exist():
    assert RECIPES == ["ablate_alpha", "ablate_enhancements", "ablate_kd", "ablate_temperature"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_combination_composes_and_differs(recipe, tmp_path):
    options = swept(recipe)
    assert len(options.pop("seed")) >= 3
    seen = []
    for values in itertools.product(*options.values()):
        settings = [f"{name}={value}" for name, value in zip(options, values, strict=True)]
        with composed("train", tmp_path, f"experiment={recipe}", *settings) as config:
            seen.append(
                OmegaConf.to_yaml(OmegaConf.create({"kd": config.kd, "model": config.model}))
            )
            build_model(OmegaConf.to_container(config.model))
    assert len(set(seen)) == len(seen) > 2


def test_enhancements_are_named_alone_and_together():
    names = {"model.scale_decoupling", "model.semantic", "model.assn"}
    assert {name for name in swept("ablate_enhancements") if name != "seed"} == names
    for name in names:
        assert [value.lower() for value in swept("ablate_enhancements")[name]] == ["false", "true"]


def test_one_teacher_can_be_given_to_a_sweep_that_includes_none(tmp_path):
    for kd in ("none", "fixed", "weighted", "feature"):
        with composed("train", tmp_path, f"kd={kd}", "kd.teacher=a.ckpt") as config:
            assert config.kd.teacher == "a.ckpt"


def test_jobs_of_a_multirun_are_named_and_grouped(tmp_path):
    settings = ["kd=none", "seed=3", "data=demo", "num_pictures=0"]
    with composed("train", tmp_path, *settings, multirun=True) as config:
        folder = Path(HydraConfig.get().sweep.dir).name
        name_job(config)
        assert config.run == "0 kd=none seed=3"
        assert config.group == folder
    with composed("train", tmp_path, *settings, "group=mine", multirun=True) as config:
        name_job(config)
        assert config.group == "mine"


def test_single_runs_keep_their_name(tmp_path):
    with composed("train", tmp_path, "run=a", "seed=3") as config:
        name_job(config)
        assert (config.run, config.group) == ("a", None)


def test_wandb_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    with composed("train", tmp_path, "logger=wandb", "seed=3", multirun=True) as config:
        name_job(config)
        logger = OmegaConf.to_container(config.logger.wandb, resolve=True)
        assert logger["name"] == "0 seed=3"
        assert logger["group"] == config.group
    monkeypatch.setenv("WANDB_RUN_GROUP", "outside")
    with composed("train", tmp_path, "logger=wandb", multirun=True) as config:
        name_job(config)
        assert config.logger.wandb.group == "outside"
