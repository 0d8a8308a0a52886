"""Write the files of a network that ships: ``python weights/publish.py FILE NAME``.

``NAME.ckpt`` has the weights and where they come from, without optimizer; ``NAME.onnx`` gives raw
outputs, ``NAME_decoded.onnx`` boxes, scores, landmarks in pixels; ``SHA256SUMS`` lists all files.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src import checkpoint  # noqa: E402 - the project is run from its folder, not installed
from src.runs.files import replacing  # noqa: E402

HERE = checkpoint.WEIGHTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="checkpoint of a training")
    parser.add_argument("name", help="what users will call it")
    given = parser.parse_args()
    model, facts = checkpoint.load(given.file)
    own = HERE / f"{given.name}.ckpt"
    trained = {name: facts.get(name) for name in ("revision", "versions")}
    checkpoint.save(own, model, metrics=facts.get("metrics", {}), trained=trained)
    for name, decode in ((given.name, "false"), (f"{given.name}_decoded", "true")):
        output = HERE / f"{name}.onnx"
        export = [sys.executable, "-m", "src.export", f"checkpoint={own}", f"output={output}"]
        subprocess.run([*export, f"decode={decode}"], cwd=ROOT, check=True)
    with replacing(HERE / "SHA256SUMS") as partial:
        partial.write_text("".join(f"{digest(file)}  {file.name}\n" for file in shipped()))


def shipped() -> list[Path]:
    """The files of all networks."""
    return sorted([*HERE.glob("*.ckpt"), *HERE.glob("*.onnx")])


def digest(file: Path) -> str:
    """SHA-256 of a file, as ``sha256sum`` prints it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
