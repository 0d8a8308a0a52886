"""What flows where in a network, found by running it once on shapes alone: for diagrams.

Nothing is drawn from memory: boxes are the modules that ran and the functions that were called, in
their order, with the shapes that they returned.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from src.models import FaceDetector
from src.models.layers import ConvNorm, PerLevel
from src.profiling.shapes import QuickShapes
from src.report.diagram import Box, draw, in_words

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

SAME_DATA = {
    "__getitem__", "contiguous", "expand", "flatten", "float", "permute", "reshape", "to",
    "transpose", "type", "unsqueeze", "view",
}  # fmt: skip
"""Functions that only lay their input out in another way: no box."""

SIGNS = {
    "add": "+", "radd": "+", "sub": "−", "rsub": "−", "mul": "×", "rmul": "×", "div": "/",
    "truediv": "/", "matmul": "matrix product", "cat": "join channels", "stack": "pair",
    "silu": "SiLU", "relu": "ReLU", "avg_pool2d": "mean of 4×4 cells",
    "max_pool2d": "max pool 3×3, /2", "conv2d": "conv 1×1", "grid_sample": "read bilinearly",
}  # fmt: skip
ARITHMETIC = {"+": "+", "−": "left − right", "×": "×", "/": "left / right"}
"""Sign -> of two inputs; in a drawing the first one enters at the left."""


class _Recorder(TorchFunctionMode):
    """Writes down the functions that are called, and the modules that are boxes, while it is on."""

    def __init__(self, root: nn.Module, names: Collection[str]) -> None:
        super().__init__()
        self.boxes: list[Box] = []
        self._makers: dict[int, str] = {}
        self._alive: list[Tensor] = []  # an id is another tensor's once this one is gone
        self._depth = 0
        self._counted: set[int] = set()
        self._parameters = {id(p): name for name, p in root.named_parameters()}
        for name in names:
            module = root.get_submodule(name)
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(
                lambda module, inputs, output, name=name: self._leave(name, module, inputs, output)
            )

    def run(self, module: nn.Module, arguments: Sequence[Any], labels: Sequence[str]) -> list[Box]:
        """The boxes of a module that is called with tensors of those names."""
        given = dict(zip(labels, _tensors(arguments), strict=True))
        for label, tensor in given.items():
            self._add(label, (label, _shape(tensor)), "data", (), [tensor])
        with torch.no_grad(), QuickShapes(), self:
            returned = {id(tensor) for tensor in _tensors(module(*arguments))}
        return [
            box._replace(lines=(*box.lines, "goes on as it is"))
            if box.name in given and id(given[box.name]) in returned
            else box
            for box in self.boxes
        ]

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if self._depth or not isinstance(output, Tensor):
            return output
        name = getattr(func, "__name__", "")
        read = self._makers_of([args, kwargs or {}])
        if name in SAME_DATA or name == "__get__":
            if read:
                self._made(output, read[0])
        elif read:
            sign = _sign(name, args, kwargs or {})
            self._add(name, (sign, _shape(output)), "function", read, [output])
        return output

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self._depth += 1

    def _leave(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        self._depth -= 1
        if self._depth:
            return
        tensors = list(_tensors(output))
        if isinstance(module, nn.Identity):
            for tensor, maker in zip(tensors, self._makers_of(inputs), strict=False):
                self._made(tensor, maker)
            return
        lines = [*_describe(module), name]
        lines += [_shape(tensor) for tensor in tensors[:3]]
        size = sum(p.numel() for p in module.parameters() if id(p) not in self._counted)
        if size:  # of those that stand in no box yet
            lines.append(f"{size:,} parameters")
        elif any(True for _ in module.parameters()):
            lines.append("the same weights again")
        self._counted |= {id(p) for p in module.parameters()}
        self._add(name, tuple(lines), "module", self._makers_of(inputs), tensors)

    def _add(
        self,
        name: str,
        lines: tuple[str, ...],
        kind: str,
        inputs: tuple[str, ...],
        outputs: Sequence[Tensor],
    ) -> None:
        unique, number = name, 1
        while any(box.name == unique for box in self.boxes):
            number += 1
            unique = f"{name} {number}"
        lines = tuple(line for line in lines if line)  # a number has no shape
        self.boxes.append(Box(unique, lines, kind, tuple(dict.fromkeys(inputs))))
        for tensor in outputs:
            self._made(tensor, unique)

    def _made(self, tensor: Tensor, maker: str) -> None:
        self._makers[id(tensor)] = maker
        self._alive.append(tensor)

    def _makers_of(self, values: Any) -> tuple[str, ...]:
        found = []
        for tensor in _tensors(values):
            if id(tensor) in self._parameters and id(tensor) not in self._makers:
                name = self._parameters[id(tensor)]
                self._add(name, (name, f"{tensor.numel():,} parameters"), "data", (), [tensor])
            if id(tensor) in self._makers:
                found.append(self._makers[id(tensor)])
        return tuple(found)


def diagrams(model: FaceDetector, name: str, height: int, width: int) -> dict[str, str]:
    """A detector drawn: ``network`` and ``blocks/CLASS`` -> SVG.

    Args:
        model: left as it is.
        name: of the network, for the title.
        height, width: of the image, pixels.
    """
    flow = network_flow(model, height, width)
    size = sum(p.numel() for p in model.parameters())
    about = f"{name}: stages, output shapes, parameters"
    found = {"network": draw(flow, about, f"{size:,} parameters. From above: {in_words(flow)}.")}
    for kind, boxes in blocks_of(model, height, width).items():
        found[f"blocks/{kind}"] = draw(
            boxes, f"{kind}, the first one of {name}", f"From above: {in_words(boxes)}."
        )
    return found


def network_flow(model: FaceDetector, height: int, width: int) -> list[Box]:
    """The stages of a detector: those of the backbone, each module of neck, context and heads.

    Args:
        model: left as it is.
        height, width: of the image, pixels.
    """
    copied = copy.deepcopy(model).eval().to("meta")
    names = [f"backbone.{name}" for name, _ in copied.backbone.named_children()]
    for parent in ("neck", "context"):
        for name, stage in copied.get_submodule(parent).named_children():
            levels = isinstance(stage, PerLevel)
            path = f"{parent}.{name}"
            names += [f"{path}.{i}" for i in range(len(stage))] if levels else [path]  # type: ignore[arg-type]
    recorder = _Recorder(copied, [*names, "heads"])
    image = torch.empty(1, 3, height, width, device="meta")
    return recorder.run(copied, [image], ["image"])


def blocks_of(model: FaceDetector, height: int, width: int) -> dict[str, list[Box]]:
    """What flows inside each kind of block of a detector: name of its class -> its boxes.

    Blocks are the classes of ``src.models`` with more than one step inside, but for containers and
    the backbone, whose stages are rows of equal blocks. Drawn is the first block of each class.

    Args:
        model: left as it is.
        height, width: of the image, pixels.
    """
    copied = copy.deepcopy(model).eval().to("meta")
    blocks: dict[str, nn.Module] = {}
    for module in copied.modules():
        kind = type(module)
        outer = (FaceDetector, type(copied.backbone), nn.ModuleList, nn.Sequential)
        if kind.__module__.startswith("src.models.") and not isinstance(module, outer):
            blocks.setdefault(kind.__name__, module)
    inputs: dict[str, Any] = {}
    names = {id(block): name for name, block in blocks.items()}

    def keep(block: nn.Module, arguments: Any) -> None:
        inputs.setdefault(names[id(block)], arguments)

    handles = [block.register_forward_pre_hook(keep) for block in blocks.values()]
    with torch.no_grad(), QuickShapes():
        copied(torch.empty(1, 3, height, width, device="meta"))
    for handle in handles:
        handle.remove()
    found = {}
    for name in inputs:
        boxes = _block_flow(blocks[name], inputs[name], height)
        if sum(box.kind != "data" for box in boxes) > 1:
            found[name] = boxes
    return found


def _block_flow(block: nn.Module, arguments: Sequence[Any], height: int) -> list[Box]:
    block = copy.deepcopy(block)
    parts = [name for name, part in block.named_modules()
             if part is not block and not isinstance(part, CONTAINERS)]  # fmt: skip
    recorder = _Recorder(block, parts)  # the outermost that is called is a box
    labels = []
    for name, value in zip(_arguments(block, len(arguments)), arguments, strict=True):
        if isinstance(value, Tensor):
            labels.append(name)
        else:
            labels += [f"level of stride {height // each.shape[-2]}" for each in value]
    return recorder.run(block, arguments, labels)


def _arguments(block: nn.Module, count: int) -> list[str]:
    """What ``forward`` calls its arguments; those of ``*inputs`` are numbered."""
    parameters = inspect.signature(block.forward).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return [f"input {number}" for number in range(1, count + 1)]
    return [p.name for p in parameters][:count]


def _describe(module: nn.Module) -> list[str]:
    """A module in a few words; a sequence in some lines."""
    if isinstance(module, nn.Sequential):
        kinds = Counter(type(each).__name__ for each in module)
        return [kind if number == 1 else f"{number} × {kind}" for kind, number in kinds.items()]
    if isinstance(module, ConvNorm):
        behind = "" if isinstance(module.act, nn.Identity) else f" + {type(module.act).__name__}"
        return [f"{_describe(module.conv)[0]} + norm{behind}"]
    if isinstance(module, nn.Conv2d):
        side = module.kernel_size[0]
        stride = f", /{module.stride[0]}" if module.stride[0] > 1 else ""
        if module.groups == module.out_channels and module.groups > 1:
            return [f"depthwise {side}×{side}{stride}"]
        groups = f", {module.groups} groups" if module.groups > 1 else ""
        return [f"conv {side}×{side}{stride}{groups}"]
    if isinstance(module, nn.Linear):
        return [f"linear {module.in_features} to {module.out_features}"]
    return [{"BatchNorm2d": "norm"}.get(type(module).__name__, type(module).__name__)]


def _sign(name: str, args: Any, kwargs: dict[str, Any]) -> str:
    """A function in a few words."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if name in ("mean", "amax"):
        over = {(2, 3): "positions", 1: "channels"}.get(dim, "all")
        return f"{'mean' if name == 'mean' else 'maximum'} over {over}"
    if name == "softmax":
        return f"softmax over {'entries' if dim == 1 else 'positions'}"
    if name == "interpolate":
        return f"resize, {kwargs.get('mode', 'nearest')}"
    word = SIGNS.get(name.strip("_").removeprefix("i"), name.strip("_").replace("_", " "))
    numbers = [each for each in args if isinstance(each, (int, float))]
    if word not in ARITHMETIC:
        return word
    if not numbers:
        return ARITHMETIC[word]
    if name.strip("_").startswith("r"):
        return f"{numbers[0]:g} {word} input"
    return f"{word} {numbers[0]:g}"


def _shape(tensor: Tensor) -> str:
    """C×H×W of a level, rows×columns of an output, without the batch."""
    return "×".join(f"{side:,}" for side in tensor.shape[1:] or tensor.shape)


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        for each in values.values():
            yield from _tensors(each)
    elif isinstance(values, (list, tuple)):
        for each in values:
            yield from _tensors(each)
