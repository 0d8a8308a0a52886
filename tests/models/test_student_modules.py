"""The students' modules against their equations, spelled out independently."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.assn import ASSN, PublishedASSN
from src.models.attention import CBAM
from src.models.backbones import MobileNetV1
from src.models.contexts import SSH, SSHWidths
from src.models.decoupling import ScaleDecoupling
from src.models.heads import Heads, LevelHead, SharedMultiHead
from src.models.necks import BiFPN
from src.models.semantic import SemanticEnhancement

SIZES = [(12, 20), (5, 7), (1, 1)]


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def pyramid(size: tuple[int, int], channels: int | tuple[int, int, int] = 8) -> list[Tensor]:
    """Three levels, each half the size of the one before (rounded up)."""
    widths = (channels,) * 3 if isinstance(channels, int) else channels
    height, width = size
    levels = []
    for c in widths:
        levels.append(torch.randn(2, c, height, width))
        height, width = -(-height // 2), -(-width // 2)
    return levels


def randomised(module: nn.Module) -> nn.Module:
    """In eval mode, every weight and statistic away from 0 and 1."""
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if "norm" in name else value.uniform_(-0.5, 0.5)
    return module.eval()


def close(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


# BiFPN


def test_bifpn_parameters():
    assert num_parameters(BiFPN(72, (64, 128, 256))) == 32_688 + 4 * 5_976 + 9
    assert num_parameters(BiFPN(32, (64, 128, 256))) == 14_528 + 4 * 1_376 + 9


@pytest.mark.parametrize("size", SIZES)
def test_bifpn_is_its_equations(size):
    neck = randomised(BiFPN(8, (4, 6, 10)))
    for node in (neck.p4_down, neck.p3_out, neck.p4_out, neck.p5_out):
        nn.init.uniform_(node.weight, -0.2, 1)  # negative ones count as 0
    levels = pyramid(size, (4, 6, 10))

    def fuse(node: nn.Module, *inputs: Tensor) -> Tensor:
        weight = node.weight.clamp(min=0)
        total = sum(w * x for w, x in zip(weight, inputs, strict=True)) / (1e-4 + weight.sum())
        total = total * torch.sigmoid(total)
        total = F.conv2d(total, node.depthwise.weight, padding=1, groups=8)
        return node.norm(torch.einsum("bchw,oc->bohw", total, node.pointwise.weight[:, :, 0, 0]))

    def up(x: Tensor, target: Tensor) -> Tensor:
        rows = torch.arange(target.shape[2]) * x.shape[2] // target.shape[2]
        columns = torch.arange(target.shape[3]) * x.shape[3] // target.shape[3]
        return x[:, :, rows][:, :, :, columns]

    def down(x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), value=-torch.inf)
        return padded.unfold(2, 3, 2).unfold(3, 3, 2).amax(dim=(-2, -1))

    with torch.no_grad():
        p3, p4, p5 = (m.norm(m.conv(x)) for m, x in zip(neck.project, levels, strict=True))
        middle = fuse(neck.p4_down, p4, up(p5, p4))
        out3 = fuse(neck.p3_out, p3, up(middle, p3))
        out4 = fuse(neck.p4_out, p4, middle, down(out3))
        out5 = fuse(neck.p5_out, p5, down(out4))
        for ours, expected in zip(neck(levels), (out3, out4, out5), strict=True):
            close(ours, expected)


# SSH


@pytest.mark.parametrize(
    ("channels", "groups", "expected"), [(72, 2, 22_086), (32, 1, 8_736), (72, 1, 43_956)]
)
def test_ssh_parameters(channels, groups, expected):
    assert num_parameters(SSH(channels, SSHWidths.dense(channels), groups=groups)) == expected


def test_ssh_windows_are_3_5_and_7_wide():
    ssh = randomised(SSH(8, SSHWidths(4, 2, 6, 4, 2), groups=2))
    for value in ssh.state_dict().values():  # positive throughout: no ReLU hides what arrives
        value.abs_()
    for name, value in ssh.named_buffers():
        if name.endswith("running_mean"):
            value.zero_()
    x = torch.zeros(1, 8, 15, 15)
    with torch.no_grad():
        dark = ssh(x)
        x[..., 7, 7] = 1
        touched = (ssh(x) != dark)[0]
    assert touched.shape[0] == 4 + 6 + 2
    for channels, reach in ((slice(0, 4), 1), (slice(4, 10), 2), (slice(10, 12), 3)):
        expected = torch.zeros(15, 15, dtype=torch.bool)
        expected[7 - reach : 8 + reach, 7 - reach : 8 + reach] = True
        assert torch.equal(touched[channels], expected.expand_as(touched[channels]))


def test_ssh_with_a_pointwise_branch():
    """The documents' four branches, 7,168 weights a level of 32 channels less one 3x3 of 8 to 8."""
    widths = SSHWidths.dense(32, pointwise=True)
    assert (widths.total, widths.branch1) == (32, 8)
    ssh = randomised(SSH(32, widths))
    assert num_parameters(ssh) == 7_168 - 576 + 2 * 6 * 8
    x = torch.randn(2, 32, 5, 7)
    with torch.no_grad():
        branch = ssh.branch1.norm(
            torch.einsum("bchw,oc->bohw", x, ssh.branch1.conv.weight[..., 0, 0])
        )
        ours = ssh(x)
    close(ours[:, 24:], branch.clamp(min=0))
    plain = SSH(32, widths._replace(branch1=None)).eval()
    plain.load_state_dict({k: v for k, v in ssh.state_dict().items() if "branch1" not in k})
    assert torch.equal(ours[:, :24], plain(x))


