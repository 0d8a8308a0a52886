"""Break the code in places, one at a time: ``python mutations.py FOLDER [first] [last]``.

Each change is made in a copy of the checkout in FOLDER, and the tests of its neighbourhood, without
the slow ones, must fail. Prints a line for each: killed, or survived.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900
"""Seconds for the tests of one change."""


class Mutation(NamedTuple):
    """One change."""

    file: str
    """Below src/, or below the checkout."""
    old: str
    new: str
    tests: str
    """Below tests/, separated by blanks."""


MUTATIONS = [
    Mutation("detection/boxes.py", "torch.minimum(ay2, by2)", "torch.minimum(ay2, by1)",
             "detection"),
    Mutation("detection/nms.py", "> iou_threshold", ">= iou_threshold", "detection"),
    Mutation("detection/assignment.py", "strong = overlaps >= self.iou_threshold",
             "strong = overlaps > self.iou_threshold", "detection"),
    Mutation("detection/losses.py", "harder = ~(loss <= last)", "harder = loss > last",
             "detection"),
    Mutation("evaluation/wider_ap.py", "matched = iou >= MIN_IOU", "matched = iou > MIN_IOU",
             "evaluation"),
    Mutation("evaluation/wider_ap.py", "x2 - x1 + 1", "x2 - x1", "evaluation"),
    Mutation("evaluation/ground_truth.py", "sizes[:, 1] >= MIN_HEIGHT[level]",
             "sizes[:, 1] > MIN_HEIGHT[level]", "evaluation"),
    Mutation("evaluation/mistakes.py", "truth.hard & ~seen", "~seen",
             "evaluation test_evaluate.py"),
    Mutation("distillation/losses.py", "temperature**2 *", "temperature *", "distillation"),
    Mutation("distillation/objective.py", "not 0 <= alpha <= 1", "not 0 <= alpha",
             "distillation training/test_distillation_training.py"),
    Mutation("distillation/twins.py", "[:, 2] >= min_prior", "[:, 2] > min_prior",
             "distillation"),
    Mutation("pruning/plan.py", "(1 - rate) * size / step + 0.5", "(1 - rate) * size / step",
             "pruning"),
    Mutation("pruning/soft.py", "self.frozen = progress >= self.spec.freeze",
             "self.frozen = progress > self.spec.freeze", "pruning"),
    Mutation("pruning/one_shot.py", "if not difference <= TOLERANCE * scale",
             "if difference > TOLERANCE * scale", "pruning test_prune.py"),
    Mutation("training/schedules.py", "(step + 1) / (steps + 1)", "step / (steps + 1)",
             "training/test_schedules.py"),
    Mutation("training/averaging.py", "(1 + steps) / (10 + steps)", "(1 + steps) / (9 + steps)",
             "training/test_averaging.py"),
    Mutation("training/position.py", 'batches["is_last_batch"] = False\n', "pass\n",
             "training/test_resume.py"),
    Mutation("training/continuity.py", "and now > before", "and now >= before - 1",
             "training/test_continuity.py"),
    Mutation("training/detector.py", "(batch / self.reference_batch)",
             "(batch / (self.reference_batch + 1))", "training"),
    Mutation("data/sampling.py", "default_rng((seed, epoch, index + 1))",
             "default_rng((seed, index + 1))", "data"),
    Mutation("data/fingerprint.py", "not stat.S_ISREG(found.st_mode)",
             "stat.S_ISDIR(found.st_mode)", "data training/test_continuity.py"),
    Mutation("data/layouts/labels.py", '".." in path.parts or', "False or", "data"),
    Mutation("images/header.py", "size.height * size.width > max_pixels",
             "size.height + size.width > max_pixels", "images data"),
    Mutation("prediction/journal.py", 'if "error" not in entry:\n', "if entry:\n",
             "test_predict.py"),
    Mutation("runs/files.py", "os.fsync(written.fileno())", "pass",
             "test_checkpoint.py cli/test_errors.py runs"),
    Mutation("runs/locks.py", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB",
             "training/test_continuity.py test_pipeline.py"),
    Mutation("cli/foreign.py", 'if top == "pruning":\n            _check_plan(settings, conf)\n',
             "", "cli"),
    Mutation("search/leases.py", 'return _started(lease["pid"]) != lease["started"]',
             "return False", "search"),
    Mutation("search/choice.py", "FENCE * (median - best)", "2 * FENCE * (median - best)",
             "search"),
    Mutation("stages/state.py", 'if checksum(stage.result) != written["result"]:',
             "if False:", "stages test_pipeline.py"),
    Mutation("comparison/intervals.py", "ddof=1", "ddof=0", "comparison"),
    Mutation("deploy/graph.py", "scores > self.decoder.score_threshold",
             "scores >= self.decoder.score_threshold - 0.05", "deploy"),
    Mutation("contest/outputs.py", "scores = scores.sqrt()", "scores = scores.clone()",
             "contest/test_contest_outputs.py"),
    Mutation("contest/outputs.py", "< _SURE and logits.min() >= 0", "< _SURE",
             "contest/test_contest_outputs.py"),
    Mutation("contest/run.py", "own / seconds[0]", "own / seconds[-1]",
             "contest/test_contest.py contest/test_contenders.py"),
    Mutation("distillation/yunet.py", "height % STRIDES[-1] or width % STRIDES[-1]",
             "height % STRIDES[-1]", "distillation/test_cells.py"),
    Mutation("distillation/cells.py", "seen.scores > SIGN, nearest, highest",
             "seen.scores > 0, nearest, highest", "distillation/test_cells.py"),
    Mutation("distillation/cells.py", "/ target.sum().clamp(min=1)", "/ target.sum()",
             "distillation/test_cells.py"),
    Mutation("stages/verdict.py", "self.reached <= self.target", "self.reached < self.target",
             "stages test_pipeline.py"),
    Mutation("pipeline.py", 'if everywhere and takes_data(each["command"]):', "if everywhere:",
             "stages test_pipeline.py"),
    Mutation("runs/teachers.py", ' or "_target_" in config["pruning"]', "",
             "runs/test_teacher_search.py"),
    Mutation("runs/teachers.py", "if self._fits(f) and f.parent.resolve() != own",
             "if self._fits(f)", "runs/test_teacher_search.py"),
    Mutation("runs/bounded.py", "or depth > _DEEPEST", "", "runs test_hostile_checkpoints.py"),
    Mutation("synthetic/tree.py", 'manifest.get("version") == VERSION', "True", "synthetic"),
    Mutation("deploy/parity.py", "np.abs(wanted - theirs[name]).max()",
             "(wanted - theirs[name]).max()", "deploy test_export.py"),
    Mutation("runtime/featherface/images.py", "(columns / width, rows / height)",
             "(rows / height, columns / width)", "runtime/test_runtime_detector.py"),
    Mutation("runtime/featherface/images.py", "round(min(max(float(value), 0), width))",
             "round(min(float(value), width))",
             "runtime/test_runtime_detector.py runtime/test_runtime_command.py"),
]  # fmt: skip


def survives(mutation: Mutation, copy: Path) -> bool:
    """Whether all tests pass although the code is broken."""
    file = next(f for f in (copy / "src" / mutation.file, copy / mutation.file) if f.is_file())
    sound = file.read_text(encoding="utf-8")
    count = sound.count(mutation.old)
    if not count:
        raise ValueError(f"expected {mutation.old!r} in {file}, got none")
    file.write_text(sound.replace(mutation.old, mutation.new), encoding="utf-8")
    tests = [f"tests/{name}" for name in mutation.tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-m", "not slow", *tests]
    try:
        ended = subprocess.run(
            command, cwd=copy, capture_output=True, text=True, check=False, timeout=PATIENCE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:  # a test that hangs has told, too
        return False
    finally:
        file.write_text(sound, encoding="utf-8")
    if ended.returncode not in (0, 1):
        raise ValueError(f"pytest ended with {ended.returncode}: {ended.stdout[-600:]}")
    return ended.returncode == 0


def main() -> None:
    copy = Path(sys.argv[1]).resolve()
    first, last = (int(word) for word in [*sys.argv[2:], 1, len(MUTATIONS)][:2])
    subprocess.run(["git", "worktree", "add", "--detach", str(copy)], cwd=ROOT, check=True)
    try:
        for number, mutation in enumerate(MUTATIONS, 1):
            if first <= number <= last:
                verdict = "survived" if survives(mutation, copy) else "killed"
                change = f"{mutation.old.strip()} -> {mutation.new.strip()}"
                print(f"{number:2} {verdict:8} {mutation.file}: {change!r}", flush=True)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(copy)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
