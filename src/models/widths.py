"""What the Nano-B family is made of: its options, and every channel width they imply, by name.

A width is one number that pruning may lower; several tensors may depend on it (all that a level of
the pyramid adds up has one width, ``bifpn``). Depthwise convolutions follow the width in front of
them and have none of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from src.models.attention import hidden_units
from src.models.backbones import CHANNELS, ENDS, WIDTHS
from src.models.channels import Channels, Width, Wiring, narrowed
from src.models.contexts import SSHWidths
from src.models.options import read_options

LEVELS = ("3", "4", "5")
"""Strides 8, 16 and 32, as the feature pyramid literature counts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CBAMOptions:
    """Of every CBAM of the network."""

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
    assn: bool = False
    """ASSN instead of the CBAM after the pyramid on its first level."""

    def __post_init__(self) -> None:
        if self.context_groups < 1:
            raise ValueError(f"expected at least 1 context group, got {self.context_groups}")
        if self.channels < 8:
            raise ValueError(f"expected at least 8 pyramid channels, got {self.channels}")
        if self.deep_evidence and not self.scale_decoupling:
            raise ValueError(
                "expected scale_decoupling where deep_evidence is on, got it off; "
                "set scale_decoupling=true or deep_evidence=false"
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


def width_table(config: Mapping[str, Any]) -> dict[str, Width]:
    """Every width of a Nano-B, unpruned.

    Args:
        config: of the network (``FaceDetector.config``) or any of its options.

    Returns:
        Name -> width, in the order of the data flow: ``backbone_0`` (stem) to ``backbone_13``
        (5, 11 and 13 are C3, C4, C5), ``decoupling``, ``cbam_c3``..``cbam_c5`` (hidden units),
        ``bifpn`` (the pyramid), ``semantic``, ``gcg_p3``.., ``assn_gate``, ``assn_fusion``,
        ``cbam_p3``.., ``ssh_p3_branch3``.., ``head_p3``.. or ``head``. Parts that the options
        switch off have none.
    """
    options = NanoBOptions.from_config(config)
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
        table["assn_fusion"] = Width(3 * channels // 8, "bifpn", least=2)
    for level in LEVELS[options.assn :]:
        table[f"cbam_p{level}"] = Width(hidden_units(channels, reduction), "cbam")
    table |= context_widths(SSHWidths.dense(channels))
    if options.head_stem:
        heads = ["head"] if options.shared_heads else [f"head_p{level}" for level in LEVELS]
        table |= {head: Width(channels, "heads", least=4) for head in heads}
    return table


def backbone_widths() -> dict[str, Width]:
    """Those of MobileNetV1, early ones up to C3."""
    return {
        f"backbone_{i}": Width(size, "backbone_early" if i <= ENDS[0] else "backbone_late", least=4)
        for i, size in enumerate(WIDTHS)
    }


def context_widths(dense: SSHWidths) -> dict[str, Width]:
    """Those of the SSH contexts of all levels."""
    return {
        name: Width(getattr(dense, branch), "ssh", least=2)
        for level in LEVELS
        for branch, name in ssh_names(level).items()
    }


def tied_widths(config: Mapping[str, Any]) -> dict[str, str]:
    """Widths whose channels go together -> the first of them: what one shared head reads."""
    if not NanoBOptions.from_config(config).shared_heads:
        return {}
    first, *others = LEVELS
    return {
        ssh_names(level)[branch]: ssh_names(first)[branch]
        for level in others
        for branch in ("branch3", "branch5", "branch7_second")
    }


def dense_widths(config: Mapping[str, Any]) -> dict[str, int]:
    """The sizes of :func:`width_table`."""
    return {name: width.size for name, width in width_table(config).items()}


def checked_widths(config: Mapping[str, Any], widths: Mapping[str, int] | None) -> dict[str, int]:
    """The dense widths of ``config`` with those of ``widths`` in their place.

    Raises:
        ValueError: an unknown name, a width below 1 or above the dense one, one that the groups of
            its convolution do not divide, or contexts that a shared head cannot take together.
    """
    options = NanoBOptions.from_config(config)
    merged = narrowed(width_table(config), widths)
    for name, width in merged.items():
        if name.startswith(("bifpn", "ssh_")) and width % options.context_groups:
            raise ValueError(
                f"expected width {name} divisible by context_groups={options.context_groups}, "
                f"got {width}"
            )
    for name, first in tied_widths(config).items():
        if merged[name] != merged[first]:
            raise ValueError(
                f"expected {name} as wide as {first} for shared_heads, got {merged[name]} and "
                f"{merged[first]}; one head reads all levels"
            )
    return merged


def ssh_names(level: str) -> dict[str, str]:
    """Branch -> its width, of the SSH of one of :data:`LEVELS`."""
    return {branch: f"ssh_p{level}_{branch}" for branch in SSHWidths._fields}


def backbone_channels(wiring: Wiring) -> list[Channels]:
    """Those of :func:`backbone_widths`, as ``MobileNetV1.wire`` takes them."""
    return [wiring[name] for name in backbone_widths()]


def context_channels(wiring: Wiring) -> list[dict[str, Channels]]:
    """Those of :func:`context_widths`, per level by branch, as ``SSH.wire`` takes them."""
    return [{branch: wiring[name] for branch, name in ssh_names(level).items()} for level in LEVELS]
