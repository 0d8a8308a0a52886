"""Export a network to run without this package: ``python -m src.export checkpoint=...``.

Writes an ONNX file, runs it with ONNX Runtime on images and compares; a file that does not compute
what the checkpoint does is not kept. ``--help`` lists the options.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from src import checkpoint
from src.cli import command
from src.data.datamodule import FaceDataModule
from src.deploy import SUFFIX, OnnxNetwork, differences, export_onnx, require
from src.images.files import IMAGE_SUFFIXES, read_image
from src.report.progress import tracked, waiting
from src.runs.files import replacing, write_json
from src.runs.record import record

log = logging.getLogger(__name__)

FORMATS = ("onnx",)


def export(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Export what ``config`` names; writes the file and ``export.json``.

    Returns:
        The content of ``export.json``: ``file``, its ``bytes``, ``format``, ``opset``, ``decode``,
        ``parameters``, ``seconds`` (of the export), ``differences`` (per output the ``largest``
        absolute one, the ``scale``, which is the largest absolute value, and their quotient
        ``relative``), ``tolerance`` (of the last), ``images`` and ``shapes`` compared.

    Raises:
        ValueError: settings that cannot be, or a file that computes something else.
    """
    if config.format not in FORMATS:
        raise ValueError(f"expected a format of {', '.join(FORMATS)}; got {config.format!r}")
    require("onnx", "onnxscript", "onnxruntime")  # before anything that takes time
    model = checkpoint.load(config.checkpoint).model
    file = _file(config, folder)
    record(folder, config)
    images = _images(config)
    batches = _batches([read_image(image) for image in images])
    with replacing(file) as partial:
        partial.touch()  # where nothing can be written it says so before the export
        start = time.perf_counter()
        with waiting("export"):
            export_onnx(model, partial, decode=config.decode, opset=config.opset)
        seconds = time.perf_counter() - start
        network = OnnxNetwork(partial)
        found = differences(model, network, tracked(batches, "comparison", len(batches)))
        for name, difference in found.items():
            if not difference.relative <= config.tolerance:  # NaN is not
                raise ValueError(
                    f"expected {name} of the exported network within {config.tolerance:g} of its "
                    f"scale, got a difference of {difference.largest:.3g} where values reach "
                    f"{difference.scale:.3g}; no file was kept, please report the network"
                )
    results = {
        "file": str(file), "bytes": file.stat().st_size, "checkpoint": config.checkpoint,
        "format": config.format, "opset": config.opset, "decode": config.decode,
        "parameters": network.metadata["parameters"], "seconds": seconds,
        "differences": {
            name: {**value._asdict(), "relative": value.relative} for name, value in found.items()
        },
        "tolerance": config.tolerance, "images": [str(image) for image in images],
        "shapes": [list(batch.shape) for batch in batches],
    }  # fmt: skip
    write_json(folder / "export.json", results)
    listed = ", ".join(f"{name} {value.largest:.2g}" for name, value in found.items())
    log.info(
        "%s: %.0f KB in %.0f s; largest difference on %d images: %s",
        file, results["bytes"] / 1000, seconds, len(images), listed,
    )  # fmt: skip
    return results


def _file(config: DictConfig, folder: Path) -> Path:
    if config.output is None:
        return folder / (Path(config.checkpoint).stem + SUFFIX)
    file = Path(config.output)
    if file.suffix != SUFFIX or file.is_dir():
        raise ValueError(f"expected output=NAME{SUFFIX}, a file, got {file}")
    return file


def _images(config: DictConfig) -> list[Path]:
    """Those that are compared: of ``source``, else validation images of ``data``."""
    if config.source is None:
        data: FaceDataModule = instantiate(config.data, _convert_="all")
        data.prepare_data()
        data.setup("validate")
        return [image.path for image in data.val_annotations[: config.num_images]]
    source = Path(config.source)
    if source.is_file():
        return [source]
    found = sorted(
        f for f in source.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()
    )
    if not found:
        raise ValueError(
            f"expected an image or a folder of images at source={source}, found none ending in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return found[: config.num_images]


def _batches(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each image [H, W, 3] by itself, and a batch of two, as [B, 3, H, W].

    The two are the first image and its mirror image without their last row and column: so odd and
    even sides are both seen, which a graph may treat differently.
    """
    first = images[0]
    height, width = (max(1, side - 1) for side in first.shape[:2])
    part = first[:height, :width]
    batches = [*(image[None] for image in images), np.stack([part, part[:, ::-1]])]
    return [np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) for batch in batches]


main = command("export", export)


if __name__ == "__main__":
    main()
