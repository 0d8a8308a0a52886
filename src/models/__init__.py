"""Networks: building blocks and the detectors made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from src.models.channels import Wiring
from src.models.detector import FaceDetector
from src.models.featherface import featherface_v1, wire_featherface_v1
from src.models.featherface_v2 import featherface_v2
from src.models.layers import set_norm_momentum
from src.models.nano_b import nano_b, wire_nano_b
from src.models.plain import plain, wire_plain

__all__ = [
    "MODELS",
    "FaceDetector",
    "build_model",
    "featherface_v1",
    "featherface_v2",
    "nano_b",
    "plain",
    "set_norm_momentum",
    "wiring_of",
]

MODELS: dict[str, Callable[..., FaceDetector]] = {
    "featherface_v1": featherface_v1,
    "featherface_v2": featherface_v2,
    "nano_b": nano_b,
    "plain": plain,
}

WIRINGS: dict[str, Callable[[FaceDetector], Wiring]] = {
    "featherface_v1": wire_featherface_v1,
    "nano_b": wire_nano_b,
    "plain": wire_plain,
}
"""Networks that can be pruned. V2 cannot: one of its gates serves places of different widths."""


def build_model(config: Mapping[str, Any]) -> FaceDetector:
    """The network that plain values describe: ``name`` of :data:`MODELS` and its arguments.

    A table and not an import path, because these values also come from checkpoints, which may only
    choose among networks, never name code to run.

    Raises:
        ValueError: unknown name or arguments; the message lists the known names.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"expected a network as a table with its name, got {config!r}")
    arguments = {str(key): value for key, value in config.items()}
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name not in MODELS:
        raise ValueError(f"expected a model name of {', '.join(MODELS)}; got {name!r}")
    try:
        return MODELS[name](**arguments)
    except TypeError as error:
        raise ValueError(
            f"expected arguments of model {name!r}, got {arguments}: {error}"
        ) from error


def wiring_of(model: FaceDetector) -> Wiring:
    """The channels of a network, see :mod:`src.models.channels`.

    Raises:
        ValueError: a network that cannot be pruned; the message lists those that can.
    """
    name = model.config["name"]
    if name not in WIRINGS:
        raise ValueError(
            f"expected a network that can be pruned ({', '.join(WIRINGS)}), got {name}"
        )
    return WIRINGS[name](model)
