"""Check a network: ``python -m src.validate checkpoint=...``; ``--help`` lists the options.

What the documents call validate_parameters and final_validation. The exit status says whether all
checks passed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from src import checkpoint
from src.cli import command
from src.cli.options import CONF
from src.cli.targets import instantiate
from src.deploy import FORMATS, ExportOptions, differences, expected
from src.detection.priors import make_priors
from src.models import FaceDetector
from src.pruning import PruningSpec, prune_at_once
from src.report.tables import text_table
from src.runs.files import write_json
from src.runs.record import record
from src.training.evaluator import score

log = logging.getLogger(__name__)

SHARE = 0.8
"""Of its parameters that the pruned network of one check has."""


class Check(NamedTuple):
    """One property and whether it holds."""

    name: str
    passed: bool
    found: str


def validate(config: DictConfig, folder: Path) -> list[Check]:
    """Check what ``config`` names; writes ``validate.json``.

    Returns:
        The checks, in order; one that could not be made has failed, and says why.
    """
    sizes = [_size(each) for each in config.sizes]
    wanted = None if config.expected is None else read_expected(Path(config.expected))
    model = checkpoint.load(config.checkpoint).model.eval()
    record(folder, config)
    todo: dict[str, Callable[[], tuple[bool, str]]] = {
        "parameters": lambda: within_target(model, config.target.parameters),
        **{f"outputs at {w} x {h}": partial(outputs_fit, model, h, w) for h, w in sizes},
        "pruning": lambda: removes_what_it_masks(model),
        "ONNX file": lambda: exports_the_same(model, sizes, config.tolerance),
    }
    if wanted is not None:
        todo["AP"] = lambda: precise_enough(model, wanted, config)
    checks = [_made(name, check) for name, check in todo.items()]
    write_json(folder / "validate.json", {"checkpoint": config.checkpoint, "checks": checks})
    rows = [[each.name, "passed" if each.passed else "FAILED", each.found] for each in checks]
    log.info("\n%s", text_table(["check", "", "found"], rows))
    return checks


def read_expected(file: Path) -> dict[str, float]:
    """The APs that a file asks for.

    Raises:
        ValueError: it is no table of names and numbers from 0 to 1.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML in {file}, got '{' '.join(str(error).split())}'") from None
    fits = isinstance(content, dict) and content and all(
        isinstance(name, str) and isinstance(value, float) and 0 <= value <= 1
        for name, value in content.items()
    )  # fmt: skip
    if not fits:
        raise ValueError(
            f"expected a table such as {{ap_easy: 0.9, ap_hard: 0.8}} in {file}, got {content!r}"
        )
    return dict(content)


def within_target(model: FaceDetector, most: int | None) -> tuple[bool, str]:
    """Whether the network is as small as asked, and what it weighs."""
    count = sum(parameter.numel() for parameter in model.parameters())
    asked = "any number" if most is None else f"at most {most:,}"
    return most is None or count <= most, f"{count:,}, asked for {asked}"


@torch.inference_mode()
def outputs_fit(model: FaceDetector, height: int, width: int) -> tuple[bool, str]:
    """Whether there is one finite row of outputs for each prior."""
    images = _images(1, height, width)
    outputs = model(model.normalise(torch.from_numpy(images)))
    priors = len(make_priors(model.priors, height, width))
    rows = {output.shape[1] for output in outputs}
    finite = all(bool(output.isfinite().all()) for output in outputs)
    found = f"{priors:,} priors, {', '.join(f'{n:,}' for n in sorted(rows))} rows"
    return rows == {priors} and finite, found if finite else f"{found}, not all finite"


def removes_what_it_masks(model: FaceDetector) -> tuple[bool, str]:
    """Whether a smaller network computes what the same filters masked do, for a fifth of it."""
    settings = OmegaConf.load(CONF / "pruning" / "one_shot.yaml").pruning
    spec: PruningSpec = instantiate(settings, parameters=SHARE)
    results = prune_at_once(model, spec, height=320, width=320).results
    before, after = results["parameters"]
    return True, (  # else it raises
        f"{before:,} to {after:,} parameters, removed and masked differ by "
        f"{results['masked_difference']:.1g}"
    )


def exports_the_same(
    model: FaceDetector, sizes: Sequence[tuple[int, int]], tolerance: float
) -> tuple[bool, str]:
    """Whether an ONNX file gives what PyTorch does, for one image and for three."""
    form, options = FORMATS["onnx"], ExportOptions()
    batches = [_images(count, *size) for size in sizes for count in (1, 3)]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        form.write(model, file, options)
        wanted = [expected(model, batch, options) for batch in batches]
        network = form.readers[0].load(file, tuple(wanted[0].outputs))
        found = differences(network, wanted)
    worst = max(each.relative for each in found.values())
    return worst <= tolerance, f"differs by {worst:.1g} of its scale, at most {tolerance:.1g} asked"


def precise_enough(
    model: FaceDetector, wanted: Mapping[str, float], config: DictConfig
) -> tuple[bool, str]:
    """Whether no AP is further below what is expected than allowed."""
    metrics: Any = score(
        model, instantiate(config.data, _convert_="all"), decoder=instantiate(config.decoder),
        views=instantiate(config.views, _convert_="all"), trainer=config.trainer,
    ).metrics  # fmt: skip
    unknown = [name for name in wanted if name not in metrics]
    if unknown:
        return False, f"no {', '.join(unknown)} among {', '.join(metrics)}"
    short = {name: 100 * (least - metrics[name]) for name, least in wanted.items()}
    told = ", ".join(f"{n} {100 * metrics[n]:.2f} of {100 * wanted[n]:.2f}" for n in wanted)
    return all(points <= config.points for points in short.values()), told


def _made(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *check())
    except (ValueError, RuntimeError) as error:
        return Check(name, False, " ".join(str(error).split()))


def _size(given: Any) -> tuple[int, int]:
    """Height and width."""
    pair = (given, given) if isinstance(given, int) else tuple(given)
    if len(pair) != 2 or not all(isinstance(side, int) and side >= 1 for side in pair):
        raise ValueError(f"expected sizes as pixels or [height, width], got {given}; set sizes=")
    return pair


def _images(count: int, height: int, width: int) -> np.ndarray:
    """Pixels [count, 3, height, width], the same at every call."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, 3, height, width), dtype=np.uint8)


def main() -> None:
    """Exit status 1 where a check failed."""
    failed = False

    def watched(config: DictConfig, folder: Path) -> list[Check]:
        nonlocal failed
        checks = validate(config, folder)
        failed = failed or not all(check.passed for check in checks)
        return checks

    command("validate", watched, objective=len)()
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
