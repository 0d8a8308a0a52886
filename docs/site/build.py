"""Build the site of the documentation: ``make docs``.

Draws the diagrams that pages show anew, writes the pages to ``build/docs``, and has zensical make
``build/site`` of them; a dead link is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import staging
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.models import FaceDetector, build_model
from src.profiling.dataflow import diagrams

ROOT = staging.ROOT
NETWORKS = ("nano_b_enhanced", "nano_b", "featherface_v1", "featherface_v2", "plain")
"""Options of conf/model; a block is drawn from the first that has it."""

SIZE = 640  # pixels, side of the image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build")
    parser.add_argument("--diagrams", action="store_true", help="draw docs/diagrams, and stop")
    arguments = parser.parse_args()
    write_diagrams(ROOT / "docs/diagrams")
    if arguments.diagrams:
        return
    sys.exit(build(arguments.folder.resolve()))


def build(folder: Path) -> int:
    """The site of the repository in ``folder/site``; returns the exit status of zensical."""
    for name in ("docs", "site"):
        shutil.rmtree(folder / name, ignore_errors=True)
    navigation = staging.write(folder / "docs")
    config = (ROOT / "docs/site/zensical.toml").read_text(encoding="utf-8")
    (folder / "zensical.toml").write_text(
        config.replace("nav = []", f"nav = {_toml(navigation)}"), encoding="utf-8"
    )
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=folder, check=False).returncode


def write_diagrams(folder: Path) -> None:
    """Draw what pages show, into ``folder``: NETWORK.svg and block-CLASS.svg."""
    folder.mkdir(exist_ok=True)
    drawn = drawings()
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, text in drawn.items():
        (folder / name).write_text(text, encoding="utf-8")


def drawings() -> dict[str, str]:
    """File name -> SVG, of every diagram that a page shows."""
    found: dict[str, str] = {}
    for option in NETWORKS:
        for path, text in diagrams(network(option), option, SIZE, SIZE).items():
            name = option if path == "network" else path.replace("blocks/", "block-")
            found.setdefault(f"{name}.svg", text)
    shown = {
        name
        for file in staging.pages()
        for name in re.findall(r"\(diagrams/([\w-]+\.svg)\)", file.read_text(encoding="utf-8"))
    }
    return {name: text for name, text in found.items() if name in shown}


def network(option: str) -> FaceDetector:
    """The network of an option of ``conf/model``."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("summary", [f"model={option}"]).model
    return build_model(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def _toml(navigation: object) -> str:
    """Lists and tables of texts in TOML."""
    if isinstance(navigation, list):
        return f"[{', '.join(map(_toml, navigation))}]"
    if isinstance(navigation, dict):
        return f"{{{', '.join(f'{json.dumps(k)} = {_toml(v)}' for k, v in navigation.items())}}}"
    return json.dumps(navigation, ensure_ascii=False)


if __name__ == "__main__":
    main()