# Scale decoupling


@pytest.mark.parametrize(("deep", "expected"), [(None, 2_000), (256, 2_257)])
def test_decoupling_parameters(deep, expected):
    module = ScaleDecoupling(64, hidden=8, deep_channels=deep)
    assert num_parameters(module) == expected


@pytest.mark.parametrize("deep", [None, 8])
@pytest.mark.parametrize("size", [*SIZES, (8, 8), (4, 9)])
def test_decoupling_is_its_equations(deep, size):
    module = randomised(ScaleDecoupling(8, hidden=3, deep_channels=deep))
    levels = pyramid(size)
    x = levels[0]
    height, width = size
    blocks = [  # the last block of a row or column may be smaller: its mean is of what is there
        torch.stack([x[:, :, i : i + 4, j : j + 4].mean(dim=(2, 3)) for j in range(0, width, 4)], 2)
        for i in range(0, height, 4)
    ]

    def up(coarse: Tensor) -> Tensor:
        return F.interpolate(coarse, size=size, mode="bilinear")

    with torch.no_grad():
        low = up(torch.stack(blocks, dim=2))
        small = module.small.norm(module.small.conv(x - low))
        hidden = module.large_reduce.norm(module.large_reduce.conv(low)).clamp(min=0)
        logits = module.large_expand(hidden)
        if deep:
            logits = logits + up(module.deep(levels[-1]))
        large = low / (1 + torch.exp(-logits))
        u = module.choose_small.weight.view(-1, 1, 1)
        v = module.choose_large.weight.view(-1, 1, 1)
        b = module.choose_small.bias.view(-1, 1, 1)
        a = torch.sigmoid(u * small + v * large + b)
        ours = module(levels)
        close(ours[0], x + a * small - (1 - a) * large)
    assert ours[1] is levels[1]
    assert ours[2] is levels[2]


def test_decoupling_starts_near_the_identity():
    module = ScaleDecoupling(64, hidden=8).train()
    levels = pyramid((40, 40), 64)
    x = levels[0] + F.interpolate(levels[2], size=(40, 40))  # also large structures
    y = module([x, *levels[1:]])[0]
    assert (y - x).norm() < 0.1 * x.norm()
    flat = torch.ones_like(x)  # nothing but large structure: a part of it is taken away
    assert (module([flat, *levels[1:]])[0] < flat).all()


# Semantic enhancement


def test_semantic_parameters():
    module = SemanticEnhancement(32, dictionary=8, hidden=[4, 4, 4])
    assert num_parameters(module) == 4_076
    assert num_parameters(module.key) + num_parameters(module.value) == 256 + 1_024
    assert sum(num_parameters(each.query) for each in module.inject) == 768


