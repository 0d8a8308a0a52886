"""Export a network to run without this package: ``python -m src.export checkpoint=...``.

Writes a file, runs it in every installed runtime that reads it and compares; a file that does not
compute what the checkpoint does is not kept. ``--help`` lists the options.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import DictConfig

from src import checkpoint
from src.cli import command
from src.cli.targets import instantiate
from src.data.datamodule import FaceDataModule
from src.deploy import (
    FORMATS,
    PRECISIONS,
    Difference,
    Expected,
    ExportOptions,
    Format,
    differences,
    expected,
)
from src.deploy.accuracy import Exported, average_precision
from src.images.files import IMAGE_SUFFIXES, read_image
from src.images.resize import fit_inside, pad
from src.models import FaceDetector
from src.report.progress import tracked, waiting
from src.report.tables import results_table
from src.runs.files import write_json
from src.runs.record import record
from src.types import MEAN_BGR, Outputs

log = logging.getLogger(__name__)


def export(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Export what ``config`` names; writes the file and ``export.json``.

    Returns:
        The content of ``export.json``: ``file``, its ``bytes`` (of all its parts), ``format``,
        ``opset``, ``decode``, ``nms``, ``precision``, ``size``, ``parameters``, ``seconds`` (of
        the export), ``differences`` (per runtime and output the ``largest`` absolute one, the
        ``scale``, which is the largest absolute value, and their quotient ``relative``),
        ``unread`` (runtimes that refuse the file, and why), ``tolerance`` (of ``relative``),
        ``images`` and ``shapes`` compared, and of another precision than fp32 the ``ap`` of
        checkpoint and file.

    Raises:
        ValueError: settings that cannot be, or a file that computes something else.
    """
    if config.format not in FORMATS:
        raise ValueError(f"expected a format of {', '.join(FORMATS)}; got {config.format!r}")
    if config.precision not in PRECISIONS:
        raise ValueError(
            f"expected a precision of {', '.join(PRECISIONS)}; got {config.precision!r}"
        )
    form = FORMATS[config.format]
    options = ExportOptions(
        decode=config.decode, decoder=instantiate(config.decoder) if config.nms else None,
        precision=config.precision, opset=config.opset, size=_size(config.size),
    )  # fmt: skip
    form.check(config.format, options)
    form.require()  # before anything that takes time
    model = checkpoint.load(config.checkpoint).model
    file = _file(config, folder)
    record(folder, config)
    data: FaceDataModule = instantiate(config.data, _convert_="all")
    images = _images(config, data)
    batches = _batches([read_image(image) for image in images], form.largest, options.size)
    if options.precision == "int8":
        calibration = _calibration(data, config.num_calibration, options.size)
        options = options._replace(calibration=calibration)
    file.parent.mkdir(parents=True, exist_ok=True)
    ap: dict[str, dict[str, float]] = {}
    with TemporaryDirectory(prefix=".export-", dir=file.parent) as beside:
        partial = Path(beside) / file.name  # where nothing can be written it says so at once
        start = time.perf_counter()
        with waiting("export"):
            form.write(model, partial, options)
        seconds = time.perf_counter() - start
        wanted = [expected(model, batch, options) for batch in tracked(batches, "PyTorch")]
        found, unread = _compared(form, partial, wanted, config)
        if options.precision != "fp32":
            ap = _accuracy(model, form, Path(beside) / "raw", options, data)
        size = sum(part.stat().st_size for part in form.parts(partial))
        for part in reversed(form.parts(partial)):  # the one that is named comes last
            os.replace(part, file.with_name(part.name))
    results = {
        "file": str(file), "bytes": size, "checkpoint": config.checkpoint,
        "format": config.format, "opset": config.opset, "decode": config.decode,
        "nms": config.nms, "precision": config.precision, "size": options.size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": seconds,
        "differences": {
            runtime: {name: {**v._asdict(), "relative": v.relative} for name, v in outputs.items()}
            for runtime, outputs in found.items()
        },
        "unread": unread, "tolerance": config.tolerance, "images": [str(each) for each in images],
        "shapes": [list(batch.shape) for batch in batches], "ap": ap,
    }  # fmt: skip
    write_json(folder / "export.json", results)
    log.info(
        "%s: %.0f KB in %.0f s; largest difference on %d images: %s",
        file, size / 1000, seconds, len(images), "; ".join(
            f"{runtime}: " + ", ".join(f"{name} {v.largest:.2g}" for name, v in outputs.items())
            for runtime, outputs in found.items()
        ),
    )  # fmt: skip
    for runtime, reason in unread.items():
        log.warning("not compared in %s, which does not read this file: %s", runtime, reason)
    if ap:
        log.info("AP on %d images:\n%s", len(data.names), results_table(ap))
    return results


