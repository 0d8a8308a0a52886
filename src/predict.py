"""Find faces in photographs and videos: ``python -m src.predict checkpoint=... source=...``.

Writes each picture with boxes, scores and landmarks drawn, ``sheet.png`` with several of them, a
line of ``predictions.jsonl`` as each file is done, and at the end the files that ``save`` names;
``--help`` lists the options.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from omegaconf import DictConfig, OmegaConf

from src import checkpoint
from src.cli import command
from src.cli.errors import describe
from src.cli.targets import instantiate
from src.detector import Detector
from src.images.drawing import contact_sheet, draw_faces
from src.images.files import check_pixels, find_sources, read_image, read_photo, write_image
from src.images.resize import fit_long_side
from src.images.video import VIDEO_SUFFIXES, VideoReader, VideoWriter
from src.prediction.formats import check_formats, write_crops, write_formats
from src.prediction.journal import Entry, Journal
from src.report.progress import tracked
from src.runs.locks import only_one_in
from src.runs.record import record, run_is_named
from src.types import Detections

log = logging.getLogger(__name__)

_SHOWN = 24
"""Pictures on the sheet, at most."""
_TILE = 320
"""Pixels."""
_FAILURES = (ValueError, FloatingPointError, OSError, MemoryError, RuntimeError, cv2.error)
"""What one file can raise without the others being at fault."""


def predict(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Detect faces in ``config.source``; returns the content of ``predictions.json``.

    A file that cannot be read is reported with an ``error`` and does not stop the others.

    Raises:
        ValueError: if none of the files can be read, or the run cannot go on.
    """
    if config.resume and not run_is_named():
        raise ValueError("expected run=NAME beside resume=true, to say which run goes on")
    source = Path(config.source)
    formats: list[Any] = [config.save] if isinstance(config.save, str) else list(config.save)
    # The same name and format as the source: two files never share a drawing.
    files = {
        file.relative_to(source).as_posix() if source.is_dir() else file.name: file
        for file in find_sources(source)
    }
    check_formats(formats, [n for n, f in files.items() if not _is_video(f)])
    detector = Detector(
        checkpoint.load(config.checkpoint).model,
        decoder=instantiate(config.decoder),
        views=instantiate(config.views, _convert_="all"),
        long_side=config.long_side,
        device=config.device,
    )
    with only_one_in(folder, "prediction"):
        entries = _look_at_all(detector, config, files, folder, crops="crops" in formats)
    results = {"checkpoint": config.checkpoint, "files": list(entries.values())}
    write_formats(folder, formats, {"checkpoint": config.checkpoint}, entries)
    errors = [entry["error"] for entry in entries.values() if "error" in entry]
    if len(errors) == len(files):
        raise ValueError(errors[0] + (f" (and none of {len(files)} files)" if errors[1:] else ""))
    log.info(
        "%d faces in %d files%s; pictures in %s, numbers in %s", _num_faces(results["files"]),
        len(files) - len(errors), f", {len(errors)} could not be read" if errors else "",
        folder / "drawn", folder / f"predictions.json{'' if 'json' in formats else 'l'}",
    )  # fmt: skip
    _write_sheet(folder, [name for name, entry in entries.items() if "faces" in entry])
    return results


def _look_at_all(
    detector: Detector, config: DictConfig, files: Mapping[str, Path], folder: Path, *, crops: bool
) -> dict[str, Entry]:
    """Name of each file -> what is in it, from the journal where it is there."""
    settings = _what_decides(config, crops)
    journal = Journal(folder / "predictions.jsonl", settings, resume=config.resume)
    record(folder, config)
    if journal.done:
        log.info("going on: %d of %d files are done", len(journal.done), len(files))
    entries: dict[str, Entry] = {}
    try:
        for name, file in tracked(files.items(), "files", len(files), unit="file"):
            entry = journal.done.get(str(file))
            if entry is None:
                cut = folder / "crops" / name if crops else None
                found = _look(detector, config, file, folder / "drawn" / name, cut)
                entry = {"file": str(file), **found}
                journal.add(entry)
            entries[name] = entry
    except KeyboardInterrupt:
        log.info("stopped; resume=true run=%s goes on with what is left", config.run)
        raise
    return entries


