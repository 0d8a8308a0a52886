"""AP of an exported network, by the same protocol as that of the network it was made of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from src.data.datamodule import FaceDataModule
from src.deploy.runtime import Network
from src.detection.decoding import Decoder
from src.detection.inference import Views, detect
from src.detection.objective import Network as Scored
from src.detection.priors import PriorSpec
from src.evaluation import WiderAP
from src.report.progress import tracked
from src.types import Outputs


class Exported:
    """A file with raw outputs in the place of a detector."""

    def __init__(self, network: Network, priors: PriorSpec) -> None:
        self.network = network
        self.priors = priors

    def normalise(self, pixels: Tensor) -> Tensor:
        """Nothing: the mean is subtracted in the file."""
        return pixels

    def __call__(self, images: Tensor) -> Outputs:
        found = self.network(images.numpy().astype(np.float32))
        return Outputs(*(torch.from_numpy(found[name]) for name in Outputs._fields))


@torch.inference_mode()
def average_precision(network: Scored, data: FaceDataModule) -> dict[str, float]:
    """AP on the validation images of ``data``, by the thresholds of the WIDER FACE protocol.

    Returns:
        ``ap_easy``, ``ap_medium``, ``ap_hard``, ``ap`` and AP by size, 0 to 1.
    """
    metric = WiderAP(data.truth())
    loader = data.val_dataloader()
    for batch in tracked(loader, "AP", len(loader)):
        found = detect(network, Decoder(), batch.images, batch.scales, Views())
        metric.update(batch.names, found)
    return metric.compute().metrics
