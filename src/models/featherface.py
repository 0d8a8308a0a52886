"""FeatherFace V1 (Kim, Jung, Kim, Electronics 2025, 14(3), 517): the teacher.

"FeatherFace V1" names four networks that were published or trained under that name, all of them one
scheme: MobileNetV1 x 0.25, BiFPN, context module, channel shuffle, heads, with or without CBAM
before and after the pyramid; a fifth is ours. Each is a preset named after its exact number of
parameters; the published 0.49M is that of none of them (a profiler missed the deformable kernels of
the 592,371 network).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from src.detection.priors import PriorSpec
from src.models.attention import CBAM, hidden_units
from src.models.backbones import CHANNELS, MobileNetV1
from src.models.channels import Width, Wiring, narrowed
from src.models.contexts import SLOPE, SSH, ChannelMixer, ConvContext, DeformableSSH, SSHWidths
from src.models.detector import FaceDetector
from src.models.heads import Heads
from src.models.layers import ChannelShuffle, PerLevel
from src.models.necks import BiFPNLayer
from src.models.options import MOST_BLOCKS, MOST_CHANNELS, check_whole
from src.models.widths import (
    LEVELS,
    backbone_channels,
    backbone_widths,
    context_channels,
    context_widths,
    ssh_names,
)

WINDOWS = {"dcn_ssh": DeformableSSH, "ssh": SSH}
CONTEXTS = (*WINDOWS, "conv3x3")
WIDEST_WITH_SLOPE = 64
"""Channels of the pyramid above which the deformable context has ReLUs; the published rule."""

PRESETS: dict[str, dict[str, Any]] = {
    # Trained weights and an AP log exist: the default teacher.
    "v1_489015": {
        "channels": 56, "bifpn_repeats": 2, "cbam_reduction": None,
        "context": "dcn_ssh", "shuffle": "deinterleave", "mixer": False, "first_block": True,
    },
    "v1_493778": {
        "channels": 56, "bifpn_repeats": 2, "cbam_reduction": 48,
        "context": "dcn_ssh", "shuffle": "interleave", "mixer": False, "first_block": True,
    },
    "v1_487103": {
        "channels": 74, "bifpn_repeats": 2, "cbam_reduction": 48,
        "context": "conv3x3", "shuffle": "interleave", "mixer": False, "first_block": True,
    },
    # v1_489015 without deformation: what `src.convert_network` makes of its weights.
    "v1_376344": {
        "channels": 56, "bifpn_repeats": 2, "cbam_reduction": None,
        "context": "ssh", "shuffle": "deinterleave", "mixer": False, "first_block": True,
    },
    # The network of the paper's repository.
    "v1_592371": {
        "channels": 64, "bifpn_repeats": 3, "cbam_reduction": 16,
        "context": "dcn_ssh", "shuffle": "deinterleave", "mixer": True, "first_block": True,
    },
}  # fmt: skip


def featherface_v1(
    preset: str = "v1_489015",
    *,
    prior_sizes: Sequence[Sequence[float]] = PriorSpec.sizes,
    widths: Mapping[str, int] | None = None,
    **changes: Any,
) -> FaceDetector:
    """FeatherFace V1.

    Args:
        preset: one of :data:`PRESETS`.
        prior_sizes: sides of the priors per level, pixels.
        widths: what pruning left of the widths of :func:`width_table`; None or a name that is
            missing: dense.
        changes: fields of the preset to replace: ``first_block`` (False: the stem stands in for the
            first block, see :class:`MobileNetV1`), ``channels`` (pyramid width), ``bifpn_repeats``,
            ``cbam_reduction`` (None: no CBAM), ``context`` (``dcn_ssh``, ``ssh``: the same
            without deformation, or ``conv3x3``), ``shuffle`` (``interleave`` or ``deinterleave``),
            ``mixer``.

    Raises:
        ValueError: unknown preset, field or context; the message lists the known ones.
    """
    _known("FeatherFace V1 preset", preset, PRESETS)
    fields = PRESETS[preset]
    for name in changes:
        _known("field of FeatherFace V1", name, fields)
    arch = {**fields, **changes}
    _known("context module", arch["context"], CONTEXTS)
    _check_sizes(arch)

    width = narrowed(width_table(arch), widths)
    first_block = arch["first_block"]
    backbone = MobileNetV1(
        [width[name] for name in backbone_widths(first_block=first_block)], first_block=first_block
    )
    channels, attention = width["bifpn"], arch["cbam_reduction"] is not None
    priors = PriorSpec(prior_sizes, backbone.strides)

    neck: OrderedDict[str, nn.Module] = OrderedDict()
    if attention:
        neck["attention_in"] = PerLevel(
            CBAM(c, hidden=width[f"cbam_c{level}"])
            for c, level in zip(backbone.channels, LEVELS, strict=True)
        )
    neck["bifpn"] = nn.Sequential(
        BiFPNLayer(channels, backbone.channels),
        *(BiFPNLayer(channels) for _ in range(arch["bifpn_repeats"] - 1)),
    )
    if attention:
        neck["attention_out"] = PerLevel(
            CBAM(channels, hidden=width[f"cbam_p{level}"]) for level in LEVELS
        )
    context: OrderedDict[str, nn.Module] = OrderedDict()
    if arch["context"] in WINDOWS:
        slope = SLOPE if arch["channels"] <= WIDEST_WITH_SLOPE else 0.0
        windows = [
            SSHWidths(*(width[name] for name in ssh_names(level).values())) for level in LEVELS
        ]
        window = WINDOWS[arch["context"]]
        context["field"] = PerLevel(window(channels, each, slope=slope) for each in windows)
        totals = [each.total for each in windows]
    else:
        totals = [width[f"context_p{level}"] for level in LEVELS]
        context["field"] = PerLevel(ConvContext(channels, total) for total in totals)
    context["shuffle"] = PerLevel(ChannelShuffle(c, 2, order=arch["shuffle"]) for c in totals)
    if arch["mixer"]:
        expanded = [width[f"mixer_p{level}_expand"] for level in LEVELS]
        context["mixer"] = PerLevel(
            ChannelMixer(total, reduce=width[f"mixer_p{level}_reduce"], expand=expand)
            for total, level, expand in zip(totals, LEVELS, expanded, strict=True)
        )
        totals = expanded

    return FaceDetector(
        backbone,
        nn.Sequential(neck),
        nn.Sequential(context),
        Heads(totals, priors.num_per_cell),
        pyramid_channels=[channels] * len(LEVELS),
        priors=priors,
        config={
            "name": "featherface_v1",
            "preset": preset,
            "prior_sizes": [list(level) for level in priors.sizes],
            **arch,
            "widths": width if widths else None,
        },
    )


def width_table(config: Mapping[str, Any]) -> dict[str, Width]:
    """Every width of a FeatherFace V1, unpruned; the predictions have none to prune.

    Args:
        config: of the network (``FaceDetector.config``) or all fields of its preset.

    Returns:
        Name -> width, in the order of the data flow: ``backbone_0``.. as in Nano-B, ``cbam_c3``..,
        ``bifpn``, ``cbam_p3``.., ``ssh_p3_branch3``.. or ``context_p3``.., ``mixer_p3_reduce``,
        ``mixer_p3_expand``, ...
    """
    channels, reduction = config["channels"], config["cbam_reduction"]
    table = backbone_widths(first_block=config["first_block"])
    if reduction is not None:
        for level, size in zip(LEVELS, CHANNELS, strict=True):
            table[f"cbam_c{level}"] = Width(hidden_units(size, reduction), "cbam")
    table["bifpn"] = Width(channels, "bifpn", least=4)
    if reduction is not None:
        for level in LEVELS:
            table[f"cbam_p{level}"] = Width(hidden_units(channels, reduction), "cbam")
    if config["context"] in WINDOWS:
        table |= context_widths(SSHWidths.dense(channels))
    else:
        table |= {f"context_p{level}": Width(channels, "ssh", least=2) for level in LEVELS}
    if config["mixer"]:
        for level in LEVELS:
            table[f"mixer_p{level}_reduce"] = Width(channels // 2, "ssh", least=2)
            table[f"mixer_p{level}_expand"] = Width(channels, "ssh", least=2)
    return table


def wire_featherface_v1(model: FaceDetector) -> Wiring:
    """The channels of a network that :func:`featherface_v1` made."""
    config = model.config
    table = width_table(config)
    wiring = Wiring(table, narrowed(table, config["widths"]))
    neck: dict[str, Any] = dict(model.neck.named_children())
    context: dict[str, Any] = dict(model.context.named_children())
    heads: Any = model.heads

    levels = model.backbone.wire(  # type: ignore[operator]
        wiring, backbone_channels(wiring, first_block=config["first_block"])
    )
    if "attention_in" in neck:
        neck["attention_in"].wire(wiring, levels, [wiring[f"cbam_c{level}"] for level in LEVELS])
    for layer in neck["bifpn"]:
        levels = layer.wire(wiring, levels, wiring["bifpn"])
    if "attention_out" in neck:
        neck["attention_out"].wire(wiring, levels, [wiring[f"cbam_p{level}"] for level in LEVELS])
    if config["context"] in WINDOWS:
        levels = context["field"].wire(wiring, levels, context_channels(wiring))
    else:
        names = [f"context_p{level}" for level in LEVELS]
        levels = context["field"].wire(wiring, levels, [wiring[name] for name in names])
    levels = context["shuffle"].wire(wiring, levels)
    if "mixer" in context:
        parts = (
            [wiring[f"mixer_p{level}_{part}"] for level in LEVELS] for part in ("reduce", "expand")
        )
        levels = context["mixer"].wire(wiring, levels, *parts)
    heads.wire(wiring, levels, [None] * len(levels))
    return wiring


def _check_sizes(arch: Mapping[str, Any]) -> None:
    bounds = {"channels": MOST_CHANNELS, "bifpn_repeats": MOST_BLOCKS}
    if arch["cbam_reduction"] is not None:
        bounds["cbam_reduction"] = MOST_CHANNELS
    for name, most in bounds.items():
        check_whole(arch[name], name, of="FeatherFace V1", least=1, most=most)
    for name in ("first_block", "mixer"):
        if not isinstance(arch[name], bool):
            raise ValueError(
                f"expected {name} of FeatherFace V1 to be true or false, got {arch[name]!r}"
            )


def _known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ValueError(f"expected a {what} of {', '.join(known)}; got {name!r}")
