from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from src.data.datamodule import FaceDataModule
from src.data.dataset import EvaluationDataset, FaceDataset, collate
from src.data.reading import Annotation, read_split
from src.data.transforms import (
    ColourDistortion,
    Compose,
    PadToSquare,
    RandomMirror,
    RandomSquareCrop,
    Resize,
)
from src.evaluation.ground_truth import truth_from_boxes, write_ground_truth
from src.images.files import read_image
from src.synthetic import SyntheticSpec
from src.types import MEAN_BGR, Batch, Sample

CONF = Path(__file__).parents[2] / "conf"
RECIPE = Compose(
    [RandomSquareCrop(), ColourDistortion(), PadToSquare(), RandomMirror(), Resize(48)]
)


def make_data(root: Path, **settings: Any) -> FaceDataModule:
    defaults = {"augmentation": RECIPE, "image_size": 48, "batch_size": 2, "num_workers": 0}
    return FaceDataModule(root=root, **(defaults | settings))


def assert_batches_equal(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.names == b.names
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.scales, b.scales)
        assert all(torch.equal(x, y) for x, y in zip(a.targets, b.targets, strict=True))


# --- collate -----------------------------------------------------------------------------------


def test_collate_concatenates_faces_and_says_whose_they_are(
    make_sample: Callable[..., Sample],
) -> None:
    samples = [make_sample(count, seed=count) for count in (2, 0, 3)]
    batch = collate(samples)
    assert batch.images.shape == (3, 3, 120, 160)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous()
    for image, sample in zip(batch.images, samples, strict=True):
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), sample.image)
    targets = batch.targets
    assert targets.image_index.tolist() == [0, 0, 2, 2, 2]
    assert targets.image_index.dtype == torch.int64
    assert targets.boxes.dtype == targets.landmarks.dtype == batch.scales.dtype == torch.float32
    assert targets.has_landmarks.dtype == targets.ignore.dtype == torch.bool
    expected = np.concatenate([sample.faces.boxes for sample in samples])
    np.testing.assert_array_equal(targets.boxes.numpy(), expected)
    assert batch.scales.tolist() == [[1, 1]] * 3


def test_collate_without_any_face(make_sample: Callable[..., Sample]) -> None:
    targets = collate([make_sample(0), make_sample(0)]).targets
    assert targets.boxes.shape == (0, 4)
    assert targets.landmarks.shape == (0, 5, 2)
    assert targets.image_index.shape == (0,)


def test_collate_pads_right_and_below_with_the_mean_colour(
    make_sample: Callable[..., Sample],
) -> None:
    samples = [make_sample(height=20, width=30), make_sample(height=25, width=16)]
    batch = collate(samples, [(0.5, 0.25), (2.0, 1.0)])
    assert batch.images.shape == (2, 3, 25, 30)
    mean = torch.tensor(MEAN_BGR, dtype=torch.uint8)[:, None, None]
    assert (batch.images[0, :, 20:] == mean).all()
    assert (batch.images[1, :, :, 16:] == mean).all()
    np.testing.assert_array_equal(
        batch.images[1, :, :, :16].permute(1, 2, 0).numpy(), samples[1].image
    )
    assert batch.scales.tolist() == [[0.5, 0.25], [2, 1]]


# --- datasets ----------------------------------------------------------------------------------


def test_augmentation_depends_on_seed_epoch_and_index_alone(small_tree: Path) -> None:
    annotations = read_split(small_tree, "train").annotations
    # The same picture twice: equal pixels would mean equal random numbers.
    annotations = [annotations[1], annotations[1]]
    dataset = FaceDataset(annotations, RECIPE, seed=1)
    images = {key: dataset[key].image.tobytes() for key in [(0, 0), (0, 1), (1, 0), (5, 0), (0, 0)]}
    assert len(set(images.values())) == 4
    again = FaceDataset(annotations, RECIPE, seed=1)
    assert again[(5, 0)].image.tobytes() == images[(5, 0)]
    assert FaceDataset(annotations, RECIPE, seed=2)[(5, 0)].image.tobytes() != images[(5, 0)]


