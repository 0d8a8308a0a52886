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
from src.models.assn import ASSN, PublishedASSN
from src.models.attention import CBAM, hidden_units
from src.models.backbones import CHANNELS, WIDTHS, MobileNetV1
from src.models.channels import Width, Wiring, narrowed
from src.models.contexts import SSH, SSHWidths
from src.models.decoupling import ScaleDecoupling
from src.models.detector import FaceDetector
from src.models.heads import Heads, SharedMultiHead
from src.models.layers import ChannelShuffle, PerLevel
from src.models.necks import BiFPN
from src.models.options import MOST_CHANNELS, check_whole, read_options
from src.models.semantic import SemanticEnhancement
from src.models.widths import (
    LEVELS,
    backbone_channels,
    backbone_widths,
    context_channels,
    context_widths,
    ssh_names,
)

NEEDS = {
    "deep_evidence": "scale_decoupling",
    "semantic_all_levels": "semantic",
    "semantic_fused_gate": "semantic",
    "assn_published": "assn",
}
"""Options of a part -> the option that switches the part on."""

ASSN_BLOCK = {
    "assn_pointwise_1": 1, "assn_pointwise_2": 1,
    "assn_deep_1": 0.5, "assn_deep_2": 0.5, "assn_deep_3": 0.5, "assn_deep_4": 0.5,
}  # fmt: skip
"""Widths of the published block of ASSN -> share of the pyramid's channels that they are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CBAMOptions:
    """Options of every CBAM of the network."""

    reduction: int = 8
    """Channels per hidden unit."""
    residual: bool = True
    """False: y = spatial(channel(x)) as in the paper, without V1's addition of x and ReLU."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NanoBOptions:
    """The options of Nano-B, checked on construction; the defaults are the original network."""

    channels: int = 72
    """Width of the feature pyramid, of the contexts and of the heads; divisible by 4."""
    cbam: CBAMOptions = dataclasses.field(default_factory=CBAMOptions)
    context_groups: int = 2
    """Groups of the SSH convolutions."""
    context_pointwise: bool = False
    """A fourth branch of the SSH contexts, 1x1; each branch then gives a quarter."""
    shuffle_groups: int = 2
    """Groups of the channel shuffle between SSH and head."""
    head_stem: bool = True
    """A 1x1 convolution in front of a head's predictions."""
    shared_heads: bool = False
    """One head for the three levels."""
    scale_decoupling: bool = False
    deep_evidence: bool = False
    """Evidence of the last backbone level for the scale decoupling."""
    semantic: bool = False
    semantic_all_levels: bool = False
    """Keys and values of the semantic enhancement from all levels, not from the deepest alone."""
    semantic_fused_gate: bool = False
    """The gates of the semantic enhancement look at a weighted sum of the levels."""
    assn: bool = False
    """ASSN instead of the CBAM after the pyramid on its first level."""
    assn_published: bool = False
    """ASSN with the block of convolutions that its authors publish."""

    def __post_init__(self) -> None:
        if self.context_groups < 1:
            raise ValueError(f"expected at least 1 context group, got {self.context_groups}")
        if self.channels < 8:
            raise ValueError(f"expected at least 8 pyramid channels, got {self.channels}")
        for name in ("channels", "context_groups", "shuffle_groups"):
            check_whole(getattr(self, name), name, of="nano_b", least=1, most=MOST_CHANNELS)
        for part, whole in NEEDS.items():
            if getattr(self, part) and not getattr(self, whole):
                raise ValueError(
                    f"expected {whole} where {part} is on, got it off; "
                    f"set {whole}=true or {part}=false"
                )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NanoBOptions:
        """From plain values; ``name``, ``prior_sizes`` and ``widths`` are not options.

        Raises:
            ValueError: an unknown option or a value that does not fit; the message lists the known.
        """
        values = {k: v for k, v in config.items() if k not in ("name", "prior_sizes", "widths")}
        if "cbam" in values:
            values["cbam"] = read_options(CBAMOptions, values["cbam"], of="cbam")
        return read_options(cls, values, of="nano_b")


def nano_b(
    *,
    prior_sizes: Sequence[Sequence[float]] = PriorSpec.sizes,
    widths: Mapping[str, int] | None = None,
    **options: Any,
) -> FaceDetector:
    """A network of the Nano-B family.

    Args:
        prior_sizes: sides of the priors per level, pixels.
        widths: what pruning left of the widths of :func:`width_table`; None or a name that is
            missing: dense.
        options: fields of :class:`NanoBOptions`.

    Raises:
        ValueError: unknown options or widths, or values that do not fit together.
    """
    chosen = NanoBOptions.from_config(options)
    width = checked_widths(chosen, widths)
    backbone = MobileNetV1([width[f"backbone_{i}"] for i in range(len(WIDTHS))])
    priors = PriorSpec(prior_sizes, backbone.strides)
    branches = [ssh_names(level, pointwise=chosen.context_pointwise) for level in LEVELS]
    contexts = [SSHWidths(*(width[name] for name in names.values())) for names in branches]
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
            all_levels=options.semantic_all_levels,
            fused_gate=options.semantic_fused_gate,
        )
    if options.assn:  # reads P4 and P5 as they are before their CBAM
        gate = width["assn_gate"]
        if options.assn_published:
            block = [width[name] for name in ASSN_BLOCK]
            stages["assn"] = PublishedASSN(channels, gate=gate, widths=block)
        else:
            stages["assn"] = ASSN(channels, gate=gate, fusion=width["assn_fusion"])
    stages["attention_out"] = PerLevel(
        CBAM(channels, hidden=width[f"cbam_p{level}"], residual=residual)
        if f"cbam_p{level}" in width
        else nn.Identity()
        for level in LEVELS
    )
    return stages


