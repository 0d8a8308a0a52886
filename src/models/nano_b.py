"""FeatherFace Nano-B and Nano-B Enhanced: the students, one network with switches.

    image -> MobileNetV1 -> [scale decoupling of C3] -> CBAM -> BiFPN -> [semantic enhancement]
          -> [ASSN on P3 |] CBAM -> grouped SSH -> channel shuffle -> [stem] -> heads

Nano-B follows the original diagram (72 channels, 2 groups), Nano-B Enhanced (32 channels, three
priors per cell, all that stands in brackets) is ``conf/model/nano_b_enhanced.yaml``. Dense they
have 385,662 and 287,577 parameters; pruning brings them under 180,000.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from src.detection.priors import PriorSpec
from src.models.assn import ASSN
from src.models.attention import CBAM
from src.models.backbones import WIDTHS, MobileNetV1
from src.models.channels import Wiring
from src.models.contexts import SSH, SSHWidths
from src.models.decoupling import ScaleDecoupling
from src.models.detector import FaceDetector
from src.models.heads import Heads, SharedMultiHead
from src.models.layers import ChannelShuffle, PerLevel
from src.models.necks import BiFPN
from src.models.semantic import SemanticEnhancement
from src.models.widths import (
    LEVELS,
    NanoBOptions,
    backbone_channels,
    checked_widths,
    context_channels,
    ssh_names,
    tied_widths,
    width_table,
)


def nano_b(
    *,
    prior_sizes: Sequence[Sequence[float]] = PriorSpec.sizes,
    widths: Mapping[str, int] | None = None,
    **options: Any,
) -> FaceDetector:
    """A network of the Nano-B family.

    Args:
        prior_sizes: sides of the priors per level, pixels.
        widths: what pruning left of the widths :func:`src.models.widths.dense_widths` names; None
            or a name that is missing: dense.
        options: fields of :class:`src.models.widths.NanoBOptions`.

    Raises:
        ValueError: unknown options or widths, or values that do not fit together.
    """
    chosen = NanoBOptions.from_config(options)
    width = checked_widths(options, widths)
    backbone = MobileNetV1([width[f"backbone_{i}"] for i in range(len(WIDTHS))])
    priors = PriorSpec(prior_sizes, backbone.strides)
    contexts = [SSHWidths(*(width[name] for name in ssh_names(level).values())) for level in LEVELS]
    totals = [context.total for context in contexts]

    context: OrderedDict[str, nn.Module] = OrderedDict()
    context["field"] = PerLevel(
        SSH(width["bifpn"], each, groups=chosen.context_groups) for each in contexts
    )
    context["shuffle"] = PerLevel(ChannelShuffle(c, chosen.shuffle_groups) for c in totals)
    heads: nn.Module
    if chosen.shared_heads:
        heads = SharedMultiHead(totals[0], priors.num_per_cell, stem=width.get("head"))
    else:
        stems = [width[f"head_p{level}"] for level in LEVELS] if chosen.head_stem else None
        heads = Heads(totals, priors.num_per_cell, stems=stems)

    return FaceDetector(
        backbone,
        nn.Sequential(_neck(chosen, width, backbone.channels)),
        nn.Sequential(context),
        heads,
        pyramid_channels=[width["bifpn"]] * len(LEVELS),
        priors=priors,
        config={
            "name": "nano_b",
            **dataclasses.asdict(chosen),
            "prior_sizes": [list(level) for level in priors.sizes],
            "widths": width if widths else None,
        },
    )


def _neck(
    options: NanoBOptions, width: Mapping[str, int], inputs: Sequence[int]
) -> OrderedDict[str, nn.Module]:
    """The stages between backbone and context, each from three levels to three levels."""
    channels, residual = width["bifpn"], options.cbam.residual
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    if options.scale_decoupling:
        stages["decoupling"] = ScaleDecoupling(
            inputs[0],
            hidden=width["decoupling"],
            deep_channels=inputs[-1] if options.deep_evidence else None,
        )
    stages["attention_in"] = PerLevel(
        CBAM(c, hidden=width[f"cbam_c{level}"], residual=residual)
        for c, level in zip(inputs, LEVELS, strict=True)
    )
    stages["bifpn"] = BiFPN(channels, inputs)
    if options.semantic:
        stages["semantic"] = SemanticEnhancement(
            channels,
            dictionary=width["semantic"],
            hidden=[width[f"gcg_p{level}"] for level in LEVELS],
        )
    if options.assn:  # reads P4 and P5 as they are before their CBAM
        stages["assn"] = ASSN(channels, gate=width["assn_gate"], fusion=width["assn_fusion"])
    stages["attention_out"] = PerLevel(
        CBAM(channels, hidden=width[f"cbam_p{level}"], residual=residual)
        if f"cbam_p{level}" in width
        else nn.Identity()
        for level in LEVELS
    )
    return stages


def wire_nano_b(model: FaceDetector) -> Wiring:
    """The channels of a network that :func:`nano_b` made."""
    sizes = checked_widths(model.config, model.config["widths"])
    wiring = Wiring(width_table(model.config), sizes, tied=tied_widths(model.config))
    neck: dict[str, Any] = dict(model.neck.named_children())
    context: dict[str, Any] = dict(model.context.named_children())
    heads: Any = model.heads

    levels = model.backbone.wire(wiring, backbone_channels(wiring))  # type: ignore[operator]
    if "decoupling" in neck:
        neck["decoupling"].wire(wiring, levels, wiring["decoupling"])
    neck["attention_in"].wire(wiring, levels, [wiring[f"cbam_c{level}"] for level in LEVELS])
    levels = neck["bifpn"].wire(wiring, levels, wiring["bifpn"])
    if "semantic" in neck:
        gates = [wiring[f"gcg_p{level}"] for level in LEVELS]
        neck["semantic"].wire(wiring, levels, wiring["semantic"], gates)
    if "assn" in neck:
        neck["assn"].wire(wiring, levels, wiring["assn_gate"], wiring["assn_fusion"])
    for attention, x, level in zip(neck["attention_out"], levels, LEVELS, strict=True):
        if isinstance(attention, CBAM):
            attention.wire(wiring, x, wiring[f"cbam_p{level}"])
    levels = context["field"].wire(wiring, levels, context_channels(wiring))
    levels = context["shuffle"].wire(wiring, levels)
    if isinstance(heads, SharedMultiHead):
        heads.wire(wiring, levels, wiring["head"] if "head" in sizes else None)
    else:
        stems = [f"head_p{level}" for level in LEVELS]
        heads.wire(wiring, levels, [wiring[stem] if stem in sizes else None for stem in stems])
    return wiring
