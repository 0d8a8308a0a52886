"""A plain student: separable convolutions and additions only, made for speed.

    image -> stem and four stages -> top-down pyramid -> one separable convolution a level -> heads

No attention, no gates, no shuffles, ReLUs throughout: what a CPU computes with few passes over the
activations. YuNet (Wu et al., Machine Intelligence Research 2023) is built in that spirit.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from src.detection.priors import PriorSpec
from src.models.backbones import SeparableBackbone
from src.models.channels import Width, Wiring, narrowed
from src.models.detector import FaceDetector
from src.models.heads import Heads
from src.models.layers import PerLevel, SeparableConv
from src.models.necks import TopDown
from src.models.options import MOST_BLOCKS, MOST_CHANNELS, check_whole, read_options
from src.models.widths import LEVELS


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainOptions:
    """The options of the plain student, checked on construction."""

    stem: int = 16
    """Channels of the 3x3 stem of stride 2."""
    stages: Sequence[int] = (32, 64, 96, 128)
    """Channels of the stages of strides 4, 8, 16 and 32."""
    blocks: Sequence[int] = (1, 2, 3, 2)
    """Blocks of each stage behind its first, which has stride 2."""
    channels: int = 64
    """Width of the feature pyramid and of the contexts."""

    def __post_init__(self) -> None:
        for name, least in (("stages", 1), ("blocks", 0)):
            values = getattr(self, name)
            if (
                not isinstance(values, Sequence)
                or len(values) != 4
                or any(type(value) is not int or value < least for value in values)
            ):
                raise ValueError(
                    f"expected {name} of plain as 4 whole numbers of at least {least}, "
                    f"one for each of strides 4, 8, 16 and 32; got {values!r}"
                )
            object.__setattr__(self, name, list(values))  # as a checkpoint gives them back
        for name in ("stem", "channels"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"expected {name} of plain of at least 1, got {getattr(self, name)}"
                )
            check_whole(getattr(self, name), name, of="plain", least=1, most=MOST_CHANNELS)
        for name, most in (("stages", MOST_CHANNELS), ("blocks", MOST_BLOCKS)):
            for value in getattr(self, name):
                check_whole(value, name, of="plain", least=0, most=most)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PlainOptions:
        """From plain values; ``name``, ``prior_sizes`` and ``widths`` are not options.

        Raises:
            ValueError: an unknown option or a value that does not fit; the message lists the known.
        """
        values = {k: v for k, v in config.items() if k not in ("name", "prior_sizes", "widths")}
        return read_options(cls, values, of="plain")

    @property
    def depths(self) -> list[int]:
        """Blocks of each stage, the first included."""
        return [1 + more for more in self.blocks]


def plain(
    *,
    prior_sizes: Sequence[Sequence[float]] = PriorSpec.sizes,
    widths: Mapping[str, int] | None = None,
    **options: Any,
) -> FaceDetector:
    """The plain student.

    Args:
        prior_sizes: sides of the priors per level, pixels.
        widths: what pruning left of the widths of :func:`width_table`; None or a name that is
            missing: dense.
        options: fields of :class:`PlainOptions`.

    Raises:
        ValueError: unknown options or widths, or values that do not fit.
    """
    chosen = PlainOptions.from_config(options)
    width = narrowed(width_table(chosen), widths)
    stem, *blocks = (width[name] for name in _backbone_names(chosen))
    stages = [[blocks.pop(0) for _ in range(depth)] for depth in chosen.depths]
    backbone = SeparableBackbone(stem, stages)
    channels = width["pyramid"]
    contexts = [width[f"context_p{level}"] for level in LEVELS]
    priors = PriorSpec(prior_sizes, backbone.strides)
    field = PerLevel(SeparableConv(channels, context) for context in contexts)
    return FaceDetector(
        backbone,
        nn.Sequential(OrderedDict(pyramid=TopDown(channels, backbone.channels))),
        nn.Sequential(OrderedDict(field=field)),
        Heads(contexts, priors.num_per_cell),
        pyramid_channels=[channels] * len(LEVELS),
        priors=priors,
        config={
            "name": "plain",
            **dataclasses.asdict(chosen),
            "prior_sizes": [list(level) for level in priors.sizes],
            "widths": width if widths else None,
        },
    )


def width_table(options: PlainOptions) -> dict[str, Width]:
    """Every width of a plain student, unpruned.

    Returns:
        Name -> width, in the order of the data flow: ``backbone_0`` (stem), ``backbone_1``.. (the
        blocks), ``pyramid``, ``context_p3``..
    """
    depths = options.depths
    sizes = [options.stem]
    for size, depth in zip(options.stages, depths, strict=True):
        sizes += [size] * depth
    c3 = sum(depths[:2])  # the block that ends stride 8
    table = {
        name: Width(size, "backbone_early" if place <= c3 else "backbone_late", least=4)
        for place, (name, size) in enumerate(zip(_backbone_names(options), sizes, strict=True))
    }
    table["pyramid"] = Width(options.channels, "bifpn", least=4)
    table |= {f"context_p{level}": Width(options.channels, "ssh", least=2) for level in LEVELS}
    return table


def wire_plain(model: FaceDetector) -> Wiring:
    """The channels of a network that :func:`plain` made."""
    options = PlainOptions.from_config(model.config)
    table = width_table(options)
    wiring = Wiring(table, narrowed(table, model.config["widths"]))
    neck: Any = model.neck
    context: Any = model.context
    heads: Any = model.heads

    blocks = [wiring[name] for name in _backbone_names(options)]
    levels = model.backbone.wire(wiring, blocks)  # type: ignore[operator]
    levels = neck.pyramid.wire(wiring, levels, wiring["pyramid"])
    contexts = [wiring[f"context_p{level}"] for level in LEVELS]
    levels = context.field.wire(wiring, levels, contexts)
    heads.wire(wiring, levels, [None] * len(levels))
    return wiring


def _backbone_names(options: PlainOptions) -> list[str]:
    return [f"backbone_{i}" for i in range(1 + sum(options.depths))]