def _compared(
    form: Format, file: Path, wanted: Sequence[Expected], config: DictConfig
) -> tuple[dict[str, dict[str, Difference]], dict[str, str]]:
    """The differences in every installed runtime, and why others do not read the file.

    Raises:
        ValueError: a runtime computes something else, or the one that the format is for refuses.
    """
    found: dict[str, dict[str, Difference]] = {}
    unread: dict[str, str] = {}
    for reader in form.readers:
        if not reader.installed:
            continue
        try:
            network = reader.load(file, tuple(wanted[0].outputs))
            compared = tracked(wanted, f"comparison in {reader.name}")
            found[reader.name] = differences(network, compared)
        except ValueError as error:
            if reader is form.readers[0]:
                raise
            unread[reader.name] = str(error).replace(str(file.parent), "")
    if config.precision == "fp32":  # what another precision costs is said as AP
        for runtime, outputs in found.items():
            for name, difference in outputs.items():
                if not difference.relative <= config.tolerance:  # NaN is not
                    raise ValueError(
                        f"expected {name} of the exported network in {runtime} within "
                        f"{config.tolerance:g} of its scale, got a difference of "
                        f"{difference.largest:.3g} where values reach {difference.scale:.3g}; no "
                        "file was kept, please report the network"
                    )
    return found, unread


def _accuracy(
    model: FaceDetector, form: Format, stem: Path, options: ExportOptions, data: FaceDataModule
) -> dict[str, dict[str, float]]:
    """AP of the checkpoint and of its file, by raw outputs, whatever is asked of the file.

    Images have their own sizes, also where the file is for one.
    """
    raw = stem.with_name(stem.name + form.suffixes[0])
    form.write(model, raw, options._replace(decode=False, decoder=None, size=None))
    network = form.readers[0].load(raw, Outputs._fields)
    return {
        "checkpoint": average_precision(model, data),
        options.precision: average_precision(Exported(network, model.priors), data),
    }


def _file(config: DictConfig, folder: Path) -> Path:
    suffix = FORMATS[config.format].suffixes[0]
    if config.output is None:
        return folder / (Path(config.checkpoint).stem + suffix)
    file = Path(config.output)
    if not file.name.endswith(suffix) or file.is_dir():
        raise ValueError(f"expected output=NAME{suffix}, a file, got {file}")
    return file


def _size(given: Sequence[int] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    if len(given) != 2:
        raise ValueError(f"expected height and width, size=[480,640], got size={list(given)}")
    height, width = given
    return height, width


def _calibration(
    data: FaceDataModule, number: int, size: tuple[int, int] | None
) -> list[np.ndarray]:
    """Training images as they are, without augmentation, spread over all of them."""
    data.setup("fit")
    every = data.train_annotations
    chosen = every[:: max(1, len(every) // number)][:number]
    images = [read_image(each.path) for each in chosen]
    if size is not None:
        images = [_framed(image, size) for image in images]
    return [_planes(image[None]) for image in images]


def _images(config: DictConfig, data: FaceDataModule) -> list[Path]:
    """Those that are compared: of ``source``, else validation images of ``data``."""
    if config.source is None or config.precision != "fp32":
        data.prepare_data()
        data.setup("validate")
    if config.source is None:
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


def _batches(
    images: Sequence[np.ndarray], largest: int | None, size: tuple[int, int] | None
) -> list[np.ndarray]:
    """Each image [H, W, 3] by itself, and parts of the first, as [B, 3, H, W].

    A part two thirds as large, and a batch of three with odd sides: the image, its mirror image and
    its negative. So three sizes are seen, odd and even sides, one image and several.

    Args:
        largest: longer sides are cut to it; None: none is.
        size: height and width that all are brought to, the batch of three as single images.
    """
    if size is not None:
        framed = [_framed(image, size) for image in images]
        framed += [framed[0][:, ::-1], 255 - framed[0]]
        return [_planes(image[None]) for image in framed]
    images = [image[:largest, :largest] for image in images]
    first = images[0]
    height, width = first.shape[:2]
    odd = first[: height - 1 + height % 2, : width - 1 + width % 2]
    part = first[: max(1, 2 * height // 3), : max(1, 2 * width // 3)]
    three = np.stack([odd, odd[:, ::-1], 255 - odd])
    return [_planes(batch) for batch in [*(image[None] for image in images), part[None], three]]


def _framed(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image [H, W, 3] fitted into a size, and the mean colour beside it."""
    return pad(fit_inside(image, *size)[0], *size, MEAN_BGR)


def _planes(images: np.ndarray) -> np.ndarray:
    """[B, H, W, 3] -> [B, 3, H, W]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


main = command("export", export)


if __name__ == "__main__":
    main()