def test_a_plain_index_is_refused(small_tree: Path) -> None:
    dataset = FaceDataset(read_split(small_tree, "train").annotations, RECIPE, seed=0)
    with pytest.raises(TypeError, match=r"\(epoch, index\) pair .* got 3; .*num_train_images"):
        dataset[3]  # type: ignore[index]


def test_evaluation_images_carry_their_scale(small_tree: Path) -> None:
    annotations = read_split(small_tree, "val").annotations
    original, scale = EvaluationDataset(annotations, None)[1]
    assert original.image.shape == (60, 80, 3)
    assert scale == (1, 1)
    sample, scale = EvaluationDataset(annotations, 40)[1]
    assert sample.image.shape == (30, 40, 3)
    assert scale == (0.5, 0.5)
    np.testing.assert_allclose(sample.faces.boxes, original.faces.boxes / 2)
    sample, scale = EvaluationDataset(annotations, 41)[1]
    assert sample.image.shape == (31, 41, 3)
    assert scale == (41 / 80, 31 / 60)
    expected = original.faces.boxes * np.tile(scale, 2)
    np.testing.assert_allclose(sample.faces.boxes, expected, rtol=1e-6)


def test_a_file_that_does_not_decode_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8 no image \xff\xd9")
    with pytest.raises(ValueError, match=r"broken.jpg: .*can be decoded, got a damaged file"):
        read_image(path)
    with pytest.raises(ValueError, match=r"absent.jpg: .* got a missing file"):
        read_image(tmp_path / "absent.jpg")


# --- data module -------------------------------------------------------------------------------


def test_training_batches(small_tree: Path) -> None:
    data = make_data(small_tree)
    data.prepare_data()
    data.setup("fit")
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 2  # 5 images; the incomplete batch is dropped
    assert all(batch.images.shape == (2, 3, 48, 48) for batch in batches)
    loader.sampler.set_epoch(1)
    assert [batch.names for batch in loader] != [batch.names for batch in batches]


def test_fewer_images_than_a_batch_make_one(small_tree: Path) -> None:
    (batch,) = make_data(small_tree, batch_size=64).train_dataloader()
    assert len(batch.names) == 5


def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(small_tree: Path) -> None:
    def epochs(*numbers: int) -> list[Batch]:
        loader = make_data(small_tree, seed=7).train_dataloader()
        seen = []
        for number in numbers:
            loader.sampler.set_epoch(number)
            seen = list(loader)
        return seen

    assert_batches_equal(epochs(0, 1, 2), epochs(2))


@pytest.mark.slow
def test_batches_do_not_depend_on_the_number_of_workers(small_tree: Path) -> None:
    alone = make_data(small_tree, batch_size=1)
    workers = make_data(small_tree, batch_size=1, num_workers=2)
    assert_batches_equal(list(alone.train_dataloader()), list(workers.train_dataloader()))
    assert_batches_equal(list(alone.val_dataloader()), list(workers.val_dataloader()))


def test_validation_keeps_original_sizes_by_default(small_tree: Path) -> None:
    data = make_data(small_tree)
    batches = list(data.val_dataloader())
    assert [batch.names for batch in batches] == [(name,) for name in data.names]
    assert batches[0].images.shape == (1, 3, 60, 80)
    assert [len(batch.targets.boxes) for batch in batches] == [0, 2, 2]
    assert_batches_equal(batches, list(data.test_dataloader()))


def test_validation_at_a_long_side_is_batched(small_tree: Path) -> None:
    data = make_data(small_tree, val_long_side=40, val_batch_size=2)
    first, second = data.val_dataloader()
    assert first.images.shape == (2, 3, 30, 40)
    assert second.scales.tolist() == [[0.5, 0.5]]


