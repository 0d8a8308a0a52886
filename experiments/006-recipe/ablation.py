"""What does each part of the recipe bring? The same short training with one part more each time.

    python ablation.py start.ckpt /data/widerface --teacher v1.pth --yunet yunet.onnx

Every training starts from the same weights and sees the same number of images. What is done is not
done again, so a stopped ablation goes on; a table of what there is stands at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from src.report.charts import SIZE_LABELS  # noqa: E402 - the project is run from its folder
from src.report.tables import markdown_table  # noqa: E402

PUBLISHED = ["assigner=max_iou", "loss=multibox"]
DYNAMIC = ["assigner=dynamic", "loss=multibox"]
PARTS: dict[str, list[str]] = {
    "published": PUBLISHED,
    "+ ignoring": [*PUBLISHED, "assigner.ignore_below=5"],
    "+ dynamic assigner": DYNAMIC,
    "+ quality loss": [*DYNAMIC, "loss/class=quality"],
    "+ IoU boxes": [],  # experiment=small_faces as it is
    "that + V1 from 32 px on": ["kd=weighted", "kd.teacher=TEACHER", "kd.min_prior=32"],
    "that + V1's labels": ["kd=labels", "kd.teacher=TEACHER", "data.improvement.scales=[1.0]"],
    "that + YuNet": ["kd=yunet", "kd.teacher=YUNET"],
}
"""Name -> settings beside ``experiment=small_faces``; the first five are each one more."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", help="checkpoint that every training starts from")
    parser.add_argument("root", help="folder of WIDER FACE")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--yunet", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    done: dict[str, list[dict[str, float]]] = {name: [] for name in PARTS}
    for seed in given.seeds:
        for number, (name, settings) in enumerate(PARTS.items()):
            run = f"ablation_{given.epochs}_{number}_{seed}"
            metrics = ROOT / "outputs" / "train" / run / "metrics.json"
            if not metrics.exists():
                for key, value in {"TEACHER": given.teacher, "YUNET": given.yunet}.items():
                    settings = [each.replace(key, value) for each in settings]
                train(run, seed, given, settings)
            done[name].append(json.loads(metrics.read_text()))
            print(table(done), flush=True)


def train(run: str, seed: int, given: argparse.Namespace, settings: list[str]) -> None:
    command = [
        sys.executable, "-m", "src.train", "experiment=small_faces", "trainer=processes",
        f"recipe.epochs={given.epochs}", f"recipe.validate_every={given.epochs}",
        "recipe.warmup_steps=50", f"run={run}", "resume=true", f"seed={seed}", "logger=csv",
        f"init.model={given.start}", "data=widerface", f"data.root={given.root}",
        "data.val_long_side=640", "data.val_batch_size=4", "num_pictures=0", *settings,
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)


def table(done: dict[str, list[dict[str, float]]]) -> str:
    """AP in per cent, mean over seeds and half the distance between the highest and the lowest."""
    names = {f"ap_{level}": level for level in ("easy", "medium", "hard")}
    names |= {f"ap_{size}": label for size, label in SIZE_LABELS.items()}
    rows = [[name, str(len(runs)), *(cell([run[key] for run in runs]) for key in names)]
            for name, runs in done.items() if runs]  # fmt: skip
    return markdown_table(["recipe", "seeds", *names.values()], rows)


def cell(values: list[float]) -> str:
    middle, spread = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{100 * middle:.1f}" + (f" ± {100 * spread:.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
