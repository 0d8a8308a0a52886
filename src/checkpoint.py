"""The only reader and writer of weights.

A checkpoint is plain data: ``state_dict`` (keys ``model.<name>``) and ``featherface``, a dict of
plain values: the network's ``model`` configuration, metrics, provenance. Lightning's files are
supersets of it, so every file that training writes can be evaluated as it is. All
files, ours and published ones, are read with ``weights_only=True``: they cannot run code.
"""

from __future__ import annotations

import errno
import functools
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

from src.models import FaceDetector, build_model, wiring_of
from src.models.layers import ChannelShuffle
from src.models.upstream import backbone_weights, from_upstream, is_upstream
from src.pruning import remove
from src.runs.bounded import check_archive, check_nodes
from src.runs.files import replacing
from src.runs.nested import flatten
from src.runs.provenance import revision, versions

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""Networks that come with the project: ``<name>.ckpt``, see :func:`find`."""
FORMAT = 2  # 2: context apart from the neck
PREFIX = "model."
LARGEST = 2**32
"""Bytes of a file of weights; those of this project have a few million."""
_DIFFERENCES_SHOWN = 4
_REASON = 200
"""Characters of a library's message that are shown."""

P = ParamSpec("P")
T = TypeVar("T")


class Checkpoint(NamedTuple):
    """A network and what is known of it."""

    model: FaceDetector
    metadata: dict[str, Any]
    """``metrics``, ``revision``, ... see :func:`metadata`; empty for published weights."""


def _names_its_file(reader: Callable[P, T]) -> Callable[P, T]:
    """Say of every error in what a file holds, wherever it showed, which file that is."""

    @functools.wraps(reader)
    def named(*args: P.args, **kwargs: P.kwargs) -> T:
        path = args[0] if args else kwargs["path"]
        try:
            return reader(*args, **kwargs)
        except _DAMAGED as error:
            reason = " ".join(str(error).split())[:_REASON]
            if isinstance(error, ValueError) and reason.startswith(("expected", str(path))):
                if str(path) in str(error):
                    raise
                raise ValueError(f"{path}: {reason}") from error
            raise ValueError(
                f"expected a whole checkpoint of FeatherFace in {path}, got a damaged one "
                f"({type(error).__name__}: {reason}); copy it again"
            ) from error

    return named


# What is raised over values of another kind or number than a checkpoint of ours has.
_DAMAGED = (
    ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError,
    AssertionError, MemoryError,
)  # fmt: skip


def metadata(model: FaceDetector, **facts: Any) -> dict[str, Any]:
    """The plain values that make a state dict of ``model`` a checkpoint."""
    return {
        "format": FORMAT,
        "model": model.config,
        "revision": revision(),
        "versions": versions(),
        **facts,
    }


def save(path: str | Path, model: FaceDetector, **facts: Any) -> None:
    """Write a checkpoint; the file appears whole or not at all."""
    state = {PREFIX + key: value.detach().cpu() for key, value in model.state_dict().items()}
    write(path, {"state_dict": state, "featherface": metadata(model, **facts)})