def _write_sheet(folder: Path, names: list[str]) -> None:
    if len(names) < 2:
        return
    # Spread over all files: those of a folder resemble each other.
    shown = names[:: math.ceil(len(names) / _SHOWN)]
    tiles = [fit_long_side(read_image(folder / "drawn" / name), _TILE)[0] for name in shown]
    write_image(folder / "sheet.png", contact_sheet(tiles, columns=6, tile=_TILE))
    log.info("%d of the pictures on one sheet: %s", len(shown), folder / "sheet.png")


def predict_all(config: DictConfig, folder: Path) -> None:
    """As :func:`predict`, and an error at the end if a file failed.

    Raises:
        ValueError: some files failed; the others are done and written.
    """
    files = predict(config, folder)["files"]
    errors = [entry["error"] for entry in files if "error" in entry]
    for error in errors:
        log.error("failed: %s", error)
    if errors:
        raise ValueError(
            f"expected {len(files)} files that can be read, got {len(errors)} that failed; the "
            f"others are in {folder}, and resume=true run={config.run} tries these again"
        )


def _what_decides(config: DictConfig, crops: bool) -> dict[str, Any]:
    """The settings that a run which goes on must share with what it has done."""
    names = ("source", "long_side", "max_pixels", "decoder", "views")
    plain: Any = OmegaConf.to_container(config, resolve=True)
    weights = checkpoint.find(config.checkpoint).read_bytes()
    return {
        "checkpoint": config.checkpoint,
        "weights": hashlib.sha256(weights).hexdigest(),
        **{name: plain[name] for name in names},
        **({"crops": True} if crops else {}),
    }


def _is_video(file: Path) -> bool:
    return file.suffix.lower() in VIDEO_SUFFIXES


def _look(
    detector: Detector, config: DictConfig, file: Path, drawn: Path, crops: Path | None
) -> dict[str, Any]:
    """What is in a file, or its error."""
    drawn.parent.mkdir(parents=True, exist_ok=True)
    try:
        if _is_video(file):
            return _predict_video(detector, config, file, drawn)
        return _predict_image(detector, config, file, drawn, crops)
    except _FAILURES as error:
        sentence = describe(error)
        if str(file) not in sentence:
            sentence = f"{file}: {sentence}"
        log.warning("left out: %s", sentence)
        return {"error": sentence}


def _predict_image(
    detector: Detector, config: DictConfig, file: Path, drawn: Path, crops: Path | None
) -> dict[str, Any]:
    image = read_photo(file, **_limits(detector, config))
    found = detector(image)
    write_image(drawn, _draw(image, found))
    if crops is not None:
        write_crops(crops, image, found.boxes.numpy())
    return {**_size(image), "faces": _faces(found)}


def _predict_video(
    detector: Detector, config: DictConfig, file: Path, drawn: Path
) -> dict[str, Any]:
    reader = VideoReader(file)
    check_pixels(file, reader.size, **_limits(detector, config))
    frames_read = tracked(reader, file.name, reader.num_frames, unit="frame")
    frames: list[dict[str, Any]] = []
    with closing(VideoWriter(drawn, reader.rate)) as writer:
        for time, image in frames_read:
            found = detector(image)
            writer.write(_draw(image, found))
            frames.append({"frame": len(frames), "time": round(time, 4), "faces": _faces(found)})
    return {**_size(image), "fps": reader.rate, "frames": frames}


def _limits(detector: Detector, config: DictConfig) -> dict[str, Any]:
    return {
        "long_side": config.long_side,
        "max_pixels": config.max_pixels,
        "enlarged": max(detector.views.scales),
    }


def _draw(image: np.ndarray, found: Detections) -> np.ndarray:
    boxes, scores, landmarks = (value.numpy() for value in found)
    return draw_faces(image, boxes, scores=scores, landmarks=landmarks)


def _size(image: np.ndarray) -> dict[str, int]:
    return {"width": image.shape[1], "height": image.shape[0]}


def _faces(found: Detections) -> list[dict[str, Any]]:
    """Plain numbers, pixels: box (x1, y1, x2, y2), score 0 to 1, five landmarks (x, y)."""
    rows = zip(*(value.double().numpy().round(4).tolist() for value in found), strict=True)
    return [{"box": box, "score": score, "landmarks": points} for box, score, points in rows]


def _num_faces(entries: Sequence[Entry]) -> int:
    """Faces of images; of videos, those of all frames."""
    return sum(len(e.get("faces", ())) + _num_faces(e.get("frames", [])) for e in entries)


main = command("predict", predict_all)


if __name__ == "__main__":
    main()
