r"""Real trials of a search of the pruning rates as a table, which ``search_methods.py`` reads.

    python experiments/004-search/collect_trials.py trials.csv --count 240 search=demo \
        recovery.steps=24 recovery.save_every=1000 recalibration.batches=10 \
        data.num_held_out=64 checkpoint=FILE

Points lie evenly in the box of the bounds (a scrambled Sobol sequence), moved to parameters from
0.46 to 0.50 of the network's: each second one to just a half. Every eighth trial repeats an earlier
one with another seed, which tells the noise. The table is continued where it ends.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict
from scipy.stats import qmc
from tqdm import tqdm

from src import checkpoint
from src.models import wiring_of
from src.models.channels import GROUPS
from src.pruning import BudgetSurface, Cost
from src.sweep_pruning import trial

CONF = Path(__file__).resolve().parents[2] / "conf"
LEAST, MOST = 0.46, 0.50
"""Shares of the network's parameters that plans have: B-FPGM's band below the budget of a half."""

REPEAT, REPEATED = 8, 20
"""Every so many trials one is repeated, of the first so many."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("overrides", nargs="*", help="settings of src.sweep_pruning")
    arguments = parser.parse_intermixed_args()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = [*arguments.overrides, "study=table", "run=table", "group=table"]
        config = compose("sweep_pruning", given, return_hydra_config=True)
    done = len(arguments.table.read_text().splitlines()) - 1 if arguments.table.exists() else 0
    with arguments.table.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow([*(f"rate_{name}" for name in GROUPS), "parameters", "loss", "seed"])
        for number in tqdm(range(done, arguments.count), initial=done, total=arguments.count):
            writer.writerow(row(config, number))
            file.flush()


def row(config: DictConfig, number: int) -> list[Any]:
    """Rates, parameters, loss and seed of a trial."""
    repeated, point = divmod(number // REPEAT, REPEATED)
    seed = repeated + 1 if number % REPEAT == REPEAT - 1 else 0
    if not seed:
        point = number
    spec = instantiate(config.pruning, _convert_="all")
    model = checkpoint.load(config.checkpoint).model
    wiring = wiring_of(model)
    place = qmc.Sobol(len(GROUPS) + 1, scramble=True, rng=5).random(1024)[point]
    share = LEAST + (MOST - LEAST) * place[-1] if point % 2 else MOST
    bounds = {name: tuple(pair) for name, pair in spec.bounds.items()}
    spec = dataclasses.replace(spec, parameters=float(share))
    surface = BudgetSurface(spec, wiring, Cost(model, wiring), bounds)
    proposal = {
        name: low + (high - low) * float(u)
        for (name, (low, high)), u in zip(bounds.items(), place, strict=False)
    }
    rates = surface.project(proposal) if point else surface.uniform()
    with tempfile.TemporaryDirectory() as name:
        settings = config.copy()
        with open_dict(settings):
            settings.hydra.runtime.output_dir = settings.run_dir = name
            settings.pruning.rates = {group: float(rate) for group, rate in rates.items()}
            settings.seed = seed
            HydraConfig.instance().set_config(settings)
            del settings.hydra
        loss = trial(settings, Path(name))["objective"][0]
    return [*(rates[group] for group in GROUPS), surface.parameters(rates), loss, seed]


if __name__ == "__main__":
    main()
