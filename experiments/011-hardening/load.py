"""Memory of src.predict and of the package under load: ``python load.py FOLDER [share]``.

Makes the photographs and videos in FOLDER, runs each command as a process of its own, and prints
its resident memory at tenths of the time. A share below 1 does that part of the work only. What is
seen is in FOLDER/*.txt while a command still runs, so one that is stopped is not lost; the longest,
``src.predict`` with the photographs, comes last.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from src.synthetic.scene import draw_scene  # noqa: E402 - the project is run from its folder

SHAPES = [(256, 341), (480, 640), (640, 480), (720, 1280), (1080, 1920), (1024, 683)]
"""Heights and widths that photographs are made of, each with a few pixels more or less."""


def picture(height: int, width: int, seed: int) -> np.ndarray:
    scene = draw_scene(np.random.default_rng((5, seed)), "Group", 320).image
    return cv2.resize(scene, (width, height))


def photographs(folder: Path, number: int) -> Path:
    """Mixed sizes, all different."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(number):
        height, width = (side + int(rng.integers(-40, 41)) for side in SHAPES[index % len(SHAPES)])
        cv2.imwrite(str(folder / f"{index:05}.jpg"), picture(height, width, index % 50))
    return folder


def giants(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, (height, width) in {"long": (200, 20_000), "large": (4_000, 6_000)}.items():
        cv2.imwrite(str(folder / f"{name}.jpg"), picture(height, width, 0))
    return folder


def video(folder: Path, number: int) -> Path:
    folder.mkdir(parents=True)
    file = folder / "a.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
    scene = picture(480, 640, 0)
    for index in range(number):
        writer.write(np.roll(scene, 4 * index, axis=1))
    writer.release()
    return file


def watched(command: list[str], log: Path) -> tuple[int, float, list[int]]:
    """Exit code, seconds, and resident megabytes twice a second, which ``log`` has at once."""
    begun = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/runtime"},
    )  # fmt: skip
    seen: list[int] = []
    with log.open("w", buffering=1) as file:
        while process.poll() is None:
            try:
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                break
            seen.append(pages * 4096 // 2**20)
            print(f"{time.monotonic() - begun:.1f} {seen[-1]}", file=file)
            time.sleep(0.5)
    return process.wait(), time.monotonic() - begun, seen


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    share = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    sources = {
        "giants": giants(folder / "giants"),
        "video": video(folder / "video", max(1, round(2000 * share))),
        "photographs": photographs(folder / "photographs", max(1, round(2000 * share))),
    }
    for what, source in sources.items():
        for who, command in {
            "featherface": [
                sys.executable, "-m", "featherface", str(source), "--draw", "--json",
                f"{folder}/{what}-package/found.json", "--output", f"{folder}/{what}-package",
            ],
            "src.predict": [
                sys.executable, "-m", "src.predict", "checkpoint=flagship", f"source={source}",
                "device=cpu", f"hydra.run.dir={folder}/{what}-predict",
            ],
        }.items():  # fmt: skip
            code, seconds, seen = watched(command, folder / f"{what}-{who}.txt")
            tenths = [seen[min(len(seen) - 1, len(seen) * tenth // 10)] for tenth in range(1, 11)]
            print(json.dumps({
                "what": what, "who": who, "exit": code, "seconds": round(seconds),
                "megabytes": tenths, "most": max(seen),
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
