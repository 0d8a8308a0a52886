from __future__ import annotations

import numpy as np
import pytest

from src.data.sampling import EpochSampler, epoch_order, sample_generator


def test_every_index_once_with_its_epoch() -> None:
    sampler = EpochSampler(10, seed=3)
    sampler.set_epoch(4)
    pairs = list(sampler)
    assert len(sampler) == len(pairs) == 10
    assert {epoch for epoch, _ in pairs} == {4}
    assert sorted(index for _, index in pairs) == list(range(10))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(50, seed)
        sampler.set_epoch(epoch)
        return [index for _, index in sampler]

    uninterrupted = EpochSampler(50, 1)
    seen = []
    for epoch in range(4):
        uninterrupted.set_epoch(epoch)
        seen.append([index for _, index in uninterrupted])
    assert seen[3] == order(1, 3)  # as after a resume
    assert len({tuple(each) for each in seen}) == 4
    assert order(1, 3) != order(2, 3)


def test_without_shuffling_indices_ascend() -> None:
    assert [index for _, index in EpochSampler(4, 0, shuffle=False)] == [0, 1, 2, 3]


@pytest.mark.parametrize("num_samples", [1, 7, 8, 9])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_share_the_images_equally(num_samples: int, world_size: int) -> None:
    shards = [
        [i for _, i in EpochSampler(num_samples, 5, rank=rank, world_size=world_size)]
        for rank in range(world_size)
    ]
    assert len({len(shard) for shard in shards}) == 1
    assert set().union(*shards) == set(range(num_samples))
    assert sum(map(len, shards)) - num_samples < world_size
    # Step by step, the ranks together see the order of a single process.
    together = [index for step in zip(*shards, strict=True) for index in step]
    assert together[:num_samples] == epoch_order(num_samples, 5, 0).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0, "seed": 0}, "at least one training image, got 0"),
        ({"num_samples": 1, "seed": -1}, "a seed of at least 0, got -1"),
        ({"num_samples": 1, "seed": 0, "rank": 2, "world_size": 2}, "rank of 0 to 1, got 2"),
    ],
)
def test_errors(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpochSampler(**arguments)


def test_generators_of_images_differ_and_repeat() -> None:
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    draws = [sample_generator(*key).random() for key in keys]
    assert len(set(draws)) == 4
    assert draws == [sample_generator(*key).random() for key in keys]
    # Nor does an image repeat the numbers its epoch was shuffled with.
    assert np.random.default_rng((0, 0)).random() not in draws
