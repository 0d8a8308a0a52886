"""Differences of exported networks from eager PyTorch: runtime x format x (batch, size).

``python experiments/008-exports/table.py IMAGES NETWORK ...``: a network is a checkpoint, or the
name of a model option (``nano_b``), then with random weights and the statistics of its own signal.
Prints Markdown: of each output the largest difference as a fraction of its largest value, the worst
output first; behind it the largest difference of a box above a score of 0.02, in pixels.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
import yaml
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from src import checkpoint  # noqa: E402 - the project is run from its folder, not installed
from src.deploy import FORMATS, Expected, ExportOptions, differences, expected  # noqa: E402
from src.detection.coding import decode_boxes  # noqa: E402
from src.detection.priors import priors_for  # noqa: E402
from src.models import FaceDetector, nano_b  # noqa: E402

SHAPES = [(1, 320, 320), (3, 320, 320), (1, 251, 333), (3, 251, 333), (1, 480, 640), (3, 480, 640)]


def main() -> None:
    images = sorted(Path(sys.argv[1]).rglob("*.jpg"))[::100][:3]
    print(
        "| network | format | runtime |", " | ".join(f"{b} x {h} x {w}" for b, h, w in SHAPES), "|"
    )
    print("|---" * (3 + len(SHAPES)) + "|")
    for name in sys.argv[2:]:
        model = load(name)
        wanted = [expected(model, pixels(images, *shape), ExportOptions()) for shape in SHAPES]
        for kind, form in FORMATS.items():
            with TemporaryDirectory() as folder:
                file = Path(folder) / f"network{form.suffixes[0]}"
                try:
                    form.require()
                    form.write(model, file, ExportOptions())
                except ValueError as error:
                    print(f"| {name} | {kind} | | {str(error)[:100]} |", flush=True)
                    continue
                for reader in form.readers:
                    network = reader.load(file, tuple(wanted[0].outputs))
                    cells = [cell(model, network, batch) for batch in wanted]
                    print(
                        f"| {name} | {kind} | {reader.name} |", " | ".join(cells), "|", flush=True
                    )


def cell(model: FaceDetector, network, batch: Expected) -> str:
    """The worst output of a batch, and the worst box."""
    worst = max(value.relative for value in differences(network, [batch]).values())
    return f"{worst:.0e}, {apart(model, network, batch):.0e} px"


def apart(model: FaceDetector, network, batch: Expected) -> float:
    spec = model.priors
    priors = priors_for(spec, batch.pixels.shape, torch.device("cpu")).boxes_cxcywh
    ours, theirs = (
        decode_boxes(torch.tensor(outputs["deltas"]), priors, spec.variances)
        for outputs in (batch.outputs, network(batch.pixels))
    )
    faces = torch.tensor(batch.outputs["logits"]).softmax(dim=-1)[..., 1] > 0.02
    return (ours - theirs)[faces].abs().max().item() if faces.any() else 0.0


def pixels(images: list[Path], batch: int, height: int, width: int) -> np.ndarray:
    """Photographs, squeezed to the size: [B, 3, H, W]."""
    resized = [cv2.resize(cv2.imread(str(file)), (width, height)) for file in images[:batch]]
    return np.ascontiguousarray(np.stack(resized).transpose(0, 3, 1, 2))


@torch.no_grad()
def load(name: str) -> FaceDetector:
    option = ROOT / "conf" / "model" / f"{name}.yaml"
    if not option.is_file():
        return checkpoint.load(name).model
    torch.manual_seed(0)
    settings = yaml.safe_load(option.read_text())
    model = nano_b(**{k: v for k, v in settings.items() if k not in ("_target_", "defaults")})
    model.train()
    for _ in range(10):
        model(model.normalise(256 * torch.rand(4, 3, 64, 64)))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, std=0.2)
    return model.eval()


if __name__ == "__main__":
    main()