@pytest.mark.parametrize("options", [{}, {"all_levels": True}, {"fused_gate": True}])
@pytest.mark.parametrize("size", SIZES)
def test_semantic_enhancement_is_its_equations(size, options):
    module = randomised(SemanticEnhancement(8, dictionary=3, hidden=[1, 2, 3], **options))
    levels = pyramid(size)
    with torch.no_grad():
        sources = levels if options.get("all_levels") else levels[2:]
        total = sum(module.key(x).exp().sum(dim=(2, 3)) for x in sources)
        entries = sum(
            torch.einsum("bdhw,bnhw->bdn", module.key(x).exp(), module.value(x)) for x in sources
        ) / total.unsqueeze(-1)  # fmt: skip
        seen = []
        for x, each in zip(levels, module.inject, strict=True):
            choice = each.query(x).exp()
            choice = choice / choice.sum(dim=1, keepdim=True)
            semantics = torch.einsum("bdhw,bdn->bnhw", choice, entries)
            seen.append((semantics, (x + semantics).mean(dim=(2, 3))))
        for number, ours in enumerate(module(levels)):
            x, each, (semantics, pooled) = levels[number], module.inject[number], seen[number]
            if options.get("fused_gate"):
                weights = module.fusion.view(3, 3)[number].clamp(min=0)
                pooled = sum(w * p for w, (_, p) in zip(weights, seen, strict=True))
                pooled = pooled / (weights.sum() + 1e-4)
            gate = torch.sigmoid(each.expand(each.reduce(pooled).clamp(min=0)))
            scale = (each.gamma * gate).unsqueeze(-1).unsqueeze(-1)
            close(ours, x + scale * each.smooth.norm(each.smooth.conv(semantics)))


# ASSN


def test_assn_parameters():
    module = ASSN(32, gate=4, fusion=12)
    assert num_parameters(module) == 2_112
    assert num_parameters(module.channel) == 292
    assert num_parameters(module.spatial) == 100
    assert num_parameters(module.sequence) + num_parameters(module.sequence_norm) == 928
    assert [num_parameters(module.reduce), num_parameters(module.expand)] == [408, 384]


@pytest.mark.parametrize("size", SIZES)
def test_assn_is_its_equations(size):
    module = randomised(ASSN(8, gate=2, fusion=3))
    levels = pyramid(size)
    p3 = levels[0]

    def gate(pooled: Tensor) -> Tensor:
        hidden = module.channel.reduce(pooled)
        return torch.sigmoid(module.channel.expand(hidden * torch.sigmoid(hidden)))

    def silu(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    with torch.no_grad():
        scale = gate(p3.mean(dim=(2, 3))) + gate(p3.flatten(2).max(dim=2).values)
        gated = p3 * scale.unsqueeze(-1).unsqueeze(-1)
        pooled = torch.stack([gated.max(dim=1).values, gated.mean(dim=1)], dim=1)
        mask = torch.sigmoid(module.spatial.norm(module.spatial.conv(pooled)))
        scales = [gated, *(F.interpolate(p, size=size) for p in levels[1:])]
        sequence = torch.stack([s * mask for s in scales], dim=2)  # [B, C, scale, H, W]
        # The kernel spans scale, row and column, one per channel: a depthwise convolution in 3D.
        kernel = module.sequence.weight.view(8, 1, 3, 3, 3)
        mixed = F.conv3d(sequence, kernel, padding=(0, 1, 1), groups=8)[:, :, 0]
        y = silu(module.sequence_norm(mixed))
        y = silu(module.reduce.norm(module.reduce.conv(y)))
        ours = module(levels)
        close(ours[0], p3 + F.conv2d(y, module.expand.weight))
    assert ours[1] is levels[1]
    assert ours[2] is levels[2]


def test_published_assn_parameters():
    """24,518 published: the projections of P4 and P5, and a gate of 2 hidden units."""
    module = PublishedASSN(32, gate=2, widths=[32, 32, 16, 16, 16, 16])
    assert num_parameters(module) + 2 * (32 * 32 + 2 * 32) == 24_518
    module = PublishedASSN(32, gate=4, widths=[32, 32, 16, 16, 16, 16])
    assert num_parameters(module) == 22_472


@pytest.mark.parametrize("size", SIZES)
def test_published_assn_is_its_block(size):
    module = randomised(PublishedASSN(8, gate=2, widths=[5, 7, 3, 2, 4, 6]))
    levels = pyramid(size)

    def conv(layer: nn.Module, x: Tensor, padding: int) -> Tensor:
        return F.silu(layer.norm(F.conv2d(x, layer.conv.weight, padding=padding)))

    with torch.no_grad():
        gated = module.channel(levels[0])
        scales = [gated, *(F.interpolate(p, size=size) for p in levels[1:])]
        sequence = torch.cat([s * module.spatial.gate(gated) for s in scales], dim=1)
        first, second = (conv(layer, sequence, 0) for layer in module.pointwise)
        third = conv(module.deep[0], second, 1)
        fourth = conv(module.deep[1], third, 1)
        fifth = conv(module.deep[2], fourth, 1)
        sixth = conv(module.deep[3], fifth, 1)
        all_six = torch.cat([first, second, third, fourth, fifth, sixth], dim=1)
        ours = module(levels)
        close(ours[0], levels[0] + conv(module.gather, all_six, 0))
    assert ours[1] is levels[1]
    assert ours[2] is levels[2]


@pytest.mark.parametrize(
    "module",
    [
        SemanticEnhancement(8, dictionary=2, hidden=[1, 1, 1]),
        SemanticEnhancement(8, dictionary=2, hidden=[1] * 3, all_levels=True, fused_gate=True),
        ASSN(8, gate=1, fusion=3),
        PublishedASSN(8, gate=1, widths=[8, 8, 4, 4, 4, 4]),
    ],
)
def test_modules_that_start_as_the_identity(module):
    levels = pyramid((12, 20))
    for before, after in zip(levels, module.train()(levels), strict=True):
        assert torch.equal(before, after)


# Attention, heads, backbone


def test_cbam_without_residual_is_that_of_the_paper():
    attention = CBAM(8, hidden=2, residual=False).eval()
    x = torch.randn(2, 8, 5, 6)
    with torch.no_grad():
        gated = attention.spatial(attention.channel(x))
        assert torch.equal(attention(x), gated)
        attention.residual = True
        assert torch.equal(attention(x), torch.relu(gated + x))
    assert (gated.abs() <= x.abs()).all()  # gates only weaken


def test_heads_with_stems():
    assert num_parameters(LevelHead(72, 2, stem=72)) == 5_328 + 2_336
    assert num_parameters(Heads([32] * 3, 3, stems=[32] * 3)) == 8_016
    assert num_parameters(Heads([24, 30, 32], 3, stems=[10, 4, 32])) == sum(
        c * h + 2 * h + 48 * (h + 1) for c, h in ((24, 10), (30, 4), (32, 32))
    )


def test_shared_head_is_one_head_on_every_level():
    shared = SharedMultiHead(8, 2, stem=4)
    separate = Heads([8] * 3, 2, stems=[4] * 3)
    for head in separate:
        head.load_state_dict(shared.head.state_dict())
    levels = pyramid((5, 7))
    for a, b in zip(shared.eval()(levels), separate.eval()(levels), strict=True):
        assert torch.equal(a, b)


def test_backbone_publishes_its_widths():
    widths = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]
    backbone = MobileNetV1(widths)
    assert backbone.channels == (9, 15, 17)
    levels = backbone(torch.zeros(2, 3, 33, 50))
    assert [tuple(x.shape[1:]) for x in levels] == [(9, 5, 7), (15, 3, 4), (17, 2, 2)]
    with pytest.raises(ValueError, match="expected 14 backbone widths, got 3"):
        MobileNetV1([8, 16, 32])