def test_a_batch_size_without_effect_is_said(
    small_tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        data = make_data(small_tree, val_batch_size=8)
    assert "data.val_batch_size=8 has no effect" in caplog.text
    assert len(list(data.val_dataloader())) == 3


def test_only_the_first_images(small_tree: Path) -> None:
    data = make_data(small_tree, num_train_images=2, num_val_images=1, batch_size=8)
    (batch,) = data.train_dataloader()
    assert set(batch.names) == {"0--A/0_A_0.jpg", "0--A/0_A_1.jpg"}
    assert data.names == ["1--B/1_B_0.jpg"]
    assert set(data.truth()) == set(data.names)


def test_validation_on_the_training_images(small_tree: Path) -> None:
    data = make_data(small_tree, val_split="train", num_val_images=2)
    assert data.names == ["0--A/0_A_0.jpg", "0--A/0_A_1.jpg"]
    np.testing.assert_allclose(data.truth()[data.names[1]].boxes_xywh[0], [10, 12, 20, 24])


def test_processes_share_validation_images_without_duplicates(small_tree: Path) -> None:
    seen, steps = [], []
    for rank in range(2):
        data = make_data(small_tree, batch_size=1)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)  # type: ignore[assignment]
        seen += [name for batch in data.val_dataloader() for name in batch.names]
        steps.append(len(data.train_dataloader()))
    assert sorted(seen) == data.names
    assert steps == [3, 3]  # five images: one of them is seen twice


def test_processes_share_a_batch(small_tree: Path) -> None:
    def place(rank: int, world_size: int, batch_size: int) -> FaceDataModule:
        data = make_data(small_tree, batch_size=batch_size, split_batch=True)
        trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
        data.trainer = trainer  # type: ignore[assignment]
        return data

    def names(rank: int, world_size: int) -> list[tuple[str, ...]]:
        data = place(rank, world_size, batch_size=2)
        assert data.batch_size == 2 // world_size
        return [batch.names for batch in data.train_dataloader()]

    alone, halves = names(0, 1), zip(names(0, 2), names(1, 2), strict=True)
    together = [set(a + b) for a, b in halves]
    assert together[: len(alone)] == [set(each) for each in alone]
    with pytest.raises(ValueError, match=r"^expected data\.batch_size to be a multiple of the 2 "):
        _ = place(0, 2, batch_size=3).batch_size


