"""Run folders as training leaves them, without training: what a comparison reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

CONFIG: dict[str, Any] = {
    "model": {"name": "featherface_v1", "assn": True},
    "data": {
        "root": "/data/faces",
        "seed": "${seed}",
        "num_workers": 2,
        "num_val_images": None,
        "generator": {"num_val": 40},
    },
    "recipe": {"epochs": 2, "lr": 0.1},
    "trainer": {"max_epochs": "${recipe.epochs}", "default_root_dir": "${run_dir}"},
    "module": {"objective": "${objective}", "epochs": "${recipe.epochs}"},
    "objective": {"labels": 1},
    "kd": {"teacher": None},
    "warm_up": None,
    "run": "now",
    "seed": 0,
    "run_dir": "???",
}
"""A small training configuration, as composed."""

DISTILLATION = {
    "kd": {"temperature": 4.0, "folder": "${run_dir}"},
    "module": {"objective": "${kd}"},
}
"""What ``kd=weighted`` changes in it."""

_finished: Iterator[int] = count(1_000_000_000)


def fabricate(
    folder: Path,
    *overrides: str,
    ap: Sequence[float] | None = (0.9, 0.8, 0.4),
    config: Mapping[str, Any] | None = None,
    curve: Sequence[float] = (0.1, 0.2),
    teacher_ap: Sequence[float] | None = None,
    **provenance: Any,
) -> Path:
    """Write a run folder.

    Args:
        folder: of the run.
        overrides: typed; ``kd`` is a group, the others set values.
        ap: easy, medium and hard; None for a run that did not finish.
        config: what else differs from ``CONFIG``.
        curve: mean AP at every tenth step.
        teacher_ap: easy, medium and hard of a teacher.
        provenance: what differs in ``run.json``.
    """
    folder.mkdir(parents=True)
    written = OmegaConf.merge(CONFIG, {"run_dir": str(folder)}, config or {})
    choices = {"kd": "none", "experiment": None}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.key_or_group in choices:
            choices[override.key_or_group] = override.value()
            if override.value() == "weighted":
                written = OmegaConf.merge(written, DISTILLATION)
        else:
            OmegaConf.update(written, override.key_or_group, override.value())
    OmegaConf.save(written, folder / "composed.yaml")
    OmegaConf.save(written, folder / "config.yaml", resolve=True)
    facts = {
        "command": " ".join(["python -m src.train", *overrides]),
        "overrides": overrides,
        "choices": choices,
        "revision": "abc123",
        "versions": {"torch": "2.8"},
        "seed": written.seed,
        "parameters": 489015,
        **provenance,
    }
    (folder / "run.json").write_text(json.dumps(facts))
    _write_curve(folder / "metrics.csv", curve, teacher_ap)
    if ap is not None:
        metrics = dict(zip(("ap_easy", "ap_medium", "ap_hard"), ap, strict=True))
        metrics["ap"] = sum(ap) / 3
        finish(folder, {**metrics, "ap_size_0_16": None, "checkpoint": "best.ckpt"})
    return folder


def finish(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write ``metrics.json``, later than that of every run before."""
    (folder / "metrics.json").write_text(json.dumps(metrics))
    now = next(_finished)
    os.utime(folder / "metrics.json", (now, now))


def _write_curve(file: Path, curve: Sequence[float], teacher_ap: Sequence[float] | None) -> None:
    head, tail = "epoch,step,train/loss,val/ap", ""
    if teacher_ap is not None:
        head += ",val/teacher_ap,val/teacher_ap_easy,val/teacher_ap_medium,val/teacher_ap_hard"
        tail = "," + ",".join(map(str, (sum(teacher_ap) / 3, *teacher_ap)))
    lines = [head]
    for epoch, ap in enumerate(curve):
        step = 10 * (epoch + 1) - 1
        lines += [f"{epoch},{step - 5},3.5,{',' * tail.count(',')}", f"{epoch},{step},,{ap}{tail}"]
    file.write_text("\n".join(lines) + "\n")
