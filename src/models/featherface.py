"""FeatherFace V1 (Kim, Jung, Kim, Electronics 2025, 14(3), 517): the teacher.

"FeatherFace V1" names four networks that were published or trained under that name, all of them one
scheme: MobileNetV1 x 0.25, BiFPN, context module, channel shuffle, heads, with or without CBAM
before and after the pyramid. Each is a preset named after its exact number of parameters; the
published 0.49M is that of none of them (a profiler missed the deformable kernels of the 592,371
network).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from src.detection.priors import PriorSpec
from src.models.attention import CBAM, hidden_units
from src.models.backbones import MobileNetV1
from src.models.contexts import ChannelMixer, ConvContext, DeformableSSH
from src.models.detector import FaceDetector
from src.models.heads import Heads
from src.models.layers import ChannelShuffle, PerLevel
from src.models.necks import BiFPNLayer

CONTEXTS: dict[str, Callable[[int], nn.Module]] = {"dcn_ssh": DeformableSSH, "conv3x3": ConvContext}

PRESETS: dict[str, dict[str, Any]] = {
    # Trained weights and an AP log exist: the default teacher.
    "v1_489015": {
        "channels": 56, "bifpn_repeats": 2, "cbam_reduction": None,
        "context": "dcn_ssh", "shuffle": "deinterleave", "mixer": False,
    },
    "v1_493778": {
        "channels": 56, "bifpn_repeats": 2, "cbam_reduction": 48,
        "context": "dcn_ssh", "shuffle": "interleave", "mixer": False,
    },
    "v1_487103": {
        "channels": 74, "bifpn_repeats": 2, "cbam_reduction": 48,
        "context": "conv3x3", "shuffle": "interleave", "mixer": False,
    },
    # The network of the paper's repository.
    "v1_592371": {
        "channels": 64, "bifpn_repeats": 3, "cbam_reduction": 16,
        "context": "dcn_ssh", "shuffle": "deinterleave", "mixer": True,
    },
}  # fmt: skip


def featherface_v1(
    preset: str = "v1_489015",
    *,
    prior_sizes: Sequence[Sequence[float]] = PriorSpec.sizes,
    **changes: Any,
) -> FaceDetector:
    """FeatherFace V1.

    Args:
        preset: one of :data:`PRESETS`.
        prior_sizes: sides of the priors per level, pixels.
        changes: fields of the preset to replace: ``channels`` (pyramid width), ``bifpn_repeats``,
            ``cbam_reduction`` (None: no CBAM), ``context`` (``dcn_ssh`` or ``conv3x3``),
            ``shuffle`` (``interleave`` or ``deinterleave``), ``mixer``.

    Raises:
        ValueError: unknown preset, field or context; the message lists the known ones.
    """
    _known("FeatherFace V1 preset", preset, PRESETS)
    fields = PRESETS[preset]
    for name in changes:
        _known("field of FeatherFace V1", name, fields)
    arch = {**fields, **changes}
    _known("context module", arch["context"], CONTEXTS)

    backbone = MobileNetV1()
    channels, reduction = arch["channels"], arch["cbam_reduction"]
    priors = PriorSpec(prior_sizes, backbone.strides)

    neck: OrderedDict[str, nn.Module] = OrderedDict()
    if reduction is not None:
        neck["attention_in"] = PerLevel(
            CBAM(c, hidden=hidden_units(c, reduction)) for c in backbone.channels
        )
    neck["bifpn"] = nn.Sequential(
        BiFPNLayer(channels, backbone.channels),
        *(BiFPNLayer(channels) for _ in range(arch["bifpn_repeats"] - 1)),
    )
    if reduction is not None:
        neck["attention_out"] = PerLevel(
            CBAM(channels, hidden=hidden_units(channels, reduction)) for _ in backbone.channels
        )
    context: OrderedDict[str, nn.Module] = OrderedDict()
    context["field"] = PerLevel(CONTEXTS[arch["context"]](channels) for _ in backbone.channels)
    context["shuffle"] = PerLevel(
        ChannelShuffle(channels, 2, order=arch["shuffle"]) for _ in backbone.channels
    )
    if arch["mixer"]:
        context["mixer"] = PerLevel(ChannelMixer(channels) for _ in backbone.channels)

    return FaceDetector(
        backbone,
        nn.Sequential(neck),
        nn.Sequential(context),
        Heads([channels] * len(backbone.channels), priors.num_per_cell),
        pyramid_channels=[channels] * len(backbone.channels),
        priors=priors,
        config={
            "name": "featherface_v1",
            "preset": preset,
            "prior_sizes": [list(level) for level in priors.sizes],
            **arch,
        },
    )


def _known(what: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise ValueError(f"expected a {what} of {', '.join(known)}; got {name!r}")
