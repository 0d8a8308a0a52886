"""Files as options may be anyone's: they set what is of their group, and read no environment."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.cli.foreign import check_stage_setting
from src.cli.options import CONF, store_option_files
from src.stages.plan import check_stage

GLOBAL = "# @package _global_\n"


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Give a text as ``GROUP=./mine.yaml`` of a command; the configuration."""
    monkeypatch.chdir(tmp_path)

    def give(group, text, command="train"):
        (tmp_path / "mine.yaml").write_text(text)
        arguments = [f"{group}=./mine.yaml"]
        store_option_files(arguments)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(command, arguments)

    return give


@pytest.mark.parametrize(
    ("group", "text"),
    [
        # the group's own table, and nothing else
        ("pruning", "seed: 3\n"),
        ("pruning", "pruning: {seed: 3}\nseed: 3\n"),
        ("pruning", "init: {model: /home/x}\n"),
        ("pruning", "pruning: {sede: 3}\n"),
        ("pruning", "pruning: {_target_: src.training.DetectorModule}\n"),
        ("pruning", "pruning: {rates: {_target_: torch.load}}\n"),
        ("pruning", "pruning: {seed: {_target_: torch.load}}\n"),
        ("pruning", "pruning: 3\n"),
        ("pruning", "defaults: [{override /kd: weighted}]\n"),
        ("pruning", "defaults: [../../mine]\n"),
        ("pruning", "defaults: [one_shot@hydra.job]\n"),
        ("pruning", "defaults: [{/kd@hydra.job: none}]\n"),
        ("pruning", "defaults: soft\n"),
        ("optimizer", "trainer: {max_epochs: 3}\n"),
        ("kd", "module: {pruning: 3}\n"),
        ("loss/box", "module: 3\n"),
        # nothing of Hydra
        ("experiment", "hydra: {job: {env_set: {A: b}}}\n"),
        ("experiment", "run_dir: /tmp/x\n"),
        ("experiment", "run: ../../x\n"),
        ("experiment", "defaults: [{override /hydra/sweeper: optuna}]\n"),
        ("experiment", "defaults: [{/kd: ../../../mine}]\n"),
        ("experiment", "hydra: {sweeper: {params: {hydra.job.name: 'a,b'}}}\n"),
        ("experiment", "hydra: {sweeper: {params: {kd: 'none,/tmp/mine'}}}\n"),
        ("search", "hydra: {sweeper: {feasible: os.system}}\n"),
        ("search", "hydra: {sweeper: {n_trials: 3}, job: {name: a}}\n"),
        ("pipeline", "dataset: {data.root: /x}\n"),
        ("pipeline", "options: {teacher: {seed: 1}}\n"),
        ("pipeline", "name: ../x\n"),
    ],
)
def test_other_settings_are_refused(group, text, given):
    with pytest.raises(ValueError, match=r"^mine\.yaml: expected .*got "):
        given(group, GLOBAL + text)


@pytest.mark.parametrize("text", ["sede: 3\n", "rates: {_target_: torch.load}\n"])
def test_a_plan_without_a_package_is_one_too(text, given):
    with pytest.raises(ValueError, match=r"^mine\.yaml: expected a setting of pruning.*got "):
        given("pruning", text)
    assert given("pruning", "defaults: [one_shot]\nrates: {ssh: 0.3}\n").pruning.rates.ssh == 0.3


@pytest.mark.parametrize("package", ["hydra", "hydra.job", "trainer", "_global_.hydra", "_root_"])
def test_other_packages_are_refused(package, given):
    with pytest.raises(ValueError, match=r"mine\.yaml: expected '# @package _global_'.* got "):
        given("optimizer", f"# @package {package}\nlr: 3\n")


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}", "a ${oc.env:HOME,b} c", "${ oc.env : HOME}", "\\${oc.env:HOME}",
        "${${seed}:HOME}", "${oc.decode:'${oc.env:HOME}'}", "${now:${oc.env:HOME}}",
        "${oc.create:{a:1}}", "${hydra:job.name}", "${oc.select:seed,${oc.env:HOME}}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["run: '{}'", "recipe: {{phases: [{{seed: '{}'}}]}}"])
