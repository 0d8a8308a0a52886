"""The figures of docs/claims.md that can be counted are those of the networks as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from composing import composed
from torch import nn

from src.cli.targets import instantiate
from src.models import build_model
from src.pruning import prune_at_once
from src.summary import summarise

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "claims.md").read_text(encoding="utf-8")
SIMULATIONS = PAGE.split("## Numerical simulations")[1]
SIZE = 640
STUDENTS = ("nano_b", "nano_b_enhanced")


def table(title: str) -> dict[str, list[str]]:
    """First cell of each row of the table below a title -> the others."""
    text = SIMULATIONS.split(f"### `{title}`\n")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (`?[a-z][\w.]+`?) \|(.+)\|$", text, re.M)
    named = {first.strip("`"): [cell.strip() for cell in rest.split("|")] for first, rest in rows}
    del named["part" if "part" in named else "preset"]
    return named


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def build(folder: Path, *options: str) -> nn.Module:
    with composed("summary", folder, *options) as config:
        return build_model(instantiate(config.model, _convert_="all")).eval()


def parts(model: nn.Module) -> dict[str, dict]:
    found = summarise(model, SIZE, SIZE)
    named = {part["part"]: part for part in found["parts"] if part["parameters"]}
    return {**named, "total": found}


@pytest.mark.parametrize("title", [*STUDENTS, "featherface_v2"])
def test_networks_have_the_sizes_of_the_page(title, tmp_path):
    rows, counted = table(title), parts(build(tmp_path, f"model={title}"))
    assert {name: (number(cells[1]), number(cells[2])) for name, cells in rows.items()} == {
        name: (part["parameters"], part["macs"]) for name, part in counted.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("title", STUDENTS)
@pytest.mark.parametrize(("column", "budget"), [(3, 180_000), (4, 150_000), (5, 120_000)])
def test_pruned_networks_have_the_sizes_of_the_page(title, column, budget, tmp_path):
    with composed("prune", tmp_path, "checkpoint=x", f"pruning.parameters={budget}") as config:
        spec = instantiate(config.pruning, _convert_="all")
    pruned, _ = prune_at_once(build(tmp_path, f"model={title}"), spec, batches=[])
    counted = {name: part["parameters"] for name, part in parts(pruned).items()}
    assert {name: number(cells[column]) for name, cells in table(title).items()} == counted


def test_presets_have_the_sizes_of_the_page(tmp_path):
    for preset, (_, parameters, macs) in table("featherface_v1").items():
        found = summarise(build(tmp_path, f"model.preset={preset}"), SIZE, SIZE)
        assert (found["parameters"], found["macs"]) == (number(parameters), number(macs)), preset


def test_every_verdict_leads_to_a_section():
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE.split("\n## ")[1])
    assert len(links) >= 9
