"""What a configuration may build, and what it may not."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any, TypedDict

import pytest
from composing import complaint_of
from omegaconf import OmegaConf

from src.cli.settings import check_types
from src.cli.targets import VARIABLE, check_targets, instantiate

SRC = Path(__file__).resolve().parents[2] / "src"


@pytest.mark.parametrize(
    "target",
    [
        "torch.optim.Adam", "torch.optim.AdamW", "torch.optim.lr_scheduler.StepLR",
        "lightning.Trainer", "lightning.pytorch.Trainer", "lightning.pytorch.loggers.CSVLogger",
        "lightning.pytorch.callbacks.EarlyStopping", "lightning.pytorch.strategies.DDPStrategy",
        "lightning.pytorch.plugins.MixedPrecision", "optuna.samplers.TPESampler",
        "optuna.pruners.MedianPruner", "omegaconf.DictConfig", "src.training.DetectorModule",
        "src.training.schedules.cosine", "src.checkpoint.architecture",
        "src.runs.teachers.TeacherSearch", "src.models.nano_b", "???",
    ],
)  # fmt: skip
def test_what_training_is_made_of(target):
    check_targets({"a": [{"_target_": target}]})


@pytest.mark.parametrize(
    "target",
    [
        "torch.load", "numpy.load", "joblib.load", "os.system", "builtins.eval", "subprocess.run",
        "pickle.loads", "torch.hub.load", "torch.jit.load", "pandas.read_pickle", "yaml.load",
        "torch.utils.cpp_extension.load", "hydra.utils.get_method", "hydra.utils.instantiate",
        "functools.partial", "shutil.rmtree", "webbrowser.open", "importlib.import_module",
        # the same, reached through what is allowed
        "src.checkpoint.torch.load", "src.data.reading.np.load", "src.checkpoint.pickle.loads",
        "src.training.DetectorModule.load_from_checkpoint", "torch.optim.optimizer.torch.load",
        "lightning.pytorch.LightningModule.load_from_checkpoint", "torch.optimal.load",
        "lightning.fabric.utilities.cloud_io._load", "lightning.pytorch.callbacks.os.system",
        "omegaconf.OmegaConf.load", "omegaconf.OmegaConf.create", "omegaconf.OmegaConf.save",
        "omegaconf.OmegaConf.register_new_resolver", "optuna.create_study",
        # ours, which start commands, write files or build what nobody has looked at
        "src.stages.process.run_command", "src.checkpoint.write", "src.runs.files.write_json",
        "src.train.train", "src.cli.command.command", "src.cli.targets.instantiate",
        "src.deploy.torch_files.TorchNetwork", "src.contest.child.Child",
        "src.deploy.runtime.require",
        "src.synthetic.tree.generate", "src.synthetic.generate", "src.images.files.write_image",
        "src.data.layouts.text.write_lines", "src.evaluation.write_predictions",
        "src.prediction.journal.Journal", "src.search.storage.open_storage",
        "src.data.conversion.convert", "src.training.phases.collect", "src.training.logging._write",
        "src.nowhere.Thing", "src", "src.training", "", " os.system", "lightning", 3, None, ["a"],
    ],
)  # fmt: skip
def test_what_else_there_is(target):
    with pytest.raises(ValueError, match=r"^expected a\[0\]\.b\._target_ of what .* may build .*"):
        check_targets({"a": [{"b": {"_target_": target}}]})


def test_nothing_is_imported_of_what_is_refused(tmp_path, monkeypatch):
    (tmp_path / "harmful.py").write_text("raise SystemExit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"set FEATHERFACE_TARGETS=harmful\.call in"):
        check_targets({"_target_": "harmful.call"})
    assert "harmful" not in sys.modules


def test_a_user_adds_names(monkeypatch):
    monkeypatch.setenv(VARIABLE, "torch.nn.ReLU, mine.*")
    check_targets([{"_target_": "torch.nn.ReLU"}, {"_target_": "mine.augmentation.Blur"}])
    for target in ("torch.nn.Linear", "mines.Blur", "torch.load"):
        with pytest.raises(ValueError, match="may build"):
            check_targets({"_target_": target})


class Bomb:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("place", ["augmentation", "logger.x", "trainer.callbacks", "optimizer"])
@pytest.mark.parametrize(
    "call",
    [
        {"_target_": "torch.load", "weights_only": False, "f": "FILE"},
        {"_target_": "numpy.load", "allow_pickle": True, "file": "FILE"},
        {"_target_": "joblib.load", "filename": "FILE"},
    ],
    ids=lambda call: call["_target_"],
)
def test_no_pickle_of_a_stranger_runs(place, call, tmp_path):
    pickled, proof = tmp_path / "data.pkl", tmp_path / "ran"
    pickled.write_bytes(pickle.dumps(Bomb(proof)))
    node = OmegaConf.create({"run": "a"})
    OmegaConf.update(node, place, {k: str(pickled) if v == "FILE" else v for k, v in call.items()})
    with pytest.raises(ValueError, match=rf"expected {place}\._target_ of what"):
        check_types(node)
    with pytest.raises(ValueError, match="_target_ of what"):
        instantiate(node)
    assert not proof.exists()


def test_a_command_ends_before_it_begins(tmp_path):
    sentence = complaint_of(
        lambda *_: pytest.fail("began"), "train", tmp_path, "+optimizer.x._target_=torch.load"
    )
    assert sentence.startswith("expected optimizer.x._target_ of what configurations may build")


def test_only_one_place_builds():
    for file in SRC.rglob("*.py"):
        if file.name != "targets.py":
            assert "hydra.utils import instantiate" not in file.read_text(), file


class Options(TypedDict):
    size: int


def anything(value: Any, options: Options, more: dict[str, Any]) -> None:
    """As a user's own may be annotated."""


def test_a_callable_of_a_users_own(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{__name__}.*")
    settings = {"_target_": f"{__name__}.anything", "options": {"size": 1}, "more": {"a": [1]}}
    for value in ("text", 1, None, [1], {"a": 1}):
        check_types(OmegaConf.create({"x": {**settings, "value": value}}))
    with pytest.raises(ValueError, match=r"^expected x\.options to be "):
        check_types(OmegaConf.create({"x": {**settings, "options": 1}}))