def write(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write plain data, whole or not at all.

    Lightning writes into the temporary folder and moves: a copy where that is another file system.
    """
    with replacing(Path(path)) as partial:
        torch.save(content, partial)


@_names_its_file
def load(path: str | Path) -> Checkpoint:
    """The network in a file of ours or in published FeatherFace weights, in eval mode, on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, a damaged one, or weights of another kind of network.
    """
    content = read(path)
    if "featherface" in content:
        facts = _facts(content, path)
        if facts.get("format") != FORMAT:
            raise ValueError(
                f"expected a checkpoint of format {FORMAT}, got {facts.get('format')} in {path}; "
                "it was written by another version of FeatherFace"
            )
        model = _network(facts["model"], _below(_state_dict(content, path), PREFIX), path)
        masks = facts.get("masks")
        if masks is not None:
            model = _without_masked(model, masks, path)
        return Checkpoint(model.eval(), {**facts, "model": model.config})
    state = _state_dict(content, path)
    if is_upstream(state):
        try:
            model = from_upstream(state)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        _check_values(model, path)
        return Checkpoint(model.eval(), {})
    raise ValueError(
        f"expected a checkpoint of FeatherFace or weights of its published code in {path}, got a "
        f"file with the keys {', '.join(sorted(map(str, content))[:5])}; choose another file"
    )


def _facts(content: Mapping[str, Any], path: Any) -> dict[str, Any]:
    """What a checkpoint says of its network, if it has the structure of one."""
    facts = content["featherface"]
    try:
        check_nodes(facts)
    except ValueError as error:
        raise ValueError(
            f"expected a checkpoint with the facts of a network in {path}, got {error}"
        ) from None
    masks = facts.get("masks") if isinstance(facts, dict) else None
    if (
        not isinstance(facts, dict)
        or ("model" not in facts and facts.get("format") == FORMAT)
        or not isinstance(masks, dict | None)
        or (masks and not (isinstance(masks.get("kept"), Tensor) and "frozen" in masks))
    ):
        raise ValueError(
            f"expected a checkpoint with the facts of a network in {path}, got one without; it is "
            "damaged or of another program, choose another file"
        )
    return facts


def _network(config: Any, weights: Mapping[str, Tensor], path: Any) -> FaceDetector:
    """The network of a configuration with these weights; built once it is known that they fit."""
    try:
        with torch.device("meta"):  # without memory
            _compare(build_model(config), weights, path)
        model = build_model(config)
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from None
    except (RuntimeError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(
            f"expected a network that can be built in {path}, got '{error}'; the file is damaged"
        ) from None
    _load_strictly(model, weights, path)
    _check_values(model, path)
    return model


def _check_values(model: FaceDetector, path: Any) -> None:
    """Refuse weights with which a network computes nothing, or not without an error."""
    for name, value in model.state_dict().items():
        if not torch.isfinite(value).all() or (name.endswith(".running_var") and value.lt(0).any()):
            raise ValueError(
                f"expected finite weights in {path}, got others in {name}; its training diverged, "
                "or the file is damaged: choose an earlier one"
            )
    for name, module in model.named_modules():
        if isinstance(module, ChannelShuffle) and not module.is_order():
            raise ValueError(
                f"expected each channel once in {name}.index of {path}, got another order; the "
                "file is damaged"
            )


def _without_masked(model: FaceDetector, masks: Mapping[str, Any], path: Any) -> FaceDetector:
    """The network that a checkpoint of a pruning run stands for: without what is masked."""
    if not masks["frozen"]:
        raise ValueError(
            f"expected a network whose pruning is done in {path}, got one in the middle of it; "
            "let its run go on with resume=true run=NAME"
        )
    wiring, kept = wiring_of(model), masks["kept"]
    if kept.dtype != torch.bool or kept.shape != (wiring.num_channels,):
        raise ValueError(
            f"expected a mask of {wiring.num_channels:,} channels in {path}, got one of shape "
            f"{tuple(kept.shape)}; the file is damaged"
        )
    try:
        return remove(model, wiring, kept.numpy())
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(
            f"expected a mask that leaves channels everywhere in {path}, got: {error}"
        ) from None


def architecture(path: str | None) -> dict[str, Any]:
    """The configuration of the network in a file, for :func:`src.models.build_model`.

    Raises:
        ValueError: no file is named, or it holds no network.
    """
    if path is None:
        raise ValueError(
            "expected the file of a network beside model=checkpoint, got none; add "
            "init.model=FILE, or checkpoint=FILE for python -m src.summary"
        )
    return load(path).model.config


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first settings in which two networks differ, as ``name=theirs (not ours)``."""
    mine, other = flatten(ours), flatten(theirs)
    found = [
        f"{name}={other.get(name)} (not {mine.get(name)})"
        for name in {**mine, **other}
        if mine.get(name) != other.get(name)
    ]
    more = len(found) - _DIFFERENCES_SHOWN
    return ", ".join(found[:_DIFFERENCES_SHOWN]) + (f" and {more} more" if more > 0 else "")


@_names_its_file
def load_backbone(path: str | Path, model: FaceDetector) -> None:
    """Put ImageNet (or a detector's) backbone weights into ``model``.

    Raises:
        ValueError: the file has no such backbone.
    """
    content = read(path)
    state = _state_dict(content, path)
    if "masks" in content.get("featherface", {}):  # what is masked has no weights
        source = load(path).model.state_dict()
        state = {PREFIX + key: value for key, value in source.items()}
    weights = _below(state, PREFIX + "backbone.") or backbone_weights(state)
    if not weights:
        raise ValueError(
            f"expected backbone weights (keys such as 'module.stage1.0.0.weight') in {path}, got "
            f"{', '.join(sorted(state)[:3]) or 'no tensors'}; choose another file for init.backbone"
        )
    _load_strictly(model.backbone, weights, path)


def find(path: str | Path) -> Path:
    """The file of a checkpoint, which may also be named as one of :data:`WEIGHTS`: ``flagship``."""
    path = Path(path)
    shipped = WEIGHTS / f"{path}.ckpt"
    by_name = path.name == str(path) and not path.exists() and shipped.is_file()
    return shipped if by_name else path


@_names_its_file
def read(path: str | Path) -> dict[str, Any]:
    """The content of a file of weights, on the CPU, without running any code in it.

    Args:
        path: of the file, or a name that :func:`find` knows.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, not PyTorch's, or more than plain data.
    """
    path = find(path)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in WEIGHTS.glob("*.ckpt")))
        raise FileNotFoundError(
            f"expected a checkpoint file, found none at {path}; training writes "
            "outputs/train/<run>/checkpoints/best.ckpt"
            + (f", and these come with the project: {names}" if names else "")
        )
    try:
        _check_bytes(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # it loads or it does not
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # no fault of the content
            raise
        raise ValueError(
            f"expected a PyTorch checkpoint of plain tensors in {path}, got {_reason(error)}"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(
            f"expected a dict of tensors in {path}, got a {type(content).__name__}; save the "
            "state_dict() of the network"
        )
    return content


def _state_dict(content: Mapping[str, Any], path: Any) -> dict[str, Tensor]:
    """The tensors by name, wherever the file keeps them; other values are left out."""
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping):
        raise ValueError(
            f"expected a dict of tensors as state_dict in {path}, got a {type(state).__name__}; "
            "save the state_dict() of the network"
        )
    return {str(key): value for key, value in state.items() if isinstance(value, Tensor)}


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


# What torch.load has been seen to raise for cut, foreign and forbidden files.
_UNREADABLE = (
    pickle.UnpicklingError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, LookupError,
    AttributeError, TypeError, ValueError, MemoryError, OverflowError, RecursionError, struct.error,
    AssertionError,
    OSError,
)  # fmt: skip


def _check_bytes(path: Path) -> None:
    """Look at the sizes and check sums in the file, which torch.load does not."""
    if path.stat().st_size > LARGEST:
        raise zipfile.BadZipFile(f"one of more than {LARGEST:,} bytes")
    if zipfile.is_zipfile(path):
        check_archive(path)


def _reason(error: Exception) -> str:
    # PyTorch's own text advises to load with weights_only=False, which runs what is in the file.
    forbidden = re.search(r"(?:GLOBAL|function|instruction) (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and forbidden:
        return (
            f"one with Python objects ({forbidden[1]}), which could run code; save its state_dict()"
        )
    reason = str(error) if isinstance(error, zipfile.BadZipFile) else ""
    if reason.startswith(("an archive whose", "one of more")):  # ours
        return f"{reason}; save it with torch.save"
    return "a damaged or foreign file; copy it again"


def _load_strictly(module: torch.nn.Module, weights: Mapping[str, Tensor], path: Any) -> None:
    """``load_state_dict`` with one sentence instead of a page for what does not fit."""
    _compare(module, weights, path)
    module.load_state_dict(dict(weights))


def _compare(module: torch.nn.Module, weights: Mapping[str, Tensor], path: Any) -> None:
    expected = module.state_dict()
    wrong = sorted(
        key
        for key in expected.keys() | weights.keys()
        if key not in expected or key not in weights or not _alike(expected[key], weights[key])
    )
    if wrong:
        raise ValueError(
            f"expected the {len(expected)} tensors of {type(module).__name__} in {path}, but "
            f"{len(wrong)} are missing, extra or of another shape: {', '.join(wrong[:4])}; "
            "it holds another network"
        )


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Whether a tensor of a file can take the place of ours."""
    plain = theirs.layout == torch.strided and not (theirs.is_meta or theirs.is_quantized)
    same_kind = ours.dtype.is_floating_point == theirs.dtype.is_floating_point
    return plain and same_kind and not theirs.dtype.is_complex and ours.shape == theirs.shape
