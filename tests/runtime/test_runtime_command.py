"""The command ``featherface``: what it takes, what it leaves, how it fails."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import time

import cv2
import numpy as np
import pytest
from composing import composed

from featherface import cli, videos
from featherface.progress import Progress
from featherface.sources import find_sources
from src import predict
from src.synthetic.scene import draw_scene


def scene(index=0):
    return draw_scene(np.random.default_rng((5, index)), "Group", 160).image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with two photos, a damaged one, a video and something else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/deep").mkdir(parents=True)
    cv2.imwrite("photos/a.png", scene())
    cv2.imwrite("photos/deep/a.png", scene(1))
    (tmp_path / "photos/notes.txt").write_text("nothing")
    write_video("video.avi", 3)
    return tmp_path


def write_video(name, count):
    writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 107))
    for _ in range(count):
        writer.write(scene())
    writer.release()


@pytest.fixture
def run(capsys):
    """``run("photo.jpg", "--json")``: exit code, standard output, errors."""

    def start(*words):
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return start


def test_names_that_are_not_utf8(folder, run):
    name = os.fsdecode(b"caf\xe9")
    os.rename("photos/a.png", f"photos/{name}.png")
    os.rename("video.avi", f"{name}.avi")
    code, _, err = run("photos", f"{name}.avi", "--json", "found.json", "--draw", "--crops")
    assert code == 1
    assert err.startswith("left out: caf?.avi: expected the name of a video in UTF-8")
    entries = json.loads((folder / "found.json").read_text())
    assert entries[0]["file"] == f"photos/{name}.png"
    assert (folder / f"faces/photos/{name}.png").is_file()


def test_escapes_of_names_do_not_reach_the_terminal(folder, run):
    name = "\x1b[31mred\x9b2J.jpg"
    (folder / name).write_bytes(b"nothing")
    assert "\x1b" not in Progress(name, None, "frames").line(1, 1)
    for words in ([name, "photos/a.png"], [name, f"{name}.not"], [name, f"--{name}"]):
        _, out, err = run(*words, "--threshold", "0.9")
        assert "\x1b" not in out + err
        assert "\\x1b[31mred\\x9b2J.jpg" in err


def test_a_photo_is_drawn(folder, run):
    code, out, err = run("photos/a.png", "--threshold", "0.02")
    assert (code, err) == (0, "")
    assert "photos/a.png: " in out
    assert out.endswith(" faces; written to faces\n")
    drawn = cv2.imread("faces/a.png")
    assert drawn.shape == (107, 160, 3)
    assert not np.array_equal(drawn, scene())


def test_the_same_faces_as_predict(folder, run):
    options = ["checkpoint=flagship", "source=photos", "device=cpu", "decoder.score_threshold=0.05"]
    with composed("predict", folder / "run", *options) as config:
        expected = predict.predict(config, folder / "run")["files"]
    code, out, _ = run("photos", "--json", "--threshold", "0.05", "--landmarks")
    entries = json.loads(out)
    assert code == 0
    assert len(entries) == len(expected) == 2
    for entry, other in zip(entries, expected, strict=True):
        assert {**entry, "faces": 0} == {**other, "faces": 0}
        assert len(entry["faces"]) == len(other["faces"]) > 0
        for face, same in zip(entry["faces"], other["faces"], strict=True):
            np.testing.assert_allclose(face["box"], same["box"], atol=0.5)
            np.testing.assert_allclose(face["landmarks"], same["landmarks"], atol=0.5)
            assert face["score"] == pytest.approx(same["score"], abs=1e-3)


def test_a_damaged_file_does_not_stop_the_others(folder, run):
    (folder / "photos/broken.jpg").write_bytes(b"\xff\xd8nothing")
    (folder / "photos/broken.mp4").write_bytes(b"nothing")
    code, out, err = run("photos", "video.avi", "--json", "all/faces.json")
    assert code == 1
    assert out.startswith("5 files: ")
    assert out.endswith(" faces, 2 could not be read; written to all/faces.json\n")
    lines = [line for line in err.splitlines() if line.startswith("left out: ")]
    assert len(lines) == 2
    assert "photos/broken.jpg: expected an image" in lines[0]
    assert "photos/broken.mp4: expected frames" in lines[1]
    entries = json.loads((folder / "all/faces.json").read_text())
    assert [entry["file"] for entry in entries if "error" in entry] == [
        "photos/broken.jpg", "photos/broken.mp4",
    ]  # fmt: skip
    assert [entry["frame"] for entry in entries if "frame" in entry] == [0, 1, 2]
    assert not (folder / "faces").exists()


def test_csv_has_a_row_for_each_face(folder, run):
    code, out, err = run("photos/a.png", "video.avi", "--csv", "--threshold", "0.02", "--landmarks")
    assert code == 0
    assert err.startswith("2 files: ")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {row["file"] for row in rows} == {"photos/a.png", "video.avi"}
    assert {row["frame"] for row in rows} == {"", "0", "1", "2"}
    assert len(rows[0]) == 8 + 10
    assert all(0.02 <= float(row["score"]) <= 1 for row in rows)


def test_videos_are_drawn_and_cropped(folder, run):
    code, out, _ = run("video.avi", "photos", "--draw", "--crops", "--threshold", "0.05")
    assert code == 0
    assert out.endswith("written to faces\n")
    reader = videos.VideoReader(folder / "faces/video.avi")
    assert (reader.num_frames, reader.rate) == (3, 10)
    assert len([frame for _, frame in reader]) == 3
    assert (folder / "faces/photos/deep/a.png").is_file()
    assert (folder / "faces/crops/photos/a.png/0.png").is_file()
    assert (folder / "faces/crops/video.avi/000002_0.png").is_file()


def test_results_are_not_looked_at_again(folder, run):
    run("photos", "--output", "photos/found")
    assert run("photos", "--output", "photos/found")[1].startswith("2 files")
    assert len(list((folder / "photos/found").rglob("*.png"))) == 2


def test_files_named_twice_are_looked_at_once(folder):
    paths = [folder / "photos", folder / "photos/a.png"]
    sources = find_sources(paths, None, folder / "faces")
    assert [str(source.target) for source in sources] == ["a.png", "deep/a.png"]


def test_a_file_of_any_name(folder, run):
    (folder / "photos/a.png").rename(folder / "portrait")
    assert run("portrait")[0] == 0
    assert (folder / "faces/portrait.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected photos, videos, folders or --camera 0, got none of them"),
        (["none.jpg"], "a photo, a video or a folder at none.jpg, got nothing"),
        (["empty"], r"photos or videos in empty, got no file ending in \.avi"),
        (["--json", "photos/a.png"], r"file ending in \.json, got photos/a\.png; photos come"),
        (["photos", "--json", "--csv"], "--json or --csv on the standard output, got both"),
        (["photos", "--threshold", "2"], r"threshold in \[0, 1\]"),
        (["photos", "--threshold", "high"], "invalid float value: 'high'"),
        (["photos", "--size", "0"], "size from 1 to 65,536 pixels"),
        (["photos", "--providers", "quantum,cpu"], "providers among"),
        (["photos", "--model", "none"], "model of .*flagship.* none at none"),
        (["photos", "--output", "photos"], "--output folder apart from the photos, got photos"),
        (["photos/a.png", "--output", "photos"], "drawing would replace photos/a.png"),
        (["photos", "--output", "video.avi"], "video.avi"),
        (["--camera", "front"], "number of a camera, such as 0, got front"),
        (["photos", "--fast"], "unrecognized arguments: --fast; see featherface --help"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(folder, run, words, message):
    (folder / "empty").mkdir()
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err)
    assert cv2.imread("photos/a.png").shape == (107, 160, 3)


def test_no_camera(run, monkeypatch):
    code, out, err = run("--camera", "99")
    assert (code, out) == (1, "")
    assert "left out: camera 99: expected frames" in err


def interrupt_at(monkeypatch, number):
    """Press Ctrl-C while that frame of any source is read."""
    frames = videos.VideoReader.__iter__

    def interrupted(reader):
        for index, frame in enumerate(frames(reader)):
            if index == number:
                os.kill(os.getpid(), signal.SIGINT)
            yield frame

    monkeypatch.setattr(videos.VideoReader, "__iter__", interrupted)


def test_ctrl_c_leaves_whole_files(folder, run, monkeypatch):
    interrupt_at(monkeypatch, 1)
    before = signal.getsignal(signal.SIGINT)
    code, _, _ = run("video.avi", "photos", "--draw", "--json", "faces.json")
    assert code == 130
    assert signal.getsignal(signal.SIGINT) is before
    entries = json.loads((folder / "faces.json").read_text())
    assert [entry["frame"] for entry in entries] == [0, 1]
    assert videos.VideoReader(folder / "faces/video.avi").num_frames == 2


def test_ctrl_c_is_how_a_camera_ends(folder, run, monkeypatch):
    class Camera(videos.VideoReader):
        def __init__(self, source):
            assert source == 7
            super().__init__(folder / "video.avi")
            self.source = source

    monkeypatch.setattr(videos, "VideoReader", Camera)
    interrupt_at(monkeypatch, 1)
    code, out, _ = run("--camera", "7")
    assert code == 0
    assert out.startswith("camera 7: ")
    assert (folder / "faces/camera7.mp4").is_file()


def test_help_needs_no_packages(run, monkeypatch):
    code, out, _ = run("--help")
    assert code == 0
    assert "--camera" in out
    assert run("--version")[1].startswith("featherface ")


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "count"), [(Terminal(), 3), (io.StringIO(), 1)])
def test_progress(stream, count, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress("faces", 100, "files", stream=stream)
    for done, now[0] in [(1, 0.5), (2, 2), (10, 10), (30, 30)]:
        progress.update(done)
    progress.close()
    shown = stream.getvalue()
    assert shown.count(" left") == count
    assert "30 of 100 files, 1.0 files/s, 1:10 left" in shown
    assert ("#####" in shown) == stream.isatty()
    assert Progress("camera 0", None, "frames").line(30, 2) == "camera 0: 30 frames, 15.0 frames/s"
