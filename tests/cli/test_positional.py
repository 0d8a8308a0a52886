"""Files that a command line names without a setting."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from src.cli.positional import name_files


def test_files_become_one_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "epoch=3.ckpt").touch()
    odd = ["a.ckpt", "it's (1), [x].ckpt", "epoch=3.ckpt"]
    words = [odd[0], "data=widerface", "--config-dir", "mine", "-m", *odd[1:], "~data.seed"]
    *others, named = name_files(words, "checkpoints")
    assert others == ["data=widerface", "--config-dir", "mine", "-m", "~data.seed"]
    (override,) = OverridesParser.create().parse_overrides([named])
    assert override.key_or_group == "checkpoints"
    assert override.value() == odd


def test_settings_alone_stay_as_they_are():
    words = ["runs=outputs/train", "-cd", "mine", "--help"]
    assert name_files(words, "checkpoints") == words


def test_one_way_of_naming_them():
    with pytest.raises(ValueError, match="expected files either by themselves or as checkpoints="):
        name_files(["a.ckpt", "checkpoints=[b.ckpt]"], "checkpoints")
