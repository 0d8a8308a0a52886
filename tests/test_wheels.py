"""Both wheels, built and installed as a stranger does it, and used from another folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

import featherface_training
from hydra_plugins.featherface_sweeper import say_if_shadowed
from src.detector import load_detector
from src.synthetic.scene import draw_scene

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
PACKED = ("conf", "featherface_training", "hydra_plugins", "runtime", "src", "weights")
MEGABYTE = 2**20


def run(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    """Run to the end; what goes wrong is shown."""
    ended = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **variables},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheel by the name of its package, built from a copy: building leaves files behind."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheels")
    for name in PACKED:
        left_out = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=left_out)
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", built]
    run(*command, ".", "./runtime", cwd=copy)
    return {file.name.split("-")[0]: file for file in built.glob("*.whl")}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photo, and with another project whose package is called src, too."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "src").mkdir()
    (folder / "src/__init__.py").write_text("raise SystemExit('this is the other src')")
    cv2.imwrite(str(folder / "photo.png"), photo())
    return folder


def photo() -> np.ndarray:
    return draw_scene(np.random.default_rng((5, 0)), "Group", 160).image


def environment(folder: Path) -> Path:
    """A new virtual environment; returns its folder of programs."""
    venv.create(folder, with_pip=True, symlinks=True)
    return folder / "bin"


@pytest.mark.slow
def test_featherface_in_an_empty_environment(wheels, elsewhere, tmp_path):
    assert wheels["featherface"].stat().st_size < 2 * MEGABYTE
    programs = environment(tmp_path / "empty")
    run(programs / "pip", "install", "-q", wheels["featherface"], cwd=elsewhere)
    run(programs / "pip", "check", cwd=elsewhere)
    installed = run(programs / "pip", "list", "--format=freeze", cwd=elsewhere).stdout
    assert "torch" not in installed
    refused = subprocess.run([programs / "featherface", "serve"], capture_output=True, text=True)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "pip install 'featherface[serve]'" in refused.stderr
    assert "--camera" in run(programs / "featherface", "--help", cwd=elsewhere).stdout
    command = programs / "featherface", "photo.png", "--json", "--threshold", 0.05
    (entry,) = json.loads(run(*command, cwd=elsewhere).stdout)
    detector = load_detector("flagship", score_threshold=0.05, device="cpu")
    boxes = detector(photo()).boxes.numpy()
    assert len(boxes) == len(entry["faces"]) > 0
    np.testing.assert_allclose([face["box"] for face in entry["faces"]], boxes, atol=0.5)
    run(programs / "pip", "install", "-q", f"{wheels['featherface']}[serve]", cwd=elsewhere)
    assert "/detect" in run(programs / "featherface", "serve", "--help", cwd=elsewhere).stdout
    run(programs / "python", "-c", "import featherface.service", cwd=elsewhere)
    packed = zipfile.ZipFile(wheels["featherface"]).namelist()
    assert {
        f"featherface/page/{file.name}" for file in (ROOT / "runtime/featherface/page").iterdir()
    } <= set(packed)
    typed = "from featherface import Detector; import featherface, pathlib; " \
        "print((pathlib.Path(featherface.__file__).parent / 'py.typed').is_file())"  # fmt: skip
    assert run(programs / "python", "-c", typed, cwd=elsewhere).stdout == "True\n"


@pytest.mark.slow
def test_training_framework_in_an_environment(wheels, elsewhere, tmp_path):
    programs = environment(tmp_path / "framework")
    # Its requirements are those of this environment, which is not copied for a test.
    (folder,) = (tmp_path / "framework/lib").glob("python*/site-packages")
    (folder / "current.pth").write_text(sysconfig.get_path("purelib"))
    run(
        programs / "pip", "install", "-q", "--no-deps", wheels["featherface_training"], cwd=tmp_path
    )
    for script in SCRIPTS:
        text = run(programs / script, "--help", cwd=elsewhere, PYTHONPATH=str(elsewhere)).stdout
        assert f"python -m src.{script.removeprefix('featherface-').replace('-', '_')}" in text
    plugins = run(programs / "featherface-train", "--info", "plugins", cwd=elsewhere).stdout
    assert "OptunaSweeper" in plugins
    tiny = (
        "data=synthetic", "data.generator.num_train=2", "data.generator.num_val=1",
        "data.generator.size=64", "data.image_size=64", "data.batch_size=2", "data.num_workers=0",
        "trainer.accelerator=cpu", "trainer.max_steps=1", "logger=csv", "num_pictures=0", "run=x",
    )  # fmt: skip
    run(programs / "featherface-train", *tiny, cwd=elsewhere, OMP_NUM_THREADS="1")
    trained = elsewhere / "outputs/train/x"
    assert (trained / "checkpoints/best.ckpt").is_file()
    assert json.loads((trained / "run.json").read_text())["revision"] == "unknown"
    run(programs / "featherface-predict", "checkpoint=flagship", "source=photo.png", cwd=elsewhere)


@pytest.mark.slow
def test_wheel_of_the_framework_has_one_package(wheels):
    names = zipfile.ZipFile(wheels["featherface_training"]).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"featherface_training"}
    below = {name.split("/")[1] for name in names if name.startswith("featherface_training/")}
    assert below == {"__init__.py", "src", "conf", "weights", "hydra_plugins"}
    assert "featherface_training/src/py.typed" in names


def test_containers_are_built_from_what_is_there():
    compose = yaml.safe_load((ROOT / "runtime/compose.yaml").read_text())
    (service,) = compose["services"].values()
    context = ROOT / "runtime" / service["build"]["context"]
    text = (context / service["build"]["dockerfile"]).read_text()
    assert "COPY dist/featherface-*.whl" in text
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_every_command_has_a_script():
    started = '__name__ == "__main__"'
    commands = {file.stem for file in (ROOT / "src").glob("*.py") if started in file.read_text()}
    assert set(SCRIPTS) == {f"featherface-{name.replace('_', '-')}" for name in commands}
    assert set(SCRIPTS.values()) == {"featherface_training:main"}


def test_scripts_start_the_checkout_they_are_of(monkeypatch):
    started = []
    monkeypatch.setattr(os, "execv", lambda file, words: started.append(words))
    monkeypatch.setattr(sys, "argv", ["/somewhere/featherface-check-data", "data=demo"])
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setitem(os.environ, "PYTHONSAFEPATH", "")  # and taken back at the end
    featherface_training.main()
    assert started == [[sys.executable, "-m", "src.check_data", "data=demo"]]
    assert os.environ["PYTHONPATH"] == os.pathsep.join([str(ROOT), "/theirs"])
    assert os.environ["PYTHONSAFEPATH"] == "1"


@pytest.mark.parametrize(
    ("name", "origin", "said"),
    [
        ("src.train", "/theirs/src/train.py", True),
        ("src.convert_network", "/theirs/src/convert_network.py", True),
        ("src.train", str(ROOT / "src/train.py"), False),
        ("src.serve", "/theirs/src/serve.py", False),  # we have none
        ("theirs.train", "/theirs/train.py", False),
    ],
)
def test_another_src_is_spoken_of(name, origin, said, capsys):
    say_if_shadowed(SimpleNamespace(__spec__=SimpleNamespace(name=name, origin=origin)))
    error = capsys.readouterr().err
    assert bool(error) == said
    if said:
        script = name.removeprefix("src.").replace("_", "-")
        assert f"started {origin}; for FeatherFace's, run featherface-{script}" in error
    say_if_shadowed(SimpleNamespace(__spec__=None))
    assert not capsys.readouterr().err
