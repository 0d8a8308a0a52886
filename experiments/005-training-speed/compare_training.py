"""Trainings side by side on one machine, in short turns: while one works, the others are stopped.

What else the machine does then slows all of them alike. A variant is a checkout of the project and
the options in which it differs:

    python compare_training.py --rounds 8 --seconds 12 --options "model=nano_b_enhanced ..." \
        "before:/path/to/old" "after:/path/to/new:trainer=cpu_processes data.cache=true"

A variant's environment follows a third colon (A=1 B=2). Needs a POSIX system.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WATCH = """
import os, sys
if "src.train" in sys.orig_argv and os.environ.get("STEP_TIMES"):
    import time
    from lightning import Trainer
    from src.training import DetectorModule
    def stamp(self, outputs, batch, batch_idx):
        if self.global_rank == 0:
            images = len(batch.names) * self.trainer.world_size
            with open(os.environ["STEP_TIMES"], "a") as file:
                print(time.monotonic(), images, file=file)
    DetectorModule.on_train_batch_end = stamp
"""
"""Imported by every Python process of a variant."""


class Variant:
    """A training in a process group of its own."""

    def __init__(self, text: str, options: list[str], folder: Path) -> None:
        self.name, root, *more = text.split(":")
        own, environment = (part.split() for part in [*more, "", ""][:2])
        self.stamps = folder / f"{self.name}.txt"
        self.stamps.touch()
        self.rates: list[float] = []
        site = folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(WATCH)
        run = folder / self.name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "src.train", *options, *own, "num_pictures=0", "logger=csv",
             f"hydra.run.dir={run}", "run=x"],
            cwd=root, start_new_session=True, stdout=(folder / f"{self.name}.out").open("w"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{root}",
                 "STEP_TIMES": str(self.stamps), **dict(e.split("=", 1) for e in environment)},
        )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def steps(self) -> list[tuple[float, int]]:
        lines = [line.split() for line in self.stamps.read_text().splitlines()]
        return [(float(moment), int(images)) for moment, images in lines]

    def processor_time(self) -> float:
        """Seconds that its processes have used, loaders included."""
        found = 0.0
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = file.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.process.pid:  # its group
                    found += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return found

    @property
    def cost(self) -> float:
        """Seconds of processor time per image since it began its turns."""
        steps = self.steps()[self.begun :]
        return (self.processor_time() - self.used) / max(1, sum(images for _, images in steps))

    def begin(self, steps: int) -> None:
        """Past the imports and the first steps, then stopped."""
        while len(self.steps()) < steps:
            if self.process.poll() is not None:
                sys.exit(f"{self.name}: {self.stamps.with_suffix('.out').read_text()[-500:]}")
            time.sleep(0.2)
        self.signal(signal.SIGSTOP)
        self.begun, self.used = len(self.steps()), self.processor_time()

    def take_turn(self, seconds: float) -> None:
        self.signal(signal.SIGCONT)
        start = time.monotonic()
        time.sleep(seconds)
        self.signal(signal.SIGSTOP)
        # The first step of a turn was begun in the one before.
        steps = [step for step in self.steps() if step[0] > start]
        if len(steps) > 2:
            images = sum(images for _, images in steps[1:])
            self.rates.append(images / (steps[-1][0] - steps[0][0]))

    def report(self, base: list[float]) -> None:
        ratios = [a / b for a, b in zip(self.rates, base, strict=False)]
        cost = f"{1000 * self.cost:.0f} ms of processor time an image"
        if not ratios:
            print(f"{self.name:20} too few steps in a turn, raise --seconds; {cost}")
            return
        rate, ratio = statistics.median(self.rates), statistics.median(ratios)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{self.name:20} {rate:6.1f} images/s, x{ratio:.2f} ({spread}); {cost}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--options", default="")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--warm-up", type=int, default=3, help="steps")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    variants: list[Variant] = []
    try:
        for text in given.variants:
            variants.append(Variant(text, given.options.split(), folder))
            variants[-1].begin(given.warm_up)
        for _ in range(given.rounds):
            for variant in variants:
                variant.take_turn(given.seconds)
        base = variants[0].rates
        for variant in variants:
            variant.report(base)
    finally:
        for variant in variants:
            variant.signal(signal.SIGKILL)


if __name__ == "__main__":
    main()
