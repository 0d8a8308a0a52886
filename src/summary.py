"""What a network is made of: ``python -m src.summary [model=...|checkpoint=...]``.

Counts layers, parameters and multiply-adds of every part. Nothing is run but shapes; ``--help``
lists the options.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import nn

from src import checkpoint
from src.cli import command
from src.cli.targets import instantiate
from src.detection.priors import feature_shapes
from src.models import FaceDetector, build_model
from src.models.layers import PerLevel
from src.profiling.complexity import complexity_of_parts
from src.profiling.dataflow import diagrams
from src.report.tables import markdown_table
from src.runs.files import write_json
from src.runs.provenance import revision
from src.runs.record import record

log = logging.getLogger(__name__)

COLUMNS = ("part", "layers", "parameters", "MACs", "output")
NUMBERS = ("layers", "parameters", "MACs")
TOTAL = "total"

CONTAINERS = (nn.Sequential, nn.ModuleList, PerLevel)
"""Classes that say nothing of what they contain."""


def summary(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Summarise the network that ``config`` names; writes ``summary.json`` and ``summary.md``.

    With ``diagram`` also ``network.svg``, its stages, and ``blocks/CLASS.svg``, what is inside.

    Returns:
        The content of ``summary.json``: ``parameters`` and ``macs`` (multiply-adds for one image of
        ``height`` x ``width`` pixels), ``layers`` (convolutions and linear layers), ``priors``
        (rows of the output), ``parts``, the ``model`` configuration, its ``option`` in conf/model
        or its ``checkpoint``, and ``revision``. Each of ``parts`` has ``part`` (its name in the
        network), ``kind`` (its classes), ``layers``, ``parameters``, ``macs``, ``output_shapes``
        (without the batch) and ``parts`` of its own, or none. The parts add up to the whole.

    Raises:
        ValueError: whatever building or loading the network raises.
    """
    if config.checkpoint is None:
        model = build_model(instantiate(config.model, _convert_="all"))
        option = HydraConfig.get().runtime.choices["model"]
    else:
        model = checkpoint.load(config.checkpoint).model
        option = None
    record(folder, config)
    results = {
        **summarise(model, config.height, config.width),
        "model": model.config, "option": option, "checkpoint": config.checkpoint,
        "revision": revision(),
    }  # fmt: skip
    write_json(folder / "summary.json", results)
    text = markdown(results)
    (folder / "summary.md").write_text(text)
    log.info("%s", text)
    if config.diagram:
        name = option or Path(config.checkpoint).stem
        for path, drawing in diagrams(model, name, config.height, config.width).items():
            file = folder / f"{path}.svg"
            file.parent.mkdir(exist_ok=True)
            file.write_text(drawing, encoding="utf-8")
    log.info("run folder: %s", folder)
    return results


def summarise(model: FaceDetector, height: int, width: int) -> dict[str, Any]:
    """What :func:`summary` returns of the network itself."""
    rows = parts_of(model)
    names = {TOTAL: [""], **{row: [row] for row in rows}}
    for divided in rows.values():
        names.update(divided)
    counts = complexity_of_parts(model, names, height, width)
    total = counts[TOTAL]
    # All that the network consists of stands in one of the rows, and in one only.
    assert sum(counts[row].parameters for row in rows) == total.parameters
    assert sum(counts[row].multiply_adds for row in rows) == total.multiply_adds

    def entry(name: str) -> dict[str, Any]:
        count = counts[name]
        kinds = [kind for each in names[name] for kind in _kinds(model.get_submodule(each))]
        return {
            "part": name, "kind": ", ".join(dict.fromkeys(kinds)), "layers": count.layers,
            "parameters": count.parameters, "macs": count.multiply_adds,
            "output_shapes": [list(shape) for shape in count.output_shapes],
        }  # fmt: skip

    cells = sum(high * wide for high, wide in feature_shapes(model.priors, height, width))
    return {
        "parameters": total.parameters, "macs": total.multiply_adds, "layers": total.layers,
        "height": height, "width": width, "priors": cells * model.priors.num_per_cell,
        "parts": [{**entry(row), "parts": [entry(name) for name in rows[row]]} for row in rows],
    }  # fmt: skip


def parts_of(model: FaceDetector) -> dict[str, dict[str, list[str]]]:
    """The rows of the table, and what each is divided into: label -> names of modules.

    Backbone and heads are a row each, divided into their parts, those of all levels taken together;
    each stage of neck and context is a row.
    """
    stages = [
        f"{parent}.{name}"
        for parent in ("neck", "context")
        for name, _ in model.get_submodule(parent).named_children()
    ]
    return {
        "backbone": _divided(model, "backbone"),
        **{stage: {} for stage in stages},
        "heads": _divided(model, "heads"),
    }


def markdown(results: Mapping[str, Any]) -> str:
    """The table of :func:`summary` in Markdown, its columns aligned for the terminal."""
    total = {**results, "part": TOTAL, "kind": "", "output_shapes": [], "parts": []}
    labelled: dict[str, Mapping[str, Any]] = {}
    for part in [*results["parts"], total]:
        labelled[part["part"]] = part
        for entry in part["parts"]:
            labelled[f"- {entry['part']}"] = entry
    title = (
        f"{results['option'] or results['checkpoint']}: {results['priors']:,} priors on an image "
        f"of {results['height']} x {results['width']} pixels"
    )
    rows = [_cells(label, entry) for label, entry in labelled.items()]
    left = [place for place, head in enumerate(COLUMNS) if head not in NUMBERS]
    return "\n".join([title, "", markdown_table(COLUMNS, rows, left=left), ""])


def _divided(model: nn.Module, parent: str) -> dict[str, list[str]]:
    """Label -> names of the children of a module.

    Children that are numbered or alone count as their own children, if they have any.
    """
    found: dict[str, list[str]] = {}
    children = dict(model.get_submodule(parent).named_children())
    for name, child in children.items():
        path = f"{parent}.{name}"
        if (name.isdigit() or len(children) == 1) and any(True for _ in child.children()):
            for label, modules in _divided(model, path).items():
                found.setdefault(parent + label.removeprefix(path), []).extend(modules)
        elif not isinstance(child, nn.Identity):
            found[path] = [path]
    return found


def _kinds(module: nn.Module) -> Iterator[str]:
    """The class of a module; of a mere container, the classes in it."""
    if type(module) not in CONTAINERS:
        if not isinstance(module, nn.Identity):
            yield type(module).__name__
    else:
        for child in module.children():
            yield from _kinds(child)


def _cells(label: str, entry: Mapping[str, Any]) -> list[str]:
    kind = f" ({entry['kind']})" if entry["kind"] else ""
    shapes = ("x".join(map(str, shape)) for shape in entry["output_shapes"])
    return [
        label + kind, str(entry["layers"]), f"{entry['parameters']:,}", f"{entry['macs']:,}",
        ", ".join(shapes),
    ]  # fmt: skip


main = command("summary", summary)


if __name__ == "__main__":
    main()
