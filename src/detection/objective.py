"""The supervised objective: where network, priors, assignment and loss terms meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from src.detection.assignment import Assigner
from src.detection.losses import WeightedTerms
from src.detection.priors import PriorSpec, priors_for
from src.types import Assignment, Batch, LossTerms, Outputs


class Network(Protocol):
    """What detection asks of a network; :class:`src.models.FaceDetector` is one."""

    @property
    def priors(self) -> PriorSpec:
        """What its output rows refer to."""
        ...

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0 to 255, to network input."""
        ...

    def __call__(self, images: Tensor) -> Outputs:
        """Network input to raw outputs."""
        ...


@dataclass(frozen=True)
class DetectionObjective:
    """Supervised detection.

    Args:
        assigner: which prior answers for which face.
        loss: what is minimised given that.
    """

    assigner: Assigner
    loss: WeightedTerms

    def __call__(self, network: Network, batch: Batch) -> tuple[Outputs, LossTerms]:
        """Run the network on a batch and measure it against the batch's faces."""
        outputs = network(network.normalise(batch.images))
        assignment = self.assign(network.priors, outputs, batch)
        return outputs, self.measure(network.priors, outputs, batch, assignment)

    @torch.no_grad()
    def assign(self, spec: PriorSpec, outputs: Outputs, batch: Batch) -> Assignment:
        """Which face each row of given outputs answers for."""
        priors = priors_for(spec, batch.images.shape, outputs.deltas.device)
        # Matching and encoding stay in fp32: bf16 cannot tell neighbouring priors apart.
        with torch.autocast(outputs.deltas.device.type, enabled=False):
            return self.assigner(priors, Outputs(*(o.detach() for o in outputs)), batch.targets)

    def measure(
        self, spec: PriorSpec, outputs: Outputs, batch: Batch, assignment: Assignment
    ) -> LossTerms:
        """The loss of given outputs."""
        priors = priors_for(spec, batch.images.shape, outputs.deltas.device)
        with torch.autocast(outputs.deltas.device.type, enabled=False):
            return self.loss(outputs, priors, batch.targets, assignment, spec)
