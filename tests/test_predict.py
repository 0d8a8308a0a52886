"""Prediction on images, folders and videos of a user, wanted and unwanted."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import re
import shutil
import struct

import cv2
import numpy as np
import pytest
from composing import complaint_of, composed
from faster_coco_eval import COCO, COCOeval_faster

from src import predict
from src.data.reading import read_split
from src.images.files import find_sources, read_image
from src.images.video import VideoReader, VideoWriter


@pytest.fixture
def run(weights, tmp_path):
    """``run(source, "option=value")``: the results and the run folder."""

    def start(source, *options):
        folder = tmp_path / "run"
        given = [f"checkpoint={weights}", f"source={source}", "device=cpu", *options]
        with composed("predict", folder, *given) as config:
            results = predict.predict(config, folder)
        assert json.loads((folder / "predictions.json").read_text()) == results
        return results["files"], folder

    return start


def picture(height=48, width=64):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The file with an EXIF block that holds nothing but tag 0x0112."""
    tiff = b"II*\x00" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    block = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def test_one_image(run, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), picture())
    (entry,), folder = run(tmp_path / "photo.png", "decoder.score_threshold=0.3")
    assert (entry["width"], entry["height"]) == (64, 48)
    assert entry["faces"]
    for face in entry["faces"]:
        x1, y1, x2, y2 = face["box"]
        assert x1 < x2
        assert y1 < y2
        assert 0.3 <= face["score"] <= 1
        assert np.shape(face["landmarks"]) == (5, 2)
    assert not (folder / "sheet.png").exists()  # one picture needs none
    drawn = cv2.imread(str(folder / "drawn" / "photo.png"))
    assert drawn.shape == (48, 64, 3)
    assert not np.array_equal(drawn, picture())
    assert json.loads((folder / "run.json").read_text())["revision"]


