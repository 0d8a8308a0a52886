"""Priors are made once for a size, whoever needs them first."""

import torch

from src.detection.priors import PriorSpec, priors_for


def test_priors_of_an_evaluation_serve_a_training():
    with torch.inference_mode():
        priors = priors_for(PriorSpec(), (88, 72), torch.device("cpu"))
    assert not any(values.is_inference() for values in (priors.boxes_cxcywh, *priors.grids))
