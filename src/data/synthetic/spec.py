"""The sizes and the seed that a generated data set follows from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SyntheticSpec:
    """What to generate. Image i of a split depends on ``seed`` and ``size`` only."""

    num_train: int = 512
    """Images."""
    num_val: int = 128
    """Images."""
    size: int = 640
    """Longest side of an image, pixels."""
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"num_train": (1, 100_000), "num_val": (1, 100_000), "size": (48, 2048)}
        limits["seed"] = (0, 2**32 - 1)
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(
                    f"expected {name} to be an integer, got {value!r}; set data.generator.{name}"
                )
            if not low <= value <= high:
                raise ValueError(
                    f"expected {name} from {low} to {high}, got {value}; set data.generator.{name}"
                )
