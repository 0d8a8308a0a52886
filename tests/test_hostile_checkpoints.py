"""Weights that compute nothing, and files that would exhaust the machine."""

from __future__ import annotations

import math
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from src import benchmark, checkpoint
from src.models import build_model, featherface_v1, plain
from src.models.layers import ChannelShuffle

Content = dict[str, Any]


@pytest.fixture
def content(weights: Path) -> Content:
    return checkpoint.read(weights)


def refusal(content: Content, path: Path) -> str:
    """What is said of a checkpoint, at once."""
    torch.save(content, path)
    begun = time.process_time()
    with pytest.raises(ValueError, match="expected") as caught:
        checkpoint.load(path)
    assert time.process_time() - begun < 5
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers(content: Content, tmp_path: Path, value: float) -> None:
    content["state_dict"]["model.backbone.stage1.0.conv.weight"][0, 0, 0, 0] = value
    said = refusal(content, tmp_path / "a.ckpt")
    assert "got others in backbone.stage1.0.conv.weight; its training diverged" in said


def test_a_variance_below_0(content: Content, tmp_path: Path) -> None:
    content["state_dict"]["model.backbone.stage1.0.norm.running_var"][0] = -1
    assert "backbone.stage1.0.norm.running_var" in refusal(content, tmp_path / "a.ckpt")


def test_published_weights_that_are_no_numbers(tmp_path: Path) -> None:
    from src.models import upstream

    state = {"module.body.stage1.0.0.weight": torch.zeros(1)}
    assert upstream.is_upstream(state)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: expected the weights of a FeatherFace V1"):
        checkpoint.load(tmp_path / "a.pth")


@pytest.mark.parametrize("place", [10**6, -1, 0])
def test_a_shuffle_that_names_channels_twice_or_none(
    content: Content, tmp_path: Path, place: int
) -> None:
    content["state_dict"]["model.context.shuffle.0.index"][3] = place
    said = refusal(content, tmp_path / "a.ckpt")
    assert "each channel once in context.shuffle.0.index" in said


@pytest.mark.parametrize("sizes", [[[math.nan]] * 3, [[1e300]] * 3, [["1_0"]] * 3, [[1] * 999] * 3])
def test_priors(content: Content, tmp_path: Path, sizes: list[list[Any]]) -> None:
    content["featherface"]["model"]["prior_sizes"] = sizes
    assert "prior sizes" in (said := refusal(content, tmp_path / "a.ckpt")) or "positive" in said


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 4000},
        {"channels": 12_000},
        {"channels": 10**9},
        {"channels": 56.5},
        {"channels": -8},
        {"bifpn_repeats": 10**9},
        {"bifpn_repeats": True},
        {"cbam_reduction": 0},
        {"mixer": "yes"},
        {"first_block": 1},
        {"name": "plain"},
        {"name": ["plain"]},
        {"widths": {"bifpn": 10**9}},
        {"context": []},
        {"name": "plain", "blocks": [10**9] * 4},
        {"name": "plain", "stages": [10**9] * 4},
        {"name": "nano_b", "shuffle_groups": 10**9},
        {"name": "nano_b", "cbam": {"reduction": 0}},
    ],
)
def test_networks_that_are_not_those_of_the_weights(
    content: Content, tmp_path: Path, change: Content
) -> None:
    if "name" in change:
        content["featherface"]["model"] = change
    else:
        content["featherface"]["model"].update(change)
    refusal(content, tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "facts", [5, None, [], {"format": 2}, {"format": 2, "model": 5}, {"format": 2, "model": {}}]
)
def test_facts_of_another_kind(content: Content, tmp_path: Path, facts: Any) -> None:
    refusal({**content, "featherface": facts}, tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "masks",
    [
        5,
        {"frozen": True},
        {"frozen": True, "kept": torch.ones(3, dtype=torch.bool)},
        {"frozen": True, "kept": torch.ones(3)},
        {"frozen": True, "kept": "all"},
    ],
)
def test_masks_of_another_kind(content: Content, tmp_path: Path, masks: Any) -> None:
    content["featherface"]["masks"] = masks
    refusal(content, tmp_path / "a.ckpt")


def test_a_mask_of_nothing(content: Content, tmp_path: Path) -> None:
    kept = torch.zeros(10_000, dtype=torch.bool)
    content["featherface"]["masks"] = {"frozen": True, "kept": kept}
    count = int(
        refusal(content, tmp_path / "a.ckpt").split("a mask of ")[1].split()[0].replace(",", "")
    )
    content["featherface"]["masks"]["kept"] = kept[:count]
    assert "a mask that leaves channels" in refusal(content, tmp_path / "a.ckpt")


def test_facts_that_refer_to_each_other(content: Content, tmp_path: Path) -> None:
    table: list[Any] = []
    for _ in range(60):
        table = [table, table]
    content["featherface"]["model"]["name"] = table
    assert "got more than 100,000 values" in refusal(content, tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.to_sparse(),
        lambda value: value.to("meta"),
        lambda value: value.to(torch.complex64),
        lambda value: value.to(torch.int64),
        lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    ],
)
def test_tensors_of_another_kind(
    content: Content, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    name = "model.backbone.stage1.0.conv.weight"
    content["state_dict"][name] = change(content["state_dict"][name])
    refusal(content, tmp_path / "a.ckpt")


def test_what_is_compressed_or_overlaps(weights: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.ckpt"
    with zipfile.ZipFile(weights) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    with pytest.raises(ValueError, match=r"packed\.ckpt, got an archive whose entries are compres"):
        checkpoint.load(packed)
    overlapping = tmp_path / "overlapping.ckpt"
    with zipfile.ZipFile(overlapping, "w") as archive:
        archive.writestr("a", bytes(1000))
        archive.filelist = [*archive.filelist] * 50
    with pytest.raises(
        ValueError, match=r"overlapping\.ckpt, got an archive whose entries overlap"
    ):
        checkpoint.load(overlapping)


def test_a_file_of_terabytes(tmp_path: Path) -> None:
    with (tmp_path / "a.ckpt").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(ValueError, match=r"a\.ckpt, got one of more than 4,294,967,296 bytes"):
        checkpoint.load(tmp_path / "a.ckpt")


def test_the_network_that_an_onnx_file_names(tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(bytes(1000))
    huge = {**featherface_v1().config, "channels": 4000}
    with pytest.raises(ValueError, match=r"a\.onnx: expected a network of at most 10,000,000 para"):
        benchmark.described(file, huge)
    for wrong in (None, {}, {"name": "plain", "stem": 10**9}):
        with pytest.raises(ValueError, match=r"a\.onnx: expected"):
            benchmark.described(file, wrong)


def test_networks_as_large_as_they_may_be_are_described_at_once() -> None:
    with torch.device("meta"):
        for config in (
            {"name": "featherface_v1", "channels": 4096, "bifpn_repeats": 64, "mixer": True},
            {"name": "nano_b", "channels": 4096, "semantic": True, "assn": True},
            {**plain().config, "stages": [4096] * 4, "blocks": [64] * 4},
        ):
            build_model(config)


def test_what_a_shuffle_may_be() -> None:
    shuffle = ChannelShuffle(6, 2)
    assert shuffle.is_order()
    shuffle.index[0] = 5
    assert not shuffle.is_order()
