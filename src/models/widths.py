"""Channel widths that FeatherFace V1 and Nano-B share, by name.

A width is one number that pruning may lower; several tensors may depend on it (all that a level of
the pyramid adds up has one width, ``bifpn``). Depthwise convolutions follow the width in front of
them and have none of their own.
"""

from __future__ import annotations

from src.models.backbones import ENDS, WIDTHS
from src.models.channels import Channels, Width, Wiring
from src.models.contexts import SSHWidths

LEVELS = ("3", "4", "5")
"""Strides 8, 16 and 32, as the feature pyramid literature counts."""


def backbone_widths(*, first_block: bool = True) -> dict[str, Width]:
    """The widths of MobileNetV1; those up to C3 are pruned with the early ones.

    Without ``first_block`` the stem's is that block's, ``backbone_1``.
    """
    return {
        f"backbone_{i}": Width(size, "backbone_early" if i <= ENDS[0] else "backbone_late", least=4)
        for i, size in enumerate(WIDTHS)
        if first_block or i
    }


def context_widths(dense: SSHWidths) -> dict[str, Width]:
    """The widths of the SSH contexts of all levels."""
    return {
        name: Width(getattr(dense, branch), "ssh", least=2)
        for level in LEVELS
        for branch, name in ssh_names(level, pointwise=dense.branch1 is not None).items()
    }


def ssh_names(level: str, *, pointwise: bool = False) -> dict[str, str]:
    """Branch -> name of its width, for the SSH of one of :data:`LEVELS`.

    ``pointwise``: with the 1x1 branch.
    """
    branches = [each for each in SSHWidths._fields if pointwise or each != "branch1"]
    return {branch: f"ssh_p{level}_{branch}" for branch in branches}


def backbone_channels(wiring: Wiring, *, first_block: bool = True) -> list[Channels]:
    """The channels of :func:`backbone_widths`, as ``MobileNetV1.wire`` takes them."""
    return [wiring[name] for name in backbone_widths(first_block=first_block)]


def context_channels(wiring: Wiring, *, pointwise: bool = False) -> list[dict[str, Channels]]:
    """The channels of :func:`context_widths`, per level by branch, as ``SSH.wire`` takes them."""
    return [
        {branch: wiring[name] for branch, name in ssh_names(level, pointwise=pointwise).items()}
        for level in LEVELS
    ]
