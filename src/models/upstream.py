"""Weights published by others, renamed to our modules.

Covers the FeatherFace repository and its fork (two spellings of the CBAM modules), the left-over
buffers of their profiler, and the ImageNet weights of the RetinaFace backbone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from src.models.detector import FaceDetector
from src.models.featherface import PRESETS, featherface_v1

PROFILER_KEY = re.compile(r"(^|\.)total_(ops|params)$")
NODES = {
    "conv4_up": "p4_down",
    "conv3_up": "p3_out",
    "conv4_down": "p4_out",
    "conv5_down": "p5_out",
}
FUSIONS = {"p4_w1": "p4_down", "p3_w1": "p3_out", "p4_w2": "p4_out", "p5_w2": "p5_out"}
BRANCHES = {
    "conv3X3": "branch3", "conv5X5_1": "shared", "conv5X5_2": "branch5",
    "conv7X7_2": "branch7_first", "conv7x7_3": "branch7_second",
}  # fmt: skip
BLOCK = {"0": "depthwise.conv", "1": "depthwise.norm", "3": "pointwise.conv", "4": "pointwise.norm"}
CONV_NORM = {
    "0.conv": "conv", "0.offset_conv": "conv.offset", "0.modulator_conv": "conv.modulation",
    "0.regular_conv": "conv", "1": "norm", "dcn": "conv", "bn": "norm",
}  # fmt: skip
STEM = {"0": "conv", "1": "norm"}
MIXER = {
    "1": "reduce.conv", "2": "reduce.norm", "3": "depthwise.conv",
    "4": "depthwise.norm", "5": "expand.conv", "6": "expand.norm",
}  # fmt: skip
HEADS = {"BboxHead": "boxes", "ClassHead": "classes", "LandmarkHead": "landmarks"}


def _level(number: str) -> str:
    """Upstream counts levels from 1."""
    return str(int(number) - 1)


# (pattern, our prefix from its match); what follows the match is kept.
RENAMES = [
    (r"body\.stage1\.0\.([01])", lambda m: f"backbone.stage1.0.{STEM[m[1]]}"),
    (r"body\.(stage\d\.\d+)\.([0134])", lambda m: f"backbone.{m[1]}.{BLOCK[m[2]]}"),
    (r"bifpn\.(\d+)\.(p\d_w\d)", lambda m: f"neck.bifpn.{m[1]}.{FUSIONS[m[2]]}.weight"),
    (r"bifpn\.(\d+)\.(conv\d_\w+)\.(depth|point)wise_conv\.conv",
     lambda m: f"neck.bifpn.{m[1]}.{NODES[m[2]]}.{m[3]}wise"),
    (r"bifpn\.(\d+)\.(conv\d_\w+)\.bn", lambda m: f"neck.bifpn.{m[1]}.{NODES[m[2]]}.norm"),
    (r"bifpn\.(\d+)\.p(\d)_down_channel(_2)?\.(0\.conv|1)",
     lambda m: f"neck.bifpn.{m[1]}.{'up' if m[3] else 'down'}{m[2]}.{CONV_NORM[m[4]]}"),
    (r"ssh(\d)\.(conv\dx?X?\d(?:_\d)?)\.(0\.(?:offset|modulator|regular)_conv|1)",
     lambda m: f"context.field.{_level(m[1])}.{BRANCHES[m[2]]}.{CONV_NORM[m[3]]}"),
    (r"dcn(\d)\.(dcn|bn)", lambda m: f"context.field.{_level(m[1])}.conv.{CONV_NORM[m[2]]}"),
    (r"ssh(\d)_cs\.([1-6])", lambda m: f"context.mixer.{_level(m[1])}.{MIXER[m[2]]}"),
    (r"(?:bacbkbone_(\d)_cbam|backbone_cbam_(\d))", lambda m: f"neck.attention_in.{m[1] or m[2]}"),
    (r"(?:bif_cbam_(\d)|attention_cbam_(\d))", lambda m: f"neck.attention_out.{m[1] or m[2]}"),
    (r"(\w+Head)\.(\d)\.conv1x1", lambda m: f"heads.{m[2]}.{HEADS[m[1]]}"),
]  # fmt: skip
INSIDE_CBAM = {
    "ChannelGate.mlp.1": "channel.reduce", "ChannelGate.mlp.3": "channel.expand",
    "SpatialGate.spatial.conv": "spatial.conv", "SpatialGate.spatial.bn": "spatial.norm",
}  # fmt: skip


def is_upstream(state: Mapping[str, object]) -> bool:
    """Whether these look like weights of the FeatherFace repository or its fork."""
    return any(re.match(r"(module\.)?body\.stage1\.", key) for key in state)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Upstream state dict to our names, without the profiler's keys; unknown keys stay."""
    return {
        _rename_key(key.removeprefix("module.")): value
        for key, value in state.items()
        if not PROFILER_KEY.search(key)
    }


def _rename_key(key: str) -> str:
    for pattern, ours in RENAMES:
        if match := re.match(pattern + r"(?=\.|$)", key):
            key = ours(match) + key[match.end() :]
            break
    for old, new in INSIDE_CBAM.items():
        key = key.replace(old, new)
    return key


def from_upstream(state: Mapping[str, Tensor]) -> FaceDetector:
    """The preset of FeatherFace V1 that these published weights fit, with them loaded.

    Raises:
        ValueError: no preset has these tensors; names the nearest preset and its first differences.
    """
    weights = rename(state)
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    differing: dict[str, list[str]] = {}
    for preset in PRESETS:
        with torch.device("meta"):
            expected = featherface_v1(preset).state_dict()
        # Ours alone: the shuffle's index, which the published code computes on the fly.
        ours = {k: tuple(v.shape) for k, v in expected.items() if not k.endswith(".index")}
        every = ours.keys() | shapes.keys()
        differing[preset] = sorted(key for key in every if ours.get(key) != shapes.get(key))
        if not differing[preset]:
            model = featherface_v1(preset)
            model.load_state_dict({**model.state_dict(), **weights})
            return model
    nearest = min(differing, key=lambda preset: len(differing[preset]))
    raise ValueError(
        f"expected the weights of a FeatherFace V1 ({', '.join(PRESETS)}); nearest is "
        f"{nearest}, but {len(differing[nearest])} tensors are missing, extra or of another shape: "
        f"{', '.join(differing[nearest][:4])}"
    )


def backbone_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ImageNet weights of MobileNetV1 x 0.25 as a state dict of :class:`MobileNetV1`.

    Takes the classifier file of the RetinaFace repository (keys ``module.stage1...``) or a whole
    detector's weights (keys ``body.stage1...``).
    """
    keyed = {
        re.sub(r"^(module\.)?(body\.)?", "body.", key): value
        for key, value in state.items()
        if re.match(r"^(module\.)?(body\.)?stage\d\.", key)
    }
    return {key.removeprefix("backbone."): value for key, value in rename(keyed).items()}