def test_every_format(run, tmp_path):
    source = tmp_path / "photos"
    (source / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.jpg"):
        cv2.imwrite(str(source / name), picture())
    save = "save=[json,coco,yolo,csv,crops]"
    entries, folder = run(source, "decoder.score_threshold=0.3", save)
    counts = [len(entry["faces"]) for entry in entries]
    assert min(counts) > 0

    coco = COCO(str(folder / "coco.json"))  # as every tool opens it
    assert [each["file_name"] for each in coco.dataset["images"]] == ["a.png", "deep/b.jpg"]
    found = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert len(found) == counts[0]
    x1, y1, x2, y2 = entries[0]["faces"][0]["box"]
    assert found[0]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
    assert found[0]["score"] == entries[0]["faces"][0]["score"]
    points = np.reshape(found[0]["keypoints"], (5, 3))
    np.testing.assert_allclose(points[:, :2], entries[0]["faces"][0]["landmarks"])
    assert found[0]["num_keypoints"] == 5
    assert coco.loadCats(coco.getCatIds())[0]["name"] == "face"
    ours = COCO(str(folder / "coco.json"))
    scorer = COCOeval_faster(coco, ours.loadRes(ours.dataset["annotations"]), "bbox")
    scorer.evaluate()
    scorer.accumulate()
    assert scorer.eval["precision"][0, :, 0, 0, -1].max() == 1

    # With the images beside them, what was found is a data set.
    shutil.copytree(source, folder / "yolo" / "images" / "train")
    (folder / "yolo" / "labels").rename(folder / "yolo" / "train")
    (folder / "yolo" / "labels").mkdir()
    (folder / "yolo" / "train").rename(folder / "yolo" / "labels" / "train")
    read = read_split(folder / "yolo", "train", layout="yolo").annotations
    assert [len(each.faces.boxes) for each in read] == counts
    x1, y1, x2, y2 = np.clip(entries[0]["faces"][0]["box"], 0, [64, 48, 64, 48])
    np.testing.assert_allclose(read[0].faces.boxes[0], [x1, y1, x2, y2], atol=1e-3)

    with (folder / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == ["a.png"] * counts[0] + ["deep/b.jpg"] * counts[1]
    assert float(rows[0]["score"]) == entries[0]["faces"][0]["score"]
    assert float(rows[0]["nose_x"]) == entries[0]["faces"][0]["landmarks"][2][0]

    crops = sorted((folder / "crops" / "deep" / "b.jpg").iterdir())
    assert 0 < len(crops) <= counts[1]
    crop = cv2.imread(str(folder / "crops" / "a.png" / "000.png"))
    top, left = math.floor(y1), math.floor(x1)
    height, width = crop.shape[:2]
    np.testing.assert_array_equal(crop, picture()[top : top + height, left : left + width])


def test_videos_have_no_place_among_images(run, tmp_path, caplog):
    source = tmp_path / "films"
    source.mkdir()
    writer = cv2.VideoWriter(str(source / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(picture())
    writer.release()
    _, folder = run(source, "save=[json,coco,yolo,csv]", "decoder.score_threshold=0.3")
    assert json.loads((folder / "coco.json").read_text())["images"] == []
    assert "left out of coco, which describes images: 1 videos" in caplog.text
    assert (folder / "predictions.csv").read_text().splitlines()[1].startswith("a.avi,0,0.0,")


def test_images_that_would_share_labels_are_refused_first(run, tmp_path):
    for name in ("a.jpg", "a.png"):
        cv2.imwrite(str(tmp_path / name), picture())
    with pytest.raises(ValueError, match=r"got a\.jpg and a\.png, which share a\.txt; rename"):
        run(tmp_path, "save=[json,yolo]")
    assert not (tmp_path / "run" / "predictions.jsonl").exists()
    run(tmp_path)


def test_a_run_that_is_killed_goes_on(run, tmp_path, monkeypatch, caplog):
    source = tmp_path / "photos"
    source.mkdir()
    for number in range(4):
        cv2.imwrite(str(source / f"{number}.png"), picture())
    (source / "3.png").write_bytes(b"")
    looked_at = []
    look = predict._predict_image

    def stop_at(last):
        def counted(detector, config, file, *rest):
            looked_at.append(file.name)
            if len(looked_at) == last:
                raise KeyboardInterrupt
            return look(detector, config, file, *rest)

        monkeypatch.setattr(predict, "_predict_image", counted)

    stop_at(3)
    with caplog.at_level(logging.INFO), pytest.raises(KeyboardInterrupt):
        run(source)
    assert re.search(r"stopped; resume=true run=\S+ goes on with what is left", caplog.text)
    journal = tmp_path / "run" / "predictions.jsonl"
    assert len(journal.read_text().splitlines()) == 3  # settings, two files
    with journal.open("a") as stream:
        stream.write('{"file": "')  # a kill while it wrote
    looked_at.clear()
    stop_at(0)
    monkeypatch.setattr(predict, "run_is_named", lambda: True)
    entries, folder = run(source, "resume=true")
    assert looked_at == ["2.png", "3.png"]
    assert [len(entry.get("faces", "failed")) for entry in entries][3] == 6
    looked_at.clear()
    cv2.imwrite(str(source / "3.png"), picture())
    entries, folder = run(source, "resume=true", "save=[json,csv]")
    assert looked_at == ["3.png"]
    assert not [entry for entry in entries if "error" in entry]
    assert (folder / "predictions.csv").exists()
    with pytest.raises(
        ValueError, match=r"expected long_side of the run that goes on, None, got 9"
    ):
        run(source, "resume=true", "long_side=99")
    with pytest.raises(ValueError, match=r"expected crops of the run that goes on, None, got True"):
        run(source, "resume=true", "save=[json,crops]")
    journal.write_text(journal.read_text().replace('{"file"', "{", 1))
    with pytest.raises(
        ValueError, match=r"predictions\.jsonl:2: expected a line of JSON with 'fil"
    ):
        run(source, "resume=true")


def test_resuming_needs_a_name(run, tmp_path):
    with pytest.raises(ValueError, match="expected run=NAME beside resume=true"):
        run(tmp_path, "resume=true")


def test_failures_are_listed_at_the_end_and_the_command_fails(weights, tmp_path, caplog):
    source = tmp_path / "photos"
    source.mkdir()
    cv2.imwrite(str(source / "a.png"), picture())
    jpeg = cv2.imencode(".jpg", picture(400, 400))[1].tobytes()
    (source / "half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    png = bytearray(cv2.imencode(".png", picture())[1].tobytes())
    png[16:24] = struct.pack(">II", 20_000, 20_000)
    (source / "huge.png").write_bytes(png)
    given = [f"checkpoint={weights}", f"source={source}", "device=cpu"]
    said = complaint_of(predict.predict_all, "predict", tmp_path / "run", *given)
    assert said.startswith(
        "expected 3 files that can be read, got 2 that failed; the others are in"
    )
    listed = [r.message for r in caplog.records if r.message.startswith("failed: ")]
    assert "half.jpg: expected a complete image, got one cut off after" in listed[0]
    assert "huge.png: expected at most 50,000,000 pixels, got 20,000 x 20,000; set" in listed[1]
    entries = json.loads((tmp_path / "run" / "predictions.json").read_text())["files"]
    assert ["error" in entry for entry in entries] == [False, True, True]


def test_what_no_memory_is_there_for_is_a_failure_of_its_file(run, tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), picture())
    look = predict.Detector.__call__
    answers = iter([MemoryError("Unable to allocate 9 GiB"), None])

    def detect(self, image):
        error = next(answers)
        if error:
            raise error
        return look(self, image)

    monkeypatch.setattr(predict.Detector, "__call__", detect)
    first, second = run(tmp_path)[0]
    assert first["error"].startswith(f"{tmp_path / 'a.png'}: expected enough memory")
    assert "faces" in second


def test_very_wide_images(run, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 70_000, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), picture())
    entries, folder = run(tmp_path, "decoder.score_threshold=1")
    assert [entry["width"] for entry in entries] == [70_000, 64]
    assert (folder / "sheet.png").exists()


def test_no_detections(run, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), picture())
    (entry,), folder = run(tmp_path / "photo.png", "decoder.score_threshold=1")
    assert entry["faces"] == []
    np.testing.assert_array_equal(cv2.imread(str(folder / "drawn" / "photo.png")), picture())


def test_a_folder_with_a_damaged_file_keeps_the_rest(run, tmp_path, caplog):
    source = tmp_path / "photos"
    (source / "deep" / "er").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "deep/er/B.JPG"):
        cv2.imwrite(str(source / name), picture())
    (source / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    (source / "broken.mp4").write_bytes(b"nothing")
    (source / "notes.txt").write_text("no picture")
    (source / "folder.jpg").mkdir()
    with caplog.at_level(logging.INFO):
        entries, folder = run(source)
    assert {entry["file"]: "faces" in entry for entry in entries} == {
        str(source / "a.jpg"): True,
        str(source / "a.png"): True,
        str(source / "broken.jpg"): False,
        str(source / "broken.mp4"): False,
        str(source / "deep" / "er" / "B.JPG"): True,
    }
    errors = [entry["error"] for entry in entries if "error" in entry]
    assert "damaged" in errors[0]
    assert "no frame" in errors[1]
    drawn = [str(p.relative_to(folder / "drawn")) for p in (folder / "drawn").rglob("*.*")]
    assert sorted(drawn) == ["a.jpg", "a.png", "deep/er/B.JPG"]
    assert f"left out: {errors[0]}" in caplog.text
    assert f"3 files, 2 could not be read; pictures in {folder / 'drawn'}" in caplog.text
    assert f"3 of the pictures on one sheet: {folder / 'sheet.png'}" in caplog.text
    assert cv2.imread(str(folder / "sheet.png")).shape == (328, 3 * 324 + 4, 3)


def test_the_sheet_shows_images_from_the_whole_folder(run, tmp_path):
    source = tmp_path / "photos"
    source.mkdir()
    for number in range(50):  # each a little brighter
        image = np.full((32, 32, 3), 5 * number, dtype=np.uint8)
        cv2.imwrite(str(source / f"{number:02}.png"), image)
    _, folder = run(source, "decoder.score_threshold=1")
    sheet = cv2.imread(str(folder / "sheet.png"))
    assert sheet.shape == (3 * 324 + 4, 6 * 324 + 4, 3)
    shown = sheet[160::324, 160::324, 0].ravel().tolist()
    assert shown[:17] == [5 * number for number in range(0, 50, 3)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one.jpg"], r"one\.jpg: expected an image that can be decoded, got a damaged file"),
        (["one.avi"], r"video that OpenCV can read, got no frame from .*one\.avi; convert"),
        (["one.jpg", "two.jpg"], r"one\.jpg: .*damaged file; replace it \(and none of 2 files\)"),
    ],
)
def test_nothing_readable_is_an_error(run, tmp_path, names, message):
    source = tmp_path / "photos"
    source.mkdir()
    for name in names:
        (source / name).write_bytes(b"")
    with pytest.raises(ValueError, match=message):
        run(source if len(names) > 1 else source / names[0])


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda p: p / "none.jpg", FileNotFoundError, "at source=.*none.jpg, found nothing"),
        (lambda p: p, ValueError, r"images or videos in .*, found no file ending in \.avi"),
        (lambda p: p / "a.txt", ValueError, r"image or video \(.*\.jpg.*\), got .*a\.txt"),
    ],
)
def test_wrong_sources(tmp_path, make, kind, message):
    (tmp_path / "a.txt").touch()
    with pytest.raises(kind, match=message):
        find_sources(make(tmp_path))


