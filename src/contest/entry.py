"""What takes part: a file that some runtime reads, and what its network wants to see.

Of files of ``src.export`` everything is known. Of those of others the graph tells what it can:
sides, order of axes, names of outputs. The rest stands in a small YAML file (:data:`KEYS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from src import checkpoint
from src.contest.outputs import KINDS
from src.deploy.formats import FORMATS, Format, Reader
from src.deploy.onnx_runtime import described
from src.deploy.openvino_file import openvino_facts
from src.deploy.runtime import require
from src.runs.bounded import check_yaml
from src.types import Outputs

EAGER = "PyTorch, eager"
"""The runtime of checkpoints."""
_YAML = (".yaml", ".yml")


class Entry(NamedTuple):
    """One detector, in plain values: they are sent to its process."""

    file: str
    """As :func:`src.checkpoint.find` or a reader takes it."""
    name: str
    runtime: str = EAGER
    """A reader of the file's format, by name."""
    outputs: Sequence[str] = ()
    """Their names, in the order of the file."""
    bytes: int = 0
    """Of all files it consists of."""
    parameters: int | None = None
    """Of a file of somebody else: the numbers stored in it, norms folded where they are."""
    layout: str = "NCHW"
    """Order of the axes of its input, or NHWC."""
    colour: str = "BGR"
    """Order of the channels, or RGB."""
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    """Subtracted from 0 to 255, in that order."""
    scale: float = 1.0
    """Multiplied after that."""
    multiple: int | None = None
    """Of which sides must be; None: the largest stride that the names of outputs tell, else 1."""
    size: Sequence[int] | None = None
    """Height and width of the only images it takes; None: any."""
    decoding: str | None = None
    """One of :data:`src.contest.outputs.KINDS`; None: as the shapes of its outputs say."""
    priors: Mapping[str, Any] | None = None
    """``sizes`` and ``strides`` per level in pixels, ``variances``; None: those of RetinaFace."""


KEYS = ("file", "name", "runtime", "parameters", "layout", "colour", "mean", "scale", "multiple",
        "size", "decoding", "priors")  # fmt: skip
"""What a YAML file may say; ``file`` is relative to it."""


def read_entries(given: Sequence[str]) -> list[Entry]:
    """Those of :func:`read_entry`; where two would have one name and runtime, paths are names."""
    entries = [read_entry(each) for each in given]
    shown = [(entry.name, entry.runtime) for entry in entries]
    return [
        entry._replace(name=entry.file) if shown.count(pair) > 1 else entry
        for entry, pair in zip(entries, shown, strict=True)
    ]


def read_entry(given: str) -> Entry:
    """The entry of a checkpoint, an exported or foreign file, or a YAML file about one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that no runtime here reads, or a setting that cannot be.
    """
    about = Path(given)
    if about.suffix not in _YAML:
        return _entry(given, {})
    settings = _settings(about)
    try:
        return _entry(settings.pop("file"), settings)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{about}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{about}: {error}") from None


def _entry(given: str, settings: dict[str, Any]) -> Entry:
    """The entry of a file, with what was said about it."""
    form = _format(given)
    if form is None:
        found = checkpoint.find(given)
        model = checkpoint.load(given).model
        entry = Entry(
            str(found), Path(given).name, outputs=Outputs._fields, bytes=found.stat().st_size,
            parameters=sum(each.numel() for each in model.parameters()),
        )  # fmt: skip
    else:
        reader = _reader(form, given, settings.get("runtime"))
        missing = [str(part) for part in form.parts(Path(given)) if not part.is_file()]
        if missing:
            raise FileNotFoundError(f"expected the files of a network, found no {missing[0]}")
        size = sum(part.stat().st_size for part in form.parts(Path(given)))
        entry = Entry(given, Path(given).name, reader.name, bytes=size, **_facts(Path(given)))
        settings["runtime"] = reader.name
    return _checked(entry._replace(**settings), given)


def reader_of(entry: Entry) -> Reader | None:
    """What runs it; None: eager PyTorch."""
    form = _format(entry.file)
    return None if form is None else _reader(form, entry.file, entry.runtime)


def _format(file: str) -> Format | None:
    """The format of an exported file; None: it is a checkpoint, or the name of one."""
    found = [form for form in FORMATS.values() if file.endswith(form.suffixes[0])]
    return found[0] if found else None


