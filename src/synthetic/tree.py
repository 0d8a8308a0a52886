"""Write a seeded data set of drawn faces in the folder layout of WIDER FACE.

The default data set, ``data=synthetic``: nothing is downloaded, and every reader of the real data
reads it. ``worker`` draws the images; this file shares them out, writes what lists them and makes
sure that half a data set never looks whole.

Layout (that of RetinaFace's annotations, and the official one of the ground truth)::

    synthetic.json                        what made it; written last
    train/label.txt                       names and faces, 20 numbers each
    train/images/<event>/<file>.jpg
    val/wider_val.txt                     names
    val/label.txt                         as of train
    val/images/<event>/<file>.jpg
    ground_truth/wider_{face,easy,medium,hard}_val.mat
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from src.report.progress import tracked
from src.runs.files import write_json
from src.runs.locks import alone_in
from src.synthetic.worker import Labels, image_name, start_worker, write_image

VERSION = 1
"""Version of the drawing: raise it with every change that alters a pixel or a label."""
MANIFEST = "synthetic.json"

_OURS = {"train", "val", "ground_truth", MANIFEST}
_GENERATOR = "featherface-synthetic"
_IMAGES_PER_WORKER = 32
"""Fewer than this are drawn before a worker process has started."""


@dataclass(frozen=True)
class SyntheticSpec:
    """What to generate. Image i of a split depends on ``seed`` and ``size`` only."""

    num_train: int = 512
    """Images."""
    num_val: int = 128
    """Images."""
    size: int = 640
    """Longest side of an image, pixels."""
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"num_train": (1, 100_000), "num_val": (1, 100_000), "size": (48, 2048)}
        limits["seed"] = (0, 2**32 - 1)
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(
                    f"expected {name} to be an integer, got {value!r}; set data.generator.{name}"
                )
            if not low <= value <= high:
                raise ValueError(
                    f"expected {name} from {low} to {high}, got {value}; set data.generator.{name}"
                )


def is_complete(root: Path, spec: SyntheticSpec) -> bool:
    """Whether ``root`` holds exactly what ``generate(root, spec)`` would write."""
    manifest = _read_manifest(Path(root))
    return (
        manifest is not None
        and manifest.get("version") == VERSION
        and manifest.get("spec") == asdict(spec)
        and all((Path(root) / name).exists() for name in _OURS)
    )


def generate(
    root: Path, spec: SyntheticSpec, *, num_workers: int | None = None, progress: bool = True
) -> None:
    """Draw the data set unless it is there already.

    Everything is written to the hidden folder ``.<name>.partial`` beside ``root``, which is renamed
    when complete. An older data set of ours at ``root`` is replaced; anything else is left alone.
    Processes that generate beside each other wait, then find the work done.

    Args:
        root: where the data set goes; its parents are created.
        spec: what to draw.
        num_workers: processes that draw; 0 draws in this one, None decides by the amount of work
            and the processors. The files are the same, byte for byte.
        progress: show it, see :mod:`src.report.progress`.

    Raises:
        ValueError: if ``num_workers`` is negative.
        FileExistsError: if ``root`` exists and was not written by this function.
    """
    root = Path(root).absolute()
    num_images = spec.num_train + spec.num_val
    if num_workers is None:
        num_workers = min(_num_processors(), num_images // _IMAGES_PER_WORKER)
        num_workers = 0 if num_workers < 2 else num_workers
    if num_workers < 0:
        raise ValueError(
            f"expected num_workers of 0 or more, got {num_workers}; pass 0 to draw in this process"
        )
    _refuse_foreign(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(root.parent):
        if is_complete(root, spec):
            return
        _refuse_foreign(root)
        partial_root = root.with_name(f".{root.name}.partial")
        replaced = root.with_name(f".{root.name}.replaced")
        for leftover in (partial_root, replaced):  # of a generation that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            _write(partial_root, spec, num_workers, progress)
            if root.exists():
                root.rename(replaced)
            partial_root.rename(root)
        finally:
            shutil.rmtree(partial_root, ignore_errors=True)
            shutil.rmtree(replaced, ignore_errors=True)


# ---------------------------------------------------------------------------------- the folder


def _read_manifest(root: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and manifest.get("generator") == _GENERATOR
    return manifest if ours else None


def _refuse_foreign(root: Path) -> None:
    if not root.exists():
        return
    if not root.is_dir():
        raise FileExistsError(
            f"expected a folder for the synthetic data, got the file {root}; choose another root"
        )
    names = {entry.name for entry in root.iterdir()}
    foreign = sorted(names if _read_manifest(root) is None else names - _OURS)
    if foreign:
        shown = ", ".join(foreign[:4]) + (", ..." if len(foreign) > 4 else "")
        raise FileExistsError(
            f"expected {root} to be absent, empty or written by this generator, got a folder with "
            f"{shown}; choose another root or remove it yourself"
        )


def _num_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ----------------------------------------------------------------------------------- the files


def _write(root: Path, spec: SyntheticSpec, num_workers: int, progress: bool) -> None:
    jobs = [("train", index) for index in range(spec.num_train)]
    jobs += [("val", index) for index in range(spec.num_val)]
    for split, index in jobs:
        (root / split / "images" / image_name(split, index)).parent.mkdir(
            parents=True, exist_ok=True
        )
    draw = partial(write_image, str(root), spec.seed, spec.size)
    with contextlib.ExitStack() as stack:
        if num_workers:
            pool = ProcessPoolExecutor(
                num_workers,
                # Not fork: a forked child of a process with threads (torch, cv2) can hang.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=start_worker,
            )
            stack.callback(pool.shutdown, cancel_futures=True)
            results: Iterator[Labels] = pool.map(draw, jobs, chunksize=8)
        else:
            results = map(draw, jobs)
        labels = list(tracked(results, "synthetic faces", len(jobs)) if progress else results)
    train, val = labels[: spec.num_train], labels[spec.num_train :]
    _write_labels(root / "train" / "label.txt", train)
    _write_labels(root / "val" / "label.txt", val)
    names = "".join(f"/{label.name}\n" for label in val)
    (root / "val" / "wider_val.txt").write_text(names, encoding="utf-8")
    _write_truth(root / "ground_truth", val)
    manifest = {
        "generator": _GENERATOR,
        "version": VERSION,
        "spec": asdict(spec),
        "train": _counts(train),
        "val": _counts(val),
    }
    write_json(root / MANIFEST, manifest)


def _write_labels(path: Path, labels: list[Labels]) -> None:
    lines = [line for label in labels for line in (f"# {label.name}", *label.rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _counts(labels: list[Labels]) -> dict[str, int]:
    faces = {
        level: sum(int((label.difficulty <= grade).sum()) for label in labels)
        for grade, level in enumerate(("easy", "medium", "hard"))
    }
    return {"images": len(labels), "faces": sum(len(label.rows) for label in labels), **faces}


def _write_truth(folder: Path, labels: list[Labels]) -> None:
    # Not at the top: the worker processes import this file, and this brings torch and scipy.
    from src.evaluation.ground_truth import ImageTruth, write_ground_truth

    truth = {
        label.name: ImageTruth(label.boxes_xywh, *(label.difficulty <= level for level in range(3)))
        for label in labels
    }
    write_ground_truth(folder, truth)
