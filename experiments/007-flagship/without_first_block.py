"""The flagship without its first block: the stem takes its place, refit to what the block gave.

python experiments/007-flagship/without_first_block.py IN.ckpt OUT.ckpt data=widerface data.root=...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src import checkpoint
from src.cli.targets import instantiate
from src.models import build_model
from src.pruning.reconstruction import reconstruct

NEGATIVE = 0.3
"""Weight of what a LeakyReLU turns into a tenth: less than one, and not so little as that."""
RIDGE = 1e-4


@torch.no_grad()
def main(before: str, after: str, *settings: str) -> None:
    with hydra.initialize_config_dir(str(Path("conf").absolute()), version_base=None):
        config = hydra.compose("convert_network", [*settings, "checkpoint=flagship"])
    source = checkpoint.load(before).model.eval()
    widths = {k: v for k, v in source.config["widths"].items() if k != "backbone_0"}
    torch.manual_seed(0)
    target = build_model({**source.config, "first_block": False, "widths": widths}).eval()
    mine = target.state_dict()
    same = {k: v for k, v in source.state_dict().items() if k in mine and v.shape == mine[k].shape}
    target.load_state_dict(same, strict=False)
    crops = instantiate(config.data, _convert_="all").training_crops(256)
    batches = [source.normalise(pixels) for pixels in crops]
    stage: Any = source.backbone.stage1  # what block 1 gives before its last activation
    stem: Any = target.backbone.stage1[0]
    x, y = [], []
    for images in batches:
        hidden = stage[1].depthwise(stage[0](images))
        wanted = stage[1].pointwise.norm(stage[1].pointwise.conv(hidden))
        patches = F.unfold(images, 3, padding=1, stride=2).transpose(1, 2).flatten(0, 1)
        some = torch.randint(len(patches), (4000,))
        x.append(patches[some])
        y.append(wanted.flatten(2).transpose(1, 2).flatten(0, 1)[some])
    fit(stem, torch.cat(x), torch.cat(y))
    reconstruct(
        target, source, crops, outputs={}, layers=later_layers(target),
        report=lambda name, share: print(f"{name}: {100 * share:.1f}% lost"),
    )  # fmt: skip
    checkpoint.save(after, target)


def fit(stem: Any, x: Tensor, y: Tensor) -> None:
    """The stem whose outputs before the activation are nearest to ``y``, by least squares."""
    ones = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    y = y.double()
    solution = torch.zeros(ones.shape[1], y.shape[1], dtype=torch.double)
    for channel in range(y.shape[1]):
        weight = torch.where(y[:, channel] > 0, 1.0, NEGATIVE)[:, None]
        a = ones * weight
        ridge = RIDGE * a.square().sum(0).mean() * torch.eye(a.shape[1], dtype=torch.double)
        ridge[-1, -1] = 0
        b = y[:, channel : channel + 1] * weight
        solution[:, channel] = torch.linalg.solve(a.T @ a + ridge, a.T @ b)[:, 0]
    left = (ones @ solution - y).var(0) / y.var(0)
    print("stem: share of variance lost", [round(v, 2) for v in left.tolist()])
    weight, bias = solution[:-1].T.float(), solution[-1].float()
    # Outputs of unit variance, as a norm in training expects them; the norm scales them back.
    raw = (x @ weight.T).std(0)
    mean = (x @ weight.T).mean(0)
    stem.conv.weight.copy_((weight / raw[:, None]).view_as(stem.conv.weight))
    norm: nn.BatchNorm2d = stem.norm
    norm.running_mean.copy_(mean / raw)  # type: ignore[union-attr]
    norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
    norm.weight.copy_(raw)
    norm.bias.copy_(mean + bias)


def later_layers(target: nn.Module) -> list[str]:
    return [
        name
        for name, module in target.named_modules()
        if isinstance(module, nn.Conv2d)
        and name.startswith("backbone.stage1.")
        and ".0." not in name
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
