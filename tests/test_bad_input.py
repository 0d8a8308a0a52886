"""Every mistake a user can make ends in one sentence: what was expected, what came, what to do."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from composing import TINY_DATA, complaint_of, composed
from omegaconf import DictConfig

import src.check_data
import src.evaluate
import src.predict
import src.train
from src import checkpoint
from src.cli.errors import one_sentence
from src.models import featherface_v1
from src.runs.read import read_runs
from src.synthetic import SyntheticSpec, generate

TASKS = {
    "train": src.train.train,
    "evaluate": src.evaluate.evaluate,
    "predict": src.predict.predict,
    "check_data": src.check_data.check,
}
TRAIN = ["data.image_size=64", "data.batch_size=2", "logger=csv", "num_pictures=0"]
CPU = ["trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated tree."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    generate(root, SyntheticSpec(num_train=6, num_val=3, size=96), num_workers=0)
    return root


@pytest.fixture
def complaint(tiny: Path, tmp_path: Path) -> Callable[..., str]:
    """``complaint("train", "a=1")``: the sentence that command ends with."""

    def run(name: str, *overrides: str) -> str:
        settings = [*TINY_DATA, f"data.root={tiny}"]
        settings += {"train": [*TRAIN, *CPU], "evaluate": CPU[:1]}.get(name, [])
        if name == "predict":
            settings = []
        return complaint_of(TASKS[name], name, tmp_path / "run", *settings, *overrides)

    return run


# Settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("trainer.max_epochs=abc", r"max_epochs to be a whole number or null, got 'abc'; set trai"),
        ("trainer.max_epochs=null", r"expected trainer\.max_epochs of at least 1, .*got None"),
        ("trainer.max_epochs=0", r"expected trainer\.max_epochs of at least 1"),
        ("trainer.max_steps=0", r"expected trainer\.max_steps of at least 1"),
        ("trainer.limit_val_batches=0", r"expected trainer\.limit_val_batches above 0, got 0"),
        ("trainer.accumulate_grad_batches=0", r"expected trainer\.accumulate_grad_batches above 0"),
        ("trainer.precision=17", r"expected trainer\.precision to be one of 64, 32, .*, got 17"),
        ("trainer.accelerator=quantum", r"settings of trainer that fit, got: .*quantum.*cpu"),
        ("data.batch_size=0", r"expected data\.batch_size of at least 1, got 0"),
        ("data.batch_size=two", r"expected data\.batch_size to be a whole number, got 'two'"),
        ("data.num_workers=-1", r"expected data\.num_workers of at least 0, got -1"),
        ("data.val_split=test", r"to be one of 'train', 'val', 'held_out', got 'test'"),
        ("seed=-1", r"expected seed to be a whole number from 0 to 4294967295, got -1; set seed="),
        ("num_pictures=-1", r"expected num_pictures to be a whole number of at least 0, got -1"),
        ("optimizer.lr=-1", r"expected settings that the optimizer takes, got Invalid learn"),
        ("optimizer.lr=fast", r"expected optimizer\.lr to be a number, got 'fast'"),
        ("recipe.warmup_steps=-1", r"recipe\.warmup_steps to be a whole number .*, got -1"),
        ("recipe.milestones=5", r"milestones to be a list, got 5"),
        ("scaling.reference_batch=0", r"expected a reference batch of at least 1 image, got 0"),
        ("views.scales=[-1]", r"expected at least one scale, all above 0"),
        ("decoder.nms_iou=2", r"nms_iou in \(0, 1\], got 0\.02 and 2"),
        ("model.preset=v9", r"expected a FeatherFace V1 preset of v1_489015, .*got 'v9'"),
        ("loss.weights.class=much", r"loss\.weights\.class to be a number, got 'much'"),
        ("init.model=/nowhere.ckpt", r"expected a checkpoint file, found none at /nowhere\.ckpt"),
        ("init.backbone=/nowhere.pth", r"expected a checkpoint file, found none at /nowhere\.pth"),
        ("resume=true", r"expected run=NAME beside resume=true"),
    ],
)  # fmt: skip
def test_settings(complaint, settings, sentence):
    assert re.search(sentence, complaint("train", settings))


def test_the_averaging_rate(complaint):
    found = complaint("train", "ema=exponential", "ema.callback.decay=2")
    assert re.search(r"settings of ema\.callback that fit, got: .*decay value 2", found)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it is no mistake")
def test_a_gpu_that_is_not_there(complaint):
    found = complaint("train", "trainer=gpu", "trainer.accelerator=gpu")
    assert re.search(r"settings of trainer that fit, got: .*gpu", found)


# Data


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:600])


def hollow(path: Path) -> None:
    """Beginning and end are those of an image, and between them nothing can be decoded."""
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xc4")  # the Huffman tables: marker, length, class, 16 counts
    content[start + 5 : start + 21] = b"\xff" * 16
    path.write_bytes(content)


def relabel(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        file = root / "train" / "label.txt"
        lines = file.read_text().splitlines()
        face = next(i for i, line in enumerate(lines) if not line.startswith("#"))
        lines[face] = re.sub(old, new, lines[face], count=1)
        file.write_text("\n".join(lines) + "\n")

    return change


def first_image(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: damage(sorted((root / "train" / "images").rglob("*.jpg"))[0])


@pytest.fixture
def tree(tiny: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny, tmp_path / "tree"))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, r"expected a folder of WIDER FACE at .*, found none; set data\.root="),
        (lambda root: shutil.rmtree(root / "train"), r"expected the train labels of WIDER FACE"),
        (first_image(Path.unlink), r"got 1 that do not exist, first .*complete the folder or set"),
        (first_image(cut), r"expected a complete image, got one cut off after 600 bytes; copy it"),
        (relabel(r" \S+$", ""), r"label\.txt:2: expected 20 or 4 numbers for a face, got 19"),
        (relabel(r"^\S+", "nan"), r"label\.txt:2: expected finite numbers for a face, got 'nan "),
        (relabel(r"^\S+", "many"), r"label\.txt:2: expected numbers for a face, got 'many "),
        (relabel(r"^\S+", "5000"), r"label\.txt:2: expected a face inside its image of .*5000 "),
    ],
    ids=["nothing", "layout", "missing", "cut", "19", "nan", "word", "outside"],
)  # fmt: skip
def test_data(complaint, tree, tmp_path, damage, sentence):
    damage(tree)
    assert re.search(sentence, complaint("train", "data.generator=null", f"data.root={tree}"))
    assert not (tmp_path / "run" / "checkpoints").exists()  # before training starts


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_image_that_fails_in_training(complaint, tree, num_workers):
    first_image(hollow)(tree)
    found = complaint(
        "train", "data.generator=null", f"data.root={tree}", f"data.num_workers={num_workers}"
    )
    assert re.search(r"\.jpg: expected an image that can be decoded, got a damaged file; re", found)


def test_a_folder_that_cannot_be_written(complaint, tmp_path):
    (tmp_path / "file").touch()
    found = complaint("train", f"data.root={tmp_path}/file/data")
    assert re.search(r"expected to read or write .*file.*, got '.*'; check the path", found)


# Checkpoints


class Intruder:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def write_text(path: Path) -> None:
    path.write_text("no weights here\n")


def write_half(path: Path) -> None:
    checkpoint.save(path, featherface_v1())
    path.write_bytes(path.read_bytes()[:100_000])


def write_flipped(path: Path) -> None:
    checkpoint.save(path, featherface_v1())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_intruder(path: Path) -> None:
    torch.save({"state_dict": Intruder(path.with_name("made"))}, path)


def write_bare_intruder(path: Path) -> None:
    path.write_bytes(pickle.dumps(Intruder(path.with_name("made"))))


def write_other(path: Path) -> None:
    checkpoint.save(path, featherface_v1("v1_487103"))


DAMAGED = r"expected a PyTorch checkpoint of plain tensors in .*bad\.ckpt, got a damaged or foreign"
CODE = r"got one with Python objects \(posix\.mkdir\), which could run code; save its state_dict"


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (write_text, DAMAGED),
        (Path.touch, DAMAGED),
        (write_half, DAMAGED),
        (write_flipped, DAMAGED),
        (write_intruder, CODE),
        (write_bare_intruder, r"plain tensors in .*bad\.ckpt, got"),
        (
            write_other,
            r"in init\.model, got one with preset=v1_487103 \(not v1_489015\), chan.*match",
        ),
    ],
)
def test_initial_weights(complaint, tmp_path, write, sentence):
    path = tmp_path / "bad.ckpt"
    write(path)
    assert re.search(sentence, complaint("train", f"init.model={path}"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (write_text, r"expected a PyTorch checkpoint .*last\.ckpt, got a damaged or foreign file"),
        (write_intruder, CODE),
        (write_other, r"expected a checkpoint of a training run to resume from in .*last\.ckpt"),
    ],
)
def test_resuming(complaint, tmp_path, write, sentence):
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    write(last)
    assert re.search(sentence, complaint("train", "resume=true", "run=x"))
    assert not (last.parent / "made").exists()


# Evaluation and prediction


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ([], r"expected either checkpoint=<file> or predictions=<folder>, got "),
        (["checkpoint=a", "predictions=b"], r"got checkpoint=a and predictions=b"),
        (["checkpoint=/nowhere.ckpt"], r"expected a checkpoint file, found none at /nowhere\.ckpt"),
        (["predictions=/nowhere"], r"expected one prediction file for each of 3 images, got none"),
        (["predictions=/", "data.ground_truth=/nowhere"], r"/nowhere"),
    ],
)
def test_evaluation(complaint, settings, sentence):
    assert re.search(sentence, complaint("evaluate", *settings))


def test_ground_truth_of_other_images(complaint, tmp_path):
    other = tmp_path / "other"
    generate(other, SyntheticSpec(num_train=1, num_val=2, size=48), num_workers=0)
    found = complaint("evaluate", "predictions=/", f"data.ground_truth={other}/ground_truth")
    assert re.search(r"expected ground truth for all 3 validation images.*set data\.ground_", found)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ([], r"expected a value for (checkpoint|source), got none; add (checkpoint|source)="),
        (["checkpoint=/nowhere.ckpt", "source=/nowhere.jpg"], r"/nowhere"),
    ],
)
def test_prediction(complaint, settings, sentence):
    assert re.search(sentence, complaint("predict", *settings))


def test_checking_data(complaint):
    assert re.search(
        r"size of at least 1 pixel, got 0", complaint("check_data", "data.image_size=0")
    )


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """A log file such as Hydra gives every run."""
    file = tmp_path / "run" / "command.log"
    file.parent.mkdir()
    handler = logging.FileHandler(file)
    logging.getLogger().addHandler(handler)
    yield file
    logging.getLogger().removeHandler(handler)
    handler.close()


def test_a_refused_run_says_why_in_its_folder(complaint, log_file):
    sentence = complaint("train", "seed=-1")
    assert sentence.startswith("expected seed")
    assert "traceback" not in sentence
    (log_file.parent / ".hydra").mkdir()
    with pytest.raises(ValueError, match="failed: expected seed to be a whole number"):
        read_runs([log_file.parent])


@pytest.mark.parametrize("error", [TypeError("'<' not supported"), ValueError("a mistake of ours")])
def test_what_may_be_a_mistake_of_ours_names_the_log_file(tmp_path, log_file, error):
    assert ended(tmp_path / "run", error) == f"error: {error} (traceback in {log_file})"
    assert "Traceback (most recent call last)" in log_file.read_text()


def test_checked_data_are_recorded(tiny, tmp_path):
    folder = tmp_path / "run"
    with composed("check_data", folder, *TINY_DATA, f"data.root={tiny}") as config:
        src.check_data.run(config, folder)
    command = json.loads((tmp_path / "run" / "run.json").read_text())["command"]
    assert command.startswith("python -m src.check_data data.generator.num_train=6")


# Processes


def ended(tmp_path: Path, error: BaseException) -> str:
    @one_sentence
    def task(config: DictConfig) -> None:
        raise error

    command = composed("predict", tmp_path, "checkpoint=a", "source=b")
    with command as config, pytest.raises(SystemExit) as stop:
        task(config)
    return str(stop.value.code)


def test_the_end_of_another_process_is_no_error_of_this_one(tmp_path):
    error = RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]")
    assert ended(tmp_path, error) == "process 0 ends: another process of this run stopped before it"


def test_an_error_of_ours_keeps_its_traceback(tmp_path):
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        ended(tmp_path, RuntimeError("a mistake of ours"))


def test_interrupted_outside_of_training(tmp_path):
    assert ended(tmp_path, KeyboardInterrupt()) == "stopped by Ctrl-C"
