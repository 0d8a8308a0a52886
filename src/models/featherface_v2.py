"""FeatherFace V2: V1's 592,371 network with attention gates and heads shared among its levels.

No paper; a sketch that came with FeatherFace's sources. What it names are
:class:`src.models.attention.CBAMPlus`, :class:`src.models.attention.SharedCBAM` and
:class:`src.models.heads.SharedMultiHead`.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from src.detection.priors import PriorSpec
from src.models.attention import CBAMPlus, SharedCBAM
from src.models.backbones import CHANNELS
from src.models.detector import FaceDetector
from src.models.featherface import featherface_v1
from src.models.heads import Heads, SharedMultiHead
from src.models.layers import PerLevel
from src.models.options import read_options

LAYOUT = "v1_592371"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CBAMPlusOptions:
    """Options of the attention before and after the pyramid."""

    shared: bool = True
    """One gate per number of channels; False: one per place."""
    reduction: int = 32
    """Channels per hidden unit, which never fall below 4 units."""
    residual: bool = True
    """False: y = spatial(channel(x)), without V1's addition of x and ReLU."""


class SharedAttentionNeck(nn.Module):
    """A pyramid with one :class:`SharedCBAM` before and after it.

    A module of its own and not two stages, so that the state dict names the shared weights once.
    """

    def __init__(self, attention: SharedCBAM, bifpn: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.bifpn = bifpn

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        pyramid = self.bifpn([self.attention(x) for x in levels])
        return [self.attention(x) for x in pyramid]


def featherface_v2(
    *,
    prior_sizes: Sequence[Sequence[float]] = PriorSpec.sizes,
    cbam: Mapping[str, Any] | None = None,
    shared_heads: bool = True,
) -> FaceDetector:
    """FeatherFace V2.

    Args:
        prior_sizes: sides of the priors per level, pixels.
        cbam: fields of :class:`CBAMPlusOptions` that differ from their defaults.
        shared_heads: one head for the three levels.

    Raises:
        ValueError: unknown or wrong fields of ``cbam``.
    """
    options = read_options(CBAMPlusOptions, {} if cbam is None else cbam, of="cbam")
    if not isinstance(shared_heads, bool):
        raise ValueError(f"expected shared_heads to be true or false, got {shared_heads!r}")
    reduction, residual = options.reduction, options.residual
    base = featherface_v1(LAYOUT, cbam_reduction=None, prior_sizes=prior_sizes)
    bifpn = base.neck.get_submodule("bifpn")
    neck: nn.Module
    if options.shared:
        channels = CHANNELS + base.pyramid_channels
        neck = SharedAttentionNeck(
            SharedCBAM(channels, reduction=reduction, residual=residual), bifpn
        )
    else:
        before, after = (
            PerLevel(CBAMPlus(c, reduction=reduction, residual=residual) for c in channels)
            for channels in (CHANNELS, base.pyramid_channels)
        )
        neck = nn.Sequential(OrderedDict(attention_in=before, bifpn=bifpn, attention_out=after))
    heads: nn.Module = (
        SharedMultiHead(base.pyramid_channels[0], base.priors.num_per_cell)
        if shared_heads
        else Heads(base.pyramid_channels, base.priors.num_per_cell)
    )
    return FaceDetector(
        base.backbone,
        neck,
        base.context,
        heads,
        pyramid_channels=base.pyramid_channels,
        priors=base.priors,
        config={
            "name": "featherface_v2",
            "cbam": dataclasses.asdict(options),
            "shared_heads": shared_heads,
            "prior_sizes": [list(level) for level in base.priors.sizes],
        },
    )