@pytest.mark.parametrize(
    "stored",
    [
        picture(),
        picture()[:, :, 0],
        picture().astype(np.uint16) * 257,
        np.dstack([picture(), np.full((48, 64), 255, np.uint8)]),
    ],
    ids=["colour", "grey", "16 bit", "alpha"],
)
def test_kinds_of_pixels(tmp_path, stored):
    cv2.imwrite(str(tmp_path / "photo.png"), stored)
    grey = np.repeat(picture()[:, :, :1], 3, axis=2)
    expected = grey if stored.ndim == 2 else picture()
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png", upright=True), expected)


def test_a_photo_is_upright(tmp_path):
    image = cv2.resize(np.eye(2, dtype=np.uint8)[..., None].repeat(3, 2) * 255, (64, 32))
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    (tmp_path / "turned.jpg").write_bytes(with_orientation(jpeg, 6))
    plain = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    expected = cv2.rotate(plain, cv2.ROTATE_90_CLOCKWISE)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.jpg", upright=True), expected)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mp4v"), ("B.AVI", "MJPG"), ("c.webm", "VP80")]
)
def test_videos(run, tmp_path, name, codec):
    source = tmp_path / name
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*codec), 10, (64, 48))
    for _ in range(3):
        writer.write(picture())
    writer.release()
    (entry,), folder = run(source)
    assert (entry["width"], entry["height"], entry["fps"]) == (64, 48, 10)
    assert [frame["frame"] for frame in entry["frames"]] == [0, 1, 2]
    assert [frame["time"] for frame in entry["frames"]] == [0, 0.1, 0.2]
    drawn = VideoReader(folder / "drawn" / name)
    assert [image.shape for _, image in drawn] == [(48, 64, 3)] * 3
    assert drawn.rate == 10


