"""A detector that runs: image in, faces out, in three steps that can be timed apart."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from src import checkpoint
from src.contest.entry import Entry, reader_of
from src.contest.outputs import detections, meaning_of
from src.deploy.runtime import Network
from src.detection.decoding import Decoder
from src.detection.priors import PriorSpec
from src.images.resize import fit_inside, pad
from src.models import FaceDetector
from src.types import Detections

_PROBE = 320
"""Side of the image whose outputs tell what they mean."""


class Prepared(NamedTuple):
    """An image as a network wants it."""

    pixels: np.ndarray
    """[1, 3, H, W] or [1, H, W, 3] float32."""
    height: int
    width: int
    scale: tuple[float, float]
    """Pixels of it per pixel of the image, along x and y."""


class EagerNetwork:
    """A checkpoint in PyTorch: ``EagerNetwork(model)(pixels)``, raw outputs by name."""

    def __init__(self, model: FaceDetector) -> None:
        self.model = model.eval()

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self.model(self.model.normalise(torch.from_numpy(pixels)))
        return {name: value.numpy() for name, value in outputs._asdict().items()}


class Contender:
    """An entry that has been loaded: ``contender(image)``.

    Args:
        entry: what it is.
        decoder: thresholds.
        threads: of its runtime and of this process.

    Raises:
        ValueError: a file that cannot be run, or outputs that mean nothing known.
    """

    def __init__(self, entry: Entry, decoder: Decoder, *, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        self.entry = entry
        self.decoder = decoder
        self._network, self._priors = _loaded(entry, threads)
        height, width = entry.size or (_PROBE, _PROBE)
        grey = np.full((height, width, 3), 128, np.uint8)
        self._meaning = meaning_of(self.raw(self._prepared(grey, 1).pixels), entry.decoding)
        self._multiple = entry.multiple or max(self._meaning.strides, default=1)

    def __call__(self, image: np.ndarray) -> Detections:
        """The faces of one image, BGR [H, W, 3] uint8, best first, in its pixels."""
        prepared = self.prepare(image)
        return self.faces(self.raw(prepared.pixels), prepared)

    def prepare(self, image: np.ndarray) -> Prepared:
        """What the network gets to see of an image, BGR [H, W, 3] uint8."""
        return self._prepared(image, self._multiple)

    def raw(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The network alone: its outputs by name."""
        return self._network(pixels)

    @torch.inference_mode()
    def faces(self, outputs: dict[str, np.ndarray], prepared: Prepared) -> Detections:
        """What the outputs for a prepared image say, in pixels of the image itself."""
        found = detections(
            self._meaning, outputs, self.decoder, self._priors, prepared.height, prepared.width
        )
        scale = torch.tensor(prepared.scale)
        return found._replace(boxes=found.boxes / scale.repeat(2),
                              landmarks=found.landmarks / scale)  # fmt: skip

    def _prepared(self, image: np.ndarray, multiple: int) -> Prepared:
        entry = self.entry
        mean = list(entry.mean)
        background = mean if entry.colour == "BGR" else mean[::-1]  # after the mean: zero
        scale = (1.0, 1.0)
        if entry.size is not None:
            height, width = entry.size
            image, scale = fit_inside(image, height, width)
        else:
            height, width = (-(-side // multiple) * multiple for side in image.shape[:2])
        image = pad(image, height, width, background)
        if entry.colour == "RGB":
            image = image[..., ::-1]
        pixels = image.astype(np.float32)
        if any(mean):
            pixels -= np.array(mean, np.float32)
        if entry.scale != 1:
            pixels *= np.float32(entry.scale)
        if entry.layout == "NCHW":
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return Prepared(pixels[None], height, width, scale)


def _loaded(entry: Entry, threads: int) -> tuple[Network, PriorSpec]:
    reader = reader_of(entry)
    if reader is None:
        model = checkpoint.load(entry.file).model
        return EagerNetwork(model), model.priors
    network = reader.load(Path(entry.file), list(entry.outputs), threads=threads)
    try:
        return network, PriorSpec(**dict(entry.priors or {}))
    except TypeError:
        raise ValueError(
            f"expected sizes, strides and variances as priors of {entry.name}, got "
            f"{', '.join(entry.priors or {})}"
        ) from None
