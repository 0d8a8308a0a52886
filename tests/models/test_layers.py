"""Building blocks against independent definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from src.models.attention import CBAM, hidden_units
from src.models.deformable import DeformableConv, deform_conv2d
from src.models.layers import ChannelShuffle, ConvNorm
from src.models.necks import Fusion, MirroredSamePool, SamePool


def slow_deform_conv2d(x, offset, modulation, weight):
    """DCNv2, eq. 1, one output cell and one kernel point at a time."""
    batch, channels, height, width = x.shape
    out = torch.zeros(batch, weight.shape[0], height, width, dtype=x.dtype)

    def pixel(b, y, x_):
        inside = 0 <= y < height and 0 <= x_ < width
        return x[b, :, y, x_] if inside else torch.zeros(channels, dtype=x.dtype)

    for b in range(batch):
        for i in range(height):
            for j in range(width):
                for k in range(9):
                    y = i + k // 3 - 1 + float(offset[b, 2 * k, i, j])
                    z = j + k % 3 - 1 + float(offset[b, 2 * k + 1, i, j])
                    y0, z0 = int(y // 1), int(z // 1)
                    ly, lz = y - y0, z - z0
                    value = (
                        (1 - ly) * (1 - lz) * pixel(b, y0, z0)
                        + (1 - ly) * lz * pixel(b, y0, z0 + 1)
                        + ly * (1 - lz) * pixel(b, y0 + 1, z0)
                        + ly * lz * pixel(b, y0 + 1, z0 + 1)
                    )
                    out[b, :, i, j] += weight[:, :, k // 3, k % 3] @ value * modulation[b, k, i, j]
    return out


@pytest.mark.parametrize("size", [(5, 6), (1, 4), (1, 1)])
def test_deformable_convolution_is_its_equation(size):
    x = torch.randn(2, 3, *size, dtype=torch.double)
    offset = 2 * torch.randn(2, 18, *size, dtype=torch.double)  # also well outside the image
    modulation = torch.rand(2, 9, *size, dtype=torch.double)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.double)
    ours = deform_conv2d(x, offset, modulation, weight)
    torch.testing.assert_close(ours, slow_deform_conv2d(x, offset, modulation, weight))


def test_deformable_convolution_starts_as_a_plain_one():
    conv = DeformableConv(4, 6)
    x = torch.randn(1, 4, 7, 9)
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight, padding=1), rtol=1e-4, atol=1e-5)


def test_deformable_convolution_gradients():
    x = torch.randn(1, 2, 4, 4, dtype=torch.double, requires_grad=True)
    offset = torch.randn(1, 18, 4, 4, dtype=torch.double, requires_grad=True)
    modulation = torch.rand(1, 9, 4, 4, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(deform_conv2d, (x, offset, modulation, weight))


@pytest.mark.gpu
def test_fused_kernel_equals_ours():
    pytest.importorskip("torchvision")
    conv = DeformableConv(8, 8).cuda()
    torch.nn.init.normal_(conv.offset.weight, std=0.1)
    x = torch.randn(2, 8, 20, 20, device="cuda")
    ours = deform_conv2d(x, conv.offset(x), 2 * torch.sigmoid(conv.modulation(x)), conv.weight)
    torch.testing.assert_close(conv(x), ours, rtol=1e-4, atol=1e-4)


def test_shuffles_are_inverse():
    x = torch.arange(12.0).view(1, 12, 1, 1)
    woven = ChannelShuffle(12, 3)(x)
    assert woven.flatten().tolist()[:4] == [0, 4, 8, 1]
    assert torch.equal(ChannelShuffle(12, 3, order="deinterleave")(woven), x)


@pytest.mark.parametrize(("channels", "groups"), [(12, 3), (7, 2), (10, 4), (3, 4), (1, 2), (6, 1)])
def test_shuffles_of_any_number_are_inverse_permutations(channels, groups):
    woven = ChannelShuffle(channels, groups).index
    plain = ChannelShuffle(channels, groups, order="deinterleave").index
    assert sorted(woven.tolist()) == list(range(channels))
    assert torch.equal(woven[plain], torch.arange(channels))
    if channels % groups == 0:  # the textbook's view and transpose
        transposed = torch.arange(channels).view(groups, -1).t().reshape(-1)
        assert torch.equal(woven, transposed)


def test_uneven_groups_take_turns():
    # Groups (0, 1, 2, 3) and (4, 5, 6).
    assert ChannelShuffle(7, 2).index.tolist() == [0, 4, 1, 5, 2, 6, 3]


def test_shuffle_errors():
    with pytest.raises(ValueError, match="at least 1 group of channels to shuffle, got 0"):
        ChannelShuffle(6, 0)
    with pytest.raises(ValueError, match="order 'interleave' or 'deinterleave', got 'swap'"):
        ChannelShuffle(4, 2, order="swap")


def test_cbam_counts_and_keeps_shape():
    cbam = CBAM(64, hidden=hidden_units(64, 16))
    assert sum(p.numel() for p in cbam.parameters()) == 2 * 64 * 4 + 4 + 64 + 100 == 680
    assert cbam(torch.randn(2, 64, 5, 3)).shape == (2, 64, 5, 3)


@pytest.mark.parametrize(
    ("channels", "reduction", "expected"),
    # The five CBAMs of the seeds' channels 27, 50, 87, 32, 32 and of V1 with 56 channels.
    [(27, 16, 182), (50, 16, 453), (87, 16, 1_062), (32, 16, 262), (64, 48, 293), (128, 48, 742),
     (256, 48, 2_921), (56, 48, 269), (4, 16, 113)],
)  # fmt: skip
def test_cbam_parameters(channels, reduction, expected):
    cbam = CBAM(channels, hidden=hidden_units(channels, reduction))
    assert sum(p.numel() for p in cbam.parameters()) == expected


def test_hidden_units():
    assert [hidden_units(64, 16), hidden_units(8, 16), hidden_units(64, 32, least=4)] == [4, 1, 4]
    with pytest.raises(ValueError, match="reduction of at least 1, got 0"):
        hidden_units(64, 0)


def test_fusion_weights_are_normalised():
    node = Fusion(4, 2, num_weights=3).eval()
    same = torch.rand(1, 4, 3, 3)
    # Weights 1, 1, 1: two thirds of the input go on, the third weight multiplies nothing.
    expected = node.norm(node.pointwise(node.depthwise(F.silu(same * 2 / (3 + 1e-4)))))
    torch.testing.assert_close(node(same, same), expected)


@pytest.mark.parametrize("pool", [SamePool(), MirroredSamePool()])
@pytest.mark.parametrize(("side", "halved"), [(1, 1), (2, 1), (5, 3), (8, 4)])
def test_same_pooling_pads_zeros_at_the_end_of_even_sides(side, halved, pool):
    x = -torch.ones(1, 1, side, side)
    pooled = pool(x)
    assert pooled.shape[-2:] == (halved, halved)
    assert pooled[0, 0, -1, -1] == 0  # the padded zero wins over -1
    assert halved == 1 or pooled[0, 0, 0, 0] == (-1 if side % 2 == 0 else 0)


@pytest.mark.parametrize("shape", [(1, 1), (6, 9), (7, 12)])
def test_both_same_poolings_are_one_function(shape):
    x = torch.randn(2, 3, *shape)
    assert torch.equal(SamePool()(x), MirroredSamePool()(x))


def test_conv_norm_has_no_bias():
    assert sum(p.numel() for p in ConvNorm(3, 8, kernel=3, stride=2).parameters()) == 232