def test_the_environment_is_not_read(text, place, given):
    doubled = text.replace("'", "''")
    with pytest.raises(ValueError, match=r"^mine\.yaml: expected interpolations of settings"):
        given("experiment", GLOBAL + place.format(doubled) + "\n")


def test_what_may_be_set(given):
    found = given("experiment", GLOBAL + "seed: 3\nrun: a-${seed}-${now:%H:%M}\n")
    assert found.seed == 3
    assert found.run.startswith("a-3-")
    found = given("experiment", GLOBAL + "defaults: [finetune, {override /kd: weighted}]\nseed: 4")
    assert (found.seed, found.kd.temperature) == (4, 4.0)
    found = given("kd", GLOBAL + "defaults: [weighted]\nkd: {temperature: '${seed}'}\n")
    assert found.kd.temperature == 0
    text = "defaults: [soft, _self_]\npruning: {floor: 0.2, rates: {ssh: 0.3}}\n"
    assert given("pruning", GLOBAL + text).pruning.rates.ssh == 0.3
    assert given("optimizer", "defaults: [sgd]\nlr: 3\n").optimizer.lr == 3
    text = "# @package loss.terms.box\ndefaults: [smooth_l1]\n"
    assert "_target_" in given("loss/box", text).loss.terms.box
    text = "hydra: {sweeper: {n_trials: 3}}\nrecovery: {steps: 3}\n"
    assert given("search", GLOBAL + text, "sweep_pruning").recovery.steps == 3
    text = "defaults: [demo]\nname: mine\ntarget: {parameters: 3}\n"
    found = given("pipeline", GLOBAL + text, "pipeline")
    assert (found.name, "teacher" in found.plan) == ("mine", True)


def test_copies_of_our_own_experiments_pass(given):
    for file in (CONF / "experiment").glob("*.yaml"):
        given("experiment", file.read_text())


def test_our_own_files_by_their_path_are_ours():
    store_option_files([f"{file.parent.name}={file}" for file in CONF.glob("[a-z]*/*.yaml")])


def test_names_do_not_lead_out_of_conf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.yaml").write_text("lr: 3\n")
    steps = "../" * len((CONF / "optimizer").parts)
    path = f"{steps}{str(tmp_path)[1:]}/evil"
    monkeypatch.chdir("/")
    store_option_files([f"optimizer={path}"])  # it is that file from here, too: it is looked at
    deep = tmp_path.joinpath(*"abcdefghijklmnopqrstuvwxyz")
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    with pytest.raises(ValueError, match=r"expected optimizer= of a file's path from the working"):
        store_option_files([f"optimizer={path}"])


@pytest.mark.parametrize(
    "key",
    ["hydra.callbacks.x", "+hydra.job.env_set.A", "hydra/launcher", "run_dir", "kd@hydra.job",
     "hydra.sweeper.feasible", "hydra.run.dir", "~hydra.job", "hydra.searchpath"],
)  # fmt: skip
def test_stages_set_nothing_of_hydra(key):
    with pytest.raises(ValueError, match="expected settings of a command"):
        check_stage_setting(key)
    check_stage_setting("hydra.sweeper.n_trials")
    check_stage_setting("kd.teacher")


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("../x", {}, "names of stages"),
        ("a", {"result": "../x"}, "in the stage's folder"),
        ("a", {"options": {"run": "${oc.env:HOME}"}}, "expected values as"),
        ("a", {"options": {"hydra.run.dir": "x"}}, "expected settings of a command"),
    ],
)
def test_stages_stay_in_their_folder(name, change, sentence):
    stage = {"command": "train", "options": {}, "result": "a", **change}
    with pytest.raises(ValueError, match=sentence):
        check_stage(name, stage, ["train"])


def test_a_plan_of_a_search_is_what_we_write(given):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        plan = OmegaConf.to_yaml({"pruning": compose("prune", ["checkpoint=a"]).pruning})
    assert given("pruning", GLOBAL + plan).pruning.multiple == 1


def test_aliases_that_grow_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    file = tmp_path / "bomb.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"bomb\.yaml, which cannot be read: more than .* values"):
        store_option_files([f"pruning={file}"])
