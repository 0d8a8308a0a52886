"""The types of settings that no constructor annotates: those that commands read themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

AtLeast0 = Annotated[int, 0]
AtLeast1 = Annotated[int, 1]
Side = Annotated[int, 1, 2**16]
Format = Literal["json", "coco", "yolo", "csv", "crops"]
LayoutName = Literal["retinaface", "official", "coco", "yolo"]
Name = str | float | bool
"""Text, or what YAML takes for a number or a truth value: ``run=1``."""

SETTINGS: Mapping[str, Any] = {
    "base": Name | None,
    "category": str | int | None,
    "channels_last": bool | None,
    "checkpoint": str | None,
    "checkpoints": str | Sequence[str] | None,
    "coco_max_detections": AtLeast1,
    "compile": bool,
    "damping": Annotated[float, 0, 1e6],
    "decay_norms": bool,
    "decode": bool,
    "device": str | None,
    "diagram": bool,
    "dry_run": bool,
    "ema.callback": Mapping | None,
    "entity": Name | None,
    "expected": str | None,
    "format": str,
    "from": LayoutName | None,
    "group": Name | None,
    "height": Side,
    "images": Literal["copy", "link"],
    "init.backbone": str | None,
    "init.model": str | None,
    "judged.after": str,
    "judged.before": str,
    "judged.table": str,
    "kd.teacher": str | None,
    "long_side": Side | None,
    "max_pixels": AtLeast1,
    "measure_ap": bool,
    "name": Name,
    "nms": bool,
    "norm_momentum": Annotated[float, 0, 1] | None,
    "num_calibration": AtLeast1,
    "num_images": AtLeast1,
    "num_mistakes": AtLeast0,
    "num_pictures": AtLeast0,
    "opset": int,
    "output": str | None,
    "points": Annotated[float, 0, 100],
    "precision": str,
    "predictions": str | None,
    "project": Name,
    "push": bool,
    "recalibration.batches": AtLeast0,
    "recipe.epochs": AtLeast1,
    "recipe.milestones": Sequence[AtLeast0],
    "recipe.norm_momentum": Annotated[float, 0, 1] | None,
    "recipe.phases": Sequence | None,
    "recipe.validate_every": AtLeast1,
    "recipe.warmup_steps": AtLeast0,
    "recovery.save_every": AtLeast1,
    "recovery.steps": AtLeast0,
    "resume": bool,
    "resume_anyway": str | Sequence[str],
    "rounds": AtLeast1,
    "run": Name,
    "run_dir": str,
    "runs": Name | Sequence[Name] | None,
    "save": Format | Sequence[Format],
    "save_predictions": bool,
    "second": str | None,
    "seed": Annotated[int, 0, 2**32 - 1],
    "size": Sequence[Side] | None,
    "sizes": Side | Sequence[Side | Sequence[Side]],
    "source": str | None,
    "stages": str | Sequence[str] | None,
    "steps": AtLeast1,
    "study": Name,
    "target.latency": Annotated[float, 0, 1e9] | None,
    "target.max_ap_loss": Annotated[float, -100, 100] | None,
    "target.parameters": AtLeast1 | None,
    "teacher": str | None,
    "threads": AtLeast1,
    "threshold": Annotated[float, 0, 1],
    "to": LayoutName,
    "tolerance": Annotated[float, 1e-12, 1],
    "val_share": Annotated[float, 0, 1],
    "wandb": bool,
    "what": str | Sequence[str],
    "width": Side,
    "workspaces": str | Sequence[str] | None,
}
"""Setting -> its type; of numbers also the least value and, where there is one, the largest."""

TABLES: Mapping[str, Any] = {
    **dict.fromkeys(
        (
            "assigner", "augmentation", "data", "decoder", "ema", "init", "judged", "kd", "loss",
            "module", "objective", "optimizer", "plan", "recalibration", "recipe", "recovery",
            "scaling", "schedule", "target", "trainer", "views",
        ),
        Mapping,
    ),
    **dict.fromkeys(
        ("data.generator", "dataset", "logger", "model", "options", "pruning", "training"),
        Mapping | None,
    ),
}  # fmt: skip
"""Settings that have settings of their own; others refer to these."""
