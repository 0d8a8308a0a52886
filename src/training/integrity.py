"""Whether the checkpoint that a training goes on from holds what was written into it.

The check sums of its archive tell other bytes, not another content: moments of an optimizer that
belong to other parameters, or counters that no training has, would be taken as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.cli.errors import exhausted

KEY = "sha256"
"""Of the content of a checkpoint, beside its parts."""


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a checkpoint, and the SHA-256 of them all."""
    parts = {key: value for key, value in content.items() if key != KEY}
    return {**parts, KEY: digest(parts)}


def check_seal(content: Mapping[str, Any], last: Path) -> None:
    """Refuse a checkpoint whose parts are not those that it was written with.

    Those of versions before there was a seal have none and pass.

    Raises:
        ValueError: naming the file.
    """
    if KEY in content and sealed(content)[KEY] != content[KEY]:
        raise _damaged(last, "one whose content is not what its check sum was made of")


@contextmanager
def restoring(last: Path | None, *, unsure: Callable[[], bool]) -> Iterator[None]:
    """Name the file where what is in it, and not ours, is at fault.

    Args:
        last: the checkpoint that a training goes on from; None: it begins.
        unsure: whether nobody has told yet that the content is whole.

    Raises:
        ValueError: instead of what a library raised over it.
    """
    try:
        yield
    except _FAULTS as error:
        ours = isinstance(error, ValueError) and str(error).startswith("expected")
        if last is None or ours or exhausted(error) is not None or not unsure():
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise _damaged(last, f"a damaged one ({reason:.200})") from error


_FAULTS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError,
           AssertionError, RecursionError)  # fmt: skip
"""What is raised over values of another kind or number than a training writes."""


def _damaged(last: Path, found: str) -> ValueError:
    return ValueError(
        f"expected the whole checkpoint of a training in {last}, got {found}; copy it again, or "
        "start from the weights of best.ckpt beside it with init.model=FILE and another run=NAME"
    )


def digest(content: Any) -> str:
    """SHA-256 of plain values and tensors, in hexadecimal digits."""
    whole = hashlib.sha256()
    _add(content, whole.update)
    return whole.hexdigest()


def _add(value: Any, add: Callable[[bytes], None]) -> None:
    if isinstance(value, Mapping):
        add(f"table {len(value)}\n".encode())
        for pair in value.items():
            _add(pair, add)
    elif isinstance(value, Tensor):
        add(f"tensor {value.dtype} {tuple(value.shape)}\n".encode())
        add(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        add(f"list {len(value)}\n".encode())
        for each in value:
            _add(each, add)
    else:
        text = repr(value).encode()
        add(f"{type(value).__name__} {len(text)}\n".encode() + text)
