"""The generated data set: reproducible, whole or absent, and labelled as it is drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.data.reading import read_split
from src.evaluation.ground_truth import read_ground_truth
from src.synthetic import SyntheticSpec, generate, is_complete
from src.synthetic.camera import Light
from src.synthetic.layout import MAX_SHARE, MIN_HEIGHT, Plan, scaled_height
from src.synthetic.person import draw_person
from src.synthetic.scene import SCENES, draw_scene
from src.synthetic.tree import MANIFEST

SPEC = SyntheticSpec(num_train=8, num_val=2, size=64, seed=3)  # 8: the last one shows no face
FLAT = Light(0.3, -0.4, 0.5)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "data"
    generate(root, SPEC, num_workers=0)
    return root


@pytest.fixture(scope="module")
def drawn() -> list:
    """Scenes at a size with room for small and large faces."""
    return [
        draw_scene(np.random.default_rng((11, index)), kind, 256)
        for index, kind in enumerate(
            [*["Crowd"] * 2, *["Group"] * 7, *["Portrait"] * 8, *["Street"] * 7]
        )
    ]


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def labels(path: Path) -> dict[str, np.ndarray]:
    """Name -> [N, 20], read independently of the project's parser."""
    rows: dict[str, list[list[float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            name = line[2:]
            rows[name] = []
        else:
            rows[name].append([float(word) for word in line.split(" ")])
    return {name: np.array(values).reshape(-1, 20) for name, values in rows.items()}


# --------------------------------------------------------------------------------- reproducible


def test_same_seed_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", SPEC, num_workers=0)
    assert contents(tmp_path / "again") == contents(tree)


@pytest.mark.slow
def test_worker_processes_give_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    generate(tmp_path / "parallel", SPEC, num_workers=2)
    assert contents(tmp_path / "parallel") == contents(tree)


def test_workers_start_without_torch_and_scipy() -> None:
    code = "import sys, src.synthetic.worker; print({'torch', 'scipy'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_an_image_depends_on_seed_and_index_only(tree: Path, tmp_path: Path) -> None:
    fewer = replace(SPEC, num_train=3, num_val=1)
    other = replace(fewer, seed=SPEC.seed + 1)
    generate(tmp_path / "fewer", fewer, num_workers=0)
    generate(tmp_path / "other", other, num_workers=0)
    whole, part, differing = (
        contents(tree),
        contents(tmp_path / "fewer"),
        contents(tmp_path / "other"),
    )
    images = [name for name in part if name.endswith(".jpg")]
    assert len(images) == 4
    for name in images:
        assert part[name] == whole[name]
        assert part[name] != differing[name]


# --------------------------------------------------------------------------------------- layout


def test_layout(tree: Path) -> None:
    assert {path.name for path in tree.iterdir()} == {"train", "val", "ground_truth", MANIFEST}
    train, val = labels(tree / "train" / "label.txt"), labels(tree / "val" / "label.txt")
    assert (len(train), len(val)) == (SPEC.num_train, SPEC.num_val)
    listed = (tree / "val" / "wider_val.txt").read_text(encoding="utf-8").splitlines()
    assert listed == [f"/{name}" for name in val]
    for split, table in (("train", train), ("val", val)):
        files = [path for path in (tree / split / "images").rglob("*") if path.is_file()]
        assert len(files) == len(table)
        for name in table:
            image = cv2.imread(str(tree / split / "images" / name))
            assert image is not None
            assert max(image.shape[:2]) == SPEC.size
    assert not set(train) & set(val)
    manifest = json.loads((tree / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["train"]["faces"] == sum(map(len, train.values()))


def test_names_look_like_those_of_wider_face(tree: Path) -> None:
    train, val = (list(labels(tree / split / "label.txt")) for split in ("train", "val"))
    assert train[0] == "0--Crowd/0_Crowd_synthetic_0_0.jpg"
    assert val[1] == "1--Group/1_Group_synthetic_1_1.jpg"


def test_label_lines_hold_twenty_numbers(tree: Path) -> None:
    for rows in labels(tree / "train" / "label.txt").values():
        flags = rows[:, 6:19:3]
        # A face has all five landmarks with flag 0, or none and -1 everywhere.
        assert np.isin(flags, (0.0, -1.0)).all()
        assert (flags == flags[:, :1]).all()
        assert (rows[flags[:, 0] == -1][:, 4:19] == -1).all()
        assert np.isin(rows[:, 19], (0.0, 1.0)).all()


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_project_reads_it(tree: Path, split: str) -> None:
    table = labels(tree / split / "label.txt")
    annotations = read_split(tree, split).annotations  # type: ignore[arg-type]
    assert [annotation.name for annotation in annotations] == list(table)
    for annotation, rows in zip(annotations, table.values(), strict=True):
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], 1)
        np.testing.assert_allclose(annotation.faces.boxes, corners, atol=0.011)
        np.testing.assert_array_equal(annotation.faces.ignore, rows[:, 19] == 0)


def test_train_has_images_without_faces_and_val_has_none(tree: Path) -> None:
    empty = [name for name, rows in labels(tree / "train" / "label.txt").items() if not len(rows)]
    assert empty == ["4--Empty/4_Empty_synthetic_0_7.jpg"]
    assert all(len(rows) for rows in labels(tree / "val" / "label.txt").values())


def test_ground_truth_is_that_of_the_labels(tree: Path) -> None:
    truth, table = read_ground_truth(tree / "ground_truth"), labels(tree / "val" / "label.txt")
    assert set(truth) == set(table)
    for name, rows in table.items():
        image = truth[name]
        np.testing.assert_array_equal(image.boxes_xywh, rows[:, :4])
        assert not (image.easy & ~image.medium).any()
        assert not (image.medium & ~image.hard).any()
        assert not (image.hard & (rows[:, 19] == 0)).any()
        assert image.hard.any()


# ---------------------------------------------------------------------------------------- faces


def test_faces_of_every_size_appear(drawn: list) -> None:
    heights = np.concatenate([scene.boxes_xywh[:, 3] for scene in drawn])
    edges = np.geomspace(MIN_HEIGHT, MAX_SHARE * 256, 5)
    share = np.histogram(heights, edges)[0] / len(heights)
    # Many more small ones, as in WIDER FACE, and no part of the range left out.
    assert (share > 0.02).all()
    assert share[:2].sum() > 0.5
    assert max(len(scene.boxes_xywh) for scene in drawn) > 15


def test_boxes_lie_inside_the_image(drawn: list) -> None:
    for scene in drawn:
        height, width = scene.image.shape[:2]
        low, extent = scene.boxes_xywh[:, :2], scene.boxes_xywh[:, 2:]
        assert (low >= 0).all()
        assert (extent > 0).all()
        assert (low + extent <= (width + 0.011, height + 0.011)).all()


def test_landmarks_lie_in_their_boxes_and_are_rare_on_tiny_faces(drawn: list) -> None:
    has = np.concatenate([scene.has_landmarks for scene in drawn])
    tall = np.concatenate([scene.boxes_xywh[:, 3] for scene in drawn])
    assert has[tall >= 16].mean() > 0.6
    assert has[tall < 16].mean() < 0.15
    for scene in drawn:
        for box, points in zip(
            scene.boxes_xywh[scene.has_landmarks], scene.landmarks[scene.has_landmarks], strict=True
        ):
            margin = 0.06 * box[2:]
            assert (points >= box[:2] - margin).all()
            assert (points <= box[:2] + box[2:] + margin).all()


def test_landmarks_are_ordered_as_seen_in_the_image() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        figure = draw_person(rng, Plan(50, 50, 24, body=1), (100, 100), FLAT)
        left_eye, right_eye, nose, left_mouth, right_mouth = figure.landmarks
        # The face's own axes: along the eyes, and down from them.
        right = (right_eye - left_eye) / np.linalg.norm(right_eye - left_eye)
        down = np.array([-right[1], right[0]])
        assert right[0] > 0.5  # roll stays below 60 degrees
        assert (right_mouth - left_mouth) @ right > 0
        eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
        assert 0 < (nose - eyes) @ down < (mouth - eyes) @ down
        # A face turned to the right shows its nose right of the middle of its eyes.
        if abs(figure.yaw) > 15:
            assert np.sign((nose - eyes) @ right) == np.sign(figure.yaw)


def test_landmarks_mark_what_is_drawn() -> None:
    # Eyes are darker than the cheeks beside the nose, on nearly every face.
    darker = []
    for seed in range(40):
        rng = np.random.default_rng((1, seed))
        figure = draw_person(rng, Plan(100, 100, 80, body=1), (200, 200), FLAT)
        gray = cv2.cvtColor(np.ascontiguousarray(figure.patch[..., :3]), cv2.COLOR_BGR2GRAY)
        points = figure.landmarks - figure.corner

        def around(spot: np.ndarray, gray: np.ndarray = gray) -> float:
            x, y = np.rint(spot).astype(int)
            return float(gray[y - 3 : y + 4, x - 4 : x + 5].mean())

        if abs(figure.yaw) < 25:
            cheeks = (points[:2] + points[3:]) / 2
            darker += [
                around(eye) < around(cheek) for eye, cheek in zip(points[:2], cheeks, strict=True)
            ]
    assert np.mean(darker) > 0.85


def test_the_back_of_a_head_is_no_face() -> None:
    rng = np.random.default_rng(0)
    figure = draw_person(rng, Plan(50, 50, 40, is_back=True), (100, 100), FLAT)
    assert len(figure.region) == 0
    assert figure.patch[..., 3].any()


def test_a_scene_without_people_has_no_label() -> None:
    scene = draw_scene(np.random.default_rng(0), "Empty", 128)
    assert scene.boxes_xywh.shape == (0, 4)
    assert scene.landmarks.shape == (0, 5, 2)
    assert scene.image.std() > 1


@pytest.mark.parametrize("kind", SCENES)
def test_every_scene_fits_the_smallest_canvas(kind: str) -> None:
    scene = draw_scene(np.random.default_rng(1), kind, 48)
    assert max(scene.image.shape[:2]) == 48
    assert scene.image.dtype == np.uint8


def test_heights_keep_their_place_in_the_range() -> None:
    assert scaled_height(50, 640) == pytest.approx(50)
    for size in (64, 640, 1024):
        assert scaled_height(MIN_HEIGHT, size) == pytest.approx(MIN_HEIGHT)
        assert scaled_height(MAX_SHARE * 640, size) == pytest.approx(MAX_SHARE * size)


# --------------------------------------------------------------------------------- whole or absent


def test_is_complete(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_complete(tree, SPEC)
    for field in ("num_train", "num_val", "size", "seed"):
        assert not is_complete(tree, replace(SPEC, **{field: getattr(SPEC, field) + 1}))
    assert not is_complete(tmp_path / "absent", SPEC)
    monkeypatch.setattr("src.synthetic.tree.VERSION", 0)  # another release drew it
    assert not is_complete(tree, SPEC)


def test_a_complete_tree_is_left_as_it_is(tree: Path) -> None:
    before = (tree / MANIFEST).stat().st_mtime_ns
    generate(tree, SPEC, num_workers=0)
    assert (tree / MANIFEST).stat().st_mtime_ns == before


def test_another_spec_replaces_a_tree_of_ours(tmp_path: Path) -> None:
    first, second = (SyntheticSpec(num_train=1, num_val=1, size=48, seed=seed) for seed in (0, 1))
    generate(tmp_path / "data", first, num_workers=0)
    generate(tmp_path / "data", second, num_workers=0)
    assert is_complete(tmp_path / "data", second)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_killed_generation_is_not_complete_and_is_cleaned_up(tmp_path: Path) -> None:
    root, spec = tmp_path / "data", SyntheticSpec(num_train=1, num_val=1, size=48)
    leftover = tmp_path / ".data.partial" / "train"
    leftover.mkdir(parents=True)
    (leftover / "label.txt").write_text("half")
    assert not is_complete(root, spec)
    generate(root, spec, num_workers=0)
    assert is_complete(root, spec)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_failed_generation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr("src.evaluation.ground_truth.write_ground_truth", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        generate(tmp_path / "data", SyntheticSpec(1, 1, 48), num_workers=0)
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------- errors


def test_a_folder_of_someone_else_is_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    message = (
        r"expected .* to be absent, empty or written by this generator, got .* thesis\.tex; choose"
    )
    with pytest.raises(FileExistsError, match=message):
        generate(tmp_path, SPEC, num_workers=0)
    assert (tmp_path / "thesis.tex").exists()


def test_a_tree_of_ours_with_other_files_in_it_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    generate(root, SyntheticSpec(1, 1, 48), num_workers=0)
    (root / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"got a folder with notes\.txt"):
        generate(root, SyntheticSpec(2, 1, 48), num_workers=0)
    assert (root / "notes.txt").exists()


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(FileExistsError, match="got the file"):
        generate(tmp_path / "data", SPEC, num_workers=0)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"num_train": 0}, ValueError, r"expected num_train from 1 to 100000, got 0; set data\."),
        ({"num_val": -1}, ValueError, r"expected num_val from 1 to 100000, got -1"),
        ({"size": 32}, ValueError, r"expected size from 48 to 2048, got 32"),
        ({"seed": -1}, ValueError, r"expected seed from 0 to 4294967295, got -1"),
        ({"size": 640.0}, TypeError, r"expected size to be an integer, got 640\.0"),
        ({"num_train": True}, TypeError, r"expected num_train to be an integer, got True"),
    ],
)
def test_wrong_specs(values: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SyntheticSpec(**values)


def test_negative_workers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected num_workers of 0 or more, got -1"):
        generate(tmp_path / "data", SPEC, num_workers=-1)
