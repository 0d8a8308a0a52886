"""A checkpoint of other content than it was written with is not gone on from."""

from __future__ import annotations

import copy

import pytest
import torch

from src import checkpoint
from src.training.integrity import KEY, check_seal, digest, restoring, sealed
from src.training.plugins import CheckpointFiles

CONTENT = {
    "loops": {"done": 3, "last": False},
    "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2, 3), "step": torch.tensor(4.0)}}}],
    "best": [0.5, None, "a.ckpt"],
}


def changed(change):
    content = copy.deepcopy(CONTENT)
    change(content)
    return content


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["loops"].update(done=4),
        lambda c: c["loops"].update(last=0),
        lambda c: c["loops"].pop("last"),
        lambda c: c["best"].reverse(),
        lambda c: c["optimizer_states"][0]["state"].update({1: {}}),
        lambda c: c["optimizer_states"][0]["state"][0]["exp_avg"].neg_(),
        lambda c: c["optimizer_states"][0]["state"][0].update(exp_avg=torch.ones(3, 2)),
        lambda c: c["optimizer_states"][0]["state"][0].update(step=torch.tensor(4)),
    ],
)
def test_every_change_is_told(change, tmp_path):
    assert digest(changed(change)) != digest(CONTENT) == digest(copy.deepcopy(CONTENT))
    file = tmp_path / "last.ckpt"
    CheckpointFiles().save_checkpoint(CONTENT, file)
    content = checkpoint.read(file)
    check_seal(content, file)
    change(content)
    with pytest.raises(ValueError, match=rf"whole checkpoint .* in {file}, got .*init\.model=FILE"):
        check_seal(content, file)


def test_what_has_no_seal_passes_and_a_new_one_replaces_the_old(tmp_path):
    check_seal(CONTENT, tmp_path)
    assert sealed({**CONTENT, KEY: "old"}) == sealed(CONTENT)


def test_what_a_library_says_of_an_unsealed_one_gets_the_name(tmp_path):
    last = tmp_path / "last.ckpt"
    said = rf"in {last}, got a damaged one \(KeyError: 'x'\); copy"
    with pytest.raises(ValueError, match=said), restoring(last, unsure=lambda: True):
        {}["x"]
    for given, sure in ((None, True), (last, False)):
        with pytest.raises(KeyError), restoring(given, unsure=lambda sure=sure: sure):
            {}["x"]
    with pytest.raises(ValueError, match=r"^expected labels"), restoring(last, unsure=lambda: True):
        raise ValueError("expected labels")
