"""A network laid out for a CPU is the same function, with the same gradients."""

import copy

import pytest
import torch

from src.models import build_model
from src.models.layout import lay_out_for_cpu


@pytest.mark.parametrize("name", ["featherface_v1", "plain"])
def test_same_outputs_and_gradients(name):
    torch.manual_seed(0)
    model = build_model({"name": name})
    laid_out = copy.deepcopy(model)
    lay_out_for_cpu(laid_out)
    images = torch.randn(2, 3, 72, 104)

    for network in (model, laid_out):
        sum(output.square().mean() for output in network(images)).backward()

    with torch.no_grad():
        for one, other in zip(model(images), laid_out(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    gradients = [torch.cat([p.grad.flatten() for p in m.parameters()]) for m in (model, laid_out)]
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 1 - 1e-6
    assert laid_out.state_dict().keys() == model.state_dict().keys()


def test_every_convolution_lies_so_that_onednn_computes_it():
    model = build_model({"name": "plain"})

    lay_out_for_cpu(model)

    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert any(m.kernel_size == (1, 1) for m in convolutions)
    for convolution in convolutions:
        if convolution.kernel_size == (1, 1):
            assert convolution.dilation == (2, 2)
        else:
            assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
