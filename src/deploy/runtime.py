"""What every runtime is to us: a function from pixels to outputs, in an optional package."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Protocol

import numpy as np


class Network(Protocol):
    """A file that a runtime has loaded."""

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for BGR pixels [B, 3, H, W], 0 to 255, of any type."""
        ...


def require(*names: str, extra: str = "export") -> list[Any]:
    """The modules of the packages of an extra.

    Raises:
        ValueError: one of them is not installed.
    """
    check_installed(*names, extra=extra)
    return [importlib.import_module(name) for name in names]


def check_installed(*names: str, extra: str) -> None:
    """Raise a ValueError if a package of an extra is missing; none is imported."""
    for name in names:
        package = name.split(".")[0]
        if not is_installed(package):
            raise ValueError(
                f"expected the packages of the {extra} extra, found no {package}; "
                f"run make install, or pip install -e '.[{extra}]'"
            )


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None
