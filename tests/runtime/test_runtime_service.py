"""The service ``featherface serve``: answers, limits, and what it makes of hostile requests."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

import featherface
from featherface import Detector, cli
from src.synthetic.scene import draw_scene

pytest.importorskip("fastapi_offline", reason="no packages of the extra serve")

from fastapi.testclient import TestClient

from featherface.service import Limits, create_app

PACKAGE = Path(featherface.__file__).parent
LIMITS = Limits(bytes=100_000, pixels=160 * 200, seconds=2, queue=2)


@pytest.fixture(scope="module")
def detector() -> Detector:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return Detector(threshold=0.05, session_options=options)


@pytest.fixture(scope="module")
def client(detector) -> TestClient:
    return TestClient(create_app(detector, LIMITS))


def scene() -> np.ndarray:
    return draw_scene(np.random.default_rng((5, 0)), "Group", 160).image


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_bytes_of_an_image(client, detector, suffix):
    content = encoded(scene(), suffix)
    answer = client.post("/detect", content=content)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["width"], found["height"]) == (160, 107)
    faces = detector(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))
    assert len(found["faces"]) == len(faces) > 0
    np.testing.assert_allclose([f["box"] for f in found["faces"]], faces.boxes, atol=0.01)
    assert "landmarks" not in found["faces"][0]


def test_a_form_gives_the_same(client, detector):
    content = encoded(scene())
    plain = client.post("/detect", content=content).json()
    answer = client.post("/detect", files={"file": ("../../etc/passwd", content, "image/png")})
    assert answer.status_code == 200
    assert answer.json()["faces"] == plain["faces"]
    marked = TestClient(create_app(detector, landmarks=True)).post("/detect", content=content)
    assert np.shape(marked.json()["faces"][0]["landmarks"]) == (5, 2)


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"content": b""}, 415, "an image that can be decoded"),
        ({"content": b"\x89PNG\r\n\x1a\nnothing"}, 415, "an image that can be decoded"),
        ({"content": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}, 415, "can be decoded"),
        ({"content": bytes(100_001)}, 413, "at most 100,000 bytes"),
        ({"content": iter([bytes(60_000)] * 2)}, 413, "at most 100,000 bytes"),  # none announced
        ({"content": encoded(np.zeros((400, 400, 3), np.uint8))}, 413, "at most 32,000 pixels"),
        ({"files": {"file": ("a", bytes(200_000))}}, 413, "at most 100,000 bytes"),
        ({"data": {"file": "text"}}, 415, "can be decoded"),
        ({"files": {"a": (None, b"text")}}, 400, "a file in the form, got none"),
        ({"files": [("a", ("a", b"1")), ("b", ("b", b"2"))]}, 400, "Too many files"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "Missing boundary",
        ),
    ],
)
def test_what_is_refused(client, request_, status, message):
    answer = client.post("/detect", **request_)
    assert answer.status_code == status
    assert message in answer.json()["detail"]


def test_other_paths(client):
    assert client.get("/health").json() == {"status": "ok"}
    model = client.get("/model").json()
    assert (model["name"], model["threshold"]) == ("flagship", 0.05)
    assert model["limits"]["bytes"] == LIMITS.bytes
    assert client.get("/detect").status_code == 405
    for path in ("/etc/passwd", "/..%2f..%2fetc/passwd", "/static-offline-docs/../../service.py"):
        assert client.get(path).status_code == 404
    described = client.get("/openapi.json").json()["paths"]["/detect"]["post"]
    assert set(described["responses"]) >= {"200", "400", "408", "413", "415", "503"}
    page = client.get("/docs").text
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_limits_are_above_zero():
    with pytest.raises(ValueError, match="limits above 0"):
        Limits(queue=0)


def test_more_than_the_queue_are_sent_away(detector, monkeypatch):
    go = threading.Event()
    app = create_app(lambda image: go.wait(5) and detector(image), LIMITS)
    codes = []
    with TestClient(app) as client:

        def ask():
            codes.append(client.post("/detect", content=encoded(scene())).status_code)

        asking = [threading.Thread(target=ask) for _ in range(5)]
        for each in asking:
            each.start()
        while len(codes) < 3:
            time.sleep(0.01)
        assert codes == [503] * 3
        go.set()
        for each in asking:
            each.join()
        assert sorted(codes) == [200, 200, 503, 503, 503]
        ask()
        assert codes[-1] == 200


def test_slow_work_is_given_up(detector):
    limits = Limits(seconds=0.05)
    app = create_app(lambda image: time.sleep(0.3) or detector(image), limits)
    answer = TestClient(app).post("/detect", content=encoded(scene()))
    assert answer.status_code == 503
    assert "the answer within 0.05 seconds" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "many"], "invalid int value: 'many'; see featherface serve --help"),
        (["--max-queue", "0"], "limits above 0"),
        (["--model", "none"], "none at none"),
        (
            ["--host", "203.0.113.1"],
            "free port 8000 at 203.0.113.1",
        ),  # not an address of this machine
    ],
)
def test_what_cannot_be_served(words, message, capsys, monkeypatch):
    for name in ("OPENCV_IO_MAX_IMAGE_PIXELS", "OPENCV_LOG_LEVEL"):
        monkeypatch.setenv(name, "")  # taken back at the end
    try:
        code = cli.main(["serve", *words])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_process_survives_what_clients_do(tmp_path):
    command = [sys.executable, "-m", "featherface", "serve", "--port", "0", "--max-seconds", "1"]
    server = subprocess.Popen(
        [*command, "--max-pixels", "40000"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE, env={"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert server.stdout is not None
    port = int(re.search(r"127\.0\.0\.1:(\d+)", server.stdout.readline())[1])

    def post(content: bytes) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/detect", content)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    try:
        assert post(encoded(scene()))[0] == 200
        large = encoded(np.zeros((20_000, 20_000), np.uint8))  # small as a file, 1.2 GB decoded
        status, answer = post(large)
        assert (status, "at most 40,000 pixels" in answer["detail"]) == (413, True)
        header = b"POST /detect HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"
        for start in (header, b"nonsense\r\n\r\n", b"\x16\x03\x01"):
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(start)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(header + b"a few bytes")
            assert b" 408 " in slow.recv(4096).splitlines()[0]
        assert post(encoded(scene()))[0] == 200
        with open(f"/proc/{server.pid}/status") as file:
            peak = re.search(r"VmHWM:\s+(\d+) kB", file.read())
        assert peak is not None
        assert int(peak[1]) < 600_000
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in errors
