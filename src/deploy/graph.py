"""What a deployed network computes: from pixels to raw outputs, or to boxes in pixels.

Suppression stays outside. It is a loop whose length depends on the image; runtimes differ in the
overlap they compute and in ties, few can keep one image's boxes apart from another's, and those
for accelerators leave it to the host anyway. Decoding, which depends on nothing but the size, is
where users go wrong, so it can be inside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.detection.coding import decode_boxes, decode_landmarks
from src.detection.priors import PriorSpec, make_priors
from src.models import FaceDetector

INPUT = "pixels"


class PixelsToFaces(nn.Module):
    """A detector with the mean subtraction in front and, if asked, decoding behind it.

    Args:
        model: the detector.
        decode: False: ``deltas`` [B, P, 4], ``logits`` [B, P, 2] and ``landmarks`` [B, P, 10] as
            the heads give them. True: ``boxes`` [B, P, 4] (x1, y1, x2, y2) and ``landmarks``
            [B, P, 5, 2] in pixels of the input, ``scores`` [B, P] from 0 to 1, in the order of the
            priors and not suppressed.
    """

    def __init__(self, model: FaceDetector, *, decode: bool) -> None:
        super().__init__()
        self.model = model
        self.decode = decode

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Outputs for float32 BGR pixels [B, 3, H, W], 0 to 255, of any size."""
        pyramid = self.model.pyramid(self.model.normalise(pixels))
        outputs = self.model.predict(pyramid)
        if not self.decode:
            return tuple(outputs)
        spec = self.model.priors
        # From the levels' sizes and not the image's: an exporter cannot know that rounding up
        # H / 8 and halving H three times are the same.
        priors = torch.cat(
            [
                make_priors(
                    PriorSpec((sizes,), (stride,)),
                    level.shape[-2] * stride,
                    level.shape[-1] * stride,
                )
                for sizes, stride, level in zip(spec.sizes, spec.strides, pyramid, strict=True)
            ]
        )
        return (
            decode_boxes(outputs.deltas, priors, spec.variances),
            outputs.logits.softmax(dim=-1)[..., 1],
            decode_landmarks(outputs.landmarks, priors, spec.variances),
        )