def test_backbone_without_its_first_block_keeps_the_names_of_the_others():
    widths = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]
    backbone = MobileNetV1(widths, first_block=False)
    assert backbone.channels == (9, 15, 17)
    assert list(dict(backbone.stage1.named_children())) == ["0", "2", "3", "4", "5"]
    levels = backbone(torch.zeros(2, 3, 33, 50))
    assert [tuple(x.shape[1:]) for x in levels] == [(9, 5, 7), (15, 3, 4), (17, 2, 2)]
    whole = MobileNetV1([4, *widths])
    same = [name for name, tensor in whole.state_dict().items()
            if name in backbone.state_dict() and "stage1.0." not in name]  # fmt: skip
    assert all(backbone.state_dict()[n].shape == whole.state_dict()[n].shape for n in same)
    assert len(same) == len(backbone.state_dict()) - len(backbone.stage1[0].state_dict())
    with pytest.raises(ValueError, match="expected 13 backbone widths, got 14"):
        MobileNetV1([4, *widths], first_block=False)


# Compilers


@pytest.mark.parametrize(
    "module",
    [
        ScaleDecoupling(8, hidden=2, deep_channels=8),
        SemanticEnhancement(8, dictionary=2, hidden=[1, 1, 1]),
        SemanticEnhancement(8, dictionary=2, hidden=[1] * 3, all_levels=True, fused_gate=True),
        ASSN(8, gate=1, fusion=3),
        PublishedASSN(8, gate=1, widths=[8, 8, 4, 4, 4, 4]),
    ],
    ids=lambda module: type(module).__name__,
)
def test_new_modules_compile_without_graph_breaks(module):
    module = randomised(module)
    levels = pyramid((9, 14))
    with torch.no_grad():
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")(levels)
        for ours, expected in zip(compiled, module(levels), strict=True):
            close(ours, expected)
