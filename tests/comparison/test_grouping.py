"""Which runs are one setting, what it is called, and what is said about differences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fabricated_runs import fabricate

from src.comparison import Comparison, Grouping, compare_settings, group_runs, read_runs


@pytest.fixture
def grouped(tmp_path: Path) -> Callable[..., Grouping]:
    """``grouped(["kd=none"], ["kd=weighted"])``: the runs with those overrides, grouped."""

    def group(*runs: list[str], **facts: list) -> Grouping:
        for number, overrides in enumerate(runs):
            given = {name: values[number] for name, values in facts.items()}
            fabricate(tmp_path / "m" / str(number), *overrides, **given)
        return group_runs(read_runs([tmp_path / "m"])[0])

    return group


def names(grouping: Grouping) -> dict[str, list]:
    return {setting.name: setting.seeds for setting in grouping.settings}


def notes(grouping: Grouping) -> str:
    comparison: Comparison = compare_settings(grouping)
    return "\n".join(comparison.notes)


def test_seeds_are_one_setting(grouped):
    found = grouped(["kd=none", "seed=1"], ["kd=weighted", "seed=0"], ["kd=none", "seed=0"])
    assert names(found) == {"kd=none": [0, 1], "kd=weighted": [0]}
    assert found.untyped == []


def test_names_hold_what_differs_and_was_typed(grouped):
    common = ["recipe.epochs=3", "run=x", "data.num_workers=0"]
    found = grouped(
        [*common, "model.assn=true"],
        [*common, "model.assn=false", "kd=weighted", "kd.temperature=2.0"],
    )
    # Defaults are shown too; what has no meaning for a setting is not.
    assert names(found) == {
        "model.assn=true kd=none": [0],
        "model.assn=false kd=weighted kd.temperature=2.0": [0],
    }


def test_a_default_typed_out_is_the_default(grouped):
    found = grouped(["seed=0"], ["seed=1", "recipe.lr=0.1"], ["seed=0", "recipe.lr=0.2"])
    assert names(found) == {"recipe.lr=0.1": [0, 1], "recipe.lr=0.2": [0]}


def test_a_followed_value_typed_out_is_the_same(grouped):
    found = grouped(["seed=0"], ["seed=1", "trainer.max_epochs=2"])
    assert names(found) == {"all runs": [0, 1]}


def test_values_that_follow_are_no_differences(grouped):
    found = grouped(["recipe.epochs=2"], ["recipe.epochs=3"])
    assert dict(found.differences) == {"recipe.epochs": ["2", "3"]}
    assert notes(found) == ""


def test_run_names_folders_and_workers_are_no_settings(grouped):
    found = grouped(
        ["seed=0", "run=a", "data.root=/here/faces"],
        ["seed=1", "run=b", "data.root=/there/faces", "data.num_workers=4"],
    )
    assert names(found) == {"all runs": [0, 1]}


def test_tables_are_compared_value_by_value(grouped):
    runs = [["kd=none"], ["kd=weighted"], ["kd=weighted", "seed=1"]]
    found = grouped(*runs)
    assert names(found) == {"kd=none": [0], "kd=weighted": [0, 1]}
    assert found.differences["kd.temperature"] == ["(absent)", "4.0"]
    assert found.differences["module.objective"] == ["${objective}", "${kd}"]


def test_a_table_and_nothing_are_told_apart(grouped):
    found = grouped([], [], config=[{}, {"warm_up": {"steps": 3}}])
    assert found.differences["warm_up"] == ["null", "(a table)"]
    assert found.differences["warm_up.steps"] == ["(absent)", "3"]


def test_the_newer_of_two_alike_stays(grouped):
    found = grouped(["seed=0"], ["seed=0"], ap=[(0.1, 0.1, 0.1), (0.2, 0.2, 0.2)])
    assert [run.folder.name for run in found.settings[0].runs] == ["1"]
    ((folder, reason),) = found.repeated
    assert folder.name == "0"
    assert reason == "same setting and seed as m/1, which is newer"


# Notes


def test_settings_typed_alike_are_told_apart_and_reported(grouped):
    found = grouped([], [], config=[{}, {"recipe": {"lr": 0.3}}])
    assert names(found) == {"recipe.lr=0.1": [0], "recipe.lr=0.3": [0]}
    assert "settings typed alike are configured differently" in notes(found)
    assert "recipe.lr (0.1, 0.3)" in notes(found)


def test_what_an_option_changes_besides_is_reported(grouped):
    found = grouped(
        ["experiment=a"], ["experiment=b"], config=[{}, {"recipe": {"lr": 0.3, "epochs": 9}}]
    )
    assert names(found) == {"experiment=a": [0], "experiment=b": [0]}
    assert notes(found) == (
        "what was chosen changes more than its name says: recipe.epochs (2, 9), "
        "recipe.lr (0.1, 0.3)"
    )


def test_an_option_explains_what_it_owns(grouped):
    assert notes(grouped(["kd=none"], ["kd=weighted"])) == ""


def test_other_validation_images_are_reported(grouped):
    found = grouped(["data.root=/a/one"], ["data.root=/a/two"])
    assert notes(found) == "the settings are not measured alike: data.root (one, two)"


def test_other_revisions_steps_and_seeds_are_reported(grouped):
    found = grouped(
        ["kd=none"], ["kd=weighted", "seed=1"],
        revision=["abc", "def-dirty"], curve=[(0.1,), (0.1, 0.2)],
        versions=[{"torch": "2.8"}, {"torch": "2.9"}],
    )  # fmt: skip
    assert notes(found).splitlines() == [
        "the runs are of different revisions: abc (1 runs), def-dirty (1 runs)",
        "files differed from revision def when it ran",
        "the runs used different libraries: torch 2.8, torch 2.9",
        "the runs took different numbers of steps: 10, 20",
        "the settings were not run with the same seeds: such differences are not paired",
    ]


# Teachers


def teachers(*pairs: tuple[str, str] | None) -> list[dict | None]:
    return [pair and {"path": pair[0], "sha256": pair[1] * 64} for pair in pairs]


def test_paths_of_the_same_teacher_are_one_setting(grouped):
    found = grouped(
        ["kd=weighted", "kd.teacher=a", "seed=0"], ["kd=weighted", "kd.teacher=/there/b", "seed=1"],
        ["kd=weighted", "seed=2"], ["kd=none", "seed=0"],
        teacher=teachers(("a", "1"), ("/there/b", "1"), ("found", "1"), None),
    )  # fmt: skip
    assert names(found) == {"kd=weighted": [0, 1, 2], "kd=none": [0]}
    assert "kd.teacher" not in found.differences
    assert "teacher" not in notes(found)


def test_swept_teachers_are_settings(grouped):
    found = grouped(
        ["kd=weighted", "kd.teacher=a"], ["kd=weighted", "kd.teacher=b"],
        teacher=teachers(("a", "1"), ("b", "2")),
    )  # fmt: skip
    assert names(found) == {"kd.teacher=a": [0], "kd.teacher=b": [0]}
    assert notes(found) == ""


def test_a_teacher_without_distillation_is_none(grouped):
    """``kd=none,weighted kd.teacher=a,b`` and the labels alone without kd.teacher."""
    found = grouped(
        ["kd=none", "kd.teacher=a"], ["kd=none", "kd.teacher=b", "seed=1"], ["kd=none", "seed=2"],
        ["kd=weighted", "kd.teacher=a"], ["kd=weighted", "kd.teacher=b"],
        teacher=teachers(None, None, None, ("a", "1"), ("b", "2")),
    )  # fmt: skip
    assert names(found) == {
        "kd=none": [0, 1, 2], "kd=weighted kd.teacher=a": [0], "kd=weighted kd.teacher=b": [0],
    }  # fmt: skip
    assert "teacher" not in notes(found)


def test_one_teacher_does_not_tell_distillation_from_labels(grouped):
    found = grouped(
        ["kd=none"], ["kd=weighted", "kd.teacher=a"], teacher=teachers(None, ("a", "1"))
    )
    assert names(found) == {"kd=none": [0], "kd=weighted": [0]}
    assert notes(found) == ""


@pytest.mark.parametrize("typed", [(), ("kd.teacher=best.ckpt",)])
def test_another_teacher_of_a_seed_is_reported(typed, grouped):
    """The newest teacher, or the file of that name, was another one for the last seed."""
    runs = [["kd=weighted", *typed, f"seed={seed}"] for seed in range(3)]
    found = grouped(
        *runs, teacher=teachers(("best.ckpt", "1"), ("best.ckpt", "1"), ("best.ckpt", "2"))
    )
    assert names(found) == {"all runs": [0, 1, 2]}
    assert notes(found) == (
        "the students had different teachers: best.ckpt (2 runs), best.ckpt 22222222 (1 runs)"
    )


def test_a_teacher_of_each_seed(grouped):
    found = grouped(
        *(["kd=weighted", "kd.teacher='t${seed}'", f"seed={seed}"] for seed in (0, 1)),
        teacher=teachers(("t0", "1"), ("t1", "2")),
    )
    assert names(found) == {"all runs": [0, 1]}
    assert notes(found) == "the students had different teachers: t0 (1 runs), t1 (1 runs)"


def test_another_teacher_of_a_setting_is_reported(grouped):
    found = grouped(
        ["kd=weighted"], ["kd=weighted", "kd.temperature=2.0"],
        teacher=teachers(("a", "1"), ("b", "2")),
    )  # fmt: skip
    assert names(found) == {"kd.temperature=4.0": [0], "kd.temperature=2.0": [0]}
    assert notes(found) == "the students had different teachers: a (1 runs), b (1 runs)"


def test_teachers_that_are_not_recorded_are_told_by_path(grouped):
    found = grouped(["kd=weighted", "kd.teacher=a"], ["kd=weighted", "kd.teacher=b"])
    assert names(found) == {"kd.teacher=a": [0], "kd.teacher=b": [0]}


# The base


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (None, "kd=none model.assn=true"),
        ("kd=weighted", "kd=weighted model.assn=true"),
        ("weighted", "kd=weighted model.assn=true"),
        (False, "kd=none model.assn=false"),
        ("kd=none model.assn=true", "kd=none model.assn=true"),
        ("model.assn=true none", "kd=none model.assn=true"),
    ],
)
def test_base(base, name, grouped):
    found = grouped(["kd=none"], ["kd=none", "model.assn=false"], ["kd=weighted"])
    comparison = compare_settings(found, base=base)
    assert comparison.base.name == name
    assert [row.setting.name for row in comparison.rows if not row.difference] == [name]


def test_a_base_that_is_none_or_several(grouped):
    found = grouped(["kd=none"], ["kd=none", "model.assn=false"], ["kd=weighted"])
    every = "'kd=none model.assn=true', 'kd=none model.assn=false', 'kd=weighted model.assn=true'"
    with pytest.raises(
        ValueError, match=f"one of the settings {every}, got 'fixed', which fits none of them"
    ):
        compare_settings(found, base="fixed")
    two = "'kd=none model.assn=true', 'kd=none model.assn=false'"
    with pytest.raises(
        ValueError, match=f"one of the settings {two}, got 'none', which fits several of them"
    ):
        compare_settings(found, base="none")


def test_a_base_among_many(grouped):
    found = grouped(*([f"recipe.lr={number}"] for number in range(1, 12)))
    with pytest.raises(
        ValueError, match=r"'recipe\.lr=8', and 3 more, got '99', which fits none of them"
    ):
        compare_settings(found, base="99")
