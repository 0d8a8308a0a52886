"""A stage is repeated when, and only when, something that it depends on has changed."""

from __future__ import annotations

import pytest

from src.stages.plan import Stage
from src.stages.state import FILE, finish, read_state, standing, start

DEPENDS = {"optimizer": "a", "result of teacher": "b"}


@pytest.fixture
def stage(tmp_path):
    folder = tmp_path / "distil"
    return Stage(name="distil", command="train", options={}, folder=folder,
                 result=folder / "best.ckpt", needs=("teacher",))  # fmt: skip


@pytest.fixture
def done(stage):
    start(stage, {"depends": DEPENDS})
    stage.result.write_text("weights")
    finish(stage, {"depends": DEPENDS}, seconds=3.0)
    return stage


def test_from_new_to_done(stage):
    assert standing(stage, DEPENDS).state == "new"
    start(stage, {"depends": DEPENDS})
    assert standing(stage, DEPENDS).state == "unfinished"
    stage.result.write_text("weights")
    assert standing(stage, DEPENDS).state == "unfinished"  # killed before it said so
    finish(stage, {"depends": DEPENDS}, seconds=3.0)
    assert standing(stage, DEPENDS).state == "done"
    assert standing(stage, DEPENDS).seconds == 3.0


@pytest.mark.parametrize(
    ("depends", "named"),
    [
        ({**DEPENDS, "optimizer": "z"}, "optimizer"),
        ({**DEPENDS, "ema": "c"}, "ema"),
        ({"optimizer": "a"}, "result of teacher"),
    ],
)
def test_what_changed_is_named(done, depends, named):
    found = standing(done, depends)
    assert (found.state, found.reason) == ("changed", f"changed since: {named}")


def test_a_started_stage_with_other_settings_does_not_go_on(stage):
    start(stage, {"depends": DEPENDS})
    assert standing(stage, {**DEPENDS, "optimizer": "z"}).state == "changed"


def test_the_result_is_the_one_that_was_written(done):
    done.result.write_text("other weights")
    assert "not the one it wrote" in standing(done, DEPENDS).reason
    done.result.unlink()
    assert standing(done, DEPENDS).reason == "best.ckpt is gone"
    assert standing(done, DEPENDS).state == "changed"


@pytest.mark.parametrize("content", ["{", "[]", '{"depends": 3}', "\udcff"])
def test_a_damaged_file_is_named(done, content):
    (done.folder / FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"expected what a stage wrote in .*stage\.json, got"):
        read_state(done)