def test_truth_from_labels_is_said(small_tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_data(small_tree)
    with caplog.at_level(logging.INFO):
        truth = data.truth()
    assert list(truth) == data.names
    np.testing.assert_allclose(truth[data.names[1]].boxes_xywh, [[10, 12, 20, 24], [50, 30, 9, 12]])
    assert "no .mat ground truth" in caplog.text


def write_truth(folder: Path, annotations: list[Annotation]) -> None:
    truth = {a.name: truth_from_boxes(a.faces.boxes[:1], a.faces.ignore[:1]) for a in annotations}
    write_ground_truth(folder, truth)


def test_truth_from_mat_files_comes_first(small_tree: Path) -> None:
    write_truth(small_tree / "ground_truth", read_split(small_tree, "val").annotations)
    assert [len(t.boxes_xywh) for t in make_data(small_tree).truth().values()] == [0, 1, 1]
    # They hold validation images only.
    assert len(make_data(small_tree, val_split="train").truth()) == 5


def test_ground_truth_of_other_images_is_refused(small_tree: Path, tmp_path: Path) -> None:
    write_truth(tmp_path / "other", read_split(small_tree, "train").annotations)
    with pytest.raises(ValueError, match=r"all 3 .* none for 3, first 1--B/1_B_0.jpg.*set data"):
        make_data(small_tree, ground_truth=tmp_path / "other").truth()
    with pytest.raises(FileNotFoundError, match=r"wider_face_val.mat"):
        make_data(small_tree, ground_truth=tmp_path / "absent").truth()


def test_names_without_ground_truth_say_what_to_provide(tree) -> None:
    tree.retinaface("val", {"0--A/a.jpg": []}, names_only=True)
    with pytest.raises(ValueError, match=r"only their names; put the four official .mat files"):
        make_data(tree.root).truth()


def test_setup_stops_at_a_fault_before_training(small_tree: Path) -> None:
    (small_tree / "val" / "images" / "1--B" / "1_B_1.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1_B_1.jpg: expected a JPEG or PNG"):
        make_data(small_tree).setup("fit")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "expected data.batch_size of at least 1, got 0"),
        ({"num_workers": -1}, "expected data.num_workers of at least 0, got -1"),
        ({"num_train_images": 0}, "expected data.num_train_images of at least 1, got 0"),
        ({"val_long_side": 10**9}, "data.val_long_side of at most 16,384, got 1,000,000,000"),
        ({"max_pixels": 0}, "data.max_pixels of at least 1, got 0"),
        ({"val_long_side": 0}, "data.val_long_side of at least 1, got 0"),
        ({"val_split": "test"}, "'train', 'val' or 'held_out', got 'test'"),
    ],
)
def test_setting_errors(tmp_path: Path, setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_data(tmp_path, **setting)


def test_a_synthetic_tree_is_generated_once(tmp_path: Path) -> None:
    spec = SyntheticSpec(num_train=2, num_val=1, size=64, seed=0)
    data = make_data(tmp_path / "synthetic", generator=spec)
    data.prepare_data()
    (label_file,) = data.root.glob("train/label.txt")
    written = label_file.stat().st_mtime_ns
    data.prepare_data()
    assert label_file.stat().st_mtime_ns == written
    assert len(data.train_annotations) == 2
    assert set(data.truth()) == set(data.names)
    assert next(iter(data.train_dataloader())).images.shape == (2, 3, 48, 48)


class Recorder(L.LightningModule):
    """Notes the images of each step; learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[str]] = {}

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.seen.setdefault(self.current_epoch, []).extend(batch.names)
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Lightning, about loaders this small
def test_lightning_sets_the_epoch_also_after_a_resume(small_tree: Path, tmp_path: Path) -> None:
    def fit(epochs: int, checkpoint: Path | None = None) -> tuple[Recorder, L.Trainer]:
        recorder = Recorder()
        trainer = L.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        data = make_data(small_tree, batch_size=5)
        trainer.fit(recorder, data.train_dataloader(), ckpt_path=checkpoint)
        return recorder, trainer

    whole, _ = fit(3)
    first, trainer = fit(1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    rest, _ = fit(3, tmp_path / "last.ckpt")
    assert len({tuple(names) for names in whole.seen.values()}) == 3
    assert first.seen | rest.seen == whole.seen
    assert set(rest.seen) == {1, 2}


# --- configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["synthetic", "widerface"])
@pytest.mark.parametrize("augmentation", ["retinaface", "none"])
def test_every_option_gives_a_working_data_module(
    small_tree: Path, data: str, augmentation: str
) -> None:
    overrides = [
        f"data={data}",
        f"augmentation={augmentation}",
        f"data.root={small_tree}",
        "data.image_size=32",
        "data.num_workers=0",
        "data.batch_size=4",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("check_data", overrides)
        module = instantiate(cfg.data)
    assert module.image_size == 32
    assert next(iter(module.train_dataloader())).images.shape == (4, 3, 32, 32)
    assert module.num_workers == 0


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDERFACE_ROOT", "/somewhere/else")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("check_data", ["data=widerface"]).data.root == "/somewhere/else"


def test_the_synthetic_root_names_what_is_in_it() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("check_data", ["data.generator.num_train=8", "data.generator.seed=3"])
    assert cfg.data.root == "outputs/data/synthetic_8x128_640px_seed3"


@pytest.mark.real_data
def test_real_images_go_through_the_recipe(widerface: Path) -> None:
    data = make_data(widerface, num_train_images=8, num_val_images=2, batch_size=8)
    (batch,) = data.train_dataloader()
    assert batch.images.shape == (8, 3, 48, 48)
    assert set(data.truth()) == set(data.names)


def test_an_image_removed_during_training_is_named(small_tree: Path) -> None:
    data = make_data(small_tree)
    data.setup("fit")
    shutil.rmtree(small_tree / "train" / "images")
    with pytest.raises(ValueError, match=r"0_A_.\.jpg: .* got a missing file"):
        list(data.train_dataloader())
