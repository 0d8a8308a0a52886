"""Every setting of every command is checked where it enters, in one sentence that names it."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from composing import composed
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from src.cli.declared import SETTINGS, TABLES
from src.cli.options import CONF
from src.cli.settings import check_types, declared, refuse

COMMANDS = sorted(file.stem for file in CONF.glob("*.yaml"))


@functools.cache
def read_by_command(name: str) -> dict[str, Any]:
    """Key and default of every setting that is no argument of something with a ``_target_``."""

    def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
        for name, value in node.items():
            yield path + name, value
            if isinstance(value, dict) and "_target_" not in value:
                yield from walk(value, f"{path}{name}.")

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name)
    return dict(walk(OmegaConf.to_container(config), ""))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_has_a_type(name):
    keys = [
        key for key, value in read_by_command(name).items()
        if not key.startswith(("model.", "logger.", "plan."))  # those who read these check them
        and not (isinstance(value, dict) and "." in key)
    ]  # fmt: skip
    assert [key for key in keys if key not in SETTINGS and key not in TABLES] == []


def test_every_type_is_of_a_setting():
    there = {"data.generator"}.union(*map(read_by_command, COMMANDS))
    assert {*SETTINGS, *TABLES} <= there


@pytest.mark.parametrize("value", ["abc", -1, [], {}, None, 1.5, True, [{}], ["abc"], float("nan")])
@pytest.mark.parametrize("key", SETTINGS)
def test_a_value_fits_or_one_sentence_says_what_was_expected(key, value):
    parent, _, name = key.rpartition(".")
    plain = {parent: {name: value}} if parent else {name: value}
    said = ""
    try:
        refuse(declared(plain, SETTINGS))
    except ValueError as error:
        said = str(error)
    kinds = get_args(SETTINGS[key]) or (SETTINGS[key],)
    if said:
        words = "(a |text|true|one of ).*"
        assert re.fullmatch(rf"expected {key}\S* to be {words}, got .*; set {key}=", said)
    else:
        assert value != "abc" or str in kinds
        assert value is not None or type(None) in kinds
        assert value != {} or Mapping in kinds


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DictConfig]:
    with composed("train", tmp_path_factory.mktemp("run")) as config:
        yield config


@pytest.mark.parametrize("value", ["abc", -1, [], {}, None])
@pytest.mark.parametrize("table", ["recipe", "data", "init", "trainer", "decoder", "ema"])
def test_a_table_stays_one(training, table, value):
    config = copy.deepcopy(training)
    OmegaConf.set_struct(config, False)
    OmegaConf.update(config, table, value, merge=False)
    if value == {}:
        return
    with pytest.raises(ValueError, match=rf"^expected {table} to be a table of settings, got "):
        check_types(config)


@pytest.mark.parametrize(
    ("name", "option", "sentence"),
    [
        ("measure", "rounds=abc", "rounds to be a whole number of at least 1, got 'abc'"),
        ("benchmark", "rounds=abc", "rounds to be a whole number of at least 1, got 'abc'"),
        ("prune", "recalibration.batches=abc", "recalibration.batches to be a whole .*, got 'abc'"),
        ("predict", "checkpoint=null", "a value for checkpoint, got null; add checkpoint="),
        ("predict", "source=null", "a value for source, got null; add source="),
        ("train", "data.root=[]", r"data.root to be text.*, got \[\]"),
    ],
)
def test_a_command_refuses(tmp_path, name, option, sentence):
    with (
        composed(name, tmp_path, option) as config,
        pytest.raises(ValueError, match=f"^expected {sentence}"),
    ):
        check_types(config)


@pytest.mark.parametrize(("option", "fits"), [("run=5", True), ("run=[]", False)])
def test_names_may_look_like_numbers(tmp_path, option, fits):
    with composed("train", tmp_path, option) as config:
        if fits:
            check_types(config)
        else:
            with pytest.raises(ValueError, match=r"^expected run to be text or a number"):
                check_types(config)
