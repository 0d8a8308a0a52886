from __future__ import annotations

import pytest
import yaml
from omegaconf import OmegaConf

from src.search.outcome import BEST, write_best

CONFIG = OmegaConf.create(
    {
        "optimizer": {"lr": 0.02, "name": "sgd"},
        "pruning": {"rates": {"a": 0.1, "b": 0.5}, "unit": "${optimizer.name}"},
        "kd": {"weight": 2.0},
        "widths": [8, 16],
    }
)


@pytest.fixture
def best(tmp_path):
    def write(params, whole=()):
        write_best(
            tmp_path / BEST, params, CONFIG, whole=whole, is_group=lambda key: key == "kd",
            comments=["Trial 3.", "Of study s."],
        )  # fmt: skip
        assert [file.name for file in tmp_path.iterdir()] == [BEST]
        return (tmp_path / BEST).read_text()

    return write


def test_nested_settings(best):
    text = best({"optimizer.lr": 0.02, "pruning.rates.a": 0.1})
    assert text.splitlines()[:3] == ["# @package _global_", "# Trial 3.", "# Of study s."]
    assert yaml.safe_load(text) == {"optimizer": {"lr": 0.02}, "pruning": {"rates": {"a": 0.1}}}


def test_choices_among_files_come_first(best):
    text = best({"optimizer.lr": 0.02, "kd": "weighted"})
    assert list(yaml.safe_load(text)) == ["defaults", "optimizer"]
    assert yaml.safe_load(text)["defaults"] == [{"override /kd": "weighted"}]


def test_texts_become_what_the_configuration_has(best):
    text = best({"widths": "[8,16]", "new": "1"})
    assert yaml.safe_load(text) == {"widths": [8, 16], "new": "1"}


def test_whole_parts(best):
    found = yaml.safe_load(best({"pruning.rates.a": 0.1}, whole=["pruning"]))
    assert found == {"pruning": {"rates": {"a": 0.1, "b": 0.5}, "unit": "sgd"}}


def test_replaces_the_one_before(best):
    best({"optimizer.lr": 0.02})
    assert "lr" not in best({"pruning.rates.a": 0.1})


def test_keys_that_the_command_lacks(best):
    found = yaml.safe_load(best({"+extra.rate": 0.5, "+kd": "weighted"}))
    assert found == {"defaults": [{"/kd": "weighted"}], "extra": {"rate": 0.5}}