class Capture:
    """Stands for ``cv2.VideoCapture`` on a file that says ``rate`` and these times (ms)."""

    def __init__(self, rate, times):
        self.rate, self.times, self.place = rate, times, -1

    def get(self, what):
        values = {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_COUNT: -1}
        return values[what] if what in values else self.times[self.place]

    def read(self):
        self.place += 1
        return self.place < len(self.times), picture()

    def release(self):
        pass


@pytest.mark.parametrize(
    ("rate", "times", "expected"),
    [
        (30, [0, 10, 500], [0, 0.01, 0.5]),  # variable rate: the file's times
        (0, [0, 0, 0], [0, 1 / 25, 2 / 25]),  # neither rate nor times
        (float("nan"), [float("nan")] * 2, [0, 1 / 25]),
        (90000, [0, 0], [0, 1 / 25]),  # the clock instead of the rate
    ],
)
def test_times_of_odd_videos(monkeypatch, tmp_path, rate, times, expected):
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: Capture(rate, times))
    reader = VideoReader(tmp_path / "a.mp4")
    assert reader.num_frames == 0
    assert [time for time, _ in reader] == pytest.approx(expected)


def test_an_unwritable_video_says_so(tmp_path):
    with pytest.raises(OSError, match=r"write a video to .*none/a\.mp4"):
        VideoWriter(tmp_path / "none" / "a.mp4", 25).write(picture())


def test_names_that_are_not_utf8(run, tmp_path, caplog):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    (folder / "c.avi").touch()
    asked = "save=[json,coco,yolo,csv,crops]"
    entries, written = run(tmp_path, asked, "decoder.score_threshold=0.3", "long_side=64")
    assert [len(entry.get("faces", [])) > 0 for entry in entries] == [True, True, False]
    assert sorted(p.name for p in (written / "drawn" / folder.name).iterdir()) == ["a.png", "b.png"]
    assert r"caf\udce9/c.avi: expected the name of a video in UTF-8" in caplog.text


def test_what_views_enlarge_counts(run, tmp_path):
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    with pytest.raises(
        ValueError, match=r"a.png: expected at most 5,000 pixels, got 64 x 48, 12,288"
    ):
        run(tmp_path / "a.png", "views.scales=[1.0,2.0]", "max_pixels=5000")
