"""Stages: which results their options name, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.stages import read_plan

PLAN = {
    "teacher": {"command": "train", "options": {"model": "featherface_v1"}, "result": "best.ckpt"},
    "search": {
        "command": "sweep_pruning",
        "options": {"checkpoint": "{teacher}", "lists": [{"of": "{teacher}"}], "steps": 3},
        "result": "best.yaml",
    },
}
FOLDER = Path("/runs/one")


def read(plan=PLAN, given=(), **options):
    return read_plan(plan, FOLDER, given=list(given), options=options)


def test_results_are_handed_on():
    teacher, search = read()
    assert search.needs == ("teacher",)
    assert search.result == FOLDER / "search" / "best.yaml"
    assert search.arguments({"teacher": teacher.result}) == [
        'checkpoint="/runs/one/teacher/best.ckpt"',
        'lists=[{"of": "/runs/one/teacher/best.ckpt"}]',
        "steps=3",
        'hydra.sweep.dir="/runs/one/search"',
    ]
    assert teacher.arguments({})[-2:] == ['hydra.run.dir="/runs/one/teacher"', "resume=true"]


def test_a_given_result_takes_the_place_of_its_stage():
    (search,) = read(given=["teacher"])
    assert search.arguments({"teacher": Path("v1.pth")})[0] == 'checkpoint="v1.pth"'


def test_more_options_win():
    teacher, _ = read(teacher={"model": "plain", "seed": 1})
    assert teacher.options == {"model": "plain", "seed": 1}


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected options of a stage among teacher, search; got"):
        read(distil={})
    backwards = dict(reversed(PLAN.items()))
    with pytest.raises(ValueError, match=r"stages before it \(none\), got \{teacher\}"):
        read(backwards)
