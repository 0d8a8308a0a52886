"""Priors are made once for a size, whoever needs them first, and not kept for ever."""

import torch

from src.detection.priors import PriorSpec, priors_for


def test_priors_of_an_evaluation_serve_a_training():
    with torch.inference_mode():
        priors = priors_for(PriorSpec(), (88, 72), torch.device("cpu"))
    assert not any(values.is_inference() for values in (priors.boxes_cxcywh, *priors.grids))


def test_what_is_kept_has_a_bound():
    cpu = torch.device("cpu")
    first = priors_for(PriorSpec(), (88, 72), cpu)
    for side in range(16):  # as many other sizes as are kept
        priors_for(PriorSpec(), (8, 8 + side), cpu)
    assert priors_for(PriorSpec(), (88, 72), cpu) is not first
    large = [priors_for(PriorSpec(), (2048, 2049), cpu) for _ in range(2)]
    assert large[0] is not large[1]
    assert torch.equal(large[0].boxes_cxcywh, large[1].boxes_cxcywh)
