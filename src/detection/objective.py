"""The supervised objective: where network, priors, assignment and loss terms meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from src.detection.assignment import Assigner, gather_positives
from src.detection.losses import WeightedTerms
from src.detection.priors import PriorSpec, priors_for
from src.types import Batch, LossTerms, Matched, Outputs


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
        return outputs, self.measure(outputs, self.match(network.priors, outputs, batch))

    @torch.no_grad()
    def match(self, spec: PriorSpec, outputs: Outputs, batch: Batch) -> Matched:
        """Which face each row of given outputs answers for."""
        priors = priors_for(spec, batch.images.shape, outputs.deltas.device)
        # Matching and encoding stay in fp32: bf16 cannot tell neighbouring priors apart.
        with torch.autocast(outputs.deltas.device.type, enabled=False):
            detached = Outputs(*(o.detach() for o in outputs))
            assignment = self.assigner(priors, detached, batch.targets)
            return gather_positives(assignment, priors, batch.targets)

    def measure(self, outputs: Outputs, matched: Matched) -> LossTerms:
        """The loss of given outputs."""
        with torch.autocast(outputs.deltas.device.type, enabled=False):
            return self.loss(outputs, matched)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """None: nothing is learned here."""
        return []

    def settings(self) -> dict[str, Any]:
        """None: a resumed run may weigh its terms otherwise."""
        return {}
