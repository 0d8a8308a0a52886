"""What a deployed network computes: from pixels to raw outputs, to boxes in pixels, or to faces."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from src.detection.coding import decode_boxes, decode_landmarks
from src.detection.decoding import Candidates, Decoder
from src.detection.nms import nms
from src.detection.priors import PriorSpec, make_priors
from src.models import FaceDetector
from src.models.folding import without_norms, without_shuffles
from src.types import NUM_LANDMARKS, Outputs

INPUT = "pixels"


class Faces(NamedTuple):
    """Detections of a batch, best first, padded with zeros to the same number."""

    boxes: Tensor
    """[B, K, 4] float32, pixels."""
    scores: Tensor
    """[B, K] float32."""
    landmarks: Tensor
    """[B, K, 5, 2] float32, pixels."""
    count: Tensor  # type: ignore[assignment] # a tuple's method, which no one needs of faces
    """[B] int64: how many of the K are faces."""


class PixelsToFaces(nn.Module):
    """A detector with the mean subtraction in front and, if asked, decoding behind it.

    Args:
        model: the detector.
        decode: False: ``deltas`` [B, P, 4], ``logits`` [B, P, 2] and ``landmarks`` [B, P, 10] as
            the heads give them. True: ``boxes`` [B, P, 4] (x1, y1, x2, y2) and ``landmarks``
            [B, P, 5, 2] in pixels of the input, ``scores`` [B, P] from 0 to 1, in the order of the
            priors and not suppressed.
        half: the network computes in float16; pixels, priors and outputs are float32 all the same.
    """

    mean: Tensor

    def __init__(self, model: FaceDetector, *, decode: bool, half: bool = False) -> None:
        super().__init__()
        model = without_shuffles(model)
        self.model = without_norms(model) if half else model
        self.decode = decode
        self.dtype = torch.float16 if half else torch.float32
        self.model.to(self.dtype)
        self.register_buffer("mean", model.mean, persistent=False)
        self.outputs: tuple[str, ...] = (Candidates if decode else Outputs)._fields

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Outputs for float32 BGR pixels [B, 3, H, W], 0 to 255, of any size."""
        pyramid = self.model.pyramid((pixels - self.mean).to(self.dtype))
        outputs = Outputs(*(each.float() for each in self.model.predict(pyramid)))
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


class PixelsToDetections(nn.Module):
    """:class:`PixelsToFaces` with suppression behind it: :class:`Faces`, K is ``decoder.top_k``.

    The candidates and the rule are those of :class:`Decoder`, in tensors of fixed size.
    """

    def __init__(self, model: FaceDetector, decoder: Decoder, *, half: bool = False) -> None:
        super().__init__()
        self.faces = PixelsToFaces(model, decode=True, half=half)
        self.decoder = decoder
        self.outputs = Faces._fields

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Faces in float32 BGR pixels [B, 3, H, W], 0 to 255, of any size."""
        boxes, scores, landmarks = self.faces(pixels)
        rows = torch.cat([boxes, landmarks.flatten(2)], dim=2)
        # An image may have fewer priors than rows are given: zeros behind them fill up.
        more, width = self.decoder.top_k, rows.shape[-1]
        rows = torch.cat(
            [rows, rows.new_zeros(1, more, width).expand(rows.shape[0], -1, -1)], dim=1
        )
        scores = torch.cat([scores, scores.new_zeros(1, more).expand(scores.shape[0], -1)], dim=1)
        scores, index = scores.topk(more, dim=1)
        rows = rows.gather(1, index[..., None].expand(-1, -1, width))
        valid = scores > self.decoder.score_threshold
        keep = suppress(rows[..., :4].contiguous(), valid, self.decoder.nms_iou)
        kept, order = (scores * keep).topk(more, dim=1)
        rows = rows.gather(1, order[..., None].expand(-1, -1, width)) * (kept > 0)[..., None]
        points = rows[..., 4:].unflatten(-1, (NUM_LANDMARKS, 2))
        return rows[..., :4], kept, points, keep.sum(dim=1)


@torch.library.custom_op("featherface::suppress", mutates_args=())
def suppress(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """:func:`src.detection.nms.nms` as one operator, which an exporter translates as a whole."""
    return nms(boxes, valid, iou_threshold=iou_threshold)


@suppress.register_fake
def _(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    return torch.empty_like(valid)
