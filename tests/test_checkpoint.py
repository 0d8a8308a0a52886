"""Checkpoints: what is written is what is read, and nothing else is believed."""

from __future__ import annotations

import os

import pytest
import torch

from src import checkpoint
from src.models import build_model, featherface_v1


@pytest.fixture(scope="module")
def model():
    model = featherface_v1("v1_487103", prior_sizes=[[8, 16], [32, 64], [128, 256]])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1, 1)
    return model


def test_what_is_saved_is_loaded(model, tmp_path):
    path = tmp_path / "new" / "folder" / "a.ckpt"
    checkpoint.save(path, model, metrics={"ap": 0.5})
    loaded, facts = checkpoint.load(path)
    assert not loaded.training
    assert loaded.config == model.config
    assert loaded.priors == model.priors
    ours = model.state_dict()
    assert loaded.state_dict().keys() == ours.keys()
    assert all(torch.equal(value, ours[key]) for key, value in loaded.state_dict().items())
    assert facts["metrics"] == {"ap": 0.5}
    assert facts["revision"]
    assert facts["versions"].keys() == {"torch", "lightning", "numpy", "opencv-python"}
    assert [file.name for file in path.parent.iterdir()] == ["a.ckpt"]


def test_a_failed_write_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    checkpoint.write(path, {"step": 1})

    def half(content, file):
        file.write_bytes(b"PK")
        raise RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 2 vs 1")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write(path, {"step": 2})
    assert checkpoint.read(path) == {"step": 1}


def test_what_is_written_reaches_the_disk_before_it_is_named(tmp_path, monkeypatch):
    done = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append("sync") or sync(file))
    monkeypatch.setattr(os, "replace", lambda *files: done.append("rename") or rename(*files))
    checkpoint.write(tmp_path / "a.ckpt", {"step": 1})
    assert done == ["sync", "rename"]


def test_another_format_is_refused(model, tmp_path):
    path = tmp_path / "a.ckpt"
    content = {"state_dict": {}, "featherface": {**checkpoint.metadata(model), "format": 99}}
    checkpoint.write(path, content)
    with pytest.raises(ValueError, match=r"expected a checkpoint of format 2, got 99 in .*a\.ckpt"):
        checkpoint.load(path)


def test_weights_that_do_not_fit_are_named(model, tmp_path):
    path = tmp_path / "a.ckpt"
    checkpoint.save(path, model)
    content = checkpoint.read(path)
    content["featherface"]["model"] = featherface_v1().config
    checkpoint.write(path, content)
    with pytest.raises(ValueError, match=r"tensors of FaceDetector in .*a\.ckpt, but \d+ are miss"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], r"expected a dict of tensors in .*, got a list; save the state_dict"),
        ({"weights": torch.zeros(1)}, r"published code in .*, got a file with the keys weights"),
        ({"state_dict": torch.zeros(1)}, r"expected a dict of tensors as state_dict in .* Tensor"),
        ({}, r"got a file with the keys ; choose another file"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "a.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        checkpoint.load(path)


def test_a_flipped_bit_is_noticed(model, tmp_path):
    path = tmp_path / "a.ckpt"
    checkpoint.save(path, model)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    assert isinstance(torch.load(path, weights_only=True), dict)  # PyTorch does not notice
    with pytest.raises(ValueError, match="damaged or foreign file; copy it again"):
        checkpoint.read(path)


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    class Intruder:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"model.x": Intruder()}}, path)
    with pytest.raises(ValueError, match=r"Python objects \(posix\.mkdir\), which could run code"):
        checkpoint.load(path)
    assert not (tmp_path / "made").exists()


def test_a_checkpoint_cannot_name_code():
    with pytest.raises(ValueError, match="expected a model name of featherface_v1"):
        build_model({"name": "os.system"})
    with pytest.raises(ValueError, match="_target_"):
        build_model({"name": "featherface_v1", "_target_": "os.system"})


def test_the_backbone_of_a_detector(model, tmp_path):
    path = tmp_path / "a.ckpt"
    checkpoint.save(path, model)
    other = featherface_v1()
    checkpoint.load_backbone(path, other)
    ours = model.backbone.state_dict()
    assert all(torch.equal(value, ours[key]) for key, value in other.backbone.state_dict().items())
    torch.save({"classifier.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"keys such as 'module\.stage1.*got classifier\.weight"):
        checkpoint.load_backbone(path, other)


def test_differences_are_those_alone():
    ours, theirs = {"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}
    assert checkpoint.differences(ours, theirs) == "b=3 (not 2), c=4 (not None)"


def test_what_is_missing_is_none():
    """Configurations of older files lack settings that came later."""
    assert checkpoint.differences({"a": 1, "widths": None}, {"a": 1}) == ""
