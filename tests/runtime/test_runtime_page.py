"""The page of ``featherface web``: its folder, and what a browser makes of it."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import featherface
from featherface import Detector, cli, web
from src.synthetic.scene import draw_scene

PACKAGE = Path(featherface.__file__).parent
CHROMIUM = shutil.which("chromium")


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A folder that stands for that of ONNX Runtime Web."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in web.FILES:
        (folder / name).touch()
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    monkeypatch.setattr(web, "FILES", dict.fromkeys(web.FILES, empty))
    return folder


def test_folder_has_all_the_page_needs(tmp_path, runtime, capsys):
    own = Path(shutil.copy(web.model_file("flagship"), tmp_path / "own.onnx"))
    site = tmp_path / "site"
    words = ["web", "--build", "--folder", site, "--runtime", runtime, "--model", own]
    assert cli.main([str(word) for word in words]) == 0
    assert str(site) in capsys.readouterr().out
    names = {str(file.relative_to(site)) for file in site.rglob("*") if file.is_file()}
    assert names == {
        "app.js", "faces.js", "index.html", "models.json", "style.css", "models/flagship.onnx",
        "models/own.onnx", *(f"ort/{name}" for name in web.FILES),
    }  # fmt: skip
    models = json.loads((site / "models.json").read_text())
    assert [model["name"] for model in models] == ["flagship", "own"]
    web.build(site)  # the runtime is there: nothing is fetched


def test_page_names_nothing_outside_its_folder():
    for file in (PACKAGE / "page").iterdir():
        assert not re.search(r"https?://|['\"]//", file.read_text()), file
    scripts = "".join(file.read_text() for file in (PACKAGE / "page").glob("*.js"))
    ids = set(re.findall(r'element\("([\w-]+)"\)', scripts))
    assert ids
    assert ids <= set(re.findall(r'id="([\w-]+)"', (PACKAGE / "page/index.html").read_text()))


def test_what_cannot_be_built_is_one_sentence(tmp_path, runtime, monkeypatch, capsys):
    def refused(*words):
        assert cli.main(["web", "--build", "--folder", str(tmp_path / "site"), *words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "an ONNX file at none.onnx" in refused("--model", "none.onnx")
    assert "ort.wasm.min.mjs of onnxruntime-web" in refused("--runtime", str(tmp_path))
    (runtime / "ort.wasm.min.mjs").write_text("other")
    assert "expected the files of onnxruntime-web" in refused("--runtime", str(runtime))
    monkeypatch.setenv("PATH", "")
    assert "npm to fetch onnxruntime-web" in refused()


def test_a_taken_port_is_one_sentence(tmp_path, runtime, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["--folder", str(tmp_path / "site"), "--runtime", str(runtime), "--port", port]
        assert cli.main(["web", *words]) == 2
        assert f"free port {port} at 127.0.0.1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and shutil.which("npm")), reason="no chromium, or no npm")
def test_browser_finds_the_same_faces(tmp_path):
    pictures = []
    for index, (kind, size) in enumerate([("Group", 256), ("Street", 320), ("Portrait", 999)]):
        pictures.append(tmp_path / f"{index}.png")
        image = draw_scene(np.random.default_rng((5, index)), kind, size).image
        cv2.imwrite(str(pictures[-1]), image)
    install = ["npm", "install", "--silent", "--no-audit", "puppeteer-core@24.43.1"]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "featherface", "web", "--port", "0", "--folder", tmp_path / "site"],
        cwd=PACKAGE.parent, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:(\d+)", server.stdout.readline())
        assert address is not None
        script = Path(__file__).parent / "look_at_page.mjs"
        ended = subprocess.run(
            ["node", script, address[0], CHROMIUM, tmp_path, *pictures],
            cwd=tmp_path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", int(address[1]))
        connection.request("GET", "/../../../../etc/passwd")
        assert connection.getresponse().status == 404
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(10)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    detector = Detector(threshold=0.05)
    for picture, faces in zip(pictures, result["faces"], strict=True):
        expected = detector(cv2.imread(str(picture)))
        assert len(faces) == len(expected) > 0
        np.testing.assert_allclose([face["box"] for face in faces], expected.boxes, atol=0.5)
    assert (result["errors"], result["elsewhere"], result["unnamed"]) == ([], [], [])
    assert result["isolated"] is True
    assert result["rows"] == len(result["faces"][-1]) > result["fewer"]
    assert re.fullmatch(r"\d+ faces?, \d+ ms, 999 x 999 pixels", result["statuses"][-1])
    assert result["overflow_1280"] == result["overflow_390"] == 0
    assert min(result["scores_1280"], result["scores_390"]) > 12
    assert result["refused"].startswith("expected a picture, got none")
    tabs = ["file", "webcam", "threshold", "size", "model", "landmarks", "SUMMARY", "BODY"]
    first = tabs.index(result["order"][0])
    assert result["order"] == tabs[first:] + tabs[:first]
    assert " ms, 640 x 480 pixels" in result["webcam"]
    assert result["pressed"] == "false"
    assert server.returncode == 0
