"""A tiny generated tree and composed configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

CONF = str(Path(__file__).resolve().parents[2] / "conf")

TINY = [
    "data.generator.num_train=6",
    "data.generator.num_val=3",
    "data.generator.size=96",
    "data.image_size=64",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.val_long_side=96",
    "data.val_batch_size=3",
    "trainer.accelerator=cpu",
    "logger=csv",
    "num_pictures=0",
]


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny tree of all these tests is generated, once."""
    return tmp_path_factory.mktemp("data") / "tiny"


@pytest.fixture
def configure(tiny_root: Path) -> Iterator[Callable[..., DictConfig]]:
    """``configure("train", folder, "a=1")``: the configuration that command line gives."""

    def make(name: str, folder: Path, *overrides: str, multirun: bool = False) -> DictConfig:
        folder.mkdir(parents=True, exist_ok=True)
        tiny = [*TINY, f"data.root={tiny_root}"] if name == "train" else []
        if name == "evaluate":
            unknown = ("data.image_size", "data.batch_size", "logger")  # training's alone
            tiny = [f"data.root={tiny_root}", *(o for o in TINY if not o.startswith(unknown))]
        config = compose(name, [*tiny, *overrides], return_hydra_config=True)
        with open_dict(config):
            config.hydra.runtime.output_dir = str(folder)
            config.hydra.mode = "MULTIRUN" if multirun else "RUN"
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config.hydra
            if "run_dir" in config:
                config.run_dir = str(folder)
        return config

    with initialize_config_dir(CONF, version_base="1.3"):
        yield make
    HydraConfig.instance().cfg = None
