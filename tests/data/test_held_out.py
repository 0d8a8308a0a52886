"""Training images that are set aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.data.datamodule import FaceDataModule
from src.data.sampling import held_out
from src.synthetic import SyntheticSpec


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("held_out")
    spec = SyntheticSpec(num_train=12, num_val=3, size=64, seed=0)

    def made(**options: Any) -> FaceDataModule:
        def crop(sample: Any, rng: np.random.Generator) -> Any:
            image = np.full((64, 64, 3), rng.integers(256), np.uint8)  # which random numbers it got
            return sample._replace(image=image)

        module = FaceDataModule(
            root=Path(root), augmentation=crop, image_size=64, batch_size=4, num_workers=0,
            generator=spec, **options,
        )  # fmt: skip
        module.prepare_data()
        return module

    return made


def test_images_set_aside_are_not_trained_on(make: Any) -> None:
    module = make(num_held_out=5)
    trained = {a.name for a in module.train_annotations}
    aside = {a.name for a in module.held_out_annotations}
    assert (len(trained), len(aside)) == (7, 5)
    assert trained | aside == {a.name for a in make().train_annotations}


def test_the_same_ones_for_every_seed(make: Any) -> None:
    names = [[a.name for a in make(num_held_out=5, seed=s).held_out_annotations] for s in (0, 7)]
    assert names[0] == names[1]


def test_the_same_crops_every_time(make: Any) -> None:
    first, second = (
        torch.cat([batch.images for batch in module.held_out_dataloader()])
        for module in (make(num_held_out=5, seed=0), make(num_held_out=5, seed=3))
    )
    assert len(first) == 5
    assert torch.equal(first, second)


def test_validation_on_them_uses_labels(make: Any) -> None:
    module = make(num_held_out=5, val_split="held_out")
    assert set(module.names) == {a.name for a in module.held_out_annotations}
    assert set(module.truth()) == set(module.names)


def test_they_are_spread_over_the_list() -> None:
    chosen = held_out(1000, 100)
    assert chosen.sum() == 100
    assert 20 < chosen[:500].sum() < 80
    assert not held_out(10, 0).any()


def test_mistakes_are_one_sentence(make: Any) -> None:
    with pytest.raises(ValueError, match=r"set data\.num_held_out=N"):
        make(val_split="held_out")
    with pytest.raises(ValueError, match="below the 12 training images"):
        _ = make(num_held_out=12).train_annotations
    with pytest.raises(ValueError, match="num_held_out of at least 0"):
        make(num_held_out=-1)


def test_images_for_recalibration_repeat(make: Any) -> None:
    first, second = (list(make(num_held_out=4).training_images(5)) for _ in range(2))
    assert len(first) == 5
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[2])  # of the next epoch
