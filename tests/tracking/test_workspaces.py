"""Workspaces offline: their JSON, the sentence without a key, and what is sent with one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from composing import complaint_of, composed
from omegaconf import OmegaConf

from src.dashboard import dashboard
from src.tracking import account
from src.tracking.panels import WORKSPACES, metrics_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/dashboards.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT", "WANDB_BASE_URL", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def run(folder, *options):
    with composed("dashboard", folder, *options) as config:
        return dashboard(config, folder)


def named(node):
    """Every text below a node of JSON."""
    if isinstance(node, dict):
        return set().union(*map(named, node.values()))
    if isinstance(node, list):
        return set().union(*map(named, node))
    return {node.removeprefix("summary:")} if isinstance(node, str) else set()


def test_the_file_holds_every_panel(tmp_path):
    run(tmp_path)
    found = json.loads((tmp_path / "workspaces.json").read_text())
    assert list(found) == list(WORKSPACES)
    for name, workspace in WORKSPACES.items():
        sent = found[name]
        assert sent["name"] == f"FeatherFace: {workspace.title}"
        assert (sent["entity"], sent["project"]) == ("", "featherface")
        bank = sent["spec"]["section"]["panelBankConfig"]["sections"]
        assert [section["name"] for section in bank] == list(workspace.sections)
        counts = [len(section["panels"]) for section in bank]
        assert counts == [len(panels) for panels in workspace.sections.values()]
        assert metrics_of(workspace) <= named(bank)
        patterns = {p.pattern for panels in workspace.sections.values() for p in panels} - {None}
        assert patterns <= named(bank)


def test_the_library_reads_its_own_file(tmp_path):
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.workspaces import internal

    from src.tracking.workspaces import as_json

    for sent in run(tmp_path).values():
        spec = internal.WorkspaceViewspec.model_validate(sent["spec"])
        view = internal.View(entity="", project=sent["project"], display_name=sent["name"],
                             name="", id="", spec=spec)  # fmt: skip
        again = as_json(ws.Workspace._from_model(view))
        assert metrics_of_json(again) == metrics_of_json(sent)


def metrics_of_json(sent):
    bank = sent["spec"]["section"]["panelBankConfig"]["sections"]
    return [[named(panel["config"]) for panel in section["panels"]] for section in bank]


def test_searches_show_trials_alone(tmp_path):
    (sent,) = run(tmp_path, "workspaces=search").values()
    (runs,) = sent["spec"]["section"]["runSets"]
    (only,) = runs["filters"]["filters"]
    assert only["key"]["name"] == "jobType"
    assert only["value"] == ["sweep_pruning", "search"]
    assert [key["name"] for key in runs["grouping"]] == ["group"]


def test_without_a_key_one_sentence_says_how(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("src.tracking.workspaces.push", pytest.fail)
    run(tmp_path)
    assert caplog.messages[-1].startswith(
        "not sent: no key of Weights & Biases was found: 'wandb login'"
    )


def test_with_a_key_they_are_sent(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    sent = []

    class Saved:
        url = "https://wandb.ai/ours/mine?nw=1"

    def save(self):
        sent.append((self.entity, self.project, self.name))
        return Saved

    monkeypatch.setattr("wandb_workspaces.workspaces.Workspace.save", save)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    run(tmp_path, "entity=ours", "project=mine", "workspaces=[search,pipeline]")
    titles = ["FeatherFace: Searches", "FeatherFace: Pipelines"]
    assert sent == [("ours", "mine", title) for title in titles]
    assert "sent: https://wandb.ai/ours/mine?nw=1" in caplog.messages
    sent.clear()
    run(tmp_path, "push=false")
    assert not sent


def test_a_login_is_found(tmp_path, monkeypatch):
    assert not account.has_key()
    login = f"machine api.wandb.ai login user password {'0' * 40}\n"
    (tmp_path / "netrc").write_text(login)
    assert account.has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    assert not account.has_key()


def test_mistakes(tmp_path, monkeypatch):
    assert complaint_of(dashboard, "dashboard", tmp_path, "workspaces=[serch]") == (
        "expected workspaces among training, distillation, search, pipeline; got 'serch'"
    )
    monkeypatch.setitem(__import__("sys").modules, "src.tracking.workspaces", None)
    sentence = complaint_of(dashboard, "dashboard", tmp_path)
    assert sentence.startswith("expected the package wandb-workspaces, got none")


def test_trainings_go_to_the_same_project(monkeypatch):
    logger = OmegaConf.load(ROOT / "conf/logger/wandb.yaml").wandb
    assert (logger.project, logger.mode) == (account.project(), account.mode())
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_MODE", "online")
    assert (logger.project, logger.mode) == (account.project(), account.mode()) == (
        "mine", "online"
    )  # fmt: skip


def test_the_page_lists_every_panel():
    for workspace in WORKSPACES.values():
        table = PAGE.split(f"### {workspace.title}\n")[1].split("\n#")[0]
        rows = re.findall(r"^\| (.+?) \| (.+?) \| .+ \|$", table, re.M)[1:]
        panels = [(name, each.title) for name, panels in workspace.sections.items()
                  for each in panels]  # fmt: skip
        assert rows == panels
