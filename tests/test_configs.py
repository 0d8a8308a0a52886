"""Every configuration file composes, says what it is for, and builds what it names."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from composing import CONF, TINY_DATA, composed
from fabricated_onnx import fabricate_yunet
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from src.cli.settings import check_types
from src.models import build_model
from src.synthetic import SyntheticSpec, generate

ROOT = Path(CONF)
FILES = sorted(ROOT.rglob("*.yaml"))
ENTRIES = [file.stem for file in FILES if file.parent == ROOT]
GROUPS: dict[str, list[str]] = {}
for file in FILES:
    if file.parent != ROOT and file.relative_to(ROOT).parts[0] != "hydra":
        GROUPS.setdefault(file.parent.relative_to(ROOT).as_posix(), []).append(file.stem)

REQUIRED = {
    "predict": ["checkpoint=a.ckpt", "source=a.jpg"],
    "compare": ["runs=a"],
    "convert": ["source=a", "to=coco"],
    "export": ["checkpoint=a.ckpt"],
    "prune": ["checkpoint=a.ckpt"],
    "sweep_pruning": ["checkpoint=a.ckpt"],
    "measure": ["checkpoints=[a.ckpt]"],
}
"""What has no default."""


def groups_of(entry: str) -> list[str]:
    """The groups in an entry's list of defaults, and those inside them."""
    defaults = OmegaConf.load(ROOT / f"{entry}.yaml").get("defaults", [])
    named = [str(name) for item in defaults if not isinstance(item, str) for name in item
             if " " not in str(name)]  # fmt: skip
    return [group for group in GROUPS if group.partition("/")[0] in named]


OPTIONS = [
    (entry, f"{group}={option}")
    for entry in ENTRIES
    for group in groups_of(entry)
    for option in GROUPS[group]
    if (entry, group, option) != ("prune", "pruning", "soft")  # refused: it is a training
]
FIRST = {option: entry for entry, option in reversed(OPTIONS)}
"""Option -> the entry that builds it; what a group owns is built the same everywhere."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("data") / "tiny"
    generate(root, SyntheticSpec(num_train=2, num_val=1, size=48), num_workers=0)
    return [f"data.root={root}"]


def targets(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(targets, node))
    if not isinstance(node, dict):
        return set()
    own = {node["_target_"]} if "_target_" in node else set()
    return own.union(*map(targets, node.values()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(file):
    first, second = [*file.read_text().splitlines(), ""][:2]
    line = second if first.startswith("# @package") else first
    assert re.match(r"# \w.{20,}", line), line


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_files_name_exists(file):
    for target in targets(OmegaConf.to_container(OmegaConf.load(file))):
        assert callable(get_object(target)), target


def test_every_group_is_used():
    assert set(GROUPS) == {group for entry in ENTRIES for group in groups_of(entry)}


@pytest.mark.parametrize(("entry", "option"), OPTIONS, ids=lambda value: str(value))
def test_every_option_composes_and_builds(entry, option, data, weights, tmp_path):
    settings = [*REQUIRED.get(entry, []), option]
    needs_cuda = option == "trainer=gpu"
    if "data" in groups_of(entry) and not option.startswith("data="):
        settings += data
    if needs_cuda or option == "trainer=ddp":
        settings += ["trainer.accelerator=cpu", "trainer.devices=1"]
    group = option.partition("=")[0].partition("/")[0]
    if entry == "train":
        teacher = weights
        if option == "kd=yunet":
            fabricate_yunet(teacher := tmp_path / "yunet.onnx")
        settings += [f"kd.teacher={teacher}", f"init.model={weights}"]
    if entry == "convert_network":
        settings.append(f"checkpoint={weights}")
    if entry == "summary":
        settings.append(f"checkpoint={weights}")
    with composed(entry, tmp_path, *settings) as config:
        check_types(config)
        # What a group owns stands under its name; recipes and experiments own nothing.
        owned = "_target_" in (config.get(group) or {})
        if owned and FIRST[option] != entry:
            return
        for name in [group] if owned else config:
            if name == "module":
                options = config.model or {"name": "nano_b"}  # a search's is that of its checkpoint
                model = build_model(instantiate(options, _convert_="all"))
                instantiate(config[name], model=model, _convert_="all")
            elif OmegaConf.is_config(config[name]):
                instantiate(config[name], _convert_="all")


@pytest.mark.parametrize("entry", ENTRIES)
def test_folders_of_runs(entry, tmp_path):
    text = (ROOT / f"{entry}.yaml").read_text()
    assert f"outputs/{'sweeps' if entry == 'sweep_pruning' else entry}/" in text
    assert "override hydra/help: featherface" in text
    assert f"python -m src.{entry}" in text


# Types


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DictConfig]:
    with composed("train", tmp_path_factory.mktemp("run"), *TINY_DATA) as config:
        yield config


@pytest.mark.parametrize(
    ("setting", "accepted"),
    [
        ("trainer.devices=2", True),
        ("trainer.devices=[0,1]", True),
        ("trainer.devices=auto", True),
        ("trainer.devices=1.5", False),
        ("trainer.precision=bf16-mixed", True),
        ("trainer.precision=double", False),
        ("trainer.max_epochs=null", True),
        ("trainer.limit_train_batches=0.5", True),
        ("optimizer.lr=1", True),  # whole numbers are numbers
        ("optimizer.lr=null", False),
        ("data.num_workers=2.0", False),
        ("data.val_long_side=null", True),
        ("data.batch_size=false", False),
        ("data.root=1", False),
        ("views.scales=[0.5,1]", True),
        ("views.scales=[half]", False),
        ("views.flip=1", False),
        ("loss.weights.box=1", True),
        ("loss.weights.box=one", False),
        ("decoder.top_k=many", False),
    ],
)
def test_types_are_those_annotated(setting, accepted, plain):
    (override,) = OverridesParser.create().parse_overrides([setting])
    config = copy.deepcopy(plain)
    OmegaConf.update(config, override.key_or_group, override.value())
    if accepted:
        check_types(config)
    else:
        name = re.escape(override.key_or_group)
        with pytest.raises(ValueError, match=rf"^expected {name}.* to be .*, got .*; set "):
            check_types(config)
