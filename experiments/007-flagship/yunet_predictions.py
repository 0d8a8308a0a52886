"""YuNet's published file on WIDER FACE, by OpenCV, as official prediction files.

    python yunet_predictions.py yunet_n.onnx /data/widerface/val/images predictions
    python -m src.evaluate predictions=predictions data=widerface data.root=/data/widerface

At original size, or `--scale` times it, as `src.evaluate` does with ours: score 0.02,
suppression at 0.4, best 5,000.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="ONNX file of libfacedetection.train, for any size")
    parser.add_argument("images", type=Path, help="folder of WIDER FACE with a folder per event")
    parser.add_argument("output", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="of the original sides")
    given = parser.parse_args()
    detector = cv2.FaceDetectorYN.create(given.model, "", (320, 320), 0.02, 0.4, 5000)
    for path in sorted(given.images.rglob("*.jpg")):
        image = cv2.imread(str(path))
        height, width = image.shape[:2]
        if given.scale != 1:
            image = cv2.resize(image, None, fx=given.scale, fy=given.scale)
        across, down = image.shape[1] / width, image.shape[0] / height
        detector.setInputSize((image.shape[1], image.shape[0]))
        _, faces = detector.detect(image)
        rows = [] if faces is None else sorted(faces.tolist(), key=lambda face: -face[14])
        file = given.output / path.parent.name / f"{path.stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            f"{x / across:.2f} {y / down:.2f} {w / across:.2f} {h / down:.2f} {score:.5f}"
            for x, y, w, h, *_, score in rows
        ]
        file.write_text("\n".join([path.stem, str(len(lines)), *lines]) + "\n")


if __name__ == "__main__":
    main()
