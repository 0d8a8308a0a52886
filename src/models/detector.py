"""The shape every detector has: backbone, neck, context, heads, and the priors of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from src.detection.priors import PriorSpec
from src.models.heads import LevelHead
from src.types import MEAN_BGR, Outputs


class FaceDetector(nn.Module):
    """A single-stage face detector.

    Args:
        backbone: image -> list of levels.
        neck: backbone levels -> levels of the feature pyramid, mixed among each other.
        context: levels -> levels, each for itself.
        heads: list of levels -> :class:`Outputs`.
        pyramid_channels: of the neck's levels.
        priors: what the output rows refer to.
        config: plain values from which :func:`src.models.build_model` makes this network again.
    """

    mean: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        context: nn.Module,
        heads: nn.Module,
        *,
        pyramid_channels: Sequence[int],
        priors: PriorSpec,
        config: dict[str, Any],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.context = context
        self.heads = heads
        self.pyramid_channels = tuple(pyramid_channels)
        self.priors = priors
        self.config = config
        self.register_buffer("mean", torch.tensor(MEAN_BGR).float().view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Outputs:
        """Raw outputs for normalised images [B, 3, H, W] of any size (see :meth:`normalise`)."""
        return self.predict(self.pyramid(images))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The feature pyramid: what the neck gives to context and heads."""
        return self.neck(self.backbone(images))

    def predict(self, pyramid: list[Tensor]) -> Outputs:
        """Raw outputs for a feature pyramid."""
        return self.heads(self.context(pyramid))

    def raise_scores(self, logit: float) -> None:
        """Add to the logit of every score; the order of scores and so AP stay.

        A score of s becomes s' with logit(s') = logit(s) + ``logit``.
        """
        for head in self.heads.modules():
            if isinstance(head, LevelHead):
                head.raise_scores(logit)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As ``nn.Module.compile``, each part by itself, so that it serves :meth:`pyramid` too."""
        for part in self.children():
            part.compile(*args, **kwargs)

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 or float BGR pixels [B, 3, H, W], 0 to 255, to what :meth:`forward` takes."""
        return pixels.to(self.mean.dtype) - self.mean