def _reader(form: Format, file: str, runtime: str | None) -> Reader:
    readers = {reader.name.lower(): reader for reader in form.readers}
    name = form.readers[0].name if runtime is None else str(runtime)
    if name.lower() not in readers:
        known = ", ".join(reader.name for reader in form.readers)
        raise ValueError(f"expected runtime to be one of {known} for {file}, got {runtime!r}")
    reader = readers[name.lower()]
    if not reader.installed:
        raise ValueError(
            f"expected {reader.name} to run {file}, found no package {reader.package}; "
            f"pip install -e '.[{form.extra}]'"
        )
    return reader


def _settings(path: Path) -> dict[str, Any]:
    """What a YAML file says, its ``file`` made a path of ours."""
    if not path.is_file():
        raise FileNotFoundError(f"expected a YAML file about a network, found none at {path}")
    try:
        text = path.read_text(encoding="utf-8")
        check_yaml(text)
        settings = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected YAML about a network in {path}, got: {reason}") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("file"), str):
        raise ValueError(f"expected file: NAME.onnx among the settings in {path}, got none")
    unknown = [str(key) for key in settings if key not in KEYS]
    if unknown:
        raise ValueError(
            f"expected settings among {', '.join(KEYS)} in {path}, got {', '.join(unknown)}"
        )
    beside = path.parent / settings["file"]
    return {**settings, "file": str(beside if beside.is_file() else settings["file"])}


def _facts(file: Path) -> dict[str, Any]:
    """What a file says of itself, as settings of its entry."""
    if file.suffix == ".onnx":
        return _onnx_facts(file)
    if file.suffix == ".xml":
        outputs, said = openvino_facts(file)
        return {"outputs": outputs, **_ours(said)}
    return {"outputs": Outputs._fields}  # as many, whatever they are: shapes tell


def _onnx_facts(file: Path) -> dict[str, Any]:
    (onnx,) = require("onnx")
    try:
        graph = (proto := onnx.load(file, load_external_data=False)).graph
    except Exception:  # of protobuf, which names none
        raise ValueError(f"expected an ONNX file in {file}, got a damaged one") from None
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs) or "none"
        raise ValueError(f"expected a network of one input in {file}, got {names}")
    sides = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim]  # 0: any
    if len(sides) != 4:
        raise ValueError(f"expected a network of images in {file}, got an input of shape {sides}")
    layout = "NHWC" if sides[3] == 3 and sides[1] != 3 else "NCHW"
    height, width = sides[1:3] if layout == "NHWC" else sides[2:4]
    said = described({item.key: item.value for item in proto.metadata_props}, file)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8)
    tensors = [tensor for tensor in graph.initializer if tensor.data_type in floats]
    return {
        "outputs": [output.name for output in graph.output], "layout": layout,
        "size": (height, width) if height and width else None,
        "parameters": sum(_count(tensor.dims) for tensor in tensors),
        **_ours(said),
    }  # fmt: skip


def _ours(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same of what ``src.export`` writes about a file."""
    return {name: said[name] for name in ("parameters", "priors") if name in said}


def _count(sides: Sequence[int]) -> int:
    product = 1
    for side in sides:
        product *= side
    return product


def _checked(entry: Entry, where: str) -> Entry:
    """The entry, its settings being of the right kind.

    Raises:
        ValueError: naming the first that is not.
    """
    numbers = entry.mean if isinstance(entry.mean, Sequence) else ()
    right = {
        "name": isinstance(entry.name, str) and bool(entry.name),
        "layout": entry.layout in ("NCHW", "NHWC"),
        "colour": entry.colour in ("BGR", "RGB"),
        "mean": len(numbers) == 3 and all(map(_is_number, numbers)),
        "scale": _is_number(entry.scale) and entry.scale != 0,
        "multiple": entry.multiple is None or _is_whole(entry.multiple),
        "size": entry.size is None
        or (isinstance(entry.size, Sequence) and len(entry.size) == 2
            and all(map(_is_whole, entry.size))),
        "parameters": entry.parameters in (None, 0) or _is_whole(entry.parameters),
        "decoding": entry.decoding is None or entry.decoding in KINDS,
        "priors": entry.priors is None or isinstance(entry.priors, Mapping),
    }  # fmt: skip
    for name, is_right in right.items():
        if not is_right:
            raise ValueError(
                f"expected {_EXPECTED[name]} as {name} of {where}, got {getattr(entry, name)!r}"
            )
    return entry


_EXPECTED = {
    "name": "text",
    "layout": "NCHW or NHWC",
    "colour": "BGR or RGB",
    "mean": "three numbers",
    "scale": "a number other than 0",
    "multiple": "a whole number of at least 1",
    "size": "height and width",
    "parameters": "a whole number",
    "decoding": f"one of {', '.join(KINDS)}",
    "priors": "sizes, strides and variances",
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
