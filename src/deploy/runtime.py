"""What every runtime is to us: a function from pixels to outputs, in an optional package."""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np


class Network(Protocol):
    """A file that a runtime has loaded."""

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for BGR pixels [B, 3, H, W], 0 to 255, of any type."""
        ...


def require(*names: str, extra: str = "export") -> list:
    """The modules of the packages of an extra.

    Raises:
        ValueError: one of them is not installed.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        missing = (error.name or names[0]).split(".")[0]
        raise ValueError(
            f"expected the packages of the {extra} extra, found no {missing}; "
            f"run make install, or pip install -e '.[{extra}]'"
        ) from None
