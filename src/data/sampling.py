"""Order of training images as a pure function of seed and epoch.

A run resumed from a checkpoint asks for epoch 7 and gets the images of epoch 7 in the order an
uninterrupted run would have seen; PyTorch's shuffling would start again with the order of epoch 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index), so that a dataset can derive an image's random numbers from both.

    Under several processes each takes every ``world_size``-th image; the list is continued from
    its beginning until all processes have equally many, or they would wait for each other.

    Args:
        num_samples: images of the dataset.
        seed: of the order, at least 0.
        shuffle: whether to permute; else 0, 1, 2, ...
        rank: number of this process.
        world_size: number of processes.
        first_epoch: the epoch to begin with.
        skip: images of this process that ``first_epoch`` leaves out: a resumed run has seen them.

    Raises:
        ValueError: if there is no image, the seed is negative or the rank is not one of the world.
    """

    def __init__(
        self,
        num_samples: int,
        seed: int,
        *,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        first_epoch: int = 0,
        skip: int = 0,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f"expected at least one training image, got {num_samples}")
        if seed < 0:
            raise ValueError(f"expected a seed of at least 0, got {seed}; set seed=")
        if not 0 <= rank < world_size:
            raise ValueError(f"expected a rank of 0 to {world_size - 1}, got {rank}")
        self.num_samples = num_samples
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.first_epoch = first_epoch
        self.skip = skip
        self.epoch = first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; Lightning calls it before every epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = epoch_order(self.num_samples, self.seed, self.epoch, shuffle=self.shuffle)
        # np.resize repeats the list from its beginning.
        order = np.resize(order, len(self) * self.world_size)[self.rank :: self.world_size]
        for index in order[self.skip if self.epoch == self.first_epoch else 0 :]:
            yield self.epoch, int(index)

    def __len__(self) -> int:
        return math.ceil(self.num_samples / self.world_size)


def epoch_order(num_samples: int, seed: int, epoch: int, *, shuffle: bool = True) -> np.ndarray:
    """Indices [num_samples] int64 in the order of one epoch."""
    if not shuffle:
        return np.arange(num_samples)
    return np.random.default_rng((seed, epoch)).permutation(num_samples)


def held_out(num_samples: int, count: int, seed: int = 0) -> np.ndarray:
    """Which of some samples are set aside, bool [num_samples]: the same ones for the same seed."""
    chosen = np.zeros(num_samples, bool)
    chosen[np.random.default_rng(seed).permutation(num_samples)[:count]] = True
    return chosen


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random generator of one image in one epoch, whichever process asks for it."""
    # Index + 1: numpy fills short seeds with zeros, so 0 would repeat the stream of the order.
    return np.random.default_rng((seed, epoch, index + 1))
