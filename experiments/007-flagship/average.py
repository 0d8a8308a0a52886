"""The mean of the weights of two trainings that went on from the same weights.

    python average.py one.ckpt other.ckpt mean.ckpt

Source: Wortsman et al., "Model soups", ICML 2022.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from src import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one")
    parser.add_argument("other")
    parser.add_argument("mean", type=Path)
    given = parser.parse_args()
    model = checkpoint.load(given.one).model
    other = checkpoint.load(given.other).model.state_dict()
    mean = {
        name: (value + other[name]) / 2 if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(mean)
    checkpoint.save(given.mean, model, metrics={})


if __name__ == "__main__":
    main()