def width_table(options: NanoBOptions) -> dict[str, Width]:
    """Every width of a Nano-B, unpruned.

    Returns:
        Name -> width, in the order of the data flow: ``backbone_0`` (stem) to ``backbone_13``
        (5, 11 and 13 are C3, C4, C5), ``decoupling``, ``cbam_c3``..``cbam_c5`` (hidden units),
        ``bifpn`` (the pyramid), ``semantic``, ``gcg_p3``.., ``assn_gate``, ``assn_fusion`` (or
        those of :data:`ASSN_BLOCK`),
        ``cbam_p3``.., ``ssh_p3_branch3``.., ``head_p3``.. or ``head``. Parts that the options
        switch off have none.
    """
    channels, reduction = options.channels, options.cbam.reduction
    table = backbone_widths()
    if options.scale_decoupling:
        table["decoupling"] = Width(CHANNELS[0] // 8, "cbam")
    for level, width in zip(LEVELS, CHANNELS, strict=True):
        table[f"cbam_c{level}"] = Width(hidden_units(width, reduction), "cbam")
    table["bifpn"] = Width(channels, "bifpn", least=4)
    if options.semantic:
        table["semantic"] = Width(channels // 4, "bifpn", least=2)
        table |= {f"gcg_p{level}": Width(channels // 8, "bifpn") for level in LEVELS}
    if options.assn:
        table["assn_gate"] = Width(channels // 8, "cbam")
        block = {"assn_fusion": 3 * channels // 8}
        if options.assn_published:
            block = {name: int(share * channels) for name, share in ASSN_BLOCK.items()}
        table |= {name: Width(size, "bifpn", least=2) for name, size in block.items()}
    for level in LEVELS[options.assn :]:
        table[f"cbam_p{level}"] = Width(hidden_units(channels, reduction), "cbam")
    table |= context_widths(SSHWidths.dense(channels, pointwise=options.context_pointwise))
    if options.head_stem:
        heads = ["head"] if options.shared_heads else [f"head_p{level}" for level in LEVELS]
        table |= {head: Width(channels, "heads", least=4) for head in heads}
    return table


def tied_widths(options: NanoBOptions) -> dict[str, str]:
    """Widths whose channels go together -> the first of them: what one shared head reads."""
    if not options.shared_heads:
        return {}
    names = {level: ssh_names(level, pointwise=options.context_pointwise) for level in LEVELS}
    first, *others = LEVELS
    return {
        names[level][branch]: names[first][branch]
        for level in others
        for branch in ("branch3", "branch5", "branch7_second", "branch1")
        if branch in names[first]
    }


def checked_widths(options: NanoBOptions, widths: Mapping[str, int] | None) -> dict[str, int]:
    """The dense widths with those of ``widths`` in their place.

    Raises:
        ValueError: an unknown name, a width below 1 or above the dense one, one that the groups of
            its convolution do not divide, or contexts that a shared head cannot take together.
    """
    merged = narrowed(width_table(options), widths)
    for name, width in merged.items():
        if name.startswith(("bifpn", "ssh_")) and width % options.context_groups:
            raise ValueError(
                f"expected width {name} divisible by context_groups={options.context_groups}, "
                f"got {width}"
            )
    for name, first in tied_widths(options).items():
        if merged[name] != merged[first]:
            raise ValueError(
                f"expected {name} as wide as {first} for shared_heads, got {merged[name]} and "
                f"{merged[first]}; one head reads all levels"
            )
    return merged


def wire_nano_b(model: FaceDetector) -> Wiring:
    """The channels of a network that :func:`nano_b` made."""
    options = NanoBOptions.from_config(model.config)
    sizes = checked_widths(options, model.config["widths"])
    wiring = Wiring(width_table(options), sizes, tied=tied_widths(options))
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
        fusion: Any = [wiring[name] for name in ASSN_BLOCK if name in sizes]
        neck["assn"].wire(wiring, levels, wiring["assn_gate"], fusion or wiring["assn_fusion"])
    for attention, x, level in zip(neck["attention_out"], levels, LEVELS, strict=True):
        if isinstance(attention, CBAM):
            attention.wire(wiring, x, wiring[f"cbam_p{level}"])
    contexts = context_channels(wiring, pointwise=options.context_pointwise)
    levels = context["field"].wire(wiring, levels, contexts)
    levels = context["shuffle"].wire(wiring, levels)
    if isinstance(heads, SharedMultiHead):
        heads.wire(wiring, levels, wiring["head"] if "head" in sizes else None)
    else:
        stems = [f"head_p{level}" for level in LEVELS]
        heads.wire(wiring, levels, [wiring[stem] if stem in sizes else None for stem in stems])
    return wiring
